//! A session: the ids that a model is given and gives, fed so that nothing is computed twice.
//!
//! The session owns the ids; the model's cache holds some prefix of them. Whatever a new prompt shares with what is
//! cached is kept, so that a chat's next turn costs only its own tokens. Ids only: text, stop strings and clocks are
//! the callers' affair.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::generation::Sampler;
use crate::inference::{Drafted, LanguageModel};

/// Prompt tokens fed at once: large enough for the matrix kernels to be busy, small enough that Ctrl-C is felt at once.
pub(super) const N_CHUNK: usize = 128;

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model wrote one of [`Limits::end_ids`]: it is done.
    EndOfText,
    /// A stop string was written.
    StopString,
    /// As many tokens as asked for were written.
    MaxTokens,
    /// Prompt and answer fill the model's context.
    ContextFull,
    /// The user interrupted.
    Interrupted,
    /// What a grammar describes is whole, and nothing can follow.
    Whole,
    /// The text was cut off, and then closed as its grammar demands.
    Closed,
}

/// What ends a generation.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Most tokens to write.
    pub max_tokens: usize,
    /// Ids that end the text; they are neither returned nor kept in the session.
    pub end_ids: &'a [u32],
    /// Looked at before every token and every chunk of the prompt; true ends the generation.
    pub interrupted: &'a AtomicBool,
}

/// A prompt that leaves no room for a single token of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptTooLong {
    /// Tokens of the prompt, the one that begins every document included.
    pub n_prompt: usize,
    /// Tokens that the model's context holds.
    pub n_context: usize,
}

impl fmt::Display for PromptTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PromptTooLong { n_prompt, n_context } = *self;
        let excess = (n_prompt + 1).saturating_sub(n_context);
        write!(
            f,
            "the prompt has {n_prompt} tokens, but the model's context is {n_context}: shorten it by {excess} to leave \
             room for 1 token of answer"
        )
    }
}

impl std::error::Error for PromptTooLong {}

/// The ids of one conversation or completion, and the model that continues them.
pub struct Session<'a> {
    model: &'a mut dyn LanguageModel,
    ids: Vec<u32>,
    /// The model's judgement of what follows the first `n_judged` ids (V).
    logits: Vec<f32>,
    n_judged: usize,
    n_fed: usize,
}

impl<'a> Session<'a> {
    /// An empty session; whatever the model had cached is forgotten.
    pub fn new(model: &'a mut dyn LanguageModel) -> Session<'a> {
        model.truncate(0);
        Session { model, ids: Vec::new(), logits: Vec::new(), n_judged: 0, n_fed: 0 }
    }

    /// All ids so far: prompts and answers.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Ids that the model's context holds.
    pub fn n_context(&self) -> usize {
        self.model.context_len()
    }

    /// Ids that the model has been given so far: what was in its cache already does not count.
    pub fn n_fed(&self) -> usize {
        self.n_fed
    }

    /// How the model's guesses have fared, since it was opened.
    pub fn drafted(&self) -> Drafted {
        self.model.drafted()
    }

    /// Replaces everything by `ids`; what they share with the cached prefix is not computed again.
    pub fn set_prompt(&mut self, ids: &[u32]) -> Result<(), PromptTooLong> {
        self.check_room(ids.len())?;
        let n_shared = self.ids.iter().zip(ids).take_while(|(old, new)| old == new).count();
        self.truncate(n_shared);
        self.ids.extend_from_slice(&ids[n_shared..]);
        Ok(())
    }

    /// Forgets all ids after the first `n_ids`.
    pub fn truncate(&mut self, n_ids: usize) {
        self.ids.truncate(n_ids);
        if self.model.n_cached() > n_ids {
            self.model.truncate(n_ids);
        }
        if self.n_judged > n_ids {
            self.n_judged = 0;
        }
    }

    /// Feeds what the model has not seen yet, in chunks; false when interrupted between two of them. Calling it before
    /// [`Session::generate`] is only needed to time the two apart.
    pub fn prefill(&mut self, interrupted: &AtomicBool) -> Result<bool> {
        ensure!(!self.ids.is_empty(), "there is no token to continue");
        if self.n_judged == self.ids.len() {
            return Ok(true);
        }
        // Logits come only with a token fed, so the last one is fed again where all are cached.
        if self.model.n_cached() == self.ids.len() {
            self.model.truncate(self.ids.len() - 1);
        }
        while self.model.n_cached() < self.ids.len() {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let start = self.model.n_cached();
            let end = self.ids.len().min(start + N_CHUNK);
            let logits = self.model.try_feed(&self.ids[start..end])?;
            self.n_fed += end - start;
            if end == self.ids.len() {
                self.logits.clear();
                self.logits.extend_from_slice(logits);
            }
        }
        self.n_judged = self.ids.len();
        Ok(true)
    }

    /// Shows `each` the ids from `start` on (at least 1), each with the model's judgement of what may stand in its
    /// place (V). The model reads them again for it; false when interrupted. The ids stay what they are.
    pub fn replay(
        &mut self,
        start: usize,
        interrupted: &AtomicBool,
        each: &mut dyn FnMut(u32, &[f32]) -> Result<()>,
    ) -> Result<bool> {
        let ids = self.ids.clone();
        self.truncate(start);
        let shown = ids[start.min(ids.len())..].iter().try_fold(true, |goes_on, &id| {
            if !goes_on || !self.prefill(interrupted)? {
                return Ok(false);
            }
            each(id, &self.logits)?;
            self.ids.push(id);
            Ok(true)
        });
        self.ids = ids;
        shown
    }

    /// Continues the ids: an iterator over the new ones, each kept in the session as it is returned.
    pub fn generate<'s>(&'s mut self, sampler: &'s mut Sampler, limits: Limits<'s>) -> Generation<'s, 'a> {
        sampler.start(limits.end_ids);
        Generation { session: self, sampler, limits, n_generated: 0, stop: None, failed: false }
    }

    fn check_room(&self, n_prompt: usize) -> Result<(), PromptTooLong> {
        let n_context = self.n_context();
        if n_prompt < n_context { Ok(()) } else { Err(PromptTooLong { n_prompt, n_context }) }
    }
}

/// A running generation; see [`Session::generate`].
pub struct Generation<'s, 'a> {
    session: &'s mut Session<'a>,
    sampler: &'s mut Sampler,
    limits: Limits<'s>,
    n_generated: usize,
    stop: Option<StopReason>,
    failed: bool,
}

impl Generation<'_, '_> {
    /// Why it ended; `None` while it has not (also after an error).
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stop
    }

    /// The reason for which no further token may be computed, if there is one.
    fn limit_reached(&self) -> Option<StopReason> {
        if self.limits.interrupted.load(Ordering::Relaxed) {
            Some(StopReason::Interrupted)
        } else if self.n_generated >= self.limits.max_tokens {
            Some(StopReason::MaxTokens)
        } else if self.session.ids.len() >= self.session.n_context() {
            Some(StopReason::ContextFull)
        } else {
            None
        }
    }

    /// The next id, or `None` with `stop` set.
    fn advance(&mut self) -> Result<Option<u32>> {
        self.stop = self.limit_reached();
        if self.stop.is_some() {
            return Ok(None);
        }
        if !self.session.prefill(self.limits.interrupted)? {
            self.stop = Some(StopReason::Interrupted);
            return Ok(None);
        }
        let id = self.sampler.sample(&self.session.logits, &self.session.ids)?;
        if self.limits.end_ids.contains(&id) {
            self.stop = Some(StopReason::EndOfText);
            return Ok(None);
        }
        self.session.ids.push(id);
        self.n_generated += 1;
        Ok(Some(id))
    }
}

impl Iterator for Generation<'_, '_> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Result<u32>> {
        if self.stop.is_some() || self.failed {
            return None;
        }
        let next = self.advance();
        self.failed = next.is_err();
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::SamplerConfig;
    use crate::generation::mock::Mock;

    fn greedy() -> Sampler {
        Sampler::new(SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }).unwrap()
    }

    /// A model of ten ids that counts up from the last one, modulo ten.
    fn counting(n_context: usize) -> Mock {
        Mock::new(10, n_context, |ids| (ids[ids.len() - 1] + 1) % 10)
    }

    fn run(session: &mut Session, max_tokens: usize, end_ids: &[u32]) -> (Vec<u32>, StopReason) {
        let (mut sampler, running) = (greedy(), AtomicBool::new(false));
        let limits = Limits { max_tokens, end_ids, interrupted: &running };
        let mut generation = session.generate(&mut sampler, limits);
        let ids = generation.by_ref().collect::<Result<Vec<u32>>>().unwrap();
        (ids, generation.stop_reason().unwrap())
    }

    #[test]
    fn a_generation_ends_for_the_reason_it_says() {
        for (prompt, max_tokens, ids, stop) in [
            (&[1u32][..], 3, &[2u32, 3, 4][..], StopReason::MaxTokens),
            (&[1], 0, &[], StopReason::MaxTokens),
            (&[5], 9, &[6, 7, 8], StopReason::EndOfText),
            (&[0, 0, 0, 0, 0, 0], 9, &[1, 2], StopReason::ContextFull),
        ] {
            let mut model = counting(8);
            let mut session = Session::new(&mut model);
            session.set_prompt(prompt).unwrap();
            assert_eq!(run(&mut session, max_tokens, &[9]), (ids.to_vec(), stop), "{prompt:?}");
            assert_eq!(session.ids(), [prompt, ids].concat());
        }
    }

    #[test]
    fn a_prompt_that_does_not_fit_says_by_how_much_and_changes_nothing() {
        let mut model = counting(256);
        let mut session = Session::new(&mut model);
        session.set_prompt(&[1, 2]).unwrap();
        let error = session.set_prompt(&[0; 300]).unwrap_err();
        assert_eq!(error, PromptTooLong { n_prompt: 300, n_context: 256 });
        assert!(error.to_string().contains("has 300 tokens, but the model's context is 256: shorten it by 45 "));
        let longer_by = |n| [vec![1, 2], vec![0; n]].concat();
        assert!(session.set_prompt(&longer_by(254)).is_err());
        assert_eq!(session.ids(), [1, 2]);
        assert!(session.set_prompt(&longer_by(253)).is_ok(), "255 tokens leave room for one");
    }

    #[test]
    fn the_next_turn_costs_only_its_own_tokens() {
        let mut model = counting(1000);
        let n_fed = model.n_fed.clone();
        let mut session = Session::new(&mut model);
        session.set_prompt(&[3; 300]).unwrap();
        run(&mut session, 4, &[]);
        assert_eq!(n_fed.get(), 303, "the last token of an answer is not fed before it is needed");
        let longer = [session.ids(), &[7, 7, 7]].concat();
        session.set_prompt(&longer).unwrap();
        run(&mut session, 1, &[]);
        assert_eq!(n_fed.get(), 307);
        // The same beginning, then something else: only the difference is fed.
        let edited: Vec<u32> = session.ids()[..302].iter().copied().chain([1, 2]).collect();
        session.set_prompt(&edited).unwrap();
        assert_eq!(run(&mut session, 1, &[]).0, [3]);
        assert_eq!(n_fed.get(), 309);
        // A prompt that is all cached needs one token again, for its logits.
        session.set_prompt(&edited[..301]).unwrap();
        assert_eq!(run(&mut session, 1, &[]).0, [5]);
        assert_eq!(n_fed.get(), 310);
    }

    #[test]
    fn a_replay_shows_each_id_with_what_was_judged_before_it_and_changes_nothing() {
        let mut model = counting(100);
        let mut session = Session::new(&mut model);
        session.set_prompt(&[3, 4]).unwrap();
        let (written, _) = run(&mut session, 4, &[]);
        let (before, n_fed) = (session.ids().to_vec(), session.n_fed());
        let mut shown = Vec::new();
        let mut each = |id: u32, logits: &[f32]| {
            shown.push((id, logits.iter().position(|&logit| logit == 10.0).unwrap() as u32));
            Ok(())
        };
        assert!(session.replay(2, &AtomicBool::new(false), &mut each).unwrap());
        assert_eq!(shown, [(5, 5), (6, 6), (7, 7), (8, 8)]);
        assert_eq!(session.ids(), before);
        assert_eq!(session.n_fed(), n_fed + 4, "the prompt's last id, and all of the answer but its last");
        assert_eq!(run(&mut session, 1, &[]).0, [9]);
        assert!(!session.replay(2, &AtomicBool::new(true), &mut |_, _| Ok(())).unwrap());
        assert_eq!((written.len(), session.ids().len()), (4, 7));
    }

    #[test]
    fn a_session_with_a_past_continues_like_a_fresh_one() {
        // Judged by all the ids, so that a wrong cache would show.
        let sums = |ids: &[u32]| ids.iter().enumerate().map(|(i, id)| (i as u32 + 1) * id).sum::<u32>() % 50;
        let (mut old, mut fresh) = (Mock::new(50, 600, sums), Mock::new(50, 600, sums));
        let mut session = Session::new(&mut old);
        for n_shared in [0usize, 5, 200, 299, 300, 7] {
            let prompt: Vec<u32> =
                (0..300).map(|i| if i < n_shared { i as u32 % 50 } else { n_shared as u32 % 49 }).collect();
            session.set_prompt(&prompt).unwrap();
            let mut other = Session::new(&mut fresh);
            other.set_prompt(&prompt).unwrap();
            assert_eq!(run(&mut session, 20, &[]), run(&mut other, 20, &[]), "{n_shared} shared");
        }
    }

    #[test]
    fn an_interruption_ends_it_before_the_next_chunk_and_it_can_go_on() {
        let flag = std::rc::Rc::new(AtomicBool::new(false));
        let raised = flag.clone();
        let mut model = Mock::new(10, 1000, move |ids| {
            raised.store(true, Ordering::Relaxed); // the user presses Ctrl-C during the first chunk
            (ids.len() % 10) as u32
        });
        let n_fed = model.n_fed.clone();
        let mut session = Session::new(&mut model);
        session.set_prompt(&[1; 500]).unwrap();
        let mut sampler = greedy();
        let mut generation = session.generate(&mut sampler, Limits { max_tokens: 5, end_ids: &[], interrupted: &flag });
        assert!(generation.next().is_none());
        assert_eq!(generation.stop_reason(), Some(StopReason::Interrupted));
        assert_eq!(n_fed.get(), N_CHUNK);
        assert_eq!(run(&mut session, 1, &[]).0, [0]);
        assert_eq!(n_fed.get(), 500);
    }

    #[test]
    fn broken_logits_are_an_error_and_end_the_iteration() {
        let mut model = Mock::new(4, 10, |_| u32::MAX);
        let mut session = Session::new(&mut model);
        session.set_prompt(&[1]).unwrap();
        let (mut sampler, running) = (greedy(), AtomicBool::new(false));
        let limits = Limits { max_tokens: 5, end_ids: &[], interrupted: &running };
        let mut generation = session.generate(&mut sampler, limits);
        assert!(generation.next().unwrap().is_err());
        assert!(generation.next().is_none());
    }
}
