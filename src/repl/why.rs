//! Why the model said what it said: each token of an answer with its probability, and what it might have been instead.
//!
//! The probabilities are the model's own: those of temperature 1, before any setting of the sampler has taken its part.

use unicode_width::UnicodeWidthStr;

use crate::generation::visible;
use crate::repl::paint::{Ink, Paint, cut, padded};
use crate::tokenizer::Tokenizer;

/// Tokens that are shown beside the one that was taken.
const N_RUNNERS_UP: usize = 3;
/// Columns of the widest token that gets all the room it wants.
const MAX_TOKEN_COLUMNS: usize = 16;

/// A token of an answer as the model judged it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    id: u32,
    probability: f64,
    /// The most probable others, the best first.
    instead: Vec<(u32, f64)>,
}

/// What the model's judgement (V logits) says of `id` and of the others that could have stood there.
pub(super) fn judged(id: u32, logits: &[f32]) -> Judged {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| f64::from(logit - highest).exp();
    let mass: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let mut best: Vec<u32> = Vec::with_capacity(N_RUNNERS_UP + 1);
    let logit = |id: u32| logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
    for other in (0..logits.len() as u32).filter(|&other| other != id) {
        let at = best.partition_point(|&better| logit(better) >= logit(other));
        if at < N_RUNNERS_UP {
            best.insert(at, other);
            best.truncate(N_RUNNERS_UP);
        }
    }
    let probability = |id| weight(logit(id)) / mass;
    Judged { id, probability: probability(id), instead: best.into_iter().map(|id| (id, probability(id))).collect() }
}

/// A line for each token, cut to the window's columns.
pub(super) fn table(tokens: &[Judged], tokenizer: &Tokenizer, columns: usize, paint: Paint) -> Vec<String> {
    let name = |id| name_of(id, tokenizer);
    let widest = tokens.iter().map(|token| name(token.id).width()).max().unwrap_or(0).min(MAX_TOKEN_COLUMNS);
    let row = |token: &Judged| {
        let share = format!("{:>6}", percent(token.probability));
        let shown = name(token.id);
        let others: Vec<String> = token.instead.iter().map(|&(id, p)| format!("{} {}", name(id), percent(p))).collect();
        let ink = match token.probability {
            p if p >= 0.5 => Ink::Green,
            p if p >= 0.1 => Ink::Yellow,
            _ => Ink::Red,
        };
        let first = cut(&format!("{share}  {}", padded(&shown, widest)), columns.saturating_sub(1)).into_owned();
        let room = columns.saturating_sub(first.width() + 3);
        let others = if room < 8 { String::new() } else { format!("  {}", cut(&others.join("   "), room)) };
        format!("{}{}", paint.paint(ink, &first), paint.paint(Ink::Dim, &others))
    };
    tokens.iter().map(row).collect()
}

/// A token as it can be read in a line: text in quotes, a mark by its name.
pub(super) fn name_of(id: u32, tokenizer: &Tokenizer) -> String {
    let bytes = tokenizer.token_bytes(id);
    if tokenizer.is_special(id) {
        return visible(&String::from_utf8_lossy(bytes)).into_owned();
    }
    let mut name = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        name += &visible(chunk.valid()).replace('\n', "\\n").replace('\t', "\\t");
        chunk.invalid().iter().for_each(|byte| name += &format!("\\x{byte:02x}"));
    }
    name.push('"');
    name
}

/// `12 %`; what is less than half a hundredth, and still possible, is not called nothing.
fn percent(share: f64) -> String {
    match 100.0 * share {
        p if p > 0.0 && p < 0.5 => "<1 %".to_string(),
        p => format!("{p:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::mock::tokenizer;

    #[test]
    fn a_token_is_judged_beside_the_three_best_others() {
        let logits = [1.0f32, 0.25, 0.125, 0.5, 0.0625, 0.0625].map(f32::ln);
        let judged = judged(1, &logits);
        assert!((judged.probability - 0.125).abs() < 1e-6, "{judged:?}");
        let others: Vec<(u32, f64)> = judged.instead.iter().map(|&(id, p)| (id, (p * 10_000.0).round())).collect();
        assert_eq!(others, [(0, 5000.0), (3, 2500.0), (2, 625.0)]);
    }

    #[test]
    fn a_row_shows_share_token_and_runners_up_and_stays_within_the_window() {
        let tokenizer = tokenizer();
        let ids: Vec<u32> = ["a", "鳥", "\n", "\x1b"].iter().flat_map(|text| tokenizer.encode(text).unwrap()).collect();
        let instead = ids.iter().take(3).map(|&id| (id, 0.25)).collect::<Vec<_>>();
        let tokens: Vec<Judged> =
            ids.iter().map(|&id| Judged { id, probability: 0.001, instead: instead.clone() }).collect();
        let rows = table(&tokens, &tokenizer, 80, Paint::new(false));
        assert!(rows[0].starts_with("  <1 %  \"a\""), "{rows:?}");
        assert!(rows[0].contains("\"a\" 25 %   \"\\xe9\" 25 %"), "{rows:?}");
        assert!(rows[4].contains("\"\\n\"") && rows[5].contains("\"^[\""), "{rows:?}");
        for columns in [20, 40, 80] {
            let rows = table(&tokens, &tokenizer, columns, Paint::new(false));
            assert!(rows.iter().all(|row| row.width() < columns), "{columns}: {rows:?}");
        }
        assert!(table(&tokens, &tokenizer, 80, Paint::new(true))[0].starts_with("\x1b[31m"));
    }

    #[test]
    fn shares_are_never_rounded_to_nothing() {
        for (share, words) in [(0.0, "0 %"), (0.0001, "<1 %"), (0.126, "13 %"), (1.0, "100 %")] {
            assert_eq!(percent(share), words);
        }
    }
}
