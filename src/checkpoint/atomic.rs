//! Writing a file so that a reader finds the old one or the new one, never a half.
//!
//! The bytes go to a temporary name in the same folder, are synced, and take the file's name in one rename; then the
//! folder itself is synced, so that the rename survives a power cut. This module does not know what it writes.

use anyhow::{Context, Error, Result};
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use tempfile::NamedTempFile;

const TEMPORARY: &str = ".siskin-tmp";

/// Replaces the file at `path` by what `write` writes, as a whole or not at all. On an error of any kind (a full disk
/// among them) the temporary file is removed, and a file that was there before is untouched.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    replace(path, write).map_err(|error| with_remedy(error).context(format!("writing {}", path.display())))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = folder_of(path);
    // The temporary file removes itself when it is dropped, which is what every `?` below does.
    let mut out = BufWriter::with_capacity(1 << 20, temporary_in(folder)?);
    write(&mut out)?;
    let file = out.into_inner().map_err(|error| error.into_error())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    sync_folder(folder)
}

/// Creates the folder of `path`, where it is missing.
pub(super) fn create_folder_of(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary_in(folder: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(TEMPORARY);
    // Temporary files are private by default, but models are shared like any document: the user's umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    Ok(builder.tempfile_in(folder)?)
}

/// A rename is only durable once the folder that holds the name is. Windows cannot open a folder as a file, and its
/// rename is journalled by the file system.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Says in plain words what to do about the errors that a person can mend.
fn with_remedy(error: Error) -> Error {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(|cause| cause.kind());
    let words = match kind {
        Some(ErrorKind::StorageFull) => "no space left on the disk: free some and try again",
        Some(ErrorKind::QuotaExceeded) => "your disk quota is used up: free some space and try again",
        Some(ErrorKind::FileTooLarge) => {
            "the file grows beyond the limit for a file here (see `ulimit -f`): raise it and try again"
        }
        Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            "the folder cannot be written to: choose another one, or change its permissions"
        }
        _ => return error,
    };
    error.context(words)
}

/// Removes temporary files that a killed process left in `folder`; a folder that does not exist has none.
pub(super) fn remove_leftovers(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("reading {}", folder.display()))?,
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_leftover(path)) {
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

fn is_leftover(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(TEMPORARY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for text in ["old", "a newer and longer text"] {
            write_atomic(&path, |out| Ok(out.write_all(text.as_bytes())?)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_writer_that_fails_half_way_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "old").unwrap();
        let error = write_atomic(&path, |out| {
            out.write_all(&vec![b'n'; 3 << 20])?;
            bail!("the writer gave up")
        });
        let message = format!("{:#}", error.unwrap_err());
        assert!(message.contains("writing") && message.ends_with("the writer gave up"), "{message}");
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(folder.path())), ("old", vec!["x".to_owned()]));
    }

    #[test]
    fn a_full_disk_is_said_in_plain_words_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            write_atomic(&folder.path().join("x"), |_| Err(std::io::Error::from(ErrorKind::StorageFull).into()));
        let message = format!("{:#}", error.unwrap_err());
        assert!(message.contains("no space left") && message.contains("free some"), "{message}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = write_atomic(&folder.path().join("no/x"), |_| Ok(())).unwrap_err().to_string();
        assert!(message.contains("no/x") || message.contains("no\\x"), "{message}");
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!(".Ab12{TEMPORARY}")), "half").unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        remove_leftovers(folder.path()).unwrap();
        remove_leftovers(&folder.path().join("none")).unwrap();
        assert_eq!(names(folder.path()), ["notes.txt"]);
    }

    /// The nearest thing to a full disk that needs no privileges: the test starts itself under a shell that limits the
    /// size of a file to 64 blocks and ignores the signal that would come with it.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_refuses_more_bytes_leaves_the_old_file_and_nothing_else() {
        const ROLE: &str = "SISKIN_TEST_LIMITED_FOLDER";
        if let Ok(folder) = std::env::var(ROLE) {
            let error = write_atomic(&Path::new(&folder).join("x"), |out| Ok(out.write_all(&vec![b'n'; 8 << 20])?));
            assert!(format!("{:#}", error.unwrap_err()).contains("ulimit -f"));
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x"), "old").unwrap();
        let name = "checkpoint::atomic::tests::a_disk_that_refuses_more_bytes_leaves_the_old_file_and_nothing_else";
        let output = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(ROLE, folder.path())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && words.contains("1 passed"),
            "{words}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(fs::read_to_string(folder.path().join("x")).unwrap(), "old");
        assert_eq!(names(folder.path()), ["x"]);
    }
}
