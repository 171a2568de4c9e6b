//! The table of `siskin quantize`.

use crate::checkpoint::Written;
use crate::model::Mix;
use crate::quantize::{Comparison, HARMLESS_LOSS, smallest_harmless};
use crate::words;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is known of one type.
pub(super) struct Row {
    pub(super) mix: Mix,
    pub(super) written: Written,
    /// Tokens a second that it writes here.
    pub(super) tokens_per_s: f64,
    /// None where there is no text to compare by.
    pub(super) comparison: Option<Comparison>,
}

/// The rows, what fell back, and what is to be known; `without_text` is why nothing was compared.
pub(super) fn table(rows: &[Row], without_text: Option<&str>) -> String {
    let mut page = String::new();
    let is_compared = rows.iter().any(|row| row.comparison.is_some());
    page += "type        size bits/weight tokens/s";
    page += if is_compared { " bits/byte     loss       KL same top\n" } else { "\n" };
    let measured: Vec<_> =
        rows.iter().filter_map(|row| Some((row.mix, row.written.n_bytes, row.comparison?))).collect();
    let chosen = if rows.len() > 1 { smallest_harmless(&measured) } else { None };
    for Row { mix, written, tokens_per_s, comparison } in rows {
        let size = words::bytes(written.n_bytes as u64);
        line(&mut page, format_args!("{:<7}{size:>9}{:>12.2}", mix.name(), written.bits_per_weight()));
        line(&mut page, format_args!("{:>9}", words::thousands(tokens_per_s.round() as u64)));
        if let Some(c) = comparison {
            let (loss, agreement) = (100.0 * c.loss(), 100.0 * c.agreement);
            line(
                &mut page,
                format_args!("{:>10.4}{loss:>+7.2} %{:>9.6}{agreement:>7.2} %", c.copy_bits_per_byte, c.divergence),
            );
        }
        page += if Some(*mix) == chosen { " ← smallest without loss\n" } else { "\n" };
    }
    page.push('\n');
    if let Some((_, _, c)) = measured.first() {
        let (n, limit) = (words::thousands(c.n_tokens as u64), 100.0 * HARMLESS_LOSS);
        let bits = c.bits_per_byte;
        line(
            &mut page,
            format_args!("The model itself: {bits:.4} bits/byte on {n} held-out tokens; {limit} % more is no loss.\n"),
        );
    }
    if let Some(reason) = without_text {
        line(&mut page, format_args!("Not compared with the model: {}.\n", plain(reason)));
    }
    fallbacks(&mut page, rows);
    page
}

/// Which tensors another type is stored in than the mixture has for them, by type and width.
fn fallbacks(page: &mut String, rows: &[Row]) {
    for Row { mix, written, .. } in rows {
        let mut counts: BTreeMap<(String, String, usize), usize> = BTreeMap::new();
        for tensor in written.fallen_back() {
            let wanted = tensor.stored.instead_of.map_or_else(String::new, |kind| kind.name().to_owned());
            *counts.entry((wanted, tensor.stored.kind.name().to_owned(), tensor.row_len)).or_default() += 1;
        }
        for ((wanted, kind, row_len), n) in counts {
            let tensors = if n == 1 { "tensor" } else { "tensors" };
            line(
                page,
                format_args!(
                    "{mix}: {n} {tensors} {kind} instead of {wanted}, whose blocks do not fit rows of {row_len}\n"
                ),
            );
        }
    }
}

fn line(page: &mut String, words: std::fmt::Arguments) {
    page.write_fmt(words).expect("writing to a string cannot fail");
}

/// Without what could act on a terminal: the reason may quote a file.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::StoredTensor;
    use crate::formats::blocks::TensorType;
    use crate::model::Stored;

    fn row(mix: Mix, n_bytes: usize, loss: Option<f64>) -> Row {
        let stored = Stored { kind: TensorType::Q5_0, instead_of: Some(TensorType::Q4_K) };
        let tensor = StoredTensor { name: "w".to_owned(), row_len: 192, stored };
        let tensors = if mix == Mix::Q4_K_M { vec![tensor; 3] } else { Vec::new() };
        let written = Written { n_bytes, n_weights: 1000, n_weight_bytes: n_bytes, tensors };
        let comparison = loss.map(|loss| Comparison {
            bits_per_byte: 2.0,
            copy_bits_per_byte: 2.0 * (1.0 + loss),
            divergence: 0.001,
            agreement: 0.975,
            n_tokens: 32_768,
        });
        Row { mix, written, tokens_per_s: 1234.4, comparison }
    }

    #[test]
    fn the_table_marks_the_smallest_type_without_loss_and_says_what_fell_back() {
        let rows =
            [row(Mix::Q8_0, 1000, Some(0.0)), row(Mix::Q4_K_M, 600, Some(0.004)), row(Mix::Q4_0, 500, Some(0.02))];
        let text = table(&rows, None);
        let marked: Vec<&str> = text.lines().filter(|line| line.ends_with("smallest without loss")).collect();
        assert!(marked.len() == 1 && marked[0].starts_with("q4_k_m"), "{text}");
        for words in [
            "+2.00 %",
            " 1,234 ",
            "0.001000",
            "97.50 %",
            "2.0000 bits/byte on 32,768",
            "3 tensors Q5_0 instead of Q4_K",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn a_single_type_is_not_marked_and_a_missing_text_is_said() {
        let text = table(&[row(Mix::Q8_0, 1000, None)], Some("there is no run.json\u{1b}"));
        assert!(!text.contains("←") && !text.contains("KL") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("Not compared with the model: there is no run.json"), "{text}");
    }
}
