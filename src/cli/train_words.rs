//! What `siskin train` says before and after: the plan, the result, and what to type next.

use super::{Exit, display};
use crate::training::overlap::share;
use crate::training::plan::Plan;
use crate::training::planner::Choice;
use crate::training::run::RunReport;
use crate::training::settings::Length;
use crate::training::trainer::Ending;
use crate::words;
use std::path::Path;

/// The plan in three lines, and where the model will be.
pub(super) fn introduce(plan: &Plan, choice: &Choice, baselines: &[(String, f64)], path: &Path) -> String {
    let (c, s) = (&plan.config, &plan.settings);
    let from = match choice.candidates.len() {
        1 => String::new(),
        n => format!(", the best of {n} sizes for this text, machine and time"),
    };
    let up_to = if s.recipe.grow_batch { "up to " } else { "" };
    let end = match s.length {
        Length::Steps(n) => format!("after {} steps", words::thousands(n)),
        Length::Minutes(m) => format!("{} after the start of the command", words::duration(m * 60.0)),
    };
    let adapters = s.lora.map_or(String::new(), |lora| {
        let n_learned = words::short_count(lora.layout(c).n_elements as u64);
        format!(
            "\x20             learns {n_learned} numbers of adapters, rank {}, alpha {}; the weights stay\n",
            lora.rank, lora.alpha
        )
    });
    let beside: Vec<String> = baselines.iter().map(|(name, bits)| format!("{name} {bits:.2}")).collect();
    let expected = match choice.chosen.expected {
        Some(f) => format!(", expected: {:.2} to {:.2} held-out bits per byte ({})", f.low, f.high, beside.join(", ")),
        None => String::new(),
    };
    format!(
        "plan          {} weights: {} layers, {} wide, {} heads, vocabulary {}, context {}{from}\n\
         {adapters}\x20             {} tokens, {:.1} passes over the text, in steps of {up_to}{}; {} of memory; seed {}\n\
         \x20             ends {end}{expected}\n\
         directory     {}\n",
        words::short_count(c.n_params() as u64),
        c.n_layer,
        c.n_embd,
        c.n_head,
        words::thousands(c.vocab_size as u64),
        c.block_size,
        words::short_count(choice.chosen.n_tokens as u64),
        choice.n_passes,
        words::thousands(s.tokens_per_step(c)),
        words::bytes(choice.memory_bytes),
        s.seed,
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
