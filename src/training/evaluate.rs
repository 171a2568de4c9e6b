//! Bits per byte of held-out text: the measure that compares models with different tokenizers.
//!
//! Total nats over ln 2 over the UTF-8 bytes of the text, in windows of the training context that do not overlap. The
//! end-of-text tokens between documents are predicted and paid for, but are no bytes of text. Sums come by window, for the
//! trainer, or by document, for a person who wants to know how much the figure would change with other documents.

use super::network::{Batch, Network};
use crate::data::conversations::{self, Turns, pack};
use crate::data::loader::TokenSource;
use crate::inference::LanguageModel;
use crate::kernels::attention::Sequences;
use crate::kernels::cross_entropy::{IGNORED, nats_of};
use crate::kernels::{Cpu, Isa};

/// What an evaluation found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Bits per byte of text.
    pub bits_per_byte: f64,
    /// Its standard error, from the differences between windows or documents; 0 where there is but one.
    pub standard_error: f64,
    /// Mean cross-entropy in nats a token.
    pub nats_per_token: f64,
    /// Tokens predicted.
    pub n_tokens: usize,
    /// Bytes of text that these tokens stand for.
    pub n_bytes: u64,
}

/// What a stretch of text cost.
#[derive(Default, Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Cross-entropy of its tokens, added up.
    pub nats: f64,
    /// Bytes of text that the tokens stand for.
    pub n_bytes: u64,
    /// Tokens.
    pub n_tokens: usize,
}

impl Cost {
    /// Bits per byte of this stretch alone; not finite for one without bytes.
    pub fn bits_per_byte(&self) -> f64 {
        self.nats / std::f64::consts::LN_2 / self.n_bytes as f64
    }

    fn add(&mut self, nats: f32, target: u32, token_bytes: &[u32]) {
        self.nats += nats as f64;
        self.n_bytes += token_bytes[target as usize] as u64;
        self.n_tokens += 1;
    }
}

/// An evaluation with what each document cost.
#[derive(Debug, Clone, PartialEq)]
pub struct ByDocument {
    /// All of the text; the standard error is over `over`.
    pub whole: Evaluation,
    /// What the standard error was estimated from.
    pub over: Over,
    /// The documents, in the order of the text. The token that ends a document is the document's.
    pub documents: Vec<Cost>,
}

/// The parts of a text between which its bits per byte differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// So many documents.
    Documents(usize),
    /// So many windows of a single document: neighbours are alike, so this says less. Of one window, nothing.
    Windows(usize),
}

/// Evaluates `network` on `source`, at most `max_windows` windows spread evenly over it, in batches that fill
/// `max_rows` rows. Where `turns` are given, only what the assistant says in them is judged. `token_bytes` gives the bytes
/// of text of each token id. `None` where there is nothing to predict.
pub fn evaluate(
    network: &mut Network,
    cpu: &Cpu,
    (source, turns): (&dyn TokenSource, Option<&Turns>),
    token_bytes: &[u32],
    max_windows: usize,
    max_rows: usize,
) -> Option<Evaluation> {
    let mut windows = Vec::new();
    let mut each = |_, nats: &[f32], targets: &[u32]| windows.push(weigh(nats, targets, token_bytes));
    let all = match turns {
        None => Windows::of_text(source, network.config().block_size),
        Some(turns) => Windows::of_conversations(source, turns, network.config().block_size),
    };
    predict(network, cpu, &all, max_windows, max_rows, &mut each);
    summarise(&windows)
}

/// Evaluates `network` on all of `source`, whose documents begin at `starts` (the first at 0, each with its end-of-text
/// token). `on_tokens` is told now and then how many more tokens are done. `None` where there is nothing to predict.
pub fn evaluate_by_document(
    network: &mut Network,
    cpu: &Cpu,
    source: &dyn TokenSource,
    token_bytes: &[u32],
    starts: &[usize],
    max_rows: usize,
    on_tokens: &mut dyn FnMut(usize),
) -> Option<ByDocument> {
    let windows = Windows::of_text(source, network.config().block_size);
    let all = |each: &mut EachWindow| predict(network, cpu, &windows, usize::MAX, max_rows, each);
    by_document(all, token_bytes, starts, on_tokens)
}

/// The same for any model that is run, in windows of `n_window` tokens.
pub fn evaluate_model_by_document(
    model: &mut dyn LanguageModel,
    n_window: usize,
    source: &dyn TokenSource,
    token_bytes: &[u32],
    starts: &[usize],
    on_tokens: &mut dyn FnMut(usize),
) -> Option<ByDocument> {
    by_document(|each| predict_by_model(model, n_window, source, each), token_bytes, starts, on_tokens)
}

/// Sums what `all` windows cost by document.
fn by_document(
    all: impl FnOnce(&mut EachWindow),
    token_bytes: &[u32],
    starts: &[usize],
    on_tokens: &mut dyn FnMut(usize),
) -> Option<ByDocument> {
    let (mut windows, mut documents) = (Vec::new(), vec![Cost::default(); starts.len()]);
    let mut document = 0;
    all(&mut |start, nats, targets| {
        for (i, (&nats, &target)) in nats.iter().zip(targets).filter(|&(_, &t)| t != IGNORED).enumerate() {
            // The token that begins the next document is the one that ends this.
            while starts.get(document + 1).is_some_and(|&next| next < start + i + 1) {
                document += 1;
            }
            documents[document].add(nats, target, token_bytes);
        }
        windows.push(weigh(nats, targets, token_bytes));
        on_tokens(windows.last().map_or(0, |window: &Cost| window.n_tokens));
    });
    let (parts, over) = match documents.len() {
        0 | 1 => (&windows, Over::Windows(windows.len())),
        n => (&documents, Over::Documents(n)),
    };
    Some(ByDocument { whole: summarise(parts)?, over, documents })
}

/// Takes the place of a window's first id among those of all windows, and the cross-entropies and targets of the window (T).
type EachWindow<'a> = dyn FnMut(usize, &[f32], &[u32]) + 'a;

/// A text cut into windows of T tokens.
struct Windows<'a> {
    n: usize,
    /// Fills ids, targets and starts (T each) of a window.
    fill: Box<dyn Fn(usize, conversations::Out) + 'a>,
}

impl<'a> Windows<'a> {
    /// Windows that follow each other; nothing is hidden from anything in them.
    fn of_text(source: &'a dyn TokenSource, t: usize) -> Windows<'a> {
        let fill = move |window: usize, (ids, targets, starts): conversations::Out| {
            copy_window(source, window * t, ids, targets);
            starts.fill(0);
        };
        Windows { n: source.n_tokens().saturating_sub(1).div_ceil(t), fill: Box::new(fill) }
    }

    /// Windows of whole conversations, in which only what the assistant says counts.
    fn of_conversations(source: &'a dyn TokenSource, turns: &'a Turns, t: usize) -> Windows<'a> {
        let packed = if source.n_tokens() > 1 { pack(source, t, None) } else { Vec::new() };
        let n = packed.len();
        Windows {
            n,
            fill: Box::new(move |window, out| conversations::copy_window(source, turns, &packed[window], out)),
        }
    }
}

/// Hands windows to `each`, in order: at most `max_windows`, spread evenly over all.
fn predict(
    network: &mut Network,
    cpu: &Cpu,
    windows: &Windows,
    max_windows: usize,
    max_rows: usize,
    each: &mut EachWindow,
) {
    let t = network.config().block_size;
    let n_taken = windows.n.min(max_windows);
    let taken: Vec<usize> = (0..n_taken).map(|i| i * windows.n / n_taken).collect();
    let n_rows = (max_rows / t).max(1) * t;
    let (mut ids, mut targets, mut starts) = (vec![0u32; n_rows], vec![0u32; n_rows], vec![0u32; n_rows]);
    for batch in taken.chunks(n_rows / t) {
        for (i, &window) in batch.iter().enumerate() {
            let at = i * t..(i + 1) * t;
            (windows.fill)(window, (&mut ids[at.clone()], &mut targets[at.clone()], &mut starts[at]));
        }
        let n = batch.len() * t;
        let sequences = Sequences { n_positions: t, starts: Some(&starts[..n]) };
        let nats = network.nats(cpu, Batch { ids: &ids[..n], targets: &targets[..n], sequences });
        for (&window, (nats, targets)) in batch.iter().zip(nats.chunks_exact(t).zip(targets.chunks_exact(t))) {
            each(window * t, nats, targets);
        }
    }
}

fn predict_by_model(model: &mut dyn LanguageModel, n_window: usize, source: &dyn TokenSource, each: &mut EachWindow) {
    let (n_targets, isa) = (source.n_tokens().saturating_sub(1), Isa::best());
    let (mut ids, mut nats) = (vec![0; n_window + 1], Vec::with_capacity(n_window));
    for start in (0..n_targets).step_by(n_window) {
        let n = n_window.min(n_targets - start);
        source.copy_tokens(start, &mut ids[..=n]);
        let (read, targets) = (&ids[..n], &ids[1..=n]);
        model.truncate(0);
        nats.clear();
        model.feed_each(read, &mut |logits| nats.push(nats_of(isa, logits, targets[nats.len()])));
        each(start, &nats, targets);
    }
}

/// Copies the window at `start`; a last, shorter one is padded with targets that do not count.
fn copy_window(source: &dyn TokenSource, start: usize, ids: &mut [u32], targets: &mut [u32]) {
    let n = ids.len().min(source.n_tokens() - 1 - start);
    source.copy_tokens(start, &mut ids[..n]);
    source.copy_tokens(start + 1, &mut targets[..n]);
    ids[n..].fill(0);
    targets[n..].fill(IGNORED);
}

fn weigh(nats: &[f32], targets: &[u32], token_bytes: &[u32]) -> Cost {
    let mut cost = Cost::default();
    nats.iter().zip(targets).filter(|&(_, &t)| t != IGNORED).for_each(|(&n, &t)| cost.add(n, t, token_bytes));
    cost
}

/// The whole of which `parts` are the parts, with a standard error from the differences between them.
fn summarise(parts: &[Cost]) -> Option<Evaluation> {
    let nats: f64 = parts.iter().map(|p| p.nats).sum();
    let n_bytes: u64 = parts.iter().map(|p| p.n_bytes).sum();
    let n_tokens: usize = parts.iter().map(|p| p.n_tokens).sum();
    if n_bytes == 0 {
        return None;
    }
    let nats_per_byte = nats / n_bytes as f64;
    // A ratio estimate: the residual of each part from the common ratio (Cochran, Sampling Techniques, 6.4).
    let square: f64 = parts.iter().map(|p| (p.nats - nats_per_byte * p.n_bytes as f64).powi(2)).sum();
    let n = parts.len() as f64;
    let spread = if parts.len() > 1 { (square * n / (n - 1.0)).sqrt() / n_bytes as f64 } else { 0.0 };
    Some(Evaluation {
        bits_per_byte: nats_per_byte / std::f64::consts::LN_2,
        standard_error: spread / std::f64::consts::LN_2,
        nats_per_token: nats / n_tokens as f64,
        n_tokens,
        n_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Preset};

    fn zero_network() -> (Config, Network) {
        let config = Config { n_layer: 1, vocab_size: 16, block_size: 8, ..Preset::Nano.config(16, 8) };
        let weights = vec![0.0; config.n_params()];
        (config.clone(), Network::new(&config, &weights, 32))
    }

    #[test]
    fn a_model_that_knows_nothing_pays_the_logarithm_of_the_vocabulary_for_every_token() {
        let (_, mut network) = zero_network();
        let source: Vec<u32> = (0..45u32).map(|i| i % 16).collect();
        let found = evaluate(&mut network, &Cpu::new(1), (&source, None), &[2; 16], usize::MAX, 32).unwrap();
        // 44 predictions of 4 bits for 88 bytes.
        assert_eq!((found.n_tokens, found.n_bytes), (44, 88));
        assert!((found.bits_per_byte - 2.0).abs() < 1e-6, "{found:?}");
        assert!(found.standard_error < 1e-6);
    }

    #[test]
    fn fewer_windows_are_spread_and_nothing_to_predict_is_none() {
        let (_, mut network) = zero_network();
        let source: Vec<u32> = vec![1; 81];
        let found = evaluate(&mut network, &Cpu::new(1), (&source, None), &[1; 16], 3, 16).unwrap();
        assert_eq!(found.n_tokens, 24);
        assert_eq!(evaluate(&mut network, &Cpu::new(1), (&vec![1u32], None), &[1; 16], 3, 16), None);
    }

    /// A network whose predictions differ from token to token, and a text of documents of differing lengths.
    fn spread_network() -> Network {
        let (config, _) = zero_network();
        let weights: Vec<f32> = crate::model::initial_weights(&config, 5).iter().map(|w| w * 20.0).collect();
        Network::new(&config, &weights, 32)
    }

    fn documents(lengths: &[usize]) -> (Vec<u32>, Vec<usize>) {
        let (mut ids, mut starts) = (Vec::new(), Vec::new());
        for n in lengths {
            starts.push(ids.len());
            ids.push(0); // the token that ends a text
            ids.extend((0..*n as u32).map(|i| 1 + (i * i + *n as u32) % 15));
        }
        (ids, starts)
    }

    const TOKEN_BYTES: [u32; 16] = [0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3];

    #[test]
    fn the_sums_of_the_documents_are_those_of_the_whole_wherever_windows_end() {
        let (cpu, mut network) = (Cpu::new(1), spread_network());
        let (ids, starts) = documents(&[3, 17, 1, 7, 8, 40, 2]);
        let whole = evaluate(&mut network, &cpu, (&ids, None), &TOKEN_BYTES, usize::MAX, 16).unwrap();
        let mut n_told = 0;
        let found = evaluate_by_document(&mut network, &cpu, &ids, &TOKEN_BYTES, &starts, 16, &mut |n| n_told += n);
        let found = found.unwrap();
        assert_eq!(n_told, ids.len() - 1);
        assert_eq!(found.over, Over::Documents(7));
        assert_eq!((found.whole.n_tokens, found.whole.n_bytes), (whole.n_tokens, whole.n_bytes));
        assert!((found.whole.bits_per_byte - whole.bits_per_byte).abs() < 1e-12);
        // Each document has its own tokens and the one that ends it, which the last does not have.
        assert_eq!(found.documents.iter().map(|d| d.n_tokens).collect::<Vec<_>>(), [4, 18, 2, 8, 9, 41, 2]);
        for (cost, range) in found.documents.iter().zip(starts.windows(2)) {
            let n_bytes: u32 = ids[range[0]..range[1]].iter().map(|&id| TOKEN_BYTES[id as usize]).sum();
            assert_eq!(cost.n_bytes, n_bytes as u64);
        }
    }

    #[test]
    fn the_standard_error_is_that_of_a_ratio_over_documents() {
        let (ids, starts) = documents(&[5, 30, 12]);
        let (cpu, mut network) = (Cpu::new(1), spread_network());
        let found = evaluate_by_document(&mut network, &cpu, &ids, &TOKEN_BYTES, &starts, 32, &mut |_| {}).unwrap();
        let (bits, n_bytes) = (found.whole.bits_per_byte, found.whole.n_bytes as f64);
        let residual = |d: &Cost| (d.bits_per_byte() - bits) * d.n_bytes as f64 / n_bytes;
        let expected = (found.documents.iter().map(|d| residual(d).powi(2)).sum::<f64>() * 3.0 / 2.0).sqrt();
        assert!(expected > 1e-3 && (found.whole.standard_error - expected).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn of_conversations_only_what_the_assistant_says_is_judged_wherever_it_stands() {
        // 0 ends a text, 1 and 2 are the marks, 3 is `assistant` and a line end.
        let turns = Turns::from_ids(1, 2, vec![3]);
        let conversation = |question: u32, answer: u32| vec![0, 1, 4, question, 2, 1, 3, answer, 2];
        let config = Config { block_size: 32, ..zero_network().0 };
        let weights: Vec<f32> = crate::model::initial_weights(&config, 5).iter().map(|w| w * 20.0).collect();
        let mut network = Network::new(&config, &weights, 32);
        let cpu = Cpu::new(1);
        let mut nats = |ids: &Vec<u32>| {
            let judged = evaluate(&mut network, &cpu, (ids, Some(&turns)), &TOKEN_BYTES, usize::MAX, 32).unwrap();
            (judged.n_tokens, judged.nats_per_token * judged.n_tokens as f64)
        };
        let (first, second) = (conversation(7, 8), conversation(9, 10));
        let alone = [&first, &second].map(|ids| nats(&[&ids[..], &[0]].concat()));
        let together = nats(&[&first[..], &second, &[0]].concat());
        assert_eq!((alone[0].0, alone[1].0, together.0), (2, 2, 4));
        assert!((alone[0].1 + alone[1].1 - together.1).abs() < 1e-4, "{alone:?} and {together:?}");
    }

    #[test]
    fn a_single_document_is_judged_by_its_windows() {
        let (ids, starts) = documents(&[50]);
        let (cpu, mut network) = (Cpu::new(1), spread_network());
        let found = evaluate_by_document(&mut network, &cpu, &ids, &TOKEN_BYTES, &starts, 32, &mut |_| {}).unwrap();
        let by_window = evaluate(&mut network, &cpu, (&ids, None), &TOKEN_BYTES, usize::MAX, 32).unwrap();
        assert_eq!((found.over, found.whole, found.documents.len()), (Over::Windows(7), by_window, 1));
        let nothing = evaluate_by_document(&mut network, &cpu, &vec![0], &TOKEN_BYTES, &[0], 32, &mut |_| {});
        assert_eq!(nothing, None);
    }
}
