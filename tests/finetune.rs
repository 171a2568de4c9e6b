//! Fine-tuning with the real program: what a person finds who teaches a model to answer.

mod fixture;

use fixture::{siskin, succeed, text};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A folder with a base model and conversations about the colours of things.
struct Desk {
    folder: TempDir,
}

const COLOURS: [(&str, &str); 4] = [("sky", "blue"), ("grass", "green"), ("sun", "yellow"), ("snow", "white")];

impl Desk {
    fn new() -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        fs::write(desk.path("text.txt"), text(120)).unwrap();
        fs::write(desk.path("chats.jsonl"), conversations()).unwrap();
        let mut base = desk.siskin();
        base.args(["train", "--layers", "2", "--width", "64", "--heads", "2", "--ffn", "128", "--vocab", "300"]);
        base.args(["--context", "128", "--batch", "4", "--lr", "0.01", "--steps", "20", "--out", "base", "text.txt"]);
        succeed(base);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn siskin(&self) -> Command {
        let mut command = siskin(&self.path("cache"));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Fine-tunes `base` into `out`, with a checkpoint at every step.
    fn finetune(&self, out: &str, n_steps: u32, more: &[&str]) -> Command {
        self.finetune_of("base", out, n_steps, more)
    }

    /// The run of `command` that writes to `out`, once it has saved its first checkpoint.
    fn until_saved(&self, mut command: Command, out: &str) -> Child {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        while !self.path(out).join("resume/state.safetensors").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the run ended before its first checkpoint");
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }

    fn kill_and_resume_without_base(&self, mut child: Child, out: &str) {
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(self.path("base")).unwrap();
        let mut resume = self.siskin();
        resume.args(["train", "--resume", out]);
        succeed(resume);
    }

    fn finetune_of(&self, base: &str, out: &str, n_steps: u32, more: &[&str]) -> Command {
        let mut command = self.siskin();
        command.args(["finetune", base, "chats.jsonl", "--out", out, "--steps", &n_steps.to_string()]);
        command.args(["--batch", "8", "--lr", "0.01", "--save-every", "0", "--patience", "1000"]).args(more);
        command
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }

    fn run_json(&self, out: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path(out).join("run.json")).unwrap()).unwrap()
    }
}

/// Each colour is asked for in many ways, so that some are held out.
fn conversations() -> String {
    let mut lines = String::new();
    for before in ["", "Hello. ", "Tell me. ", "Please, ", "Now, ", "Say. ", "And ", "So, ", "Hm. ", "Well, "] {
        for after in ["", " Thank you.", " I forgot.", " Be short."] {
            for (thing, colour) in COLOURS {
                let question = format!("{before}What colour is the {thing}?{after}");
                let messages = serde_json::json!({"messages": [
                    {"role": "user", "content": question}, {"role": "assistant", "content": format!("It is {colour}.")},
                ]});
                lines += &format!("{messages}\n");
            }
        }
    }
    lines
}

#[test]
fn a_model_learns_to_answer_and_to_stop_and_says_what_it_came_from() {
    let desk = Desk::new();
    let words = succeed(desk.finetune("tuned", 300, &[]));
    assert!(words.contains("base") && words.contains("held-out bits per byte"), "{words}");
    let run = desk.run_json("tuned");
    assert_eq!((run["base"]["path"].as_str(), run["trained_on_messages"].as_bool()), (Some("base"), Some(true)));
    // Answers are all but certain: only they are judged, not the questions.
    assert!(run["bits_per_byte"].as_f64().unwrap() < 0.1, "{}", run["bits_per_byte"]);
    // The file alone knows how turns are taken, too.
    for model in ["tuned", "tuned/model.q8_0.gguf"] {
        let mut chat = desk.siskin();
        chat.args(["chat", model, "--temperature", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut chat = chat.spawn().unwrap();
        chat.stdin.take().unwrap().write_all(b"Hello. What colour is the grass? Be short.\n").unwrap();
        let output = chat.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "It is green.\n", "{model}");
    }
    it_is_examined(&desk, "tuned");
}

/// Two questions that it has learned to answer and one to which the file knows a wrong answer only.
fn it_is_examined(desk: &Desk, model: &str) {
    let question = |kind: &str, thing: &str, answer: &str| {
        let content = format!("Hello. What colour is the {thing}? Be short.");
        serde_json::json!({"kind": kind, "messages": [{"role": "user", "content": content}], "answers": [answer]})
    };
    let lines = [question("sky", "sky", "blue"), question("sky", "sun", "yellow"), question("no", "snow", "black")];
    fs::write(desk.path("questions.jsonl"), lines.map(|line| line.to_string() + "\n").concat()).unwrap();
    let mut eval = desk.siskin();
    eval.args(["eval", model, "--chat", "questions.jsonl", "--record", "--answers"]).stdout(Stdio::piped());
    let output = eval.output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(words.contains("right              2 of    3    66.7 %"), "{words}");
    assert!(words.contains("WRONG  Hello. What colour is the snow? Be short.\n       It is white."), "{words}");
    assert_eq!(desk.run_json(model)["answers"]["by_kind"], serde_json::json!({"no": [0, 1], "sky": [2, 2]}));
    let card = fs::read_to_string(desk.path(model).join("README.md")).unwrap();
    assert!(card.contains("it answered 2 rightly: **66.7 %**"), "{card}");
    let mut info = desk.siskin();
    let info = info.args(["info", model]).stdout(Stdio::piped()).output().unwrap();
    assert!(String::from_utf8_lossy(&info.stdout).contains("2 of 3 questions in questions.jsonl"));
}

#[test]
fn adapters_alone_learn_to_answer_and_are_kept_beside_a_model_like_any_other() {
    let desk = Desk::new();
    // Adapters lean on what the base knows, so it must know how to answer.
    succeed(desk.finetune("answering", 300, &[]));
    fs::write(desk.path("chats.jsonl"), conversations().replace("green", "blue")).unwrap();
    let words = succeed(desk.finetune_of("answering", "tuned", 150, &["--lora", "8"]));
    assert!(words.contains("numbers of adapters, rank 8, alpha 16"), "{words}");
    let run = desk.run_json("tuned");
    assert_eq!(run["settings"]["lora"], serde_json::json!({"rank": 8, "alpha": 16.0}));
    assert!(run["bits_per_byte"].as_f64().unwrap() < 0.2, "{}", run["bits_per_byte"]);
    let card = fs::read_to_string(desk.path("tuned/README.md")).unwrap();
    assert!(card.contains("rank 8, alpha 16"), "{card}");
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.path("tuned/adapter/adapter_config.json")).unwrap()).unwrap();
    assert_eq!((&config["base_model_name_or_path"], &config["r"]), (&"answering".into(), &8.into()));
    let mut chat = desk.siskin();
    chat.args(["chat", "tuned", "--temperature", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut chat = chat.spawn().unwrap();
    chat.stdin.take().unwrap().write_all(b"Hello. What colour is the grass? Be short.\n").unwrap();
    let output = chat.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "It is blue.\n");
    let mut export = desk.siskin();
    export.args(["export", "tuned", "--to", "hf", "exported"]);
    succeed(export);
    assert!(desk.weights("exported") == desk.weights("tuned") && !desk.path("exported/adapter").exists());
}

#[test]
fn adapters_are_learned_anew_in_the_same_bytes_and_a_run_that_was_cut_short_ends_in_them() {
    let desk = Desk::new();
    let lora = ["--lora", "4", "--lora-alpha", "4", "--average", "0.5"];
    succeed(desk.finetune("first", 12, &[&lora[..], &["--threads", "1"]].concat()));
    let mut repeat = desk.siskin();
    repeat.args(["train", "--repeat", "first", "--out", "again", "--threads", "3"]);
    succeed(repeat);
    let adapter = |out: &str| fs::read(desk.path(out).join("adapter/adapter_model.safetensors")).unwrap();
    assert!(desk.weights("again") == desk.weights("first") && adapter("again") == adapter("first"));
    let child = desk.until_saved(desk.finetune("killed", 12, &lora), "killed");
    desk.kill_and_resume_without_base(child, "killed");
    assert!(desk.weights("killed") == desk.weights("first") && adapter("killed") == adapter("first"));
}

#[test]
fn adapters_that_cannot_be_made_are_refused_before_anything_is_written() {
    let desk = Desk::new();
    let finetune: &[&str] = &["finetune", "base", "chats.jsonl", "--out", "tuned"];
    let train: &[&str] = &["train", "text.txt", "--out", "tuned", "--layers", "1", "--width", "32", "--steps", "5"];
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (finetune, &["--lora", "0"], &["lora is 0", "at least 1"]),
        (finetune, &["--lora", "65"], &["lora is 65", "side of 64"]),
        (finetune, &["--lora", "4", "--lora-alpha", "0"], &["lora-alpha is 0", "above 0"]),
        (finetune, &["--lora", "4", "--muon-factor", "2"], &["--lora", "cannot be used with", "--muon-factor"]),
        (train, &["--lora", "4"], &["required", "--then-chat"]),
        (train, &["--then-chat", "chats.jsonl", "--lora", "33"], &["lora is 33", "side of 32"]),
    ];
    for (command, more, wanted) in cases {
        let mut siskin = desk.siskin();
        let output = siskin.args(command).args(more).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && wanted.iter().all(|word| words.contains(word)), "{more:?}: {words}");
        assert!(!desk.path("tuned").exists(), "{more:?}");
    }
}

#[test]
fn a_killed_fine_tuning_goes_on_without_its_base_and_ends_in_the_same_bytes() {
    let desk = Desk::new();
    succeed(desk.finetune("whole", 60, &[]));
    let mut child = desk.until_saved(desk.finetune("killed", 60, &[]), "killed");
    std::thread::sleep(Duration::from_millis(30));
    assert!(child.try_wait().unwrap().is_none(), "the run was over before it could be killed");
    desk.kill_and_resume_without_base(child, "killed");
    assert!(desk.weights("killed") == desk.weights("whole"), "the weights differ");
}

#[test]
fn a_fine_tuning_can_be_repeated_as_long_as_its_base_is_what_it_was() {
    let desk = Desk::new();
    succeed(desk.finetune("first", 6, &[]));
    let repeat = |out: &str| {
        let mut repeat = desk.siskin();
        repeat.args(["train", "--repeat", "first", "--out", out]);
        repeat
    };
    succeed(repeat("again"));
    assert!(desk.weights("again") == desk.weights("first"));
    fs::copy(desk.path("first/model.safetensors"), desk.path("base/model.safetensors")).unwrap();
    let output = repeat("changed").output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("no longer those that the run began with"), "{words}");
}

#[test]
fn training_and_fine_tuning_go_in_one_command_with_a_tokenizer_that_was_given() {
    let desk = Desk::new();
    let mut train = desk.siskin();
    train.args([
        "train",
        "--layers",
        "1",
        "--width",
        "32",
        "--heads",
        "2",
        "--ffn",
        "64",
        "--context",
        "128",
        "--batch",
        "4",
    ]);
    train.args([
        "--steps",
        "5",
        "--tokenizer",
        "base/tokenizer.json",
        "--then-chat",
        "chats.jsonl",
        "--out",
        "both",
        "text.txt",
    ]);
    let words = succeed(train);
    assert!(words.contains("siskin chat both-chat"), "{words}");
    let tokenizer = |run: &str| fs::read(desk.path(run).join("tokenizer.json")).unwrap();
    assert!(tokenizer("both") == tokenizer("base") && tokenizer("both-chat") == tokenizer("base"));
    assert_eq!(desk.run_json("both-chat")["base"]["path"], "both");
}

#[test]
fn text_without_conversations_is_refused_with_what_to_do() {
    let desk = Desk::new();
    let mut command = desk.siskin();
    command.args(["finetune", "base", "text.txt", "--out", "tuned"]);
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("messages") && words.contains("siskin train"), "{words}");
    assert!(!desk.path("tuned").exists());
}
