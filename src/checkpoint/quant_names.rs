//! Names of quantizations in the names of GGUF files (`SmolLM2-135M-Instruct-Q4_K_M.gguf`), and which of several to take.
//!
//! A file's name is a hint for choosing and nothing more: what the file holds is read from its header.

/// Weights below which a model is small. Fewer bits cost a small model more of what it knows, and it is fast enough in eight;
/// from about here on (1.1 GB in Q8_0, 0.6 GB in Q4_K_M) memory is what a person waits for.
const SMALL: f64 = 1e9;

/// Name, bits per weight (by which a file's size tells the number of weights), and place in the order for a small and for a large model. The bits are those of the block types,
/// and for the mixtures (`_S`, `_M`) rounded from the sizes of models that were made with them.
const TABLE: [(&str, f64, u32, u32); 17] = [
    ("Q8_0", 8.5, 1, 10),
    ("Q6_K", 6.6, 2, 9),
    ("Q5_K_M", 5.7, 3, 3),
    ("Q5_K_S", 5.5, 4, 5),
    ("Q4_K_M", 4.9, 5, 1),
    ("BF16", 16.0, 6, 11),
    ("F16", 16.0, 7, 12),
    ("Q5_1", 6.0, 8, 8),
    ("Q5_0", 5.5, 9, 7),
    ("Q4_K_S", 4.6, 10, 2),
    ("Q4_1", 5.0, 11, 6),
    ("Q4_0", 4.6, 12, 4),
    ("F32", 32.0, 13, 13),
    ("FP16", 16.0, 7, 12),
    ("FP32", 32.0, 13, 13),
    ("Q5_K", 5.7, 3, 3),
    ("Q4_K", 4.9, 5, 1),
];

/// A quantization by its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum QuantName {
    /// One that siskin runs: its row.
    Known(usize),
    /// One that it does not run, such as `IQ2_XS` or `Q2_K`.
    Other,
}

impl QuantName {
    /// The last word of a file's name that is a quantization's.
    pub(super) fn in_file_name(path: &str) -> Option<QuantName> {
        let name = path.rsplit('/').next()?;
        let stem = &name[..name.len().checked_sub(".gguf".len())?];
        stem.rsplit(['-', '.']).find_map(|word| {
            let word = word.to_ascii_uppercase();
            let row = TABLE.iter().position(|(known, ..)| *known == word);
            row.map(QuantName::Known).or_else(|| is_quantization(&word).then_some(QuantName::Other))
        })
    }

    /// Whether siskin runs it.
    pub(super) fn runs(self) -> bool {
        self != QuantName::Other
    }
}

/// Whether `word` is made as names of quantizations are: `Q2_K`, `IQ3_XXS`, `TQ1_0`, `MXFP4`.
fn is_quantization(word: &str) -> bool {
    let digits = word.strip_prefix("IQ").or_else(|| word.strip_prefix("TQ")).or_else(|| word.strip_prefix('Q'));
    word.starts_with("MXFP4")
        || digits.is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit()) && rest.get(1..).is_some_and(|rest| rest.starts_with('_'))
        })
}

/// The one to take, and why.
#[derive(Debug, PartialEq)]
pub(super) struct Recommended {
    pub(super) index: usize,
    pub(super) reason: &'static str,
}

/// Which of several files to take, by their quantizations and sizes in bytes; none where no name tells anything.
pub(super) fn recommended(files: &[(Option<QuantName>, Option<u64>)]) -> Option<Recommended> {
    let known = || {
        files.iter().enumerate().filter_map(|(index, (name, n_bytes))| match name {
            Some(QuantName::Known(row)) => Some((index, TABLE[*row], *n_bytes)),
            _ => None,
        })
    };
    // Any file tells how many weights there are, more or less.
    let n_weights = known().find_map(|(_, (_, bits, ..), n_bytes)| Some(n_bytes? as f64 * 8.0 / bits));
    let is_small = n_weights.is_some_and(|n_weights| n_weights < SMALL);
    let place = |row: &(&str, f64, u32, u32)| if is_small { row.2 } else { row.3 };
    let (index, ..) = known().min_by_key(|(_, row, _)| place(row))?;
    let reason = if is_small {
        "a small model loses more by fewer bits than it gains in speed"
    } else {
        "of a model this large, about five bits a weight lose little and are much faster"
    };
    Some(Recommended { index, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantization_is_found_in_names_of_every_manner() {
        let row = |name: &str| Some(QuantName::Known(TABLE.iter().position(|(known, ..)| *known == name).unwrap()));
        for (path, expected) in [
            ("SmolLM2-135M-Instruct-Q4_K_M.gguf", row("Q4_K_M")),
            ("qwen2-0_5b-instruct-q8_0.gguf", row("Q8_0")),
            ("tinyllama-1.1b-chat-v1.0.Q6_K.gguf", row("Q6_K")),
            ("BF16/model-BF16.gguf", row("BF16")),
            ("model.f16.gguf", row("F16")),
            ("model-IQ3_XXS.gguf", Some(QuantName::Other)),
            ("model-Q2_K.gguf", Some(QuantName::Other)),
            ("model-Q3_K_M.gguf", Some(QuantName::Other)),
            ("gpt-oss-mxfp4.gguf", Some(QuantName::Other)),
            ("Qwen-model.gguf", None),
            ("model.gguf", None),
            (".gguf", None),
            ("é", None),
        ] {
            assert_eq!(QuantName::in_file_name(path), expected, "{path}");
        }
    }

    fn pick<'a>(files: &[(&'a str, u64)]) -> Option<&'a str> {
        let known: Vec<_> = files
            .iter()
            .map(|(name, mb)| (QuantName::in_file_name(&format!("m-{name}.gguf")), Some(mb * 1_000_000)))
            .collect();
        recommended(&known).map(|best| files[best.index].0)
    }

    #[test]
    fn a_small_model_is_taken_in_eight_bits_and_a_large_one_in_about_five() {
        assert_eq!(pick(&[("F16", 271), ("Q4_K_M", 105), ("Q8_0", 145)]), Some("Q8_0"));
        assert_eq!(pick(&[("F16", 14_500), ("Q4_K_M", 4_400), ("Q8_0", 7_700)]), Some("Q4_K_M"));
        assert_eq!(pick(&[("Q2_K", 50), ("Q4_0", 92), ("Q6_K", 138)]), Some("Q6_K"));
        assert_eq!(pick(&[("Q8_0", 7_700), ("Q5_K_M", 5_100)]), Some("Q5_K_M"));
    }

    #[test]
    fn where_no_name_tells_anything_nothing_is_recommended() {
        assert_eq!(pick(&[("tuned", 100), ("base", 100), ("IQ1_S", 20)]), None);
    }
}
