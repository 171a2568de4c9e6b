//! What a person sees while a model trains: a live display on a terminal, plain lines elsewhere. All of it on stderr.
//!
//! Only presentation lives here: the figures come as events from the trainer, and time is the run's own
//! (`elapsed_s`), so that the same events always give the same words.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::training::observer::{EvalRecord, Event, Observer, StepRecord};
use crate::words;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Show {
    /// A live display on a terminal, a plain line about every ten seconds elsewhere.
    #[default]
    Progress,
    /// Notices only: what the person must know.
    Notices,
}

/// Says `text` on standard error where progress is shown.
pub(super) fn say(show: Show, text: &str) {
    if show == Show::Progress {
        notice(text);
    }
}

/// Says `text` on standard error, whole lines.
pub(super) fn notice(text: &str) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end_matches('\n'));
}

/// A bar for work on `n_bytes` bytes that may take long, such as encoding text. It appears only on a terminal, and only
/// when the work takes longer than a blink; dropped, it leaves nothing behind.
pub(super) struct ByteProgress(ProgressBar);

impl ByteProgress {
    /// A bar under `label`; a spinner where `n_bytes` is not known.
    pub(super) fn new(show: Show, label: &'static str, n_bytes: Option<u64>) -> ByteProgress {
        if show != Show::Progress || !stderr().is_terminal() {
            return ByteProgress(ProgressBar::hidden());
        }
        let template = match n_bytes {
            Some(_) => "{msg:10} {wide_bar} {bytes} of {total_bytes}, {eta} left",
            None => "{msg:10} {spinner} {bytes}, {bytes_per_sec}",
        };
        let bar = n_bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        bar.set_message(label);
        ByteProgress(bar)
    }

    /// `n_bytes` more are done.
    pub(super) fn add(&self, n_bytes: u64) {
        self.0.inc(n_bytes);
    }
}

impl Drop for ByteProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar for work on many things, such as judging a text; on a terminal only, and nothing is left of it.
pub(super) struct TokenProgress(ProgressBar);

impl TokenProgress {
    /// A bar under `label` for work on tokens.
    pub(super) fn new(label: &'static str, n_tokens: u64) -> TokenProgress {
        TokenProgress::of(label, n_tokens, "tokens")
    }

    /// The same for work on anything that can be counted.
    pub(super) fn of(label: &'static str, n: u64, what: &str) -> TokenProgress {
        if !stderr().is_terminal() {
            return TokenProgress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(n);
        let template = format!("{{msg:10}} {{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{eta}} left");
        bar.set_style(ProgressStyle::with_template(&template).expect("a valid template"));
        bar.set_message(label);
        TokenProgress(bar)
    }

    /// `n` more are done.
    pub(super) fn add(&self, n: u64) {
        self.0.inc(n);
    }
}

impl Drop for TokenProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The observer for this process' stderr; a terminal that calls itself `dumb` counts as none.
pub(super) fn observer(show: Show) -> Box<dyn Observer> {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match show {
        Show::Notices => Box::new(Plain::new(stderr(), false)),
        Show::Progress if stderr().is_terminal() && !is_dumb => Box::new(Live::new(wants_colour())),
        Show::Progress => Box::new(Plain::new(stderr(), true)),
    }
}

/// Whether colour may be used on a terminal: `NO_COLOR` set to anything but nothing forbids it (no-color.org).
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Seconds of training between two plain lines without an evaluation.
const PLAIN_INTERVAL_S: f64 = 10.0;
/// Characters of a sample in a plain line, and lines of one on a terminal: enough to judge by, without flooding.
const PLAIN_SAMPLE_CHARS: usize = 200;
const LIVE_SAMPLE_LINES: usize = 8;
/// Characters in a line of a sample on a terminal: a comfortable line to read, and it fits 80 columns.
const SAMPLE_WIDTH: usize = 76;
/// Positions of the bar: finer than any terminal is wide.
const BAR_LENGTH: u64 = 10_000;

/// The figures that every display shows.
#[derive(Debug, Clone, Default)]
struct Figures {
    n_steps: Option<u64>,
    minutes: Option<f64>,
    step: u64,
    fraction_done: f64,
    elapsed_s: f64,
    /// Moving averages, over about ten steps: single steps are too noisy to read.
    loss: Option<f64>,
    tokens_per_s: Option<f64>,
    held_out: Option<f64>,
    best: Option<f64>,
    memory_bytes: Option<u64>,
}

impl Figures {
    fn take_step(&mut self, record: &StepRecord) {
        self.step = record.step;
        self.fraction_done = record.fraction_done.clamp(0.0, 1.0);
        self.elapsed_s = record.elapsed_s;
        self.loss = averaged(self.loss, record.loss);
        self.tokens_per_s = averaged(self.tokens_per_s, record.tokens_per_s);
    }

    fn take_eval(&mut self, record: &EvalRecord) {
        self.step = self.step.max(record.step);
        self.elapsed_s = self.elapsed_s.max(record.elapsed_s);
        self.held_out = Some(record.bits_per_byte);
        if record.is_best {
            self.best = Some(record.bits_per_byte);
        }
    }

    /// Seconds until the end: what is left of the minutes, or if the rest goes as the run so far.
    fn left_s(&self) -> Option<f64> {
        if let Some(minutes) = self.minutes {
            return Some((60.0 * minutes - self.elapsed_s).max(0.0));
        }
        let is_known = self.fraction_done > 0.0 && self.elapsed_s > 0.0;
        is_known.then(|| self.elapsed_s * (1.0 - self.fraction_done) / self.fraction_done)
    }

    /// `step 1,200 of 5,000`; a run by the clock has only an estimate, two digits of it: `of about 5,000`.
    fn steps(&self) -> String {
        let step = words::thousands(self.step);
        match self.n_steps {
            Some(n_steps) => format!("step {step} of {}", words::thousands(n_steps)),
            None if self.fraction_done >= 0.01 => {
                let total = two_digits(self.step as f64 / self.fraction_done).max(self.step);
                format!("step {step} of about {}", words::thousands(total))
            }
            None => format!("step {step}"),
        }
    }

    fn held_out(&self) -> Option<String> {
        let held_out = self.held_out?;
        let best = match self.best {
            Some(best) if best < held_out => format!(" (best {best:.2})"),
            _ => String::new(),
        };
        Some(format!("held out {held_out:.2} bits per byte{best}"))
    }

    /// What the model has learned and how fast, as far as it is known.
    fn learning(&self) -> Vec<String> {
        let loss = self.loss.map(|loss| format!("loss {loss:.2}"));
        let speed = self.tokens_per_s.map(|speed| format!("{} tokens/s", words::thousands(two_digits(speed))));
        [loss, self.held_out(), speed].into_iter().flatten().collect()
    }

    fn left(&self) -> Option<String> {
        self.left_s().map(|left| format!("{} left", words::duration(left)))
    }

    /// `step 1,200 of about 5,000, 24 %, loss 2.31, held out 2.45 bits per byte, 31,000 tokens/s, 1 min 20 s left, 210 MB`
    fn plain_line(&self) -> String {
        let mut parts = vec![self.steps(), percent(self.fraction_done)];
        parts.extend(self.learning());
        parts.extend(self.left());
        parts.extend(self.memory_bytes.map(words::bytes));
        parts.join(", ")
    }

    /// What stands right of the bar: `24 %  1 min 20 s left  210 MB`.
    fn beside_bar(&self) -> String {
        let parts = [Some(percent(self.fraction_done)), self.left(), self.memory_bytes.map(words::bytes)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }

    /// What stands under the bar; short enough for 80 columns, so the bar alone tells how many steps are to come.
    fn under_bar(&self) -> String {
        let mut parts = vec![format!("step {}", words::thousands(self.step))];
        parts.extend(self.learning());
        parts.join(", ")
    }
}

/// An average in which the last ten or so values weigh; a value that is not finite shows at once and is then forgotten.
fn averaged(average: Option<f64>, value: f64) -> Option<f64> {
    match average {
        Some(average) if average.is_finite() && value.is_finite() => Some(average + 0.1 * (value - average)),
        _ => Some(value),
    }
}

/// Rounded to two digits: what an estimate is worth.
fn two_digits(value: f64) -> u64 {
    if !(value.is_finite() && value >= 1.0) {
        return 0;
    }
    let unit = 10_f64.powf((value.log10().floor() - 1.0).max(0.0));
    ((value / unit).round() * unit) as u64
}

/// Whole percents, rounded down: 100 % is only said at the end.
fn percent(fraction: f64) -> String {
    format!("{} %", (100.0 * fraction + 1e-9).floor())
}

/// What a run starts with: `3.1 million parameters, 290 thousand training tokens, for 3 min`.
fn start_line(
    n_params: usize,
    n_train_tokens: u64,
    n_steps: Option<u64>,
    minutes: Option<f64>,
    first_step: u64,
) -> String {
    let until = match (n_steps, minutes) {
        (Some(n_steps), _) => format!(", for {} steps", words::thousands(n_steps)),
        (None, Some(minutes)) => format!(", for {}", words::duration(60.0 * minutes)),
        (None, None) => String::new(),
    };
    let resumed =
        if first_step > 0 { format!(", going on after step {}", words::thousands(first_step)) } else { String::new() };
    let (params, tokens) = (words::short_count(n_params as u64), words::short_count(n_train_tokens));
    format!("training: {params} parameters, {tokens} tokens of text{until}{resumed}")
}

/// Plain lines for a log file or a pipe, or for a person who wants only notices.
struct Plain<W> {
    out: W,
    with_progress: bool,
    figures: Figures,
    printed_at_s: Option<f64>,
}

impl<W: Write> Plain<W> {
    fn new(out: W, with_progress: bool) -> Plain<W> {
        Plain { out, with_progress, figures: Figures::default(), printed_at_s: None }
    }

    /// A reader who has gone away does not end the training.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn say_progress(&mut self) {
        self.printed_at_s = Some(self.figures.elapsed_s);
        self.figures.memory_bytes = resident_bytes();
        self.say(&self.figures.plain_line());
    }

    fn progress(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { n_params, n_train_tokens, n_steps, minutes, first_step } => {
                (self.figures.n_steps, self.figures.minutes) = (*n_steps, *minutes);
                self.say(&start_line(*n_params, *n_train_tokens, *n_steps, *minutes, *first_step));
            }
            Event::Step(record) => {
                self.figures.take_step(record);
                if self.printed_at_s.is_none_or(|at| record.elapsed_s - at >= PLAIN_INTERVAL_S) {
                    self.say_progress();
                }
            }
            Event::Evaluated(record) => {
                self.figures.take_eval(record);
                self.say_progress();
            }
            Event::Sample(text) => self.say(&format!("sample: {}", one_line(text, PLAIN_SAMPLE_CHARS))),
            Event::Notice(_) | Event::Saved { .. } | Event::Finished => {}
        }
    }
}

impl<W: Write> Observer for Plain<W> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Notice(text) => self.say(text),
            _ if self.with_progress => self.progress(event),
            _ => {}
        }
    }
}

/// A bar with a line of figures under it; samples and notices scroll by above.
struct Live {
    bar: ProgressBar,
    figures: Figures,
    has_colour: bool,
    measured_at_s: f64,
}

impl Live {
    fn new(has_colour: bool) -> Live {
        let bar = ProgressBar::with_draw_target(Some(BAR_LENGTH), ProgressDrawTarget::stderr());
        // `wide_msg` cuts the figures where a narrow terminal ends instead of wrapping them.
        let style = ProgressStyle::with_template("{wide_bar} {prefix}\n{wide_msg}");
        bar.set_style(style.expect("the template above is well formed").progress_chars("━━─"));
        Live { bar, figures: Figures::default(), has_colour, measured_at_s: f64::NEG_INFINITY }
    }

    fn refresh(&mut self) {
        // Asking the system takes longer than the rest of this; memory hardly changes within a second.
        if self.figures.elapsed_s - self.measured_at_s >= 1.0 {
            self.measured_at_s = self.figures.elapsed_s;
            self.figures.memory_bytes = resident_bytes();
        }
        self.bar.set_prefix(self.figures.beside_bar());
        self.bar.set_message(self.figures.under_bar());
        self.bar.set_position((self.figures.fraction_done * BAR_LENGTH as f64) as u64);
    }

    fn sample(&self, text: &str) {
        let (dim, plain) = if self.has_colour { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        let mut lines = wrapped(&visible(text), SAMPLE_WIDTH);
        if lines.len() > LIVE_SAMPLE_LINES {
            lines.truncate(LIVE_SAMPLE_LINES);
            lines.push("…".into());
        }
        let mut block = format!("after step {} it writes:\n", words::thousands(self.figures.step));
        lines.iter().for_each(|line| block.push_str(&format!("  {dim}{line}{plain}\n")));
        self.bar.println(block);
    }
}

impl Observer for Live {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { n_params, n_train_tokens, n_steps, minutes, first_step } => {
                (self.figures.n_steps, self.figures.minutes) = (*n_steps, *minutes);
                self.bar.println(start_line(*n_params, *n_train_tokens, *n_steps, *minutes, *first_step));
                self.bar.tick();
            }
            Event::Step(record) => {
                self.figures.take_step(record);
                self.refresh();
            }
            Event::Evaluated(record) => {
                self.figures.take_eval(record);
                self.refresh();
            }
            Event::Sample(text) => self.sample(text),
            Event::Notice(text) => self.bar.println(text),
            Event::Saved { .. } => {}
            // The figures of the end are the report's; a full bar above it would only say them twice.
            Event::Finished => self.bar.finish_and_clear(),
        }
    }
}

/// Physical memory of this process in bytes; None where the system does not tell (anything but Linux).
///
/// From `VmRSS` in `/proc/self/status`, which is in kB; `statm` counts in pages, whose size takes a system call to learn.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_bytes_in(&status)
}

fn resident_bytes_in(status: &str) -> Option<u64> {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// `text` with everything that could act on a terminal written out: control characters (line breaks stay), and the
/// invisible marks that reorder text. A model may write any byte.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            c if c.is_control() || reorders => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The first `n_chars` characters of `text` in one line, line breaks written out.
fn one_line(text: &str, n_chars: usize) -> String {
    let text = visible(text.trim()).replace('\n', "\\n");
    match text.char_indices().nth(n_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `text` in lines of at most `width` characters, broken at spaces where there are any; its own line breaks stay.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.trim_end().split('\n') {
        let chars: Vec<char> = paragraph.chars().collect();
        let mut rest = &chars[..];
        while rest.len() > width {
            let space = rest[..=width].iter().rposition(|c| *c == ' ').filter(|at| *at > 0);
            let (end, next) = space.map_or((width, width), |at| (at, at + 1));
            lines.push(rest[..end].iter().collect());
            rest = &rest[next..];
        }
        lines.push(rest.iter().collect());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, elapsed_s: f64) -> StepRecord {
        StepRecord {
            step,
            n_tokens_seen: step * 4_096,
            loss: 2.31,
            bits_per_byte: 2.4,
            lr: 1e-3,
            grad_norm: 1.0,
            ms: 100.0,
            tokens_per_s: 31_234.0,
            fraction_done: 0.24,
            elapsed_s,
        }
    }

    fn eval(bits_per_byte: f64, is_best: bool) -> EvalRecord {
        EvalRecord {
            step: 1_200,
            n_tokens_seen: 1,
            bits_per_byte,
            loss: 2.5,
            is_best,
            is_average: false,
            elapsed_s: 25.3,
        }
    }

    fn said(with_progress: bool, events: &[Event<'_>]) -> Vec<String> {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out, with_progress);
        events.iter().for_each(|event| plain.event(event));
        String::from_utf8(out).unwrap().lines().map(String::from).collect()
    }

    #[test]
    fn a_line_tells_everything_that_is_known() {
        let mut figures = Figures { memory_bytes: Some(210_000_000), ..Figures::default() };
        figures.take_step(&step(1_200, 25.3));
        figures.take_eval(&eval(2.45, true));
        let expected = "step 1,200 of about 5,000, 24 %, loss 2.31, held out 2.45 bits per byte, 31,000 tokens/s, \
                        1 min 20 s left, 210 MB";
        assert_eq!(figures.plain_line(), expected);
        figures.take_eval(&eval(2.6, false));
        figures.n_steps = Some(5_000);
        assert!(figures.plain_line().contains("held out 2.60 bits per byte (best 2.45)"), "{}", figures.plain_line());
        assert!(figures.plain_line().starts_with("step 1,200 of 5,000, "), "{}", figures.plain_line());
    }

    #[test]
    fn the_live_lines_fit_eighty_columns() {
        let mut figures = Figures { memory_bytes: Some(210_000_000), ..Figures::default() };
        figures.take_step(&step(1_200, 25.3));
        figures.take_eval(&eval(2.45, true));
        figures.take_eval(&eval(2.6, false));
        assert_eq!(figures.beside_bar(), "24 %  1 min 20 s left  210 MB");
        let line = figures.under_bar();
        assert_eq!(line, "step 1,200, loss 2.31, held out 2.60 bits per byte (best 2.45), 31,000 tokens/s");
        assert!(line.chars().count() <= 80);
    }

    #[test]
    fn what_is_not_known_yet_is_left_out() {
        let mut figures = Figures::default();
        figures.take_step(&StepRecord { fraction_done: 0.0, ..step(1, 0.1) });
        assert_eq!(figures.plain_line(), "step 1, 0 %, loss 2.31, 31,000 tokens/s");
    }

    #[test]
    fn a_loss_that_is_not_finite_is_shown_and_then_forgotten() {
        let mut figures = Figures::default();
        figures.take_step(&StepRecord { loss: f64::NAN, ..step(1, 1.0) });
        assert!(figures.plain_line().contains("loss NaN"));
        figures.take_step(&step(2, 2.0));
        assert!(figures.plain_line().contains("loss 2.31"));
    }

    #[test]
    fn plain_lines_come_at_the_first_step_every_ten_seconds_and_at_evaluations() {
        let mut events: Vec<Event<'_>> = (1..=210).map(|i| Event::Step(step(i, i as f64 * 0.1))).collect();
        assert_eq!(said(true, &events).len(), 3, "{:?}", said(true, &events));
        events.push(Event::Evaluated(eval(2.45, true)));
        assert_eq!(said(true, &events).len(), 4);
    }

    #[test]
    fn the_start_says_what_is_trained_on_what_and_for_how_long() {
        let start = |n_steps, minutes, first_step| start_line(3_100_000, 290_000, n_steps, minutes, first_step);
        assert_eq!(
            start(None, Some(3.0), 0),
            "training: 3.1 million parameters, 290 thousand tokens of text, for 3 min"
        );
        assert!(start(Some(5_000), None, 1_200).ends_with(", for 5,000 steps, going on after step 1,200"));
    }

    #[test]
    fn notices_are_whole_and_never_silenced() {
        let long = "word ".repeat(100);
        let events = [Event::Step(step(1, 0.1)), Event::Notice(&long), Event::Sample("text"), Event::Finished];
        assert_eq!(said(false, &events), [long.as_str()]);
        assert!(said(true, &events).contains(&long));
    }

    #[test]
    fn a_sample_in_a_log_is_one_line() {
        let events = [Event::Sample("Once\nupon \u{1b}[31ma time\r")];
        assert_eq!(said(true, &events), ["sample: Once\\nupon \\u{1b}[31ma time"]);
        assert_eq!(one_line("äöüß", 3), "äöü…");
    }

    #[test]
    fn control_characters_and_reordering_marks_become_visible() {
        let cases = [
            ("a\u{7}b", "a\\u{7}b"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("x\u{202e}y", "x\\u{202e}y"),
            ("a\r\n\tb", "a\\r\n    b"),
            ("é中", "é中"),
        ];
        for (text, shown) in cases {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn wrapping_breaks_at_spaces_and_keeps_every_word() {
        let cases: [(&str, &[&str]); 5] = [
            ("", &[""]),
            ("one two three", &["one two", "three"]),
            ("one\n\ntwo\n", &["one", "", "two"]),
            ("abcdefghijkl", &["abcdefgh", "ijkl"]),
            (" abcdefghij", &[" abcdefg", "hij"]),
        ];
        for (text, lines) in cases {
            assert_eq!(wrapped(text, 8), lines, "{text:?}");
        }
    }

    #[test]
    fn estimates_keep_two_digits() {
        for (value, rounded) in
            [(0.0, 0), (7.4, 7), (4_987.0, 5_000), (31_234.0, 31_000), (f64::NAN, 0), (f64::INFINITY, 0)]
        {
            assert_eq!(two_digits(value), rounded, "{value}");
        }
    }

    #[test]
    fn the_share_is_rounded_down() {
        for (fraction, words) in [(0.0, "0 %"), (0.24, "24 %"), (0.29, "29 %"), (0.9999, "99 %"), (1.0, "100 %")] {
            assert_eq!(percent(fraction), words);
        }
    }

    #[test]
    fn resident_memory_is_read_from_the_kernels_words() {
        assert_eq!(resident_bytes_in("VmPeak:\t  9 kB\nVmRSS:\t  2048 kB\n"), Some(2_097_152));
        for other in ["", "VmRSS: many kB", "VmRSS:\t99999999999999999999 kB"] {
            assert_eq!(resident_bytes_in(other), None, "{other:?}");
        }
    }
}
