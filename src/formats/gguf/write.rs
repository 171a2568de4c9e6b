//! Writing a file: first everything that the header says, then the tensors' bytes as they come, in the same order.
//!
//! The header holds every tensor's size and place, so that all are known before the first byte is written; the bytes
//! themselves may be made one row at a time. What the reader would refuse is refused here.

use super::value::{Value, ValueType};
use super::{
    ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC, MAX_DIMENSIONS, MAX_KEY_BYTES, MAX_NAME_BYTES, VERSION, check_alignment,
    shown,
};
use crate::formats::blocks::TensorType;
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::io::Write;

/// The header of a file to be written.
#[derive(Debug)]
pub struct Writer {
    alignment: usize,
    /// The entries as they will stand in the file.
    entries: Vec<u8>,
    keys: HashSet<String>,
    tensors: Vec<Planned>,
    names: HashSet<String>,
    /// Offset of the next tensor from the start of the data.
    next_offset: usize,
}

#[derive(Debug)]
struct Planned {
    name: String,
    shape: Vec<usize>,
    kind: TensorType,
    offset: usize,
    n_bytes: usize,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer {
            alignment: DEFAULT_ALIGNMENT,
            entries: Vec::new(),
            keys: HashSet::new(),
            tensors: Vec::new(),
            names: HashSet::new(),
            next_offset: 0,
        }
    }
}

impl Writer {
    /// A header without entries and tensors, and with the default alignment of 32.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// The same with another alignment, a power of two from 8 to [`super::MAX_ALIGNMENT`], which the file will say.
    pub fn with_alignment(alignment: usize) -> Result<Writer> {
        check_alignment(alignment)?;
        let mut writer = Writer::new();
        writer.append(ALIGNMENT_KEY, ValueType::U32, |out| (alignment as u32).encode(out))?;
        writer.alignment = alignment;
        Ok(writer)
    }

    /// Adds an entry; its type in the file is that of `value`. Fails on a key that is there already, is empty or is too
    /// long, and on `general.alignment`, which [`Writer::with_alignment`] sets.
    pub fn set<T: Encode + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        ensure!(key != ALIGNMENT_KEY, "the alignment is chosen when the writer is made");
        self.append(key, T::TYPE, |out| value.encode(out))
    }

    /// Adds an entry as another file has it. Fails as [`Writer::set`] does.
    pub fn set_value(&mut self, key: &str, value: &Value) -> Result<()> {
        ensure!(key != ALIGNMENT_KEY, "the alignment is chosen when the writer is made");
        self.append(key, value.kind(), |out| encode_value(value, out))
    }

    fn append(&mut self, key: &str, kind: ValueType, value: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        ensure!(
            (1..=MAX_KEY_BYTES).contains(&key.len()),
            "metadata key {} has {} bytes, but 1 to {MAX_KEY_BYTES} are allowed",
            shown(key),
            key.len()
        );
        ensure!(self.keys.insert(key.to_owned()), "metadata key {} is set a second time", shown(key));
        key.encode(&mut self.entries);
        kind.id().encode(&mut self.entries);
        value(&mut self.entries);
        Ok(())
    }

    /// Adds a tensor of `shape`, outermost dimension first. Fails on a name that is there already, is empty or is longer
    /// than llama.cpp reads (63 bytes), and on a shape that the type or the format cannot hold.
    pub fn add_tensor(&mut self, name: &str, shape: &[usize], kind: TensorType) -> Result<()> {
        // llama.cpp keeps a name with a zero behind it in as many bytes as the format allows for the name alone.
        const MOST: usize = MAX_NAME_BYTES - 1;
        ensure!(
            (1..=MOST).contains(&name.len()),
            "tensor name {} has {} bytes, but 1 to {MOST} are allowed",
            shown(name),
            name.len()
        );
        ensure!(
            shape.len() <= MAX_DIMENSIONS && shape.iter().all(|&n| n > 0),
            "tensor {} has shape {shape:?}, but up to {MAX_DIMENSIONS} dimensions from 1 on are allowed",
            shown(name)
        );
        let n_bytes = kind.tensor_bytes(shape).with_context(|| format!("tensor {}", shown(name)))?;
        let offset = self.next_offset;
        let end = offset.checked_add(n_bytes).and_then(|end| end.checked_next_multiple_of(self.alignment));
        let end = end.with_context(|| format!("tensor {} makes the file too large", shown(name)))?;
        ensure!(self.names.insert(name.to_owned()), "a second tensor is called {}", shown(name));
        self.next_offset = end;
        self.tensors.push(Planned { name: name.to_owned(), shape: shape.to_owned(), kind, offset, n_bytes });
        Ok(())
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> usize {
        self.header().len() + self.next_offset
    }

    /// Writes the header to `out`; the tensors' bytes follow through what is returned.
    pub fn start<W: Write>(self, mut out: W) -> Result<Body<W>> {
        out.write_all(&self.header()).context("writing the header")?;
        Ok(Body { out, alignment: self.alignment, tensors: self.tensors, idx: 0, n_written: 0 })
    }

    /// Everything before the data, padded to the alignment.
    fn header(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        VERSION.encode(&mut out);
        (self.tensors.len() as u64).encode(&mut out);
        (self.keys.len() as u64).encode(&mut out);
        out.extend_from_slice(&self.entries);
        for tensor in &self.tensors {
            tensor.name.encode(&mut out);
            (tensor.shape.len() as u32).encode(&mut out);
            for &dimension in tensor.shape.iter().rev() {
                (dimension as u64).encode(&mut out);
            }
            tensor.kind.id().encode(&mut out);
            (tensor.offset as u64).encode(&mut out);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out
    }
}

/// The part of a file behind its header, as it is written.
#[derive(Debug)]
pub struct Body<W> {
    out: W,
    alignment: usize,
    tensors: Vec<Planned>,
    /// The tensor that is being written, and how much of it has been.
    idx: usize,
    n_written: usize,
}

impl<W: Write> Body<W> {
    /// Appends `bytes` to the tensor `name`: the whole of it, or the next part. Tensors come in the order in which they
    /// were added. Fails on any other tensor and on more bytes than it takes.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let tensor = self.tensors.get(self.idx);
        let tensor = tensor.with_context(|| format!("tensor {} comes after the last", shown(name)))?;
        ensure!(tensor.name == name, "tensor {} comes where {} is due", shown(name), shown(&tensor.name));
        let n_left = tensor.n_bytes - self.n_written;
        ensure!(bytes.len() <= n_left, "{} bytes for tensor {}, which lacks {n_left}", bytes.len(), shown(name));
        self.out.write_all(bytes).with_context(|| format!("writing tensor {}", shown(name)))?;
        self.n_written += bytes.len();
        if self.n_written == tensor.n_bytes {
            let n_padding = tensor.n_bytes.next_multiple_of(self.alignment) - tensor.n_bytes;
            self.out.write_all(&vec![0; n_padding]).context("writing the padding")?;
            (self.idx, self.n_written) = (self.idx + 1, 0);
        }
        Ok(())
    }

    /// Ends the file. Fails where a tensor lacks bytes.
    pub fn finish(mut self) -> Result<W> {
        if let Some(tensor) = self.tensors.get(self.idx) {
            anyhow::bail!("tensor {} lacks {} bytes", shown(&tensor.name), tensor.n_bytes - self.n_written);
        }
        self.out.flush().context("writing the last bytes")?;
        Ok(self.out)
    }
}

/// What can be the value of an entry: numbers, `bool`, text, and slices and vectors of those.
pub trait Encode {
    /// The type in the file.
    const TYPE: ValueType;

    /// Appends the value as it stands in a file.
    fn encode(&self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($number:ident $kind:ident),*) => {$(
        impl Encode for $number {
            const TYPE: ValueType = ValueType::$kind;

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

numbers!(u8 U8, i8 I8, u16 U16, i16 I16, u32 U32, i32 I32, f32 F32, u64 U64, i64 I64, f64 F64);

impl Encode for bool {
    const TYPE: ValueType = ValueType::Bool;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }
}

impl Encode for str {
    const TYPE: ValueType = ValueType::String;

    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u64).encode(out);
        out.extend_from_slice(self.as_bytes());
    }
}

impl Encode for String {
    const TYPE: ValueType = ValueType::String;

    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    const TYPE: ValueType = T::TYPE;

    fn encode(&self, out: &mut Vec<u8>) {
        (*self).encode(out);
    }
}

impl<T: Encode> Encode for [T] {
    const TYPE: ValueType = ValueType::Array;

    fn encode(&self, out: &mut Vec<u8>) {
        T::TYPE.id().encode(out);
        (self.len() as u64).encode(out);
        for element in self {
            element.encode(out);
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    const TYPE: ValueType = ValueType::Array;

    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::U8(value) => value.encode(out),
        Value::I8(value) => value.encode(out),
        Value::U16(value) => value.encode(out),
        Value::I16(value) => value.encode(out),
        Value::U32(value) => value.encode(out),
        Value::I32(value) => value.encode(out),
        Value::F32(value) => value.encode(out),
        Value::Bool(value) => value.encode(out),
        Value::String(value) => value.encode(out),
        Value::U64(value) => value.encode(out),
        Value::I64(value) => value.encode(out),
        Value::F64(value) => value.encode(out),
        Value::Array(array) => {
            array.element_type().id().encode(out);
            (array.len() as u64).encode(out);
            out.extend_from_slice(array.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Gguf, MAX_ALIGNMENT};
    use super::*;
    use crate::formats::blocks;

    /// Entries of every type, and tensors whose bytes do not fill the alignment.
    fn example(mut writer: Writer) -> Vec<u8> {
        writer.set("u8", &200u8).unwrap();
        writer.set("i8", &-100i8).unwrap();
        writer.set("u16", &60_000u16).unwrap();
        writer.set("i16", &-30_000i16).unwrap();
        writer.set("u32", &4_000_000_000u32).unwrap();
        writer.set("i32", &-2_000_000_000i32).unwrap();
        writer.set("u64", &u64::MAX).unwrap();
        writer.set("i64", &i64::MIN).unwrap();
        writer.set("f32", &f32::MIN_POSITIVE).unwrap();
        writer.set("f64", &f64::MAX).unwrap();
        writer.set("bool", &true).unwrap();
        writer.set("text", "na\u{ef}ve \u{1f426}").unwrap();
        writer.set("texts", &["a", "", "b\0c"][..]).unwrap();
        writer.set("nested", &vec![vec![1u8, 2], vec![], vec![3]]).unwrap();
        writer.set("empty", &Vec::<f32>::new()).unwrap();
        writer.add_tensor("first", &[3, 1], TensorType::F32).unwrap();
        writer.add_tensor("second", &[2, 1, 2, 32], TensorType::Q8_0).unwrap();
        writer.add_tensor("scalar", &[], TensorType::F16).unwrap();
        let n_bytes = writer.file_bytes();
        let mut body = writer.start(Vec::new()).unwrap();
        body.write("first", &[1; 12]).unwrap();
        body.write("second", &[2; 100]).unwrap();
        body.write("second", &[3; 36]).unwrap();
        body.write("scalar", &[4; 2]).unwrap();
        let bytes = body.finish().unwrap();
        assert_eq!(bytes.len(), n_bytes);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        for alignment in [8, 32, 256, MAX_ALIGNMENT] {
            let bytes = example(Writer::with_alignment(alignment).unwrap());
            let gguf = Gguf::parse(&bytes).unwrap();
            assert_eq!((gguf.version(), gguf.alignment(), bytes.len() % alignment), (3, alignment, 0));
            let metadata = gguf.metadata();
            assert_eq!(metadata.get("u8"), Some(Value::U8(200)));
            assert_eq!(metadata.get("i8"), Some(Value::I8(-100)));
            assert_eq!(metadata.get("u16"), Some(Value::U16(60_000)));
            assert_eq!(metadata.get("i16"), Some(Value::I16(-30_000)));
            assert_eq!(metadata.get("u32"), Some(Value::U32(4_000_000_000)));
            assert_eq!(metadata.get("i32"), Some(Value::I32(-2_000_000_000)));
            assert_eq!(metadata.get("u64"), Some(Value::U64(u64::MAX)));
            assert_eq!(metadata.get("i64"), Some(Value::I64(i64::MIN)));
            assert_eq!(metadata.get("f32"), Some(Value::F32(f32::MIN_POSITIVE)));
            assert_eq!(metadata.get("f64"), Some(Value::F64(f64::MAX)));
            assert_eq!(metadata.get("bool"), Some(Value::Bool(true)));
            assert_eq!(metadata.get("text"), Some(Value::String("na\u{ef}ve \u{1f426}")));
            assert_eq!(metadata.want::<Vec<&str>>("texts").unwrap(), ["a", "", "b\0c"]);
            assert_eq!(metadata.want::<Vec<Vec<u8>>>("nested").unwrap(), [vec![1, 2], vec![], vec![3]]);
            assert!(metadata.want::<Vec<f32>>("empty").unwrap().is_empty());
            let tensors = gguf.tensors();
            assert_eq!(tensors.len(), 3);
            for (tensor, (shape, bytes)) in tensors.iter().zip([
                (vec![3, 1], vec![1; 12]),
                (vec![2, 1, 2, 32], [[2; 100].as_slice(), &[3; 36]].concat()),
                (vec![], vec![4; 2]),
            ]) {
                assert_eq!((&tensor.shape, gguf.bytes(tensor)), (&shape, &bytes[..]), "{}", tensor.name);
                assert_eq!(tensor.range.start % alignment, 0, "{}", tensor.name);
            }
        }
    }

    #[test]
    fn entries_of_another_file_are_copied_byte_for_byte() {
        let bytes = example(Writer::new());
        let gguf = Gguf::parse(&bytes).unwrap();
        let mut copy = Writer::new();
        for (key, value) in gguf.metadata().iter() {
            copy.set_value(key, &value).unwrap();
        }
        for tensor in gguf.tensors() {
            copy.add_tensor(&tensor.name, &tensor.shape, tensor.kind).unwrap();
        }
        let mut body = copy.start(Vec::new()).unwrap();
        for tensor in gguf.tensors() {
            body.write(&tensor.name, gguf.bytes(tensor)).unwrap();
        }
        assert!(body.finish().unwrap() == bytes);
    }

    #[test]
    fn the_file_of_ggmls_own_package_is_written_byte_for_byte() {
        // Made by tests/fixtures/gguf/make_reference.py, which has the same entries and the same formula.
        let reference = include_bytes!("../../../tests/fixtures/gguf/reference.gguf");
        let mut writer = Writer::new();
        writer.set("general.architecture", "llama").unwrap();
        writer.set("general.name", "reference").unwrap();
        writer.set("llama.context_length", &2048u32).unwrap();
        writer.set("llama.rope.freq_base", &10_000f32).unwrap();
        writer.set("tokenizer.ggml.tokens", &["<unk>", "<0x0A>", "\u{2581}the"][..]).unwrap();
        writer.set("tokenizer.ggml.scores", &[0f32, -1.5, -2.0][..]).unwrap();
        writer.set("tokenizer.ggml.add_bos_token", &true).unwrap();
        let x: Vec<f32> = (0..3 * 64).map(|i| ((i * i * 7919 + i * 104_729) % 4093 - 2046) as f32 / 1024.0).collect();
        let types = TensorType::ALL.into_iter().filter(|kind| kind.block_len() <= 32);
        for kind in types.clone() {
            writer.add_tensor(kind.name(), &[3, 64], kind).unwrap();
        }
        let mut body = writer.start(Vec::new()).unwrap();
        for kind in types {
            let mut bytes = vec![0; kind.tensor_bytes(&[3, 64]).unwrap()];
            blocks::quantize(kind, &x, &mut bytes).unwrap();
            let expected = Gguf::parse(reference).unwrap();
            assert!(bytes == expected.bytes(expected.tensor(kind.name()).unwrap()), "{kind}");
            body.write(kind.name(), &bytes).unwrap();
        }
        assert!(body.finish().unwrap() == reference);
    }

    #[test]
    fn what_a_reader_would_refuse_is_not_written() {
        let mut writer = Writer::new();
        writer.set("key", &1u8).unwrap();
        writer.add_tensor("t", &[32], TensorType::Q8_0).unwrap();
        let cases = [
            (Writer::with_alignment(12).map(|_| ()), "the alignment is 12"),
            (writer.set("key", &2u8), "\"key\" is set a second time"),
            (writer.set("", &2u8), "has 0 bytes"),
            (writer.set(&"k".repeat(70_000), &2u8), "has 70000 bytes, but 1 to 65535"),
            (writer.set(ALIGNMENT_KEY, &64u32), "chosen when the writer is made"),
            (writer.add_tensor("t", &[1], TensorType::F32), "a second tensor is called \"t\""),
            (writer.add_tensor("", &[1], TensorType::F32), "has 0 bytes"),
            (writer.add_tensor(&"t".repeat(64), &[1], TensorType::F32), "has 64 bytes, but 1 to 63"),
            (writer.add_tensor("u", &[1; 5], TensorType::F32), "up to 4 dimensions"),
            (writer.add_tensor("u", &[0], TensorType::F32), "from 1 on"),
            (writer.add_tensor("u", &[33], TensorType::Q4_0), "a row of 33 elements cannot be Q4_0"),
            (writer.add_tensor("u", &[usize::MAX / 4], TensorType::F32), "makes the file too large"),
        ];
        for (result, words) in cases {
            let message = format!("{:#}", result.unwrap_err());
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }

    #[test]
    fn tensors_come_in_order_and_whole() {
        let mut writer = Writer::new();
        writer.add_tensor("a", &[8], TensorType::F32).unwrap();
        writer.add_tensor("b", &[8], TensorType::F32).unwrap();
        let mut body = writer.start(Vec::new()).unwrap();
        assert!(body.write("b", &[0; 32]).unwrap_err().to_string().contains("\"b\" comes where \"a\" is due"));
        body.write("a", &[0; 30]).unwrap();
        assert!(body.write("a", &[0; 3]).unwrap_err().to_string().contains("which lacks 2"));
        body.write("a", &[0; 2]).unwrap();
        body.write("b", &[0; 31]).unwrap();
        assert!(body.finish().unwrap_err().to_string().contains("\"b\" lacks 1 bytes"));
        let mut empty = Writer::new().start(Vec::new()).unwrap();
        assert!(empty.write("a", &[]).unwrap_err().to_string().contains("after the last"));
    }
}
