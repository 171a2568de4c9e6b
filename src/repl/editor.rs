//! A message written in the person's own editor.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Longest message that is taken from an editor.
const MAX_BYTES: u64 = 16 << 20;

/// Opens `editor`, a command of the shell, on a private file that holds `draft`, and returns what was saved in it;
/// `None` if that is nothing. An error when the editor cannot be started or says that it failed.
pub(super) fn compose(editor: &str, draft: &str) -> Result<Option<String>> {
    let mut file = tempfile::Builder::new().prefix("siskin-").suffix(".txt").tempfile().context("creating a file")?;
    file.write_all(draft.as_bytes()).and_then(|()| file.flush()).context("writing the draft")?;
    // Closed, as an editor may replace the file instead of writing into it.
    let path = file.into_temp_path();
    let remedy = || format!("opening the editor `{editor}`; the variables VISUAL and EDITOR name another");
    let status = command(editor, &path).status().with_context(remedy)?;
    ensure!(
        status.success(),
        "the editor `{editor}` failed ({status}), so nothing is sent; VISUAL and EDITOR name another"
    );
    let n_bytes = fs::metadata(&path).context("reading what the editor left")?.len();
    ensure!(n_bytes <= MAX_BYTES, "the text has more than {} MiB, so nothing is sent", MAX_BYTES >> 20);
    let text = fs::read_to_string(&path).context("reading what the editor left")?;
    let text = text.trim_end();
    Ok((!text.trim().is_empty()).then(|| text.to_string()))
}

/// By the shell, as `EDITOR` may hold arguments and quotes (`code --wait`).
#[cfg(unix)]
fn command(editor: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg("sh").arg(path);
    command
}

#[cfg(not(unix))]
fn command(editor: &str, path: &Path) -> Command {
    let mut words = editor.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(editor));
    command.args(words).arg(path);
    command
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_the_editor_saves_is_the_message() {
        assert_eq!(compose("true", "draft\n").unwrap().as_deref(), Some("draft"));
        let replacing = "sed -i -e 's/a/one\\ntwo/' --";
        assert_eq!(compose(replacing, "a b").unwrap().as_deref(), Some("one\ntwo b"));
    }

    #[test]
    fn an_empty_file_is_no_message() {
        assert_eq!(compose("true", " \n").unwrap(), None);
        assert_eq!(compose("cp /dev/null", "draft").unwrap(), None);
    }

    #[test]
    fn an_editor_that_fails_or_is_missing_sends_nothing_and_is_named() {
        for editor in ["false", "no-such-editor-anywhere"] {
            let error = format!("{:#}", compose(editor, "draft").unwrap_err());
            assert!(error.contains(editor) && error.contains("EDITOR"), "{error}");
        }
    }
}
