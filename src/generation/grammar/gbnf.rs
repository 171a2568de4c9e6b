//! GBNF, the grammars of llama.cpp, rewritten as Lark for the parser.
//!
//! GBNF describes characters. Each becomes a terminal of its own, as a parser that takes whole words first would read
//! `"a" "bc" | "ab" "d"` otherwise. The notation is that of llama.cpp's `grammars/README.md`: rules `name ::= ...`,
//! `"text"`, `[a-z]`, `[^a-z]`, `.`, groups, `|`, `*`, `+`, `?`, `{m,n}` and comments; the text is what `root` describes.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};

/// How deep groups may lie in each other: no grammar that people write comes near, and the call stack has a limit.
const MOST_DEPTH: usize = 200;

/// Whether it could be the name of a rule.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// The same grammar in Lark. Errors name the line and what was expected there.
pub(super) fn to_lark(text: &str) -> Result<String> {
    let mut reader = Reader { text, at: 0, depth: 0, names: BTreeMap::new(), lark: String::new() };
    let mut defined = Vec::new();
    loop {
        reader.skip(true);
        if reader.rest().is_empty() {
            break;
        }
        let line = reader.line();
        defined.push(reader.rule().with_context(|| format!("in the rule at line {line} of the grammar"))?);
    }
    ensure!(defined.iter().any(|name| name == "root"), "the grammar has no rule named root, which describes the text");
    for name in reader.names.keys() {
        ensure!(defined.contains(name), "the grammar uses a rule {name}, but does not define it");
    }
    let root = reader.names.get("root").cloned().unwrap_or_default();
    Ok(format!("start: {root}\n{}", reader.lark))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    /// What rules are called in Lark, which knows no capitals in names.
    names: BTreeMap<String, String>,
    lark: String,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn line(&self) -> usize {
        self.text[..self.at].matches('\n').count() + 1
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Result<char> {
        let c = self.peek().context("the grammar ends too early")?;
        self.at += c.len_utf8();
        Ok(c)
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    /// Spaces and comments, and newlines too if `across_lines`.
    fn skip(&mut self, across_lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => self.at += 1,
                '\r' | '\n' if across_lines => self.at += 1,
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    fn name(&mut self) -> Result<String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(rest.len());
        ensure!(end > 0, "a name was expected, but there is {:?}", rest.chars().next().unwrap_or(' '));
        self.at += end;
        Ok(rest[..end].to_string())
    }

    fn lark_name(&mut self, name: String) -> String {
        let n = self.names.len();
        self.names.entry(name).or_insert_with(|| format!("r{n}")).clone()
    }

    fn rule(&mut self) -> Result<String> {
        let name = self.name()?;
        self.skip(false);
        ensure!(self.take("::="), "`::=` was expected after {name}");
        let lark_name = self.lark_name(name.clone());
        let _ = write!(self.lark, "{lark_name}: ");
        self.skip(true);
        self.alternatives()?;
        self.lark.push('\n');
        let after = self.peek();
        ensure!(after.is_none_or(|c| c == '\n' || c == '\r'), "{:?} was not expected", after.unwrap_or(' '));
        Ok(name)
    }

    fn alternatives(&mut self) -> Result<()> {
        self.depth += 1;
        ensure!(self.depth <= MOST_DEPTH, "groups lie in each other more than {MOST_DEPTH} deep");
        self.sequence()?;
        while self.take_bar() {
            self.lark.push_str(" | ");
            self.skip(true);
            self.sequence()?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// A bar may begin the next line.
    fn take_bar(&mut self) -> bool {
        let before = self.at;
        self.skip(true);
        let found = self.take("|");
        if !found && self.depth == 1 {
            self.at = before;
        }
        found
    }

    fn sequence(&mut self) -> Result<()> {
        let mut is_empty = true;
        loop {
            self.skip(self.depth > 1);
            let Some(c) = self.peek() else { break };
            match c {
                '"' => self.literal()?,
                '[' => self.class()?,
                '.' => {
                    self.at += 1;
                    self.lark.push_str(r"/[\x{0}-\x{10ffff}]/");
                }
                '(' => {
                    self.at += 1;
                    self.lark.push('(');
                    self.alternatives()?;
                    self.skip(true);
                    ensure!(self.take(")"), "a group is not closed");
                    self.lark.push(')');
                }
                '<' | '!' => bail!("tokens in a grammar ({c}) are not understood, only characters"),
                c if c.is_ascii_alphanumeric() || c == '_' || c == '-' => {
                    let name = self.name()?;
                    let name = self.lark_name(name);
                    self.lark.push_str(&name);
                }
                _ => break,
            }
            self.repetition()?;
            self.lark.push(' ');
            is_empty = false;
        }
        if is_empty {
            self.lark.push_str("\"\"");
        }
        Ok(())
    }

    fn repetition(&mut self) -> Result<()> {
        match self.peek() {
            Some(c @ ('*' | '+' | '?')) => {
                self.at += 1;
                self.lark.push(c);
            }
            Some('{') => {
                let end = self.rest().find('}').context("a repetition is not closed")?;
                let inner: String = self.rest()[1..end].split_whitespace().collect();
                let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let is_right = match inner.split_once(',') {
                    Some((low, high)) => is_number(low) && (high.is_empty() || is_number(high)),
                    None => is_number(&inner),
                };
                ensure!(is_right, "{{{inner}}} is no repetition: {{3}}, {{3,}} and {{3,5}} are");
                self.at += end + 1;
                let _ = write!(self.lark, "{{{inner}}}");
            }
            _ => {}
        }
        Ok(())
    }

    /// Each character a terminal, in a group so that a repetition is of the whole.
    fn literal(&mut self) -> Result<()> {
        self.at += 1;
        self.lark.push('(');
        let mut is_empty = true;
        while !self.take("\"") {
            let c = self.character()?;
            let _ = write!(self.lark, r"/\x{{{:x}}}/ ", c as u32);
            is_empty = false;
        }
        self.lark.push_str(if is_empty { "\"\")" } else { ")" });
        Ok(())
    }

    fn class(&mut self) -> Result<()> {
        self.at += 1;
        self.lark.push_str("/[");
        if self.take("^") {
            self.lark.push('^');
        }
        while !self.take("]") {
            let low = self.character()?;
            let high = match self.rest().strip_prefix('-') {
                Some(after) if !after.starts_with(']') => {
                    self.at += 1;
                    self.character()?
                }
                _ => low,
            };
            ensure!(low <= high, "the range {low:?}-{high:?} is empty");
            let _ = write!(self.lark, r"\x{{{:x}}}-\x{{{:x}}}", low as u32, high as u32);
        }
        self.lark.push_str("]/");
        Ok(())
    }

    fn character(&mut self) -> Result<char> {
        let c = self.next()?;
        if c != '\\' {
            return Ok(c);
        }
        Ok(match self.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            c @ ('\\' | '"' | '[' | ']' | '-' | '^') => c,
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            c => bail!("\\{c} is not known"),
        })
    }

    fn code(&mut self, n_digits: usize) -> Result<char> {
        let digits = self.rest().get(..n_digits).context("a code ends too early")?;
        let code = u32::from_str_radix(digits, 16).with_context(|| format!("{digits:?} is no hexadecimal code"))?;
        self.at += n_digits;
        char::from_u32(code).with_context(|| format!("{digits} is no character's code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_terminals_of_single_characters() {
        let gbnf = "# a list\nroot ::= item (\", \" item)*\nitem ::= [a-c]{2,3} | \"x\\n\"? .\n";
        let lark = "start: r0\nr0: r1 ((/\\x{2c}/ /\\x{20}/ ) r1 )* \n\
                    r1: /[\\x{61}-\\x{63}]/{2,3}  | (/\\x{78}/ /\\x{a}/ )? /[\\x{0}-\\x{10ffff}]/ \n";
        assert_eq!(to_lark(gbnf).unwrap(), lark);
    }

    #[test]
    fn a_wrong_grammar_says_where_and_what() {
        for (gbnf, words) in [
            ("item ::= \"a\"", "no rule named root"),
            ("root ::= item", "uses a rule item"),
            ("root ::= \"a", "the grammar ends too early"),
            ("\nroot = \"a\"", "at line 2"),
            ("root ::= (\"a\"", "a group is not closed"),
            ("root ::= \"a\"{x}", "{x} is no repetition"),
            ("root ::= [z-a]", "the range 'z'-'a' is empty"),
            ("root ::= \"\\q\"", "\\q is not known"),
            ("root ::= <think>", "are not understood"),
            ("root ::= \"a\" )", "')' was not expected"),
        ] {
            let error = format!("{:#}", to_lark(gbnf).unwrap_err());
            assert!(error.contains(words), "{gbnf}: {error}");
        }
        let deep = format!("root ::= {}", "(".repeat(100_000));
        assert!(format!("{:#}", to_lark(&deep).unwrap_err()).contains("deep"));
    }
}
