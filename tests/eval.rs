//! `siskin eval` with the real program: what a person who judges a text sees, and what a script gets.

mod fixture;

use fixture::{siskin, text, tiny_model};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use tempfile::TempDir;

/// A folder of texts to be judged.
struct Desk(TempDir);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Desk {
        let desk = Desk(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| fs::write(desk.path(name), text).unwrap());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `siskin eval TINY ARGS`, where the cache still has what the model learned from.
    fn eval(&self, args: &[&str]) -> Output {
        self.eval_with(tiny_model().parent().unwrap().join("cache"), args)
    }

    fn eval_with(&self, cache: PathBuf, args: &[&str]) -> Output {
        let mut command = siskin(&cache);
        command.current_dir(self.0.path()).stdin(Stdio::null()).arg("eval").arg(tiny_model()).args(args);
        command.output().unwrap()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let output = self.eval(&[&["--json"], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[track_caller]
fn words(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn a_text_is_judged_with_an_error_over_documents_perplexity_speed_and_what_others_make_of_it() {
    let desk = Desk::new(&[("new.txt", &text(40))]);
    let said = words(&desk.eval(&["new.txt"]));
    for wanted in ["bits per byte", " ± ", "over 40 documents", "perplexity", "tokens/s", "\nxz ", "\n5-gram "] {
        assert!(said.contains(wanted), "{wanted:?} is not in\n{said}");
    }
    assert!(!said.contains("known worst"), "{said}");
    let found = desk.json(&["new.txt"]);
    let bits = number(&found, "nats_per_token") * number(&found, "n_tokens") / 2f64.ln() / number(&found, "n_bytes");
    assert!((bits - number(&found, "bits_per_byte")).abs() < 1e-9, "{found}");
    assert!((number(&found, "perplexity").ln() - number(&found, "nats_per_token")).abs() < 1e-9);
    assert_eq!((&found["standard_error_over"], &found["n_documents"]), (&"documents".into(), &40.into()));
    assert!(number(&found, "standard_error") > 0.0 && number(&found, "tokens_per_second") > 0.0);
    assert_eq!(found["baselines_read_training_text"], true);
    // The model, the 5-gram and xz have all seen sentences like these, so none pays what an unprepared reader pays.
    for name in ["xz", "5-gram"] {
        assert!((0.0..4.0).contains(&number(&found["baselines"], name)), "{found}");
    }
}

#[test]
fn by_document_lists_the_worst_and_the_best_with_file_and_first_words() {
    let odd = "Zyx qwv\u{7} jkp; 0x3F!! %%% ~~ vvv";
    let desk = Desk::new(&[("usual.txt", &text(30)), ("odd.txt", odd)]);
    let said = words(&desk.eval(&["usual.txt", "odd.txt", "--by-document"]));
    let (worst, best) = said.split_once("known best").expect("both lists");
    let worst = worst.split_once("known worst").expect("both lists").1;
    assert!(worst.trim_start().lines().next().unwrap().contains("odd.txt: Zyx qwv^G jkp;"), "{said}");
    assert_eq!(worst.matches(" bytes  ").count(), 5, "{said}");
    assert_eq!(best.matches(" bytes  usual.txt: ").count(), 5, "{said}");
    let found = desk.json(&["usual.txt", "odd.txt"]);
    let bits =
        |key: &str| found[key].as_array().unwrap().iter().map(|d| number(d, "bits_per_byte")).collect::<Vec<_>>();
    let (worst, best) = (bits("worst"), bits("best"));
    assert!(worst.is_sorted_by(|a, b| a >= b) && best.is_sorted(), "{worst:?} {best:?}");
    assert!(worst[4] >= best[4] && found["worst"][0]["file"] == "odd.txt", "{found}");
    assert_eq!(found["worst"][0]["n_bytes"], odd.len());
}

#[test]
fn documents_in_one_file_or_in_several_cost_the_same_and_copies_count() {
    let documents: Vec<String> = (0..6).map(|i| text(20).split("<|endoftext|>\n").nth(i % 4).unwrap().into()).collect();
    let desk = Desk::new(&[("all.txt", &documents.join("<|endoftext|>\n"))]);
    fs::create_dir(desk.path("folder")).unwrap();
    for (i, document) in documents.iter().enumerate() {
        fs::write(desk.path(&format!("folder/{i}.md")), document).unwrap();
    }
    let (one, many) = (desk.json(&["all.txt"]), desk.json(&["folder"]));
    for key in ["bits_per_byte", "standard_error", "n_tokens", "n_bytes", "n_documents"] {
        assert_eq!(one[key], many[key], "{key}");
    }
    assert_eq!(one["n_documents"], 6);
    assert_eq!(number(&one, "n_bytes") as usize, documents.iter().map(String::len).sum::<usize>());
}

#[test]
fn a_single_document_has_its_error_over_windows_and_a_short_one_has_none() {
    let long = text(60).replace("<|endoftext|>\n", "");
    let desk = Desk::new(&[("long.txt", &long), ("short.txt", "The cat sat.")]);
    let said = words(&desk.eval(&["long.txt"]));
    assert!(said.contains(" ± ") && said.contains(" windows of 1 document"), "{said}");
    assert_eq!(desk.json(&["long.txt"])["standard_error_over"], "windows");
    let said = words(&desk.eval(&["short.txt"]));
    assert!(!said.contains('±') && said.contains("no standard error"), "{said}");
    let found = desk.json(&["short.txt"]);
    assert!(found["standard_error"].is_null() && found["n_bytes"] == 12, "{found}");
}

#[test]
fn without_the_training_text_xz_stands_alone_and_it_is_said_why() {
    let desk = Desk::new(&[("new.txt", &text(20))]);
    // Another cache, and another text where the model's own was.
    let model = desk.path("model");
    fs::create_dir(&model).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "run.json"] {
        fs::copy(tiny_model().join(file), model.join(file)).unwrap();
    }
    let mut run: Value = serde_json::from_slice(&fs::read(model.join("run.json")).unwrap()).unwrap();
    run["corpus"]["files"][0]["path"] = desk.path("new.txt").to_str().unwrap().into();
    fs::write(model.join("run.json"), run.to_string()).unwrap();
    let eval = |args: &[&str]| {
        let mut command = siskin(&desk.path("empty"));
        command.current_dir(desk.0.path()).args(["eval", "model"]).args(args).output().unwrap()
    };
    let said = words(&eval(&["new.txt"]));
    assert!(said.contains("without reading anything before") && !said.contains("\n5-gram "), "{said}");
    assert!(said.contains("no 5-gram") && said.contains("has changed since"), "{said}");
    let found: Value = serde_json::from_slice(&eval(&["--json", "new.txt"]).stdout).unwrap();
    assert_eq!(found["baselines_read_training_text"], false);
    assert!(number(&found["baselines"], "xz") > 0.0 && found["baselines"]["5-gram"].is_null(), "{found}");
    // A model from elsewhere says nothing of its text.
    fs::remove_file(model.join("run.json")).unwrap();
    assert!(words(&eval(&["new.txt"])).contains("there is no run.json"));
}

#[test]
fn a_lost_cache_is_made_again_from_the_files_of_the_run() {
    let desk = Desk::new(&[("new.txt", &text(20))]);
    let found = |output: Output| serde_json::from_str::<Value>(&words(&output)).unwrap()["baselines"].take();
    let again = found(desk.eval_with(desk.path("empty"), &["new.txt", "--json"]));
    assert_eq!(again, found(desk.eval(&["new.txt", "--json"])));
}

#[test]
fn a_text_from_a_pipe_costs_what_it_costs_in_a_file() {
    let desk = Desk::new(&[("new.txt", &text(12))]);
    let mut command = siskin(&tiny_model().parent().unwrap().join("cache"));
    command.stdin(fs::File::open(desk.path("new.txt")).unwrap()).arg("eval").arg(tiny_model()).args(["-", "--json"]);
    let piped: Value = serde_json::from_str(&words(&command.output().unwrap())).unwrap();
    assert_eq!(piped["bits_per_byte"], desk.json(&["new.txt"])["bits_per_byte"]);
    assert_eq!(piped["best"][0]["file"], "standard input");
}

#[test]
fn a_first_argument_that_is_no_model_is_told_how_the_command_goes() {
    let desk = Desk::new(&[("new.txt", &text(5))]);
    let eval = |args: &[&str]| {
        let output = siskin(&desk.path("cache")).current_dir(desk.0.path()).arg("eval").args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = eval(&["new.txt", "new.txt"]);
    assert!(code == Some(1) && said.contains("siskin eval MODEL FILE") && said.contains("new.txt is a file"), "{said}");
    let (code, said) = eval(&["new.txt"]);
    assert!(code == Some(2) && said.contains("siskin eval <MODEL> <FILE>"), "{said}");
}

#[test]
fn what_cannot_be_judged_is_named() {
    let desk = Desk::new(&[("good.txt", &text(9)), ("bad.txt", "bin\0ary")]);
    let output = desk.eval(&["good.txt", "bad.txt", "--json"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("skipped bad.txt, byte 3: binary"), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((found["n_documents"].as_u64(), found["skipped"].as_array().unwrap().len()), (Some(9), 1));
    let output = desk.eval(&["bad.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no text to judge"), "{output:?}");
}
