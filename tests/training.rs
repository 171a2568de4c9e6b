//! Training with the real program: what a person who trains, interrupts, loses power and resumes will find.

mod fixture;

use fixture::{siskin, succeed, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A folder with a text, a cache, and runs to be made.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("text.txt"), text(120)).unwrap();
        Desk { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `siskin train` of a very small model into `out`, with checkpoints at every step.
    fn train(&self, out: &str, n_steps: u32, more: &[&str]) -> Command {
        self.train_until(out, ["--steps", &n_steps.to_string()], more)
    }

    /// The same for so many minutes, some seconds; patience does not end it.
    fn train_by_the_clock(&self, out: &str, minutes: &str, more: &[&str]) -> Command {
        let mut command = self.train_until(out, ["--minutes", minutes], more);
        command.args(["--patience", "1000"]);
        command
    }

    fn train_until(&self, out: &str, end: [&str; 2], more: &[&str]) -> Command {
        let mut command = self.siskin();
        command.args(["train", "--layers", "2", "--width", "32", "--heads", "2", "--ffn", "64", "--vocab", "300"]);
        command.args(["--context", "32", "--batch", "8", "--lr", "0.01", "--save-every", "0", "--seed", "3"]);
        command.args(end).args(more).arg("--out").arg(self.path(out));
        command.arg(self.path("text.txt"));
        command
    }

    fn resume(&self, out: &str) -> Command {
        let mut command = self.siskin();
        command.args(["train", "--resume"]).arg(self.path(out));
        command
    }

    fn repeat(&self, run: &str, out: &str, more: &[&str]) -> Command {
        let mut command = self.siskin();
        command.args(["train", "--repeat"]).arg(self.path(run)).arg("--out").arg(self.path(out)).args(more);
        command
    }

    fn run_json(&self, out: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path(out).join("run.json")).unwrap()).unwrap()
    }

    fn siskin(&self) -> Command {
        let mut command = siskin(&self.path("cache"));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }

    /// What a killed and resumed run must share with an uninterrupted one: weights, optimizer state apart from the
    /// clock, and the steps in the log apart from their timings.
    fn essence(&self, out: &str) -> (Vec<u8>, Vec<u8>, Vec<(u64, String)>) {
        let state = fs::read(self.path(out).join("resume/state.safetensors")).unwrap();
        let header = 8 + u64::from_le_bytes(state[..8].try_into().unwrap()) as usize;
        let log = fs::read_to_string(self.path(out).join("train.jsonl")).unwrap();
        let steps = log.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let told =
                ["kind", "loss", "bits_per_byte", "lr", "grad_norm", "fraction_done", "n_tokens_seen", "is_best"];
            (line["step"].as_u64().unwrap(), told.map(|key| line[key].to_string()).join(" "))
        });
        (self.weights(out), state[header..].to_vec(), steps.collect())
    }

    /// Two runs made the same steps and ended in the same bytes. Bytes that differ are not shown: there are many.
    #[track_caller]
    fn assert_same(&self, run: &str, other: &str) {
        let (found, wanted) = (self.essence(run), self.essence(other));
        assert_eq!(found.2, wanted.2, "the steps of {run} and {other}");
        assert!(found.0 == wanted.0, "the weights of {run} and {other} differ");
        assert!(found.1 == wanted.1, "the moments of {run} and {other} differ");
    }
}

fn wait_for(path: &Path, child: &mut Child) {
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before {} was there", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_seed_decides_the_bytes_whatever_the_number_of_threads() {
    let desk = Desk::new();
    succeed(desk.train("one", 25, &["--threads", "1"]));
    succeed(desk.train("again", 25, &["--threads", "1"]));
    succeed(desk.train("two", 25, &["--threads", "2"]));
    succeed(desk.train("other", 25, &["--threads", "1", "--seed", "4"]));
    desk.assert_same("one", "again");
    desk.assert_same("one", "two");
    assert_ne!(desk.weights("one"), desk.weights("other"));
    let quantized = |run: &str| fs::read(desk.path(run).join("model.q8_0.gguf")).unwrap();
    assert!(quantized("one") == quantized("two"), "the quantized copies differ");
    assert!(quantized("one") != quantized("other"));
}

/// Every part of the recipe that can be switched on, on at once.
#[rustfmt::skip]
const ALL_LEVERS: [&str; 29] = [
    "--accumulate", "2", "--order", "documents", "--short-contexts", "on", "--grow-batch", "on", "--dropout", "0.2",
    "--average", "0.5", "--normuon", "off", "--cautious", "on", "--momentum", "0.9", "--beta2", "0.95",
    "--embed-lr", "2", "--weight-decay", "0.3", "--warmup", "5", "--warmdown", "0.3", "--max-grad-norm=2",
];

#[test]
fn with_every_part_of_the_recipe_on_the_seed_still_decides_the_bytes() {
    let desk = Desk::new();
    let with = |more: [&'static str; 2]| ALL_LEVERS.iter().copied().chain(more).collect::<Vec<_>>();
    succeed(desk.train("one", 40, &with(["--threads", "1"])));
    succeed(desk.train("two", 40, &with(["--threads", "2"])));
    desk.assert_same("one", "two");
    // Each changes what is learned.
    for (i, off) in [["--dropout", "0"], ["--order", "random"], ["--short-contexts", "off"], ["--grow-batch", "off"]]
        .into_iter()
        .enumerate()
    {
        let name = format!("without-{i}");
        succeed(desk.train(&name, 40, &with(off)));
        assert_ne!(desk.essence("one").1, desk.essence(&name).1, "{off:?}");
    }
    let card = fs::read_to_string(desk.path("one/README.md")).unwrap();
    for words in ["shuffled documents", "dropout | 0.2", "1/4 until 20 %", "last 50 %", "cautious weight decay 0.3"] {
        assert!(card.contains(words), "{words:?} is not in: {card}");
    }
}

#[test]
fn impossible_values_of_the_recipe_are_refused_with_their_limits() {
    let desk = Desk::new();
    for (more, wanted) in [
        (["--dropout", "1"], ["dropout is 1", "0.9"]),
        (["--average", "1"], ["average is 1", "below 1"]),
        (["--warmdown", "1.5"], ["warmdown is 1.5", "1"]),
        (["--momentum", "1"], ["momentum is 1", "below 1"]),
        (["--beta2", "0"], ["beta2 is 0", "above 0"]),
        (["--weight-decay", "11"], ["weight-decay is 11", "10"]),
        (["--embed-lr", "0"], ["embed-lr is 0", "100"]),
        (["--max-grad-norm", "0"], ["max-grad-norm is 0", "above 0"]),
    ] {
        let output = desk.train("refused", 5, &more).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(wanted.iter().all(|w| words.contains(w)), "{words}");
        assert!(!desk.path("refused").exists());
    }
}

#[test]
fn a_run_killed_at_random_moments_ends_in_the_bytes_of_an_uninterrupted_one() {
    kill_and_resume(&[]);
}

#[test]
fn a_killed_run_with_every_part_of_the_recipe_on_ends_in_the_same_bytes_too() {
    kill_and_resume(&ALL_LEVERS);
}

fn kill_and_resume(more: &[&str]) {
    let desk = Desk::new();
    succeed(desk.train("straight", 60, more));
    let mut child = desk.train("killed", 60, more).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&desk.path("killed/run.json"), &mut child);
    // Moments spread over the run by a fixed rule; where the machine is faster or slower they fall elsewhere, and the
    // result must be the same all the same.
    let mut n_killed = 0;
    for delay_ms in [1, 30, 70, 20, 110, 45] {
        std::thread::sleep(Duration::from_millis(delay_ms));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        n_killed += 1;
        child = desk.resume("killed").stderr(Stdio::null()).spawn().unwrap();
    }
    assert!(child.wait().unwrap().success());
    assert!(n_killed >= 1, "the run was over before it could be killed");
    desk.assert_same("killed", "straight");
}

#[test]
fn a_run_by_the_clock_can_be_repeated_byte_for_byte_by_any_number_of_threads() {
    let desk = Desk::new();
    // Everything that follows the progress of a run, and steps that change their cost.
    let levers = ["--grow-batch", "on", "--short-contexts", "on", "--average", "0.3", "--dropout", "0.1"];
    succeed(desk.train_by_the_clock("first", "0.05", &levers));
    let words = succeed(desk.repeat("first", "again", &["--threads", "1"]));
    assert!(!words.contains("may differ"), "{words}");
    desk.assert_same("again", "first");
    // A repeated run can be repeated in its turn; the text is read again where the cache has lost it.
    fs::remove_dir_all(desk.path("cache")).unwrap();
    succeed(desk.repeat("again", "third", &["--threads", "2", "--quiet"]));
    desk.assert_same("third", "first");
    let run = desk.run_json("first");
    assert!(run["settings"]["milestones"].as_array().is_some_and(|m| !m.is_empty()), "{run}");
    assert_eq!(desk.run_json("third")["settings"], run["settings"]);
    assert_eq!(desk.run_json("third")["bits_per_byte"], run["bits_per_byte"]);
}

#[test]
fn a_run_by_the_clock_that_was_killed_and_resumed_can_be_repeated_and_so_can_a_run_by_steps() {
    let desk = Desk::new();
    let mut child = desk.train_by_the_clock("killed", "0.15", &[]).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&desk.path("killed/resume/state.safetensors"), &mut child);
    let mut n_killed = 0;
    for delay_ms in [30, 250, 400] {
        std::thread::sleep(Duration::from_millis(delay_ms));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        n_killed += 1;
        child = desk.resume("killed").stderr(Stdio::null()).spawn().unwrap();
    }
    assert!(child.wait().unwrap().success());
    assert!(n_killed >= 1, "the run was over before it could be killed");
    succeed(desk.repeat("killed", "again", &[]));
    desk.assert_same("again", "killed");

    succeed(desk.train("steps", 20, &[]));
    succeed(desk.repeat("steps", "steps-again", &[]));
    desk.assert_same("steps-again", "steps");
}

#[test]
fn a_run_that_cannot_be_repeated_is_refused_and_another_machine_is_said() {
    let desk = Desk::new();
    succeed(desk.train("run", 5, &[]));
    let path = desk.path("run/run.json");
    let original = fs::read_to_string(&path).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut run: serde_json::Value = serde_json::from_str(&original).unwrap();
        run[key] = value;
        fs::write(&path, run.to_string()).unwrap();
        let output = desk.repeat("run", "repeated", &[]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, words) = with("finished", false.into());
    assert!(code == Some(1) && words.contains("--resume"), "{words}");
    let (code, words) = with("tokenizer_hash", "00".into());
    assert!(code == Some(1) && words.contains("tokenizer.json"), "{words}");
    let mut settings: serde_json::Value = serde_json::from_str(&original).unwrap();
    settings["settings"]["length"] = serde_json::json!({"minutes": 1.0});
    let (code, words) = with("settings", settings["settings"].take());
    assert!(code == Some(1) && words.contains("no milestones"), "{words}");
    assert!(!desk.path("repeated").exists());
    let (code, words) = with("instruction_set", "another".into());
    assert!(code == Some(0) && words.contains("may differ") && words.contains("another"), "{words}");

    fs::write(&path, &original).unwrap();
    fs::remove_dir_all(desk.path("cache")).unwrap();
    fs::write(desk.path("text.txt"), text(121)).unwrap();
    let output = desk.repeat("run", "changed", &[]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && words.contains("has changed"), "{words}");
    fs::remove_file(desk.path("text.txt")).unwrap();
    for (run, missing) in [("run", "text.txt"), ("nowhere", "nowhere")] {
        let output = desk.repeat(run, "missing", &[]).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && words.contains(missing), "{words}");
    }
    for choice in [
        ["--seed", "1"],
        ["--width", "64"],
        ["--dropout", "0"],
        ["--precision", "f32"],
        ["--steps", "3"],
        ["--resume", "run"],
    ] {
        let code = desk.repeat("run", "chosen", &choice).output().unwrap().status.code();
        assert_eq!(code, Some(2), "{choice:?}");
    }
}

#[test]
fn a_run_resumed_from_a_damaged_position_does_not_pass_for_the_straight_one() {
    // The control: if the state mattered less than it should, the test above could not fail.
    let desk = Desk::new();
    succeed(desk.train("straight", 30, &[]));
    succeed(desk.train("short", 30, &[]));
    let path = desk.path("short/resume/state.safetensors");
    let mut state = fs::read(&path).unwrap();
    let last = state.len() - 2;
    state[last] ^= 0x20;
    fs::write(&path, state).unwrap();
    succeed(desk.resume("short"));
    assert_ne!(desk.essence("short").1, desk.essence("straight").1);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_names_the_command_that_resumes_and_exits_with_130() {
    let desk = Desk::new();
    let mut child = desk.train("stopped", 100_000, &[]).spawn().unwrap();
    wait_for(&desk.path("stopped/resume/state.safetensors"), &mut child);
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{words}");
    assert!(words.contains("siskin train --resume "), "{words}");
    // What was saved both answers and can be described.
    assert!(desk.path("stopped/model.safetensors").exists() && desk.path("stopped/loss.svg").exists());
}

#[test]
fn a_finished_run_is_a_whole_model_directory_and_says_how_good_it_is() {
    let desk = Desk::new();
    let words = succeed(desk.train("whole", 40, &[]));
    for wanted in ["documents", "held-out bits per byte", "xz", "5-gram", "siskin chat"] {
        assert!(words.contains(wanted), "{wanted:?} is not in: {words}");
    }
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "README.md",
        "train.jsonl",
        "loss.svg",
        "run.json",
    ] {
        assert!(desk.path("whole").join(file).exists(), "{file} is missing");
    }
    let mut info = desk.siskin();
    let output = info.args(["info", "--json"]).arg(desk.path("whole")).stdout(Stdio::piped()).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(info["bits_per_byte"].as_f64().is_some_and(|bits| bits > 0.0 && bits < 8.0), "{info}");
}

#[test]
fn a_finished_run_tells_how_much_it_copies_and_an_older_one_says_nothing() {
    let desk = Desk::new();
    let words = succeed(desk.train("one", 60, &["--threads", "1"]));
    assert!(words.contains("word for word from its text: "), "{words}");
    succeed(desk.train("two", 60, &["--threads", "2"]));
    let verbatim = |out: &str| {
        let run = fs::read(desk.path(out).join("run.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&run).unwrap()["verbatim"].take()
    };
    let found = verbatim("one");
    // 20 texts of 200 tokens, as far as the context of 32 goes.
    assert_eq!((&found["n_texts"], &found["n_tokens"]), (&20.into(), &640.into()));
    let number = |key: &str| found[key].as_u64().unwrap();
    assert!(number("n_words") > 20 && number("n_copied_words") <= number("n_words"), "{found}");
    let longest = found["longest_run"].as_str().unwrap();
    assert_eq!(longest.split(' ').count() as u64, number("longest_run_words"), "{found}");
    assert_eq!(verbatim("two"), found, "threads must not matter");
    let text = fs::read_to_string(desk.path("text.txt")).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(longest), "{longest:?} is not in the text");
    let describe = |out: &str| {
        let output = desk.siskin().arg("info").arg(desk.path(out)).stdout(Stdio::piped()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(describe("one").contains("word for word"), "{}", describe("one"));
    assert!(fs::read_to_string(desk.path("one/README.md")).unwrap().contains("## How much it copies"));
    let path = desk.path("one/run.json");
    let mut run: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    run.as_object_mut().unwrap().remove("verbatim");
    fs::write(&path, run.to_string()).unwrap();
    assert!(!describe("one").contains("word for word"), "{}", describe("one"));
}

#[test]
fn a_directory_that_holds_a_model_is_never_written_over() {
    let desk = Desk::new();
    succeed(desk.train("kept", 5, &[]));
    let before = desk.weights("kept");
    let output = desk.train("kept", 5, &["--seed", "9"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("already holds a model") && words.contains("--resume"), "{words}");
    assert_eq!(desk.weights("kept"), before);
}

#[test]
fn impossible_wishes_are_refused_with_both_numbers_before_anything_is_written() {
    let desk = Desk::new();
    for (more, wanted) in [(["--heads", "5"], ["32", "5 heads"]), (["--context", "999999"], ["999999", "tokens"])] {
        let output = desk.train("refused", 5, &more).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(wanted.iter().all(|w| words.contains(w)), "{words}");
        assert!(!desk.path("refused").exists());
    }
}

#[test]
#[ignore = "trains for some minutes"]
fn every_precision_learns_as_well_as_f32_at_the_width_of_a_real_model() {
    let desk = Desk::new();
    let bits = |precision: &str| {
        let mut command = desk.siskin();
        command.args(["train", "--preset", "nano", "--steps", "400", "--seed", "1", "--patience", "100"]);
        command.args(["--precision", precision, "--out"]).arg(desk.path(precision)).arg("corpora/stories.txt");
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        // What this CPU does not have.
        if !output.status.success() && words.contains("needs a CPU with") {
            return None;
        }
        assert!(output.status.success(), "{words}");
        let run = fs::read(desk.path(precision).join("run.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&run).unwrap()["bits_per_byte"].as_f64()
    };
    let wanted = bits("f32").expect("every CPU has f32");
    for (precision, found) in ["bf16", "f16", "int8"].iter().filter_map(|precision| Some((precision, bits(precision)?)))
    {
        assert!((found / wanted - 1.0).abs() < 0.01, "{precision} ends at {found} bits per byte, f32 at {wanted}");
    }
}
