//! The chat as a person meets it: the real program in a real pseudo-terminal, with a screen and keys.
#![cfg(unix)]

mod fixture;
mod scripted;
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command as Program, Stdio};

use pty_process::blocking::Command;
use serde_json::Value;
use terminal::{Terminal, line_of_cursor};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_G: &str = "\x07";
const CTRL_Z: &str = "\x1a";
const UP: &str = "\x1b[A";

/// A folder with runs to talk to, made once for a test: `bird` says "Lovely bird." and no more, `odd` writes what terminals
/// stumble over, `endless` never stops.
fn desk() -> &'static Path {
    thread_local! {
        static DESK: &'static Path = set_desk();
    }
    DESK.with(|desk| *desk)
}

fn set_desk() -> &'static Path {
    let desk = fixture::folder_of_thread();
    let text = desk.join("text.txt");
    let documents = (0..40).map(|i| format!("A Lovely bird. sings number {i}.\n<|endoftext|>\n"));
    fs::write(&text, documents.collect::<String>()).expect("a text");
    scripted::write(&desk.join("runs/bird"), "Lovely bird.", false, 400, Some(&text));
    scripted::write(&desk.join("runs/odd"), "鳥 e\u{301}🦜\x1b[1mB.", false, 400, None);
    scripted::write(&desk.join("runs/endless"), "ha ", true, 200_000, None);
    desk
}

/// `siskin chat` with `args` in the folder of the runs, before it is started.
fn siskin(args: &[&str]) -> Command {
    Command::new(env!("CARGO_BIN_EXE_siskin"))
        .args(["chat", "--threads", "1", "--temperature", "0"])
        .args(args)
        .current_dir(desk())
        .env("SISKIN_CACHE", desk().join("cache"))
        .env("SISKIN_HISTORY", "")
        .env_remove("NO_COLOR")
        .env_remove("VISUAL")
        .env_remove("EDITOR")
        .env_remove("RUST_BACKTRACE")
}

/// A chat in a window that holds all of it.
fn chat(args: &[&str]) -> Terminal {
    Terminal::start(siskin(args), 120, 80)
}

/// What the user has said in a conversation that was kept.
fn questions(path: &Path) -> Vec<String> {
    let kept: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let messages = kept["messages"].as_array().unwrap();
    let questions = messages.iter().filter(|message| message["role"] == "user");
    questions.map(|message| message["content"].as_str().unwrap().to_string()).collect()
}

/// What was said so far, as the chat keeps it.
fn said(chat: &Terminal) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.json");
    chat.say(&format!("/save {}", path.display()));
    chat.at_prompt();
    questions(&path)
}

#[test]
fn a_person_is_greeted_answered_and_leaves_with_ctrl_d() {
    let chat = chat(&["bird"]);
    chat.sees("bird, with a context of 400 tokens. /help lists the commands, Ctrl-D leaves.");
    chat.say_and_see("hello", "Lovely bird.");
    assert!(chat.contents().contains("> hello\nLovely bird.\n>"), "{}", chat.contents());
    chat.press(CTRL_D);
    assert_eq!(chat.left().code(), Some(0));
}

#[test]
fn quotes_and_backslashes_make_one_message_of_several_lines() {
    let chat = chat(&["bird"]);
    chat.at_prompt();
    chat.press("\"\"\"\r");
    chat.press("one\r");
    chat.press("two\"\"\"\r");
    chat.sees("Lovely bird.");
    chat.at_prompt();
    chat.press("three\\\rfour\r");
    chat.until("there are two answers", |screen| screen.contents().matches("Lovely bird.").count() == 2);
    chat.at_prompt();
    chat.press("five\x1b\rsix\r");
    chat.until("there are three answers", |screen| screen.contents().matches("Lovely bird.").count() == 3);
    assert_eq!(said(&chat), ["one\ntwo", "three\nfour", "five\nsix"]);
}

#[test]
fn pasted_lines_are_one_message_and_no_commands() {
    let chat = chat(&["bird"]);
    chat.at_prompt();
    chat.press("\x1b[200~/quit\nline \\\nend\x1b[201~");
    chat.sees("end");
    assert!(!chat.contents().contains("Lovely"), "nothing is sent before Enter:\n{}", chat.contents());
    chat.press("\r");
    chat.sees("Lovely bird.");
    assert_eq!(said(&chat), ["/quit\nline \\\nend"]);
}

#[test]
fn what_is_typed_ahead_waits_for_its_turn() {
    let chat = chat(&["bird"]);
    chat.at_prompt();
    chat.press("one\rtwo\rthree\rfo");
    chat.until("there are three answers", |screen| screen.contents().matches("Lovely bird.").count() == 3);
    chat.press("ur\r");
    chat.until("there are four answers", |screen| screen.contents().matches("Lovely bird.").count() == 4);
    assert_eq!(said(&chat), ["one", "two", "three", "four"]);
}

#[test]
fn what_is_typed_during_an_answer_does_not_stand_in_it() {
    let chat = chat(&["endless", "-n", "3000"]);
    chat.say_and_see("go", "ha ha ha");
    chat.press("later\r");
    chat.until("there are two answers", |screen| screen.contents().matches("cut after 3000 tokens").count() == 2);
    let before = chat.contents().split("> later").next().unwrap().to_string();
    assert!(!before.contains("later"), "{before}");
    // The echo is back.
    assert_eq!(said(&chat), ["go", "later"]);
}

#[test]
fn the_bundled_model_knows_of_no_text_but_reads_one_that_is_named() {
    let chat = chat(&["siskin"]);
    chat.say("hello");
    chat.at_prompt();
    chat.say_and_see("/source", "nothing is known of the text that siskin learned from");
    chat.sees("names a text");
    chat.say_and_see("/source text.txt", "nothing in the training text is near to it");
}

#[test]
fn what_was_typed_comes_back_in_the_next_chat_and_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("kept/history");
    let start = |args: &[&str]| Terminal::start(siskin(args).env("SISKIN_HISTORY", &history), 40, 80);
    let first = start(&["bird", "--no-history"]);
    first.say_and_see("unkept", "Lovely bird.");
    assert!(!history.exists());
    let first = start(&["bird"]);
    first.say_and_see("remember me", "Lovely bird.");
    first.say_and_see(" but not me", "Lovely bird.");
    first.press(CTRL_D);
    first.left();
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let second = start(&["bird"]);
    second.at_prompt();
    second.press(UP);
    second.until("the last message is back", |screen| line_of_cursor(screen).trim_end() == "> remember me");
    second.press("\r");
    second.sees("Lovely bird.");
}

#[test]
fn ctrl_c_stops_an_answer_keeps_what_was_said_and_never_ends_the_chat() {
    let chat = chat(&["endless", "-n", "1000000"]);
    chat.say("go");
    chat.sees("ha ha ha");
    // Pressed in a hurry, more than once: at one time, so that none of them comes to the next prompt.
    chat.press(&CTRL_C.repeat(2));
    chat.sees("stopped");
    chat.at_prompt();
    chat.press(CTRL_C);
    chat.sees("Ctrl-D or /quit leaves");
    chat.at_prompt();
    chat.press("half a line");
    chat.sees("> half a line");
    chat.press(CTRL_C);
    assert_eq!(said(&chat), ["go"]);
    chat.say("/set max-tokens 6");
    chat.say("/continue");
    chat.sees("cut after 6 tokens");
    // Before the prompt the terminal itself would take it, as the end of a line.
    chat.at_prompt();
    chat.press(CTRL_D);
    assert_eq!(chat.left().code(), Some(0));
}

#[test]
fn a_suspended_chat_comes_back_as_it_was() {
    let shell = Command::new("sh").arg("-i").current_dir(desk()).env("PS1", "shell$ ").env_remove("ENV");
    let terminal = Terminal::start(shell.env("SISKIN_HISTORY", ""), 60, 80);
    let at_shell = || terminal.until("the shell asks", |screen| line_of_cursor(screen).trim_end() == "shell$");
    at_shell();
    terminal.press(&format!("{} chat endless --temperature 0 -n 1000000\r", env!("CARGO_BIN_EXE_siskin")));
    terminal.at_prompt();
    terminal.press("half a");
    terminal.sees("> half a");
    terminal.press(CTRL_Z);
    at_shell();
    terminal.press("fg\r");
    terminal.until("the line is back", |screen| line_of_cursor(screen).trim_end() == "> half a");
    terminal.press(" line\r");
    terminal.sees("ha ha ha");
    terminal.press(CTRL_Z);
    at_shell();
    terminal.press("fg\r");
    // The shell says what it goes on with, and then the answer goes on.
    terminal.until("the answer goes on", |screen| {
        let contents = screen.contents();
        let since = contents.rsplit("Stopped").next().unwrap_or_default();
        since.matches("chat endless").count() == 2
            && since.rsplit("1000000").next().is_some_and(|rest| rest.contains("ha"))
            || !contents.contains("Stopped")
    });
    terminal.press(CTRL_C);
    terminal.sees("stopped");
    terminal.at_prompt();
    terminal.press(CTRL_D);
    at_shell();
}

#[test]
fn a_window_that_changes_its_size_shows_the_line_anew() {
    let chat = chat(&["bird"]);
    chat.at_prompt();
    let long = "a line that is longer than the small window will be";
    chat.press(long);
    chat.sees(long);
    chat.resize(60, 30);
    chat.until("the line is whole in the small window", |screen| screen.contents().replace('\n', "").contains(long));
    chat.press(" indeed");
    chat.until("the line is whole in the small window", |screen| {
        screen.contents().replace('\n', "").contains(&format!("{long} indeed"))
    });
    chat.resize(60, 100);
    chat.until("the line is on one row again", |screen| line_of_cursor(screen).contains(&format!("> {long} indeed")));
    chat.press("!");
    chat.until("the line is whole in the large window", |screen| {
        line_of_cursor(screen).contains(&format!("> {long} indeed!"))
    });
    chat.press("\r");
    chat.sees("Lovely bird.");
    assert_eq!(said(&chat), [format!("{long} indeed!")]);
}

#[test]
fn every_command_does_what_help_says() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("my chat.json");
    let chat = chat(&["bird"]);
    chat.say_and_see("/help", "/tokens TEXT");
    for nothing_yet in ["/regen", "/undo", "/continue", "/why", "/source"] {
        chat.say_and_see(nothing_yet, "nothing has been said yet");
    }
    chat.say_and_see("/system Be kind.", "the model is told so from now on");
    chat.say_and_see("/set temperature 0.01", "temperature is 0.01");
    chat.say_and_see("/set top-p 7", "top-p is 7, but must be above 0 and at most 1");
    chat.say_and_see("/set", "repetition-penalty");
    chat.say_and_see("one", "Lovely bird.");
    chat.say_and_see("/show", "system message: Be kind.");
    chat.say_and_see("/stats", "last answer: ");
    chat.say("/regen");
    chat.until("there are two answers", |screen| screen.contents().matches("Lovely bird.").count() == 2);
    chat.say_and_see("/continue", "the model has nothing to say");
    chat.say_and_see("/tokens é!", "\"\\xc3\" ");
    chat.say_and_see("/template", "{% for message in messages %}");
    chat.say_and_see("/why", "how probable each token was");
    assert!(chat.contents().contains("82 %  \"L\"  \"x\" 11 %   \"y\" 4 %"), "{}", chat.contents());
    chat.say_and_see("/source", "word for word, 2 of its 2 words");
    let other = folder.path().join("other text.txt");
    fs::write(&other, "One tiny word.\n<|endoftext|>\nA lovely day.\n<|endoftext|>\nA third.\n").unwrap();
    chat.say_and_see(&format!("/source {}", other.display()), "no two words of it stand in a row");
    chat.say_and_see(&format!("/save {}", kept.display()), "3 messages are kept in");
    assert_eq!(questions(&kept), ["one"]);
    chat.say_and_see("/undo", "taken back: one");
    chat.say_and_see("/reset", "a new conversation begins; the system message stays");
    chat.say_and_see("/system none", "there is no system message now");
    chat.say_and_see(&format!("/load {}", kept.display()), "assistant: Lovely bird.");
    chat.say_and_see("/model", "the model is bird; /model NAME talks to another");
    chat.say("/quit");
    assert_eq!(chat.left().code(), Some(0));
}

#[test]
fn another_model_goes_on_with_the_conversation() {
    let chat = chat(&["bird"]);
    chat.say_and_see("one", "Lovely bird.");
    chat.say_and_see("/model nobody", "no model called \"nobody\"");
    chat.say_and_see("/model odd", "the model is odd now, and the conversation goes on");
    chat.say_and_see("/regen", "鳥");
    assert_eq!(said(&chat), ["one"]);
    chat.say_and_see("/source", "names a text");
    let words = chat.contents().replace('\n', " ");
    assert!(words.contains("does not say what text it learned from; /source PATH names a text"), "{words}");
    chat.say_and_see("/source nowhere", "error: ./nowhere does not exist");
    chat.say_and_see("/source -", "error: ./- does not exist");
}

#[test]
fn a_wrong_command_is_told_what_was_meant_and_nothing_is_sent() {
    let chat = chat(&["bird"]);
    chat.say_and_see("/hepl", "error: there is no command /hepl: did you mean /help?");
    chat.say_and_see("/save", "error: /save takes a file");
    chat.say_and_see("/load no-such-file", "error: there is no file no-such-file");
    assert!(!chat.contents().contains("Lovely"), "{}", chat.contents());
}

#[test]
fn names_complete_with_tab_and_hints_stand_ahead() {
    let chat = chat(&["bird"]);
    chat.at_prompt();
    chat.sees("> /help lists commands");
    for (typed, completed) in [("/temp", "/template"), ("/set temp", "/set temperature"), ("/model o", "/model odd")] {
        chat.press(&format!("{typed}\t"));
        // A letter of ours, so that a hint is not taken for what was completed.
        chat.press("_");
        chat.until(completed, |screen| {
            line_of_cursor(screen).replace(' ', "").starts_with(&format!(">{completed}_").replace(' ', ""))
        });
        chat.press("\x15");
        chat.at_prompt();
    }
    chat.press("/load te\t");
    chat.until("the file's name", |screen| line_of_cursor(screen).starts_with("> /load text.txt"));
}

#[test]
fn an_editor_opens_on_ctrl_g_and_by_command() {
    let command = siskin(&["bird"]).env("EDITOR", "sed -i -e 's/cat/dog/' -e 's/$/ more/'");
    let chat = Terminal::start(command, 60, 80);
    chat.at_prompt();
    chat.press("a cat");
    chat.sees("> a cat");
    chat.press(CTRL_G);
    chat.sees("> a dog more");
    chat.sees("Lovely bird.");
    chat.say_and_see("/edit the cat", "> the dog more");
    assert_eq!(said(&chat), ["a dog more", "the dog more"]);
    let failing = Terminal::start(siskin(&["bird"]).env("VISUAL", "false").env("EDITOR", "true"), 60, 80);
    failing.say_and_see("/edit words", "the editor `false` failed");
    assert!(!failing.contents().contains("Lovely"), "{}", failing.contents());
}

#[test]
fn wide_and_combining_characters_leave_the_screen_right_and_controls_are_shown() {
    let chat = chat(&["odd"]);
    chat.say_and_see("größe 鳥🦜 e\u{301}", "鳥 e\u{301}🦜^[[1mB.");
    assert!(chat.screen(|screen| !screen.bold()), "a control sequence of the model was obeyed");
    let bold = chat.screen(|screen| {
        let (rows, columns) = screen.size();
        let cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        cells.filter_map(|(row, column)| screen.cell(row, column)).any(|cell| cell.contents() == "B" && cell.bold())
    });
    assert!(!bold, "a control sequence of the model was obeyed");
    chat.at_prompt();
    // Edited in the middle: the cursor steps over whole characters.
    chat.press("鳥e\u{301}x\x1b[D\x1b[D\x7f!\r");
    chat.until("there are two answers", |screen| screen.contents().matches("^[[1mB.").count() == 2);
    assert_eq!(said(&chat), ["größe 鳥🦜 e\u{301}", "!e\u{301}x"]);
}

#[test]
fn a_window_of_20_columns_is_enough() {
    let chat = Terminal::start(siskin(&["bird"]), 200, 20);
    chat.say_and_see("hello", "Lovely bird.");
    chat.say_and_see("/why", "82 %  \"L\"");
    chat.say_and_see("/help", "/tokens TEXT");
    chat.say_and_see("/stats", "tokens/s");
    chat.say("a longer message than the window is wide");
    chat.until("there are two answers", |screen| screen.contents().matches("Lovely bird.").count() == 2);
    chat.at_prompt();
    let wrapped = chat.screen(|screen| {
        let rows: Vec<String> = screen.rows(0, 20).collect();
        rows.into_iter()
            .enumerate()
            .filter(|(row, _)| screen.row_wrapped(*row as u16))
            .map(|(_, row)| row)
            .collect::<Vec<_>>()
    });
    let typed = |row: &String| "> a longer message than the window is wide".contains(row.trim());
    assert!(wrapped.iter().all(typed), "these rows run over the window's edge: {wrapped:?}\n{}", chat.contents());
    assert_eq!(said(&chat), ["hello", "a longer message than the window is wide"]);
}

#[test]
fn answers_are_broken_between_words_unless_that_is_not_wanted() {
    let start = |args: &[&str]| Terminal::start(siskin(args), 60, 20);
    let broken = start(&["endless", "-n", "60"]);
    broken.say_and_see("go", "cut after 60");
    assert!(broken.contents().contains("\nha ha ha ha ha ha\nha ha ha"), "{}", broken.contents());
    let left = start(&["endless", "-n", "60", "--no-wrap"]);
    left.say_and_see("go", "cut after 60");
    assert!(left.contents().contains("ha ha ha ha ha ha ha ha"), "{}", left.contents());
}

#[test]
fn colours_are_for_terminals_whose_owner_wants_them() {
    let coloured = chat(&["bird"]);
    coloured.say_and_see("/why", "nothing has been said yet");
    assert!(coloured.bytes().windows(5).any(|bytes| bytes == b"\x1b[31m"), "errors are in red");
    let plain = Terminal::start(siskin(&["bird"]).env("NO_COLOR", "1"), 60, 80);
    plain.say_and_see("hello", "Lovely bird.");
    plain.say_and_see("/why", "82 %");
    plain.say_and_see("/source", "the nearest passages");
    let bytes = plain.bytes();
    let sequences = bytes.split(|&byte| byte == b'\x1b').skip(1);
    for sequence in sequences.filter(|sequence| sequence.starts_with(b"[")) {
        let end = sequence.iter().skip(1).position(|byte| byte.is_ascii_alphabetic()).map(|at| at + 1);
        assert_ne!(end.map(|end| sequence[end]), Some(b'm'), "{:?} is a colour", String::from_utf8_lossy(sequence));
    }
}

#[test]
fn a_turn_costs_its_own_tokens_however_long_the_conversation() {
    let chat = chat(&["bird"]);
    // What ends the answer before, and the marks and roles around the question: every byte is a token.
    let n_own = |question: &str| 2 + (1 + "user\n".len() + question.len() + 2) + (1 + "assistant\n".len());
    for question in ["one", "two words", "three", "the last of these questions"] {
        chat.say_and_see(question, "Lovely bird.");
        chat.say("/stats");
        if question != "one" {
            chat.sees(&format!("last answer: {} tokens read", n_own(question)));
        }
    }
}

#[test]
fn a_full_context_is_said_and_slides_if_that_is_wanted() {
    let long = "0".repeat(60);
    let full = chat(&["bird"]);
    for _ in 0..4 {
        full.say(&long);
    }
    full.say(&long);
    full.sees("begin a new conversation with /reset");
    full.say_and_see("/reset", "a new conversation begins");
    full.say_and_see("hello", "Lovely bird.");
    let sliding = chat(&["bird", "--context-policy", "slide"]);
    for _ in 0..5 {
        sliding.say(&long);
    }
    sliding.sees("oldest turn");
    sliding.sees("to make room");
    assert!(said(&sliding).len() < 5);
}

#[test]
fn one_question_is_answered_and_that_is_all() {
    let siskin = |args: &[&str], input: Stdio| {
        let mut program = Program::new(env!("CARGO_BIN_EXE_siskin"));
        program.args(["chat", "bird", "--temperature", "0"]).args(args).current_dir(desk());
        program.env("SISKIN_CACHE", desk().join("cache")).stdin(input).output().unwrap()
    };
    let once = siskin(&["--once", "/help me"], Stdio::null());
    assert_eq!((once.status.code(), once.stdout.as_slice()), (Some(0), &b"Lovely bird.\n"[..]));
    assert!(once.stderr.is_empty(), "{}", String::from_utf8_lossy(&once.stderr));
    let question = desk().join("question");
    fs::write(&question, "hello\n").unwrap();
    let piped = siskin(&[], fs::File::open(&question).unwrap().into());
    assert_eq!((piped.status.code(), piped.stdout.as_slice()), (Some(0), &b"Lovely bird.\n"[..]));
    assert!(piped.stderr.is_empty(), "{}", String::from_utf8_lossy(&piped.stderr));
    // On a terminal, too, nothing is asked and nothing is said around the answer.
    let terminal = chat(&["bird", "--once", "hello"]);
    terminal.sees("Lovely bird.");
    assert!(!terminal.contents().contains('>'), "{}", terminal.contents());
    assert_eq!(terminal.left().code(), Some(0));
}
