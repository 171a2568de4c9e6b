//! What `siskin eval` says of a text: for a person, and as JSON.

use crate::data::Judged;
use crate::generation::visible;
use crate::tokenizer::Tokenizer;
use crate::training::evaluate::{ByDocument, Cost, Over};
use crate::words;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Documents listed at either end.
const N_LISTED: usize = 5;
/// Characters shown of a document's beginning.
const N_FIRST_CHARS: usize = 60;

/// All that was found.
pub(super) struct Verdict<'a> {
    /// The model's name.
    pub(super) model: String,
    /// The text that was judged.
    pub(super) text: &'a Judged,
    /// What made its ids.
    pub(super) tokenizer: &'a Tokenizer,
    /// What the model paid.
    pub(super) found: ByDocument,
    /// How long it took.
    pub(super) seconds: f64,
    /// What simpler methods paid.
    pub(super) beside: Beside,
}

/// Simpler methods on the same text.
pub(super) struct Beside {
    /// Names and bits per byte.
    pub(super) figures: Vec<(String, f64)>,
    /// Bytes from the beginning of the text that they were measured on.
    pub(super) n_bytes: u64,
    /// Why they have not read what the model learned from, where they have not.
    pub(super) without: Option<String>,
}

impl Verdict<'_> {
    /// A few lines; `with_documents` adds those known worst and best.
    pub(super) fn words(&self, with_documents: bool) -> String {
        let whole = &self.found.whole;
        let mut page = String::new();
        let mut row = |label: &str, text: String| {
            writeln!(page, "{label:<15}{text}").expect("writing to a string cannot fail");
        };
        row("bits per byte", self.bits_in_words());
        let nats = format!("{:.4} nats, {} tokens", whole.nats_per_token, words::thousands(whole.n_tokens as u64));
        row("perplexity", format!("{:.2} a token ({nats})", whole.nats_per_token.exp()));
        row("speed", format!("{} tokens/s", words::thousands(self.tokens_per_s().round() as u64)));
        self.beside_in_words().into_iter().for_each(|(label, text)| row(label, text));
        if with_documents {
            let (worst, best) = self.extremes();
            page += &self.list("known worst", &worst);
            page += &self.list("known best", &best);
        }
        page
    }

    fn bits_in_words(&self) -> String {
        let (whole, bits) = (&self.found.whole, self.found.whole.bits_per_byte);
        let of =
            format!("{}, {} bytes", counted(self.found.documents.len(), "document"), words::thousands(whole.n_bytes));
        match self.found.over {
            Over::Documents(_) => format!("{bits:.4} ± {:.4} over {of}", whole.standard_error),
            Over::Windows(1) => format!("{bits:.4} over {of} (one window, so there is no standard error)"),
            Over::Windows(n) => {
                format!("{bits:.4} ± {:.4} over {} windows of {of}", whole.standard_error, words::thousands(n as u64))
            }
        }
    }

    fn beside_in_words(&self) -> Vec<(&str, String)> {
        let mut rows = Vec::new();
        let part = match self.beside.n_bytes < self.found.whole.n_bytes {
            true => format!(" on its first {}", words::bytes(self.beside.n_bytes)),
            false => String::new(),
        };
        let after = match &self.beside.without {
            None => "after reading what the model learned from",
            Some(_) => "without reading anything before",
        };
        for (name, bits) in &self.beside.figures {
            rows.push((name.as_str(), format!("{bits:.4}{part}, {after}")));
        }
        if let Some(reason) = &self.beside.without {
            let reason = shown(reason);
            rows.push(("no 5-gram", format!("the text that the model learned from is not at hand: {reason}")));
        }
        rows
    }

    fn tokens_per_s(&self) -> f64 {
        self.found.whole.n_tokens as f64 / self.seconds.max(1e-9)
    }

    /// The documents of the highest bits per byte, worst first, and those of the lowest, best first; none is in both.
    fn extremes(&self) -> (Vec<usize>, Vec<usize>) {
        let bits = |i: &usize| self.found.documents[*i].bits_per_byte();
        let mut order: Vec<usize> = (0..self.found.documents.len()).filter(|i| bits(i).is_finite()).collect();
        order.sort_by(|a, b| bits(b).total_cmp(&bits(a)));
        let n_best = N_LISTED.min(order.len() / 2);
        let best = order.iter().rev().take(n_best).copied().collect();
        order.truncate(N_LISTED.min(order.len() - n_best));
        (order, best)
    }

    fn list(&self, label: &str, documents: &[usize]) -> String {
        let mut lines = String::new();
        for (i, &document) in documents.iter().enumerate() {
            let heading = if i == 0 { format!("\n{label}\n") } else { String::new() };
            let Cost { n_bytes, .. } = self.found.documents[document];
            let (bits, n_bytes) = (self.found.documents[document].bits_per_byte(), words::thousands(n_bytes));
            let file = visible(self.text.file_of(document)).replace('\n', "\\n");
            let first = self.first_words(document);
            writeln!(lines, "{heading}{bits:8.4}  {n_bytes:>9} bytes  {file}: {first}")
                .expect("writing to a string cannot fail");
        }
        lines
    }

    /// How a document begins, in one line that commands no terminal.
    fn first_words(&self, document: usize) -> String {
        let ids = self.text.document(document);
        let plain = ids.iter().filter(|&&id| !self.tokenizer.is_special(id)).take(4 * N_FIRST_CHARS);
        let bytes: Vec<u8> = plain.flat_map(|&id| self.tokenizer.token_bytes(id)).copied().collect();
        let text = shown(&String::from_utf8_lossy(&bytes));
        match text.char_indices().nth(N_FIRST_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// All of it, the documents at either end included.
    pub(super) fn json(&self) -> Value {
        let whole = &self.found.whole;
        let (error, over) = match self.found.over {
            Over::Documents(_) => (Some(whole.standard_error), Some("documents")),
            Over::Windows(1) => (None, None),
            Over::Windows(_) => (Some(whole.standard_error), Some("windows")),
        };
        let (worst, best) = self.extremes();
        let documents = |list: &[usize]| list.iter().map(|&i| self.document_json(i)).collect::<Vec<_>>();
        let figures: Map<String, Value> = self.beside.figures.iter().map(|(n, b)| (n.clone(), json!(b))).collect();
        json!({
            "model": self.model,
            "bits_per_byte": whole.bits_per_byte,
            "standard_error": error,
            "standard_error_over": over,
            "nats_per_token": whole.nats_per_token,
            "perplexity": whole.nats_per_token.exp(),
            "n_tokens": whole.n_tokens,
            "n_bytes": whole.n_bytes,
            "n_documents": self.found.documents.len(),
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_s(),
            "baselines": figures,
            "baselines_read_training_text": self.beside.without.is_none(),
            "baselines_n_bytes": self.beside.n_bytes,
            "worst": documents(&worst),
            "best": documents(&best),
            "skipped": self.text.skipped.iter().map(|s| s.to_string()).collect::<Vec<_>>(),
        })
    }

    fn document_json(&self, document: usize) -> Value {
        let cost = &self.found.documents[document];
        json!({
            "file": self.text.file_of(document),
            "bits_per_byte": cost.bits_per_byte(),
            "n_bytes": cost.n_bytes,
            "n_tokens": cost.n_tokens,
            "first_words": self.first_words(document),
        })
    }
}

/// `text` in one line, control characters made visible.
fn shown(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned()
}

/// `1 document`, `1,200 documents`.
fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", words::thousands(n as u64), if n == 1 { "" } else { "s" })
}
