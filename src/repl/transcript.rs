//! A conversation on disk: one line of JSON that `siskin finetune` reads as a conversation too.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustyline::completion::unescape;
use serde::{Deserialize, Serialize};

use crate::tokenizer::Message;

/// Longest file that is read: far above any context, far below any memory.
const MAX_BYTES: u64 = 16 << 20;

/// What a file holds. `messages` alone is enough; the rest says how they came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transcript {
    pub(super) messages: Vec<Message>,
    /// What the model was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
}

impl Transcript {
    /// Writes it to `path`, readable by its owner only, as it is private. A file that is there is replaced only if it
    /// is a transcript too.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        ensure!(!self.messages.is_empty(), "nothing has been said yet, so there is nothing to keep");
        if path.exists() {
            let other = "there is such a file already, which is no conversation: choose another name";
            Transcript::load(path).ok().with_context(|| format!("{}: {other}", path.display()))?;
        }
        self.write(path).with_context(|| format!("writing {}", path.display()))
    }

    fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Made with mode 0600, under another name until it is whole.
        let mut file = tempfile::Builder::new().prefix(".").suffix(".siskin-tmp").tempfile_in(folder)?;
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        file.write_all(line.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    }

    /// Reads a file that holds one conversation.
    pub(super) fn load(path: &Path) -> Result<Transcript> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no file {}", path.display()),
            read => read.with_context(|| format!("reading {}", path.display()))?,
        };
        ensure!(text.len() as u64 <= MAX_BYTES, "{} has more than {} MiB", path.display(), MAX_BYTES >> 20);
        let n_lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        serde_json::from_str(&text).map_err(|error| match n_lines > 1 && error.to_string().contains("trailing") {
            true => anyhow::anyhow!("{} has {n_lines} lines: a chat goes on with a file of one", path.display()),
            false => anyhow::anyhow!("{} is no conversation: {error}", path.display()),
        })
    }
}

/// The path that a person typed: `~` is their home, and a backslash stands before a blank where completion has put it.
pub(super) fn typed_path(typed: &str, home: Option<&Path>) -> PathBuf {
    let typed = if cfg!(unix) { unescape(typed, Some('\\')) } else { typed.into() };
    match (typed.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(typed.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Corpus;

    fn transcript() -> Transcript {
        let message = Message::new;
        let messages = vec![message("user", "one\ntwo"), message("assistant", "\u{1b}鳥")];
        Transcript { messages, model: Some("tiny".into()) }
    }

    #[test]
    fn what_was_saved_is_loaded_and_is_one_line_with_messages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        transcript().save(&path).unwrap();
        assert_eq!(Transcript::load(&path).unwrap(), transcript());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"messages\":[{\"role\":\"user\"") && text.lines().count() == 1, "{text}");
        transcript().save(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn conversations_that_were_kept_are_a_corpus_of_conversations() {
        let folder = tempfile::tempdir().unwrap();
        let (one, all) = (folder.path().join("one.json"), folder.path().join("all.jsonl"));
        let mut lines = String::new();
        for i in 0..20 {
            let mut transcript = transcript();
            transcript.messages[0].content += &format!(", and number {i}");
            transcript.save(&one).unwrap();
            lines += &fs::read_to_string(&one).unwrap();
        }
        fs::write(&all, lines).unwrap();
        let corpus = Corpus::scan(&[all], &mut |_| {}).unwrap();
        let report = corpus.report();
        assert_eq!((report.n_documents, report.has_messages, report.n_skipped_lines), (20, true, 0));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        transcript().save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn another_file_is_never_overwritten_and_a_wrong_one_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "my notes").unwrap();
        let error = transcript().save(&path).unwrap_err().to_string();
        assert!(error.contains("notes.txt") && error.contains("choose another name"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "my notes");
        assert!(Transcript::load(&path).unwrap_err().to_string().contains("is no conversation"));
        assert!(Transcript::load(&folder.path().join("none")).unwrap_err().to_string().contains("there is no file"));
        fs::write(&path, "{\"messages\":[]}\n{\"messages\":[]}\n").unwrap();
        assert!(Transcript::load(&path).unwrap_err().to_string().contains("has 2 lines"));
        assert!(Transcript { messages: Vec::new(), model: None }.save(&path).is_err());
    }

    #[test]
    fn a_line_of_other_programs_loads_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.jsonl");
        fs::write(&path, "{\"id\": 7,\n \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}").unwrap();
        assert_eq!(Transcript::load(&path).unwrap().messages[0].content, "hi");
    }

    #[test]
    fn a_tilde_is_the_home_and_a_backslash_keeps_a_blank() {
        assert_eq!(typed_path("~/a b", Some(Path::new("/home/me"))), Path::new("/home/me/a b"));
        assert_eq!(typed_path("my\\ chat.json", None), Path::new("my chat.json"));
        assert_eq!(typed_path("~x", Some(Path::new("/home/me"))), Path::new("~x"));
    }
}
