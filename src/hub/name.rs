//! Names on the hub: `owner/name`, and the path of a file in it.
//!
//! A name comes from a person, the path of a file also from the hub's own answers. Both end up in URLs and in paths of
//! the cache, so both are checked here, once, against leading anywhere else.

use anyhow::{Result, ensure};
use std::fmt;

/// What stands behind `hf:`: a repository, and perhaps one file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    /// `owner/name`.
    pub repo: String,
    /// The path of a file in the repository.
    pub file: Option<String>,
}

impl HubName {
    /// Reads `owner/name[:file]`; an error says what a name looks like.
    pub fn parse(text: &str) -> Result<HubName> {
        let (repo, file) = match text.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (text, None),
        };
        let is_repo = repo.split_once('/').is_some_and(|(owner, name)| is_plain_part(owner) && is_plain_part(name));
        ensure!(is_repo, "hf:{} is not of the form hf:owner/name[:file]", text.escape_debug());
        if let Some(file) = file {
            ensure!(
                is_plain_path(file),
                "hf:{} does not name a file: what follows the second colon is a path in the repository, such as \
                 model.gguf or Q8_0/model.gguf",
                text.escape_debug()
            );
        }
        Ok(HubName { repo: repo.to_owned(), file: file.map(str::to_owned) })
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}", self.repo)?;
        self.file.iter().try_for_each(|file| write!(f, ":{file}"))
    }
}

/// An owner's or a repository's name in the hub's alphabet, so that it can become neither a path nor a query.
fn is_plain_part(part: &str) -> bool {
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.bytes().all(alphabet)
}

/// Whether `path` is a relative path that stays where it is put: no `..`, no empty part, nothing that acts on a terminal.
pub(super) fn is_plain_path(path: &str) -> bool {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.contains(['\\', ':']) && !part.contains(is_mark)
    };
    path.len() <= 1_024 && path.split('/').all(plain)
}

/// Control characters, and the marks that reorder what stands around them.
fn is_mark(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `path` as it stands in a URL: everything escaped but slashes and what RFC 3986, section 2.3, leaves unreserved.
pub(super) fn escaped(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owner_slash_name_is_a_repository() {
        assert_eq!(HubName::parse("Qwen/Qwen3-0.6B").unwrap(), HubName { repo: "Qwen/Qwen3-0.6B".into(), file: None });
        for name in ["", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/b?x=1", "a b/c", "a/b\u{1b}[2J", ":x", "a:b/c"] {
            let message = HubName::parse(name).unwrap_err().to_string();
            assert!(message.contains("hf:owner/name") && !message.contains('\u{1b}'), "{message}");
        }
    }

    #[test]
    fn a_file_is_a_path_that_stays_in_the_repository() {
        for file in ["model.gguf", "Q8_0/a b.gguf", "..gguf", "größe.gguf"] {
            let name = HubName::parse(&format!("a/b:{file}")).unwrap();
            assert_eq!((name.file.as_deref(), name.to_string()), (Some(file), format!("hf:a/b:{file}")));
        }
        let long = "x".repeat(256);
        for file in ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a\\b", "a:b", "a\u{1b}b", "a\u{202e}b", &long] {
            let message = HubName::parse(&format!("a/b:{file}")).unwrap_err().to_string();
            assert!(message.contains("path in the repository") && !message.contains('\u{1b}'), "{message}");
        }
    }

    #[test]
    fn a_path_in_a_url_is_escaped_byte_by_byte() {
        for (path, url) in [("Q8_0/a-b.gguf", "Q8_0/a-b.gguf"), ("a b?c#d%", "a%20b%3Fc%23d%25"), ("ö", "%C3%B6")] {
            assert_eq!(escaped(path), url);
        }
    }
}
