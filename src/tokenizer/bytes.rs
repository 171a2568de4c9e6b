//! The 256 bytes as visible characters: how a byte-level vocabulary writes bytes in JSON.
//!
//! The mapping is GPT-2's (`bytes_to_unicode` in its `encoder.py`): a byte that is a visible Latin-1 character stands
//! for itself, every other byte takes the next character from U+0100 on. Knows nothing of merges or ids.

/// Characters of the mapping lie below this code point: 256 visible or moved bytes, 68 of which were moved.
const END: usize = 256 + 68;

/// The character that stands for each byte.
pub(super) const BYTE_TO_CHAR: [char; 256] = byte_to_char();

/// The byte behind each code point below [`END`], or [`NO_BYTE`].
const CHAR_TO_BYTE: [u16; END] = char_to_byte();
const NO_BYTE: u16 = 256;

const fn byte_to_char() -> [char; 256] {
    let mut chars = ['\0'; 256];
    let (mut byte, mut n_moved) = (0usize, 0u32);
    while byte < 256 {
        chars[byte] = if matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) {
            byte as u8 as char
        } else {
            n_moved += 1;
            match char::from_u32(255 + n_moved) {
                Some(moved) => moved,
                None => panic!("no surrogate lies between U+0100 and U+0143"),
            }
        };
        byte += 1;
    }
    chars
}

const fn char_to_byte() -> [u16; END] {
    let mut bytes = [NO_BYTE; END];
    let mut byte = 0;
    while byte < 256 {
        bytes[BYTE_TO_CHAR[byte] as usize] = byte as u16;
        byte += 1;
    }
    bytes
}

/// The byte that a character of the mapping stands for.
fn byte_of(c: char) -> Option<u8> {
    CHAR_TO_BYTE.get(c as usize).and_then(|&byte| u8::try_from(byte).ok())
}

/// Appends the bytes that a vocabulary entry stands for; an entry with a character outside the mapping stands for its
/// own UTF-8, as in the decoder of the `tokenizers` crate.
pub(super) fn append_bytes(entry: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in entry.chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(entry.as_bytes());
                return;
            }
        }
    }
}

/// Appends the bytes that an entry of SentencePiece's kind stands for: its text with real spaces, or the byte of `<0x41>`.
pub(super) fn append_piece(entry: &str, out: &mut Vec<u8>) {
    match piece_byte(entry) {
        Some(byte) => out.push(byte),
        None => out.extend_from_slice(entry.replace(super::SPACE, " ").as_bytes()),
    }
}

/// The byte that an entry such as `<0x0A>` stands for.
pub(super) fn piece_byte(entry: &str) -> Option<u8> {
    let digits = entry.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hexadecimal = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hexadecimal.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// `text` with each byte as its visible character, in `out`, which is emptied first.
pub(super) fn write_visible(text: &str, out: &mut String) {
    out.clear();
    out.extend(text.bytes().map(|byte| BYTE_TO_CHAR[usize::from(byte)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character_and_comes_back() {
        for byte in 0..=255u8 {
            assert_eq!(byte_of(BYTE_TO_CHAR[usize::from(byte)]), Some(byte));
        }
    }

    #[test]
    fn the_alphabet_is_that_of_the_tokenizers_crate() {
        let ours: std::collections::HashSet<char> = BYTE_TO_CHAR.into_iter().collect();
        let theirs = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        assert_eq!(ours, theirs.into_iter().collect());
        assert_eq!((BYTE_TO_CHAR[b' ' as usize], BYTE_TO_CHAR[b'\n' as usize]), ('Ġ', 'Ċ'));
    }

    #[test]
    fn a_piece_stands_for_its_text_or_for_a_byte() {
        let cases: [(&str, &[u8]); 5] = [
            ("\u{2581}a\u{2581}", b" a "),
            ("<0x0A>", b"\n"),
            ("<0xff>", &[255]),
            ("<0x+1>", b"<0x+1>"),
            ("<0x1>", b"<0x1>"),
        ];
        for (entry, bytes) in cases {
            let mut out = Vec::new();
            append_piece(entry, &mut out);
            assert_eq!(out, bytes, "{entry}");
        }
    }

    #[test]
    fn an_entry_outside_the_mapping_stands_for_its_utf8() {
        let mut out = b"x".to_vec();
        append_bytes("Ġ日", &mut out);
        assert_eq!(out, "xĠ日".as_bytes());
    }
}
