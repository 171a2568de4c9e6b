//! One continuation as text: ids become whole characters, stop strings are taken out.

use std::io;

use anyhow::Result;

use crate::generation::{Limits, Sampler, Session, StopReason, StopStrings};
use crate::tokenizer::{TextStream, Tokenizer};

/// How a continuation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Tokens written, those of a stop string included.
    pub n_generated: usize,
    /// Why it ended.
    pub stop: StopReason,
}

/// Continues `session` and gives `on_text` the text as it comes, in whole characters and without the stop string.
/// An error of `on_text` ends it at once.
pub fn continue_text(
    session: &mut Session,
    sampler: &mut Sampler,
    limits: Limits,
    tokenizer: &Tokenizer,
    stops: &mut StopStrings,
    on_text: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Outcome> {
    sampler.prepare(tokenizer)?;
    let mut characters = TextStream::new(tokenizer);
    let mut show = |text: String| if text.is_empty() { Ok(()) } else { on_text(&text) };
    let mut n_generated = 0;
    let mut generation = session.generate(sampler, limits);
    for id in generation.by_ref() {
        n_generated += 1;
        show(stops.push(&characters.push(id?)))?;
        if stops.stopped() {
            break;
        }
    }
    show(stops.push(&characters.finish()))?;
    let stop = if stops.stopped() {
        StopReason::StopString
    } else {
        generation.stop_reason().unwrap_or(StopReason::MaxTokens)
    };
    show(stops.finish())?;
    Ok(Outcome { n_generated, stop })
}

/// Whether whoever read the text has gone (`siskin complete | head -1`): no failure, but the end of the work. Rust ignores
/// SIGPIPE, so a closed pipe arrives as an error of some write instead of ending the process.
pub fn reader_has_gone(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::generation::SamplerConfig;
    use crate::generation::mock::{Mock, tokenizer};

    /// What is shown, piece by piece, when the model says `ids` after one token of prompt.
    fn say(tokenizer: &Tokenizer, ids: Vec<u32>, stops: &[&str]) -> (Vec<String>, Outcome) {
        let end = tokenizer.end_of_text();
        let mut model =
            Mock::new(tokenizer.vocab_size(), 100, move |fed| ids.get(fed.len() - 1).copied().unwrap_or(end));
        let mut session = Session::new(&mut model);
        session.set_prompt(&[end]).unwrap();
        let mut sampler = Sampler::new(SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }).unwrap();
        let limits = Limits { max_tokens: 50, end_ids: &[end], interrupted: &AtomicBool::new(false) };
        let mut stops = StopStrings::new(stops.iter().map(|s| s.to_string()).collect()).unwrap();
        let mut pieces = Vec::new();
        let outcome = continue_text(&mut session, &mut sampler, limits, tokenizer, &mut stops, &mut |piece| {
            pieces.push(piece.to_string());
            Ok(())
        });
        (pieces, outcome.unwrap())
    }

    #[test]
    fn characters_appear_only_when_they_are_whole() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("é鳥!").unwrap();
        let n_generated = ids.len();
        let (pieces, outcome) = say(&tokenizer, ids, &[]);
        assert_eq!(pieces, ["é", "鳥", "!"]);
        assert_eq!(outcome, Outcome { n_generated, stop: StopReason::EndOfText });
    }

    #[test]
    fn an_incomplete_last_character_is_flushed_at_the_end() {
        let tokenizer = tokenizer();
        let mut ids = tokenizer.encode("a鳥").unwrap();
        ids.pop();
        assert_eq!(say(&tokenizer, ids, &[]).0.concat(), "a\u{fffd}");
    }

    #[test]
    fn a_stop_string_across_tokens_is_not_shown_and_ends_the_text() {
        let tokenizer = tokenizer();
        let (pieces, outcome) = say(&tokenizer, tokenizer.encode("one twö three").unwrap(), &["wö"]);
        assert_eq!(pieces.concat(), "one t");
        assert_eq!(outcome.stop, StopReason::StopString);
        assert!(outcome.n_generated < tokenizer.encode("one twö three").unwrap().len());
        let (pieces, outcome) = say(&tokenizer, tokenizer.encode("one tw").unwrap(), &["two"]);
        assert_eq!(pieces.concat(), "one tw");
        assert_eq!(outcome.stop, StopReason::EndOfText);
    }
}
