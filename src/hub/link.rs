//! One request to the hub: who is asked, for how long it may be silent, and where the token goes.
//!
//! hf-hub 0.5 makes requests of its own, but they have no time limit, and it sends the token wherever the hub redirects
//! to. So requests are made here: redirects are followed by hand, and only the endpoint's own origin sees the token. What
//! is asked for is not known here.

use super::settings::Settings;
use anyhow::{Context, Result};
use std::io::Read;
use std::time::Duration;
use ureq::http::{HeaderMap, Uri};
use ureq::{Agent, Body, Error};

/// More redirects than this are a circle; the hub itself makes two at most.
const MAX_REDIRECTS: usize = 8;

/// Why an answer did not come, or is of no use.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server refuses: an HTTP status of 400 or more, and the seconds to wait that it may have named.
    Refused { status: u16, retry_after_s: Option<u64> },
    /// Nothing came for as long as the patience lasts.
    Silent,
    /// The connection could not be made, or broke.
    Broken(String),
    /// The answer contradicts itself or an earlier one.
    Wrong(String),
    /// This computer's own files are in the way.
    Here(anyhow::Error),
}

impl Trouble {
    /// Whether asking again may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Trouble::Silent | Trouble::Broken(_) | Trouble::Refused { status: 500..=599, .. })
    }

    /// What went wrong while the body of an answer was read.
    pub(super) fn reading(error: std::io::Error) -> Trouble {
        Trouble::asking(Error::from(error))
    }

    fn asking(error: Error) -> Trouble {
        match error {
            Error::Timeout(_) => Trouble::Silent,
            Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Trouble::Silent,
            Error::Io(error) => Trouble::Broken(error.to_string()),
            error => Trouble::Broken(error.to_string()),
        }
    }
}

/// Scheme, host and port: who answers an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(url: &Uri) -> Option<Origin> {
        let scheme = url.scheme_str()?.to_ascii_lowercase();
        let usual_port = if scheme == "https" { 443 } else { 80 };
        let host = url.host()?.to_ascii_lowercase();
        matches!(scheme.as_str(), "http" | "https").then(|| Origin {
            scheme,
            host,
            port: url.port_u16().unwrap_or(usual_port),
        })
    }
}

/// The way to one hub.
pub(super) struct Link {
    agent: Agent,
    home: Origin,
    token: Option<String>,
}

/// What a server answered, after redirects.
pub(super) struct Answer {
    /// The headers of every server on the way, the last one's last, and whether each was the hub itself.
    hops: Vec<(bool, HeaderMap)>,
    /// 200, or 206 where a range was asked for and understood.
    pub(super) status: u16,
    body: Body,
}

impl Link {
    /// The way to the endpoint of `settings`.
    pub(super) fn new(settings: &Settings) -> Result<Link> {
        let odd = || format!("HF_ENDPOINT is {:?}, which is no address of a hub", settings.endpoint);
        let url: Uri = settings.endpoint.parse().with_context(odd)?;
        let home = Origin::of(&url).with_context(odd)?;
        Ok(Link { agent: agent(settings.patience), home, token: settings.token.clone() })
    }

    /// Asks for `url`, or for `range` of its bytes (as in the header: `bytes=0-0`).
    pub(super) fn get(&self, url: &str, range: Option<&str>) -> Result<Answer, Trouble> {
        let mut url = parsed(url)?;
        let mut hops = Vec::new();
        while hops.len() <= MAX_REDIRECTS {
            let is_home = Origin::of(&url).as_ref() == Some(&self.home);
            let (parts, body) = self.ask(&url, range, is_home)?.into_parts();
            let status = parts.status.as_u16();
            let next = matches!(status, 301 | 302 | 303 | 307 | 308).then(|| redirect(&url, &parts.headers));
            let retry_after_s = number(&parts.headers, "retry-after");
            hops.push((is_home, parts.headers));
            match (status, next) {
                (_, Some(next)) => url = next?,
                (200 | 206, None) => return Ok(Answer { hops, status, body }),
                _ => return Err(Trouble::Refused { status, retry_after_s }),
            }
        }
        Err(Trouble::Wrong(format!("the address redirects more than {MAX_REDIRECTS} times")))
    }

    fn ask(&self, url: &Uri, range: Option<&str>, is_home: bool) -> Result<ureq::http::Response<Body>, Trouble> {
        let mut request = self.agent.get(url);
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        if let Some(token) = self.token.as_ref().filter(|_| is_home) {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().map_err(Trouble::asking)
    }
}

impl Answer {
    /// The header `name` of the first server on the way that sent it: the hub itself speaks before its storage.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.hops.iter().find_map(|(_, headers)| text(headers, name))
    }

    /// The header `name` of the last answer that the hub itself gave.
    pub(super) fn by_the_hub(&self, name: &str) -> Option<&str> {
        self.hops.iter().rev().filter(|(is_home, _)| *is_home).find_map(|(_, headers)| text(headers, name))
    }

    /// The number in the header `name` of the answer itself.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.hops.last().and_then(|(_, headers)| number(headers, name))
    }

    /// The first byte and the length of the whole in `Content-Range: bytes FIRST-LAST/WHOLE`.
    pub(super) fn content_range(&self) -> Option<(u64, u64)> {
        let range = self.hops.last().and_then(|(_, headers)| text(headers, "content-range"))?;
        let (part, whole) = range.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
        Some((part.split_once('-')?.0.trim().parse().ok()?, whole.trim().parse().ok()?))
    }

    /// The bytes that were asked for.
    pub(super) fn into_reader(self) -> impl Read {
        self.body.into_reader()
    }
}

/// Every stage of a connection may be silent for as long as `patience`; a body may take as long as it likes while it flows.
fn agent(patience: Duration) -> Agent {
    let patience = Some(patience);
    Agent::config_builder()
        .timeout_resolve(patience)
        .timeout_connect(patience)
        .timeout_recv_response(patience)
        .timeout_per_read(patience)
        .timeout_per_write(patience)
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("siskin/", env!("CARGO_PKG_VERSION")))
        // Ranges count the bytes that are sent, so they must be those of the file.
        .accept_encoding("identity")
        .build()
        .into()
}

fn parsed(url: &str) -> Result<Uri, Trouble> {
    url.parse().map_err(|_| Trouble::Wrong(format!("{} is no address", url.escape_debug())))
}

/// Where an answer with these `headers` sends the reader of `url`.
fn redirect(url: &Uri, headers: &HeaderMap) -> Result<Uri, Trouble> {
    let location = text(headers, "location")
        .ok_or_else(|| Trouble::Wrong("the server redirects without saying where to".to_owned()))?;
    let (scheme, authority) =
        (url.scheme_str().unwrap_or_default(), url.authority().map(|a| a.as_str()).unwrap_or_default());
    let next = if location.starts_with("//") {
        parsed(&format!("{scheme}:{location}"))?
    } else if location.starts_with('/') {
        parsed(&format!("{scheme}://{authority}{location}"))?
    } else {
        parsed(location)?
    };
    let is_safe = Origin::of(&next).is_some_and(|origin| origin.scheme == "https" || scheme == "http");
    let shown = location.escape_debug();
    is_safe.then_some(next).ok_or_else(|| Trouble::Wrong(format!("the server redirects to {shown}, which is not safe")))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Option<Origin> {
        Origin::of(&url.parse().unwrap())
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://hub.example/a"), origin("HTTPS://Hub.Example:443/b?c"));
        for other in ["http://hub.example", "https://hub.example:8443", "https://hub.example.org", "https://x@other"] {
            assert_ne!(origin("https://hub.example"), origin(other), "{other}");
        }
        assert_eq!(origin("ftp://hub.example"), None);
    }

    #[test]
    fn a_redirect_is_followed_to_the_same_or_a_safer_place_only() {
        let to = |from: &str, location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("location", location.parse().unwrap());
            redirect(&from.parse().unwrap(), &headers).map(|url| url.to_string()).ok()
        };
        for (from, location, expected) in [
            ("https://a.b/c", "/d?e", Some("https://a.b/d?e")),
            ("https://a.b/c", "//x.y/d", Some("https://x.y/d")),
            ("https://a.b/c", "https://x.y/d", Some("https://x.y/d")),
            ("http://a.b:8/c", "/d", Some("http://a.b:8/d")),
            ("http://a.b/c", "http://x.y/d", Some("http://x.y/d")),
            ("https://a.b/c", "http://x.y/d", None),
            ("https://a.b/c", "file:///etc/passwd", None),
            ("https://a.b/c", "d", None),
        ] {
            assert_eq!(to(from, location).as_deref(), expected, "{from} to {location}");
        }
    }
}
