//! A small hub on the loopback: one repository, served as the Hugging Face Hub serves one, and answers that a test bends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The commit of the repository's first state.
pub(crate) const COMMIT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first byte asked for; none where the whole is.
    pub(crate) fn first_byte(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }

    /// The same as a server reads it that does not know the header `name`.
    pub(crate) fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Whether it asks what a file is, and not for its content.
    pub(crate) fn is_question(&self) -> bool {
        self.header("range") == Some("bytes=0-0")
    }

    pub(crate) fn is_list(&self) -> bool {
        self.target.starts_with("/api/")
    }
}

/// What a server does once it has sent what it sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Then {
    /// It closes the connection.
    Close,
    /// It keeps the connection open and never says another word.
    Silence,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) then: Then,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), then: Then::Close }.with("content-length", "0")
    }

    /// Nothing at all, not even a first line.
    pub(crate) fn silence() -> Reply {
        Reply { then: Then::Silence, ..Reply::status(0) }
    }

    pub(crate) fn redirect(location: &str) -> Reply {
        Reply::status(302).with("location", location)
    }

    /// The same with the header `name` set to `value`.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Reply {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Reply {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// The same headers, but only the first `n_bytes` of the body.
    pub(crate) fn cut(mut self, n_bytes: usize, then: Then) -> Reply {
        self.body.truncate(n_bytes);
        Reply { then, ..self }
    }

    fn send(&self, mut stream: TcpStream) {
        if self.status != 0 {
            let mut head = format!("HTTP/1.1 {} Status\r\nconnection: close\r\n", self.status);
            self.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
            // A client that has heard enough is none of the server's business.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n"));
            let _ = stream.write_all(&self.body).and_then(|()| stream.flush());
        }
        if self.then == Then::Silence {
            loop {
                thread::park();
            }
        }
    }
}

/// The files of the repository `a/b`.
#[derive(Clone, Default)]
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    pub(crate) fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Files {
        self.0.insert(path.to_owned(), content.into());
        self
    }

    /// The answer of a hub in good health.
    pub(crate) fn reply(&self, request: &Request) -> Reply {
        if request.target == "/api/models/a/b/revision/main?blobs=true" {
            let siblings: Vec<_> = self
                .0
                .iter()
                .map(|(path, content)| serde_json::json!({"rfilename": path, "size": content.len()}))
                .collect();
            let body = serde_json::json!({"id": "a/b", "sha": COMMIT, "siblings": siblings}).to_string().into_bytes();
            let length = body.len().to_string();
            return Reply { body, ..Reply::status(200) }.with("content-length", &length);
        }
        let path = request.target.strip_prefix(&format!("/a/b/resolve/{COMMIT}/")).map(|path| path.replace("%20", " "));
        match path.and_then(|path| self.0.get(&path)) {
            Some(content) => Self::content(content, request).with("etag", &format!("\"{}\"", etag(content))),
            None => Reply::status(404),
        }
    }

    fn content(content: &[u8], request: &Request) -> Reply {
        let Some(first) = request.first_byte() else {
            let length = content.len().to_string();
            let reply = Reply { body: content.to_vec(), ..Reply::status(200) };
            return reply.with("content-length", &length);
        };
        let end = if request.is_question() { 1 } else { content.len() };
        if first >= content.len() {
            return Reply::status(416).with("content-range", &format!("bytes */{}", content.len()));
        }
        let range = format!("bytes {first}-{}/{}", end - 1, content.len());
        let reply = Reply { body: content[first..end].to_vec(), ..Reply::status(206) };
        reply.with("content-range", &range).with("content-length", &(end - first).to_string())
    }
}

/// The name of a content, made as a test likes it: FNV-1a over its bytes, as wide as the hub's names of small files.
pub(crate) fn etag(content: &[u8]) -> String {
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}{:024x}", content.len())
}

/// A server that is up until the test's process ends.
pub(crate) struct Server {
    /// Its address, as in `HF_ENDPOINT`.
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers every request by `answer`, each on a thread of its own.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on the loopback");
        let url = format!("http://{}", listener.local_addr().expect("the port's number"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        seen.lock().unwrap().push(request.clone());
                        answer(&request).send(stream);
                    }
                });
            }
        });
        Server { url, requests }
    }

    /// What it was asked until now.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The first byte of every request for a file's content until now.
    pub(crate) fn first_bytes(&self) -> Vec<usize> {
        let contents = self.requests().into_iter().filter(|request| !request.is_list() && !request.is_question());
        contents.map(|request| request.first_byte().unwrap_or(0)).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let target = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Some(Request { target, headers }),
        }
    }
    None
}
