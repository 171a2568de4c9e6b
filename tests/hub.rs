//! Models from a hub, with the real binary and a small hub on the loopback: what arrives, what a person reads when it does
//! not, and where the token goes.

mod fixture;
mod hub_server;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use hub_server::{Files, Reply, Request, Server, Then, etag};
use sha2::{Digest, Sha256};

/// A person's cache of models, and the hub that is asked.
struct Home {
    folder: tempfile::TempDir,
    endpoint: String,
}

impl Home {
    fn new(server: &Server) -> Home {
        Home::at(&server.url)
    }

    fn at(endpoint: &str) -> Home {
        Home { folder: tempfile::tempdir().unwrap(), endpoint: endpoint.to_owned() }
    }

    /// The program with this cache and this hub, and nothing of the settings of the person who runs the tests.
    fn siskin(&self, args: &[&str]) -> Command {
        let mut command = fixture::siskin(&self.folder.path().join("siskin"));
        for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_HUB_DOWNLOAD_TIMEOUT"] {
            command.env_remove(name);
        }
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.env("HF_HOME", self.folder.path()).env("HF_ENDPOINT", &self.endpoint).args(args);
        command
    }

    fn pull(&self, name: &str) -> Output {
        self.siskin(&["pull", name]).output().unwrap()
    }

    fn blobs(&self) -> PathBuf {
        self.folder.path().join("hub/models--a--b/blobs")
    }

    /// The part file of `content`.
    fn part(&self, content: &[u8]) -> PathBuf {
        self.blobs().join(etag(content) + ".part")
    }

    /// Leaves the first `n_bytes` of `content` in the cache, as a download that was cut off does.
    fn leave_part(&self, content: &[u8], n_bytes: usize) {
        fs::create_dir_all(self.blobs()).unwrap();
        fs::write(self.part(content), &content[..n_bytes]).unwrap();
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The path that a pull printed.
#[track_caller]
fn fetched(output: &Output) -> PathBuf {
    assert_eq!(output.status.code(), Some(0), "stderr: {}", stderr(output));
    let path = String::from_utf8(output.stdout.clone()).unwrap();
    PathBuf::from(path.strip_suffix('\n').expect("one line on standard output"))
}

/// Checks that a command failed, kept standard output empty, and said all of `words`.
#[track_caller]
fn assert_failed(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "stderr: {said}");
    assert!(output.stdout.is_empty());
    words.iter().for_each(|words| assert!(said.contains(words), "{words:?} is missing in {said}"));
}

/// Bytes that tell where they stand, so that a piece in the wrong place shows.
fn content(n_bytes: usize) -> Vec<u8> {
    (0..n_bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

const NAME: &str = "hf:a/b:model.gguf";

/// The content of the file `model.gguf` of most tests.
fn gguf() -> Vec<u8> {
    content(300_000)
}

/// A hub with that file, whose answers about it are bent by `bend`.
fn hub(bend: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let files = Files::default().with("model.gguf", gguf());
    Server::start(move |request| {
        let reply = files.reply(request);
        if request.is_list() { reply } else { bend(request, reply) }
    })
}

/// A hub in good health with that file.
fn good_hub() -> Server {
    hub(|_, reply| reply)
}

#[test]
fn a_named_file_arrives_and_its_path_is_all_that_standard_output_gets() {
    let server = good_hub();
    let home = Home::new(&server);
    let output = home.pull(NAME);
    let path = fetched(&output);
    assert!(path.starts_with(home.folder.path()) && path.ends_with("model.gguf"), "{}", path.display());
    assert_eq!(fs::read(path).unwrap(), gguf());
    for words in ["fetching model.gguf (300 kB)", "hf:a/b:model.gguf is here; 300 kB came over the network"] {
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

#[test]
fn what_is_here_already_is_not_fetched_again() {
    let server = good_hub();
    let home = Home::new(&server);
    let first = fetched(&home.pull(NAME));
    let again = home.pull(NAME);
    assert_eq!(fetched(&again), first);
    assert!(stderr(&again).contains("is here already"), "{}", stderr(&again));
    assert_eq!(server.first_bytes(), [0]);
}

#[test]
fn a_file_in_a_folder_with_a_blank_in_its_name_arrives() {
    let files = Files::default().with("Q8_0/my model.gguf", gguf()).with("empty.txt", "");
    let server = Server::start(move |request| files.reply(request));
    let home = Home::new(&server);
    let path = fetched(&home.pull("hf:a/b:Q8_0/my model.gguf"));
    assert!(path.ends_with("Q8_0/my model.gguf"));
    assert_eq!(fs::read(path).unwrap(), gguf());
    assert_eq!(fs::read(fetched(&home.pull("hf:a/b:empty.txt"))).unwrap(), b"");
}

/// What a repository has of the trained model of the fixture.
const TINY_FILES: [&str; 4] = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

fn tiny_files() -> Files {
    let mut files = Files::default().with("README.md", "# tiny").with("pytorch_model.bin", "never asked for");
    for name in TINY_FILES {
        files = files.with(name, fs::read(fixture::tiny_model().join(name)).unwrap());
    }
    files
}

#[test]
fn a_model_on_the_hub_writes_what_the_same_model_writes_here_and_needs_no_network_afterwards() {
    let files = tiny_files();
    let server = Server::start(move |request| files.reply(request));
    let home = Home::new(&server);
    let complete = |model: &str| home.siskin(&["complete", "--seed", "3", "-n", "20", "the cat", "-m", model]);
    let text = |output: Output| {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        output.stdout
    };
    // The same files here: a quantized copy and run.json, which tell more of a model, are not in the repository.
    let folder = tempfile::tempdir().unwrap();
    for name in TINY_FILES {
        fs::copy(fixture::tiny_model().join(name), folder.path().join(name)).unwrap();
    }
    let here = text(complete(folder.path().to_str().unwrap()).output().unwrap());
    assert_eq!(text(complete("hf:a/b").output().unwrap()), here);
    let n_requests = server.requests().len();
    assert!(server.requests().iter().all(|request| !request.target.contains("pytorch_model.bin")));
    assert_eq!(text(complete("hf:a/b").output().unwrap()), here);
    assert_eq!(text(complete("hf:a/b").env("HF_HUB_OFFLINE", "1").output().unwrap()), here);
    assert_eq!(server.requests().len(), n_requests, "what is in the cache was asked for again");
}

#[test]
fn pulling_a_model_prints_its_folder_and_how_to_talk_to_it() {
    let files = tiny_files();
    let server = Server::start(move |request| files.reply(request));
    let home = Home::new(&server);
    let output = home.pull("hf:a/b");
    assert!(stderr(&output).contains("siskin chat hf:a/b"), "{}", stderr(&output));
    let folder = fetched(&output);
    let info = home.siskin(&["info", folder.to_str().unwrap()]).output().unwrap();
    assert_eq!(info.status.code(), Some(0), "{}", stderr(&info));
}

#[test]
fn a_newer_state_is_fetched_by_pull_and_only_what_has_changed() {
    let is_new = std::sync::Arc::new(AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&is_new);
    let (old, new) = (tiny_files(), tiny_files().with("config.json", b"{\"new\": true}".to_vec()));
    let newer = "beef".repeat(10);
    let server = Server::start(move |request| {
        if !seen.load(Ordering::SeqCst) {
            return old.reply(request);
        }
        let target = request.target.replace(&newer, hub_server::COMMIT);
        let reply = new.reply(&Request { target, ..request.clone() });
        let body = String::from_utf8_lossy(&reply.body).replace(hub_server::COMMIT, &newer).into_bytes();
        if request.is_list() { Reply { body, ..reply } } else { reply }
    });
    let home = Home::new(&server);
    let first = fetched(&home.pull("hf:a/b"));
    let n_first = server.first_bytes().len();
    is_new.store(true, Ordering::SeqCst);
    let second = fetched(&home.pull("hf:a/b"));
    assert_ne!(first, second);
    assert_eq!(fs::read(second.join("config.json")).unwrap(), b"{\"new\": true}");
    assert_eq!(server.first_bytes().len(), n_first + 1);
}

#[test]
fn several_ggufs_are_listed_with_their_sizes_and_one_is_recommended() {
    let files = Files::default()
        .with("b-IQ2_XS.gguf", content(500))
        .with("b-Q4_K_M.gguf", content(1_050))
        .with("b-Q8_0.gguf", content(1_450));
    let server = Server::start(move |request| files.reply(request));
    let home = Home::new(&server);
    for args in [&["pull", "hf:a/b"][..], &["complete", "-m", "hf:a/b", "the"]] {
        let output = home.siskin(args).output().unwrap();
        assert_failed(
            &output,
            &[
                "hf:a/b has 3 GGUF files; add the one to take:",
                "500 bytes  b-IQ2_XS.gguf   (a type that siskin does not run)",
                "1.1 kB  b-Q4_K_M.gguf\n",
                "1.4 kB  b-Q8_0.gguf   <- recommended",
                "for example hf:a/b:b-Q8_0.gguf (",
            ],
        );
    }
    assert!(server.first_bytes().is_empty(), "something was fetched before the choice");
}

#[test]
fn a_server_that_says_nothing_is_given_up_with_the_limit_and_the_remedy() {
    let at_the_list = Server::start(|_| Reply::silence());
    let at_the_file = hub(|_, _| Reply::silence());
    let in_the_body = hub(|request, reply| if request.is_question() { reply } else { reply.cut(1_000, Then::Silence) });
    for (server, what) in [(at_the_list, "the list of files"), (at_the_file, ""), (in_the_body, "")] {
        let output = Home::new(&server).siskin(&["pull", NAME]).env("HF_HUB_DOWNLOAD_TIMEOUT", "1").output().unwrap();
        assert_failed(&output, &[what, "of hf:a/b came for 1 s", "try again", "HF_HUB_DOWNLOAD_TIMEOUT=SECONDS"]);
    }
}

#[test]
fn a_connection_that_is_never_completed_is_given_up_as_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::at(&format!("https://{}", listener.local_addr().unwrap()));
    // Whoever listens here accepts and never begins the handshake of TLS.
    let held = thread::spawn(move || listener.accept());
    let output = home.siskin(&["pull", NAME]).env("HF_HUB_DOWNLOAD_TIMEOUT", "1").output().unwrap();
    assert_failed(&output, &["the list of files of hf:a/b came for 1 s", "try again"]);
    drop(held);
}

#[test]
fn a_download_that_breaks_off_again_and_again_goes_on_each_time_where_it_stopped() {
    let server = hub(|request, reply| if request.is_question() { reply } else { reply.cut(100_001, Then::Close) });
    let home = Home::new(&server);
    // The pauses between attempts are a part of the patience.
    let output = home.siskin(&["pull", NAME]).env("HF_HUB_DOWNLOAD_TIMEOUT", "12").output().unwrap();
    assert_eq!(fs::read(fetched(&output)).unwrap(), gguf());
    assert_eq!(server.first_bytes(), [0, 100_001, 200_002]);
}

#[test]
fn a_truncated_file_is_said_to_be_so_kept_and_finished_by_the_next_pull() {
    let is_well = std::sync::Arc::new(AtomicBool::new(false));
    let health = std::sync::Arc::clone(&is_well);
    let server = hub(move |request, reply| match request.first_byte() {
        _ if request.is_question() || health.load(Ordering::SeqCst) => reply,
        Some(_) => reply.cut(0, Then::Close),
        None => reply.cut(120_000, Then::Close),
    });
    let home = Home::new(&server);
    let output = home.siskin(&["pull", NAME]).env("HF_HUB_DOWNLOAD_TIMEOUT", "12").output().unwrap();
    assert_failed(
        &output,
        &["model.gguf of hf:a/b broke after 120 kB of 300 kB", "try again, it goes on where it stopped"],
    );
    assert_eq!(fs::read(home.part(&gguf())).unwrap(), gguf()[..120_000]);
    assert!(!home.blobs().join(etag(&gguf())).exists(), "half a file passes for a whole one");

    is_well.store(true, Ordering::SeqCst);
    let output = home.pull(NAME);
    assert_eq!(fs::read(fetched(&output)).unwrap(), gguf());
    assert!(stderr(&output).contains("going on after 120 kB"), "{}", stderr(&output));
    assert!(stderr(&output).contains("180 kB came over the network"), "{}", stderr(&output));
    assert_eq!(server.first_bytes().last(), Some(&120_000));
    assert!(!home.part(&gguf()).exists());
}

#[test]
fn two_programs_that_want_the_same_file_at_once_fetch_it_once() {
    let server = good_hub();
    let home = Home::new(&server);
    let paths = thread::scope(|scope| {
        let pulls = [(); 2].map(|()| scope.spawn(|| fetched(&home.pull(NAME))));
        pulls.map(|pull| pull.join().unwrap())
    });
    assert_eq!(paths[0], paths[1]);
    assert_eq!(fs::read(&paths[0]).unwrap(), gguf());
    assert_eq!(server.first_bytes(), [0]);
}

#[test]
fn a_part_that_is_already_whole_is_not_fetched_again() {
    let server = good_hub();
    let home = Home::new(&server);
    home.leave_part(&gguf(), gguf().len());
    assert_eq!(fs::read(fetched(&home.pull(NAME))).unwrap(), gguf());
    assert!(server.first_bytes().is_empty());
}

#[test]
fn a_part_that_is_too_long_is_begun_anew() {
    let server = good_hub();
    let home = Home::new(&server);
    home.leave_part(&gguf(), 10);
    fs::write(home.part(&gguf()), content(300_001)).unwrap();
    assert_eq!(fs::read(fetched(&home.pull(NAME))).unwrap(), gguf());
    assert_eq!(server.first_bytes(), [0]);
}

#[test]
fn a_server_without_ranges_sends_the_whole_and_nothing_is_appended_in_the_wrong_place() {
    let files = Files::default().with("model.gguf", gguf());
    let server = Server::start(move |request| files.reply(&request.clone().without("range")));
    let home = Home::new(&server);
    home.leave_part(&gguf(), 1_000);
    assert_eq!(fs::read(fetched(&home.pull(NAME))).unwrap(), gguf());
}

#[test]
fn a_refusal_before_the_first_new_byte_does_not_spoil_a_part() {
    // hf-hub 0.5 starts again at byte 0 here, and appends that to the part.
    let n_asked = AtomicUsize::new(0);
    let server = hub(move |request, reply| {
        let is_first = !request.is_question() && n_asked.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { Reply::status(503) } else { reply }
    });
    let home = Home::new(&server);
    home.leave_part(&gguf(), 1_000);
    let output = home.siskin(&["pull", NAME]).env("HF_HUB_DOWNLOAD_TIMEOUT", "12").output().unwrap();
    assert_eq!(fs::read(fetched(&output)).unwrap(), gguf());
    assert_eq!(server.first_bytes(), [1_000, 1_000]);
}

#[test]
fn a_wrong_size_is_found_wherever_it_shows() {
    let range = |whole: usize| format!("bytes 0-0/{whole}");
    let described = hub(move |request, reply| {
        let reply = reply.with("x-linked-size", "300000");
        if request.is_question() { reply.with("content-range", &range(299_999)) } else { reply }
    });
    let announced = hub(|request, reply| {
        let short = Reply { body: content(299_999), ..reply.clone() }.with("content-length", "299999");
        if request.is_question() { reply } else { short }
    });
    let longer = hub(|request, reply| {
        let long = Reply { body: content(300_001), ..reply.clone() }.without("content-length");
        if request.is_question() { reply } else { long }
    });
    for (server, found) in [(described, "299999"), (announced, "299999"), (longer, "300001")] {
        let home = Home::new(&server);
        let wrong = format!("it should have 300000 bytes, but {found} are sent");
        assert_failed(
            &home.pull(NAME),
            &["model.gguf of hf:a/b does not arrive as it should", &wrong, "try again later or another HF_ENDPOINT"],
        );
        assert!(!home.folder.path().join("hub/models--a--b/refs/main").exists());
    }
}

#[test]
fn a_content_that_is_not_what_its_name_says_is_thrown_away() {
    let name = "0123456789abcdef".repeat(4);
    let quoted = format!("\"{name}\"");
    let server = hub(move |_, reply| reply.with("x-linked-etag", &quoted));
    let home = Home::new(&server);
    assert_failed(&home.pull(NAME), &["model.gguf of hf:a/b", "its SHA-256 is", &format!("but should be {name}")]);
    assert_eq!(fs::metadata(home.blobs().join(name + ".part")).unwrap().len(), 0);
}

#[test]
fn a_content_that_is_what_its_name_says_is_kept() {
    let name: String = Sha256::digest(gguf()).iter().map(|byte| format!("{byte:02x}")).collect();
    let quoted = format!("\"{name}\"");
    let server = hub(move |_, reply| reply.with("x-linked-etag", &quoted));
    let home = Home::new(&server);
    assert_eq!(fs::read(fetched(&home.pull(NAME))).unwrap(), gguf());
    assert!(home.blobs().join(name).exists());
}

#[test]
fn a_file_of_the_cache_that_was_cut_is_fetched_again() {
    let server = good_hub();
    let home = Home::new(&server);
    fetched(&home.pull(NAME));
    fs::write(home.blobs().join(etag(&gguf())), "short").unwrap();
    assert_eq!(fs::read(fetched(&home.pull(NAME))).unwrap(), gguf());
}

#[test]
fn a_refusal_is_explained_by_its_status() {
    let no_token: &[(&str, &str)] = &[];
    let token = &[("HF_TOKEN", "hf_wrong")][..];
    for (status, env, words) in [
        (401, no_token, &["the list of files of hf:a/b to strangers", "status 401", "set HF_TOKEN"][..]),
        (401, token, &["to the holder of this HF_TOKEN", "status 401", "ask for access at", "/a/b"]),
        (403, token, &["to the holder of this HF_TOKEN", "status 403", "the name and the token"]),
        (404, no_token, &["there is no hf:a/b on the hub", "status 404", "check the name at", "/a/b"]),
        (429, no_token, &["too many requests", "try again in 1 min 30 s", "HF_TOKEN"]),
        (503, no_token, &["refuses the list of files of hf:a/b with status 503", "try again later"]),
        (200, no_token, &["does not answer as a hub does", "HF_ENDPOINT"]),
    ] {
        let server = Server::start(move |_| Reply::status(status).with("retry-after", "90"));
        let output = Home::new(&server).siskin(&["pull", NAME]).envs(env.iter().copied()).output().unwrap();
        assert_failed(&output, words);
        assert!(!stderr(&output).contains("hf_wrong"), "the token is printed");
    }
}

#[test]
fn a_file_that_needs_permission_in_a_repository_that_everyone_may_list_says_so() {
    let server = hub(|_, _| Reply::status(401));
    assert_failed(&Home::new(&server).pull(NAME), &["model.gguf of hf:a/b to strangers", "status 401", "set HF_TOKEN"]);
    let server = hub(|_, _| Reply::status(404));
    assert_failed(&Home::new(&server).pull(NAME), &["the hub has no model.gguf of hf:a/b", "status 404"]);
}

#[test]
fn a_file_that_the_repository_does_not_have_is_answered_with_those_that_it_has() {
    let output = Home::new(&good_hub()).pull("hf:a/b:modell.gguf");
    assert_failed(&output, &["hf:a/b has no modell.gguf: it has model.gguf"]);
}

#[test]
fn a_hub_that_nobody_answers_for_is_said_to_be_out_of_reach() {
    // A port that was free a moment ago, and that nobody listens to.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = Home::at(&format!("http://{port}")).pull(NAME);
    assert_failed(&output, &[&format!("http://{port} cannot be reached"), "is this computer online", "HF_ENDPOINT"]);
}

#[test]
fn redirects_in_a_circle_end() {
    let server = hub(|request, _| Reply::redirect(&request.target));
    assert_failed(&Home::new(&server).pull(NAME), &["model.gguf of hf:a/b", "redirects more than 8 times"]);
}

#[test]
fn offline_only_the_cache_counts_and_nobody_is_asked() {
    let server = good_hub();
    let home = Home::new(&server);
    let offline = |name: &str| home.siskin(&["pull", name]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let cache = home.folder.path().join("hub");
    assert_failed(
        &offline(NAME),
        &["hf:a/b:model.gguf is not in the cache at", cache.to_str().unwrap(), "HF_HUB_OFFLINE"],
    );
    assert!(server.requests().is_empty());
    let path = fetched(&home.pull(NAME));
    let n_requests = server.requests().len();
    // The only model of the repository that is here needs no name.
    for name in [NAME, "hf:a/b"] {
        assert_eq!(fetched(&offline(name)), path, "{name}");
    }
    assert_failed(&offline("hf:a/b:other.gguf"), &["hf:a/b:other.gguf is not in the cache"]);
    assert_eq!(server.requests().len(), n_requests);
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_the_storage_that_it_redirects_to() {
    let files = Files::default().with("model.gguf", gguf());
    let stored = files.clone();
    let storage = Server::start(move |request| {
        // Storage speaks its own names, as the hub's does.
        stored.reply(request).with("etag", "\"of-the-storage\"")
    });
    let (base, name) = (storage.url.clone(), etag(&gguf()));
    let server = Server::start(move |request| match request.is_list() {
        true => files.reply(request),
        false => Reply::redirect(&format!("{base}{}", request.target)).with("x-linked-etag", &format!("\"{name}\"")),
    });
    let home = Home::new(&server);
    let output = home.siskin(&["pull", NAME]).env("HF_TOKEN", "hf_secret").output().unwrap();
    assert_eq!(fs::read(fetched(&output)).unwrap(), gguf());
    assert!(home.blobs().join(etag(&gguf())).exists(), "the storage's name was believed");
    let (asked, stored) = (server.requests(), storage.requests());
    assert_eq!((asked.len(), stored.len()), (3, 2));
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")), "{asked:?}");
    assert!(stored.iter().all(|request| request.header("authorization").is_none()), "{stored:?}");

    let again = Home::new(&server);
    fetched(&again.pull(NAME));
    let without = &server.requests()[asked.len()..];
    assert!(without.iter().all(|request| request.header("authorization").is_none()), "{without:?}");
}

#[test]
fn a_name_that_is_none_is_wrong_usage_and_a_setting_that_is_none_names_its_variable() {
    let home = Home::at("http://127.0.0.1:9");
    for (name, words) in [
        ("a/b", "begins with hf:, as in hf:a/b"),
        ("hf:a", "is not of the form hf:owner/name[:file]"),
        ("hf:a/b:../c.gguf", "does not name a file"),
        ("hf:a/b@main", "is not of the form hf:owner/name[:file]"),
    ] {
        let output = home.pull(name);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{name}: {}", stderr(&output));
    }
    for (variable, value) in [("HF_ENDPOINT", "huggingface.co"), ("HF_HUB_DOWNLOAD_TIMEOUT", "never")] {
        let output = home.siskin(&["pull", NAME]).env(variable, value).output().unwrap();
        assert_failed(&output, &[variable, value]);
    }
}

#[test]
fn only_ggufs_and_whole_repositories_are_models() {
    let server = good_hub();
    let home = Home::new(&server);
    let complete = |model: &str| home.siskin(&["complete", "-m", model, "the"]).output().unwrap();
    assert_failed(&complete("hf:a/b:notes.txt"), &["notes.txt is no model", ".gguf"]);
    assert!(server.requests().is_empty(), "the network was asked for what can be no model");
}

#[test]
fn help_shows_how_to_pull() {
    let output = Home::at("http://127.0.0.1:9").siskin(&["pull", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for words in ["siskin pull hf:Qwen/Qwen3-0.6B", "HF_TOKEN", "HF_HUB_OFFLINE=1", "HF_HUB_DOWNLOAD_TIMEOUT"] {
        assert!(help.contains(words), "{words:?} is missing in {help}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let server = good_hub();
    let home = Home::new(&server);
    fs::write(home.folder.path().join("hub"), "a file where a folder should be").unwrap();
    let output = home.pull(NAME);
    assert_failed(&output, &[Path::new(home.folder.path()).join("hub").to_str().unwrap()]);
}
