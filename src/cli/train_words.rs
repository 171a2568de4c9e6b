//! What `siskin train` says before and after: the plan, the result, and what to type next.

use super::{Exit, display};
use crate::training::overlap::share;
use crate::training::plan::Plan;
use crate::training::run::RunReport;
use crate::training::settings::Length;
use crate::training::trainer::Ending;
use crate::words;
use std::path::Path;

/// The plan in a few lines.
pub(super) fn introduce(plan: &Plan, n_train_tokens: usize, path: &Path, is_chosen: bool) -> String {
    let c = &plan.config;
    let why = if is_chosen { ", chosen by the text and the time" } else { "" };
    let up_to = if plan.settings.recipe.grow_batch { "up to " } else { "" };
    let length = match plan.settings.length {
        Length::Steps(n) => format!("{} steps", words::thousands(n)),
        Length::Minutes(m) => words::duration(m * 60.0),
    };
    format!(
        "model         {} ({} weights{why})\n\
        \x20             {} layers, {} wide, {} heads, vocabulary {}, context {}\n\
         training      {length}, {up_to}{} tokens a step of {} in the text, seed {}\n\
         directory     {}\n",
        plan.preset.name(),
        words::short_count(c.n_params() as u64),
        c.n_layer,
        c.n_embd,
        c.n_head,
        words::thousands(c.vocab_size as u64),
        c.block_size,
        words::thousands(plan.settings.tokens_per_step(c)),
        words::thousands(n_train_tokens as u64),
        plan.settings.seed,
        path.display(),
    )
}

/// The words at the end, and the exit code.
pub(super) fn conclude(report: &RunReport, dir: &Path, name: &str, show: display::Show) -> Exit {
    let progress = &report.outcome.progress;
    let spent = format!(
        "{} of training, {} steps, {} tokens seen",
        words::duration(progress.elapsed_s),
        words::thousands(progress.step),
        words::thousands(progress.n_tokens_seen)
    );
    if report.outcome.ending == Ending::Interrupted {
        display::notice(&format!("saved after {spent}. Go on with: siskin train --resume {name}\n"));
        return Exit::Interrupted;
    }
    let mut lines = match report.outcome.ending {
        Ending::Patience => format!("stopped early, since held-out text got no better: {spent}\n"),
        _ => format!("done: {spent}\n"),
    };
    if let Some(found) = &report.outcome.evaluation {
        lines += &format!("held-out bits per byte: {:.3} ± {:.3}", found.bits_per_byte, found.standard_error);
        for (name, bits) in &report.baselines {
            lines += &format!(", {name} {bits:.3}");
        }
        lines += " (less is better)\n";
    }
    if let Some(v) = report.verbatim.as_ref().filter(|v| v.n_words > 0) {
        lines += &format!(
            "word for word from its text: {} of what it writes, longest run {} words\n",
            share(v.n_copied_words, v.n_words),
            words::thousands(v.longest_run_words)
        );
    }
    lines +=
        &format!("model: {}\ntry:   siskin chat {name}\n       siskin complete -m {name} \"...\"\n", dir.display());
    display::say(show, &lines);
    Exit::Done
}
