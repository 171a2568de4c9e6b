//! One file from the hub into a part file that grows until it is whole, over as many connections as that takes.
//!
//! hf-hub 0.5 would do this too, but its retries append at the wrong place when a part file was there before, it appends
//! what a server without ranges sends from the beginning, it cannot finish a part file that is whole already, and it never
//! looks whether the size is right. The part file keeps hf-hub's name, so that either goes on where the other stopped.

use super::link::{Link, Trouble};
use super::progress::Bar;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

/// Connections in a row that bring little before a download is given up.
const MAX_FRUITLESS: u32 = 3;

/// What a connection must bring to count as a good one: else a server that falls silent after a few bytes, again and again,
/// would be asked for hours.
const WORTH_BYTES: u64 = 1 << 20;

/// A file as the hub describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// The name of its content: the SHA-256 for a large file.
    pub(super) etag: String,
    /// Its size.
    pub(super) n_bytes: u64,
}

/// What the hub says of the file at `url`. As hf-hub does, it asks for the first byte and not with HEAD, which some
/// storages do not answer.
pub(super) fn describe(link: &Link, url: &str) -> Result<Remote, Trouble> {
    let answer = match link.get(url, Some("bytes=0-0")) {
        // An empty file has no first byte.
        Err(Trouble::Refused { status: 416, .. }) => link.get(url, None)?,
        answer => answer?,
    };
    let quoted = answer.first("x-linked-etag").or_else(|| answer.by_the_hub("etag")).or_else(|| answer.first("etag"));
    let etag = quoted.map(|quoted| quoted.trim().trim_start_matches("W/").trim_matches('"').to_owned());
    let is_plain = |etag: &String| {
        !etag.is_empty() && etag.len() <= 128 && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let etag = etag.filter(is_plain).ok_or_else(|| Trouble::Wrong("the hub's answer has no usable ETag".to_owned()))?;
    let stored = if answer.status == 206 { answer.content_range().map(|(_, whole)| whole) } else { None };
    let stored = stored.or_else(|| answer.number("content-length").filter(|_| answer.status == 200));
    let linked = answer.first("x-linked-size").and_then(|size| size.trim().parse().ok());
    match (linked, stored) {
        (Some(linked), Some(stored)) if linked != stored => Err(wrong_size(linked, stored)),
        (Some(n_bytes), _) | (None, Some(n_bytes)) => Ok(Remote { etag, n_bytes }),
        (None, None) => Err(Trouble::Wrong("the hub does not say how large it is".to_owned())),
    }
}

fn wrong_size(expected: u64, found: u64) -> Trouble {
    Trouble::Wrong(format!("it should have {expected} bytes, but {found} are sent"))
}

/// Brings `path` to the size of `remote`, from where it stands, and returns how many bytes came over the network.
/// `pause` is how long the first retry waits; each further one waits twice as long.
pub(super) fn download(
    link: &Link,
    url: &str,
    remote: &Remote,
    path: &Path,
    pause: Duration,
    bar: &Bar,
) -> Result<u64, Trouble> {
    let mut part = Part::open(path, remote)?;
    let (mut best, mut n_fruitless) = (part.n_have, 0);
    while part.n_have < remote.n_bytes {
        let ended = part.go_on(link, url, bar);
        match ended {
            _ if part.n_have == remote.n_bytes => {}
            Err(trouble) if !trouble.may_pass() => return Err(trouble),
            _ if part.n_have >= best + WORTH_BYTES => (best, n_fruitless) = (part.n_have, 0),
            // Whoever was silent for the whole patience and brought hardly anything will be silent again.
            Err(Trouble::Silent) => return Err(Trouble::Silent),
            ended if n_fruitless == MAX_FRUITLESS => {
                return Err(ended.err().unwrap_or_else(|| Trouble::Broken("the answer ended early".to_owned())));
            }
            _ => {
                std::thread::sleep(pause * 2u32.pow(n_fruitless));
                n_fruitless += 1;
            }
        }
    }
    part.check()?;
    Ok(part.n_came)
}

/// A file that is not whole yet.
struct Part<'a> {
    path: &'a Path,
    file: File,
    remote: &'a Remote,
    n_have: u64,
    n_came: u64,
}

impl<'a> Part<'a> {
    fn open(path: &'a Path, remote: &'a Remote) -> Result<Part<'a>, Trouble> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(|e| here(e, path))?;
        let n_have = file.metadata().map_err(|e| here(e, path))?.len();
        let mut part = Part { path, file, remote, n_have, n_came: 0 };
        if n_have > remote.n_bytes {
            part.start_again()?;
        }
        Ok(part)
    }

    fn start_again(&mut self) -> Result<(), Trouble> {
        self.n_have = 0;
        self.file.set_len(0).map_err(|e| here(e, self.path))
    }

    /// One connection: asks for what is missing and appends what comes.
    fn go_on(&mut self, link: &Link, url: &str, bar: &Bar) -> Result<(), Trouble> {
        let range = (self.n_have > 0).then(|| format!("bytes={}-", self.n_have));
        let answer = link.get(url, range.as_deref())?;
        let (first, whole) = match (answer.status, answer.content_range()) {
            (206, Some(range)) => range,
            // Without ranges, the file comes from its beginning.
            _ => (0, answer.number("content-length").unwrap_or(self.remote.n_bytes)),
        };
        if whole != self.remote.n_bytes {
            return Err(wrong_size(self.remote.n_bytes, whole));
        }
        if first != self.n_have {
            if first != 0 {
                return Err(Trouble::Wrong(format!("byte {} was asked for, but byte {first} came", self.n_have)));
            }
            self.start_again()?;
        }
        bar.set(self.n_have);
        self.append(&mut answer.into_reader(), bar)
    }

    fn append(&mut self, body: &mut dyn Read, bar: &Bar) -> Result<(), Trouble> {
        let mut block = vec![0; 1 << 17];
        loop {
            let n = body.read(&mut block).map_err(Trouble::reading)?;
            if n == 0 {
                return Ok(());
            }
            if n as u64 > self.remote.n_bytes - self.n_have {
                let (n_bytes, n_have) = (self.remote.n_bytes, self.n_have);
                self.start_again()?;
                return Err(wrong_size(n_bytes, n_have + n as u64));
            }
            self.file.write_all(&block[..n]).map_err(|e| here(e, self.path))?;
            self.n_have += n as u64;
            self.n_came += n as u64;
            bar.set(self.n_have);
        }
    }

    /// Compares the content with its name where the name is a SHA-256, and brings it onto the disk for good.
    fn check(&mut self) -> Result<(), Trouble> {
        let etag = self.remote.etag.to_ascii_lowercase();
        if etag.len() == 64 && etag.bytes().all(|b| b.is_ascii_hexdigit()) {
            let found = sha256(&mut self.file).map_err(|e| here(e, self.path))?;
            if found != etag {
                self.start_again()?;
                let words = format!("its SHA-256 is {found}, but should be {etag}; what had come is thrown away");
                return Err(Trouble::Wrong(words));
            }
        }
        self.file.sync_all().map_err(|e| here(e, self.path))
    }
}

fn sha256(file: &mut File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&block[..n]),
        }
    }
}

fn here(error: std::io::Error, path: &Path) -> Trouble {
    let is_full = error.kind() == std::io::ErrorKind::StorageFull;
    let error = anyhow::Error::new(error).context(format!("writing {}", path.display()));
    let remedy = "the disk is full: free some space and try again, it goes on where it stopped";
    Trouble::Here(if is_full { error.context(remedy) } else { error })
}
