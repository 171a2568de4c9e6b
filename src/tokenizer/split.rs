//! Where text is cut before merging: the pattern of pre-tokens, and cuts that keep a long text in bounded pieces.

/// How text is split into pre-tokens, inside which entries merge: contractions, words with at most one leading
/// character that is neither letter nor digit, digits in groups of at most three, punctuation, line ends, white space.
///
/// This is the pattern of Llama 3. GPT-2's own would do as well for learning, but it lets a number of any length
/// become one entry; and llama.cpp carries its patterns in code and names them (`tokenizer.ggml.pre`), so that only
/// a pattern it knows can travel in a GGUF file. This one is `llama-bpe` there.
pub const SPLIT_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+",
    r"|\s+(?!\S)",
    r"|\s+",
);

/// Longest piece in bytes that is encoded at once. A regular expression backtracks over a run of white space, and
/// per-character bookkeeping takes some twenty times the text, so neither may see a megabyte at once.
pub(super) const MAX_PIECE_BYTES: usize = 64 << 10;

/// `text` in pieces of at most `max_bytes`, cut where [`SPLIT_PATTERN`] cuts in any case, so that encoding piece by
/// piece gives the ids of encoding the whole. Only a run of `max_bytes` without any such place (one word of 64 KiB)
/// is cut between two of its characters.
pub(super) fn pieces(text: &str, max_bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(piece_len(rest, max_bytes));
        rest = tail;
        Some(piece)
    })
}

/// Length in bytes of the first piece of `text`, which is not empty.
fn piece_len(text: &str, max_bytes: usize) -> usize {
    if text.len() <= max_bytes {
        return text.len();
    }
    let longest = (0..=max_bytes).rev().find(|&idx| text.is_char_boundary(idx)).unwrap_or(0);
    let mut after = text[longest..].chars().next();
    for (idx, before) in text[..longest].char_indices().rev() {
        if after.is_some_and(|after| is_cut(before, after)) {
            return idx + before.len_utf8();
        }
        after = Some(before);
    }
    // A limit below one character's length still has to move on.
    longest.max(text.chars().next().map_or(0, char::len_utf8))
}

/// Whether no pre-token can hold `before` and `after` side by side: only a line end follows punctuation into its
/// pre-token, and no pre-token that began with white space goes on after a line end.
fn is_cut(before: char, after: char) -> bool {
    let is_line_end = |c| matches!(c, '\r' | '\n');
    (!before.is_whitespace() && after.is_whitespace() && !is_line_end(after))
        || (is_line_end(before) && !after.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::utils::SysRegex;

    fn pre_tokens(text: &str) -> Vec<&str> {
        SysRegex::new(SPLIT_PATTERN).expect("the pattern is fixed").find_iter(text).map(|(s, e)| &text[s..e]).collect()
    }

    #[test]
    fn digits_come_in_groups_of_at_most_three_and_words_keep_their_space() {
        assert_eq!(
            pre_tokens("In 12345 she'd  go!\n\nOn"),
            ["In", " ", "123", "45", " she", "'d", " ", " go", "!\n\n", "On"]
        );
    }

    #[test]
    fn a_run_without_any_place_to_cut_is_cut_between_characters() {
        let text = "é".repeat(10);
        assert_eq!(pieces(&text, 5).map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4, 4]);
        assert_eq!(pieces(&text, 1).count(), 10);
    }

    proptest! {
        #[test]
        fn cutting_into_pieces_changes_no_pre_token(words in prop::collection::vec("[a-zé]{1,4}|[0-9]{1,4}|[ \t]{1,3}|(\r?\n){1,2}|[!.'<|]{1,3}", 1..60)) {
            let text = words.concat();
            // Runs above this limit would be cut by force, so the limit is longer than any run made above.
            let cut: Vec<&str> = pieces(&text, 64).flat_map(pre_tokens).collect();
            let has_forced_cut = pieces(&text, 64).collect::<Vec<_>>().windows(2).any(|pair| {
                !is_cut(pair[0].chars().next_back().unwrap(), pair[1].chars().next().unwrap())
            });
            prop_assume!(!has_forced_cut);
            prop_assert_eq!(cut, pre_tokens(&text));
        }
    }
}
