//! Named tensors in a `.safetensors` file: reading as f32, writing as f32, one tensor at a time.
//!
//! A file is a little-endian `u64` (the length of the header), a JSON header (name to dtype, shape and byte range, and a
//! string-to-string table under `__metadata__`), then the tensors' bytes without gaps
//! (<https://huggingface.co/docs/safetensors>). Files are hostile input: the header's length is compared with the file's
//! before it is read, and every shape and range is checked, by the `safetensors` crate's own parser and against the
//! file's length, before anything is allocated from it. Nothing is mapped: a file that shrinks under a map kills the
//! process, and reading tensor by tensor needs no more memory than the weights themselves.
//!
//! This module does not know what a model is; which names and shapes are wanted is `checkpoint`'s business.

use super::blocks::TensorType;
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Longest header that is believed: a thousand layers need about 2 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Elements converted at a time; 256 KiB of f32 stay in the second-level cache.
const CHUNK: usize = 1 << 16;

/// A tensor to be written: its name, its shape, and its elements in row-major order.
#[derive(Debug, Clone)]
pub struct TensorRef<'a> {
    /// The name in the header.
    pub name: &'a str,
    /// Outermost dimension first.
    pub shape: &'a [usize],
    /// As many elements as the shape says.
    pub data: &'a [f32],
}

/// A named tensor read whole: name, shape, elements.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// An opened file whose header has been checked and whose tensors have not been read yet.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    /// The file's first byte after the header.
    data_start: u64,
    header: Metadata,
    names: Vec<String>,
}

impl Reader<BufReader<File>> {
    /// Opens `path` and checks its header; an error names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        let file = File::open(path).with_context(reading)?;
        let n_bytes = file.metadata().with_context(reading)?.len();
        Reader::new(BufReader::new(file), n_bytes).with_context(reading)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Checks the header of `source`, which holds `n_bytes` bytes and stands at the first.
    pub fn new(mut source: R, n_bytes: u64) -> Result<Reader<R>> {
        ensure!(
            n_bytes >= 8,
            "{n_bytes} bytes are too few for a safetensors file, which starts with 8 bytes of header length"
        );
        let mut length = [0; 8];
        source.read_exact(&mut length).context("the header's length cannot be read")?;
        let n_header = u64::from_le_bytes(length);
        ensure!(
            n_header <= n_bytes - 8,
            "the header claims {n_header} bytes, but only {} follow: the file is cut short or no safetensors file",
            n_bytes - 8
        );
        ensure!(
            n_header <= MAX_HEADER_BYTES,
            "the header claims {n_header} bytes, above the limit of {MAX_HEADER_BYTES}"
        );
        let mut text = vec![0; n_header as usize];
        source.read_exact(&mut text).context("the header cannot be read")?;
        let header: Metadata = serde_json::from_slice(&text).context("the header is damaged")?;
        let (wanted, found) = (header.data_len() as u64, n_bytes - 8 - n_header);
        ensure!(wanted == found, "the header describes {wanted} bytes of tensors, but the file holds {found}");
        let names = header.offset_keys();
        Ok(Reader { source, data_start: 8 + n_header, header, names })
    }

    /// The tensors' names in the order of their bytes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The shape of the tensor called `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    /// The text stored under `key` in the header's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Reads the tensor `name` into `out`, which must have exactly its number of elements. F32 keeps every bit; F16 and
    /// BF16 are widened, which is exact.
    pub fn read_into(&mut self, name: &str, out: &mut [f32]) -> Result<()> {
        let info = self.header.info(name).with_context(|| format!("the file has no tensor {name}"))?;
        ensure!(
            n_elements(info) == out.len(),
            "tensor {name} has {} elements, but {} were wanted",
            n_elements(info),
            out.len()
        );
        let (dtype, width) = match info.dtype {
            Dtype::F32 => (DType::F32, 4),
            Dtype::F16 => (DType::F16, 2),
            Dtype::BF16 => (DType::BF16, 2),
            other => bail!("tensor {name} is stored as {other}, but F32, F16 and BF16 are what this version reads"),
        };
        self.source.seek(SeekFrom::Start(self.data_start + info.data_offsets.0 as u64))?;
        let mut bytes = vec![0; CHUNK.min(out.len()) * width];
        for chunk in out.chunks_mut(CHUNK) {
            let bytes = &mut bytes[..chunk.len() * width];
            self.source.read_exact(bytes).with_context(|| format!("tensor {name} ends early"))?;
            widen(bytes, dtype, chunk).with_context(|| format!("tensor {name} cannot be converted to f32"))?;
        }
        Ok(())
    }

    /// Reads the tensor `name` whole, as it is stored: its type and its bytes.
    pub fn read_stored(&mut self, name: &str) -> Result<(TensorType, Vec<u8>)> {
        let info = self.header.info(name).with_context(|| format!("the file has no tensor {name}"))?;
        let kind = match info.dtype {
            Dtype::F32 => TensorType::F32,
            Dtype::F16 => TensorType::F16,
            Dtype::BF16 => TensorType::BF16,
            other => bail!("tensor {name} is stored as {other}, but F32, F16 and BF16 are what this version reads"),
        };
        let (first, end) = info.data_offsets;
        self.source.seek(SeekFrom::Start(self.data_start + first as u64))?;
        let mut bytes = vec![0; end - first];
        self.source.read_exact(&mut bytes).with_context(|| format!("tensor {name} ends early"))?;
        Ok((kind, bytes))
    }

    /// Reads the tensor `name` whole.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let info = self.header.info(name).with_context(|| format!("the file has no tensor {name}"))?;
        let mut data = vec![0.0; n_elements(info)];
        self.read_into(name, &mut data)?;
        Ok(data)
    }
}

/// Number of elements; the header's check has shown that the product does not overflow.
fn n_elements(info: &TensorInfo) -> usize {
    info.shape.iter().product()
}

fn widen(bytes: &[u8], dtype: DType, out: &mut [f32]) -> Result<()> {
    if dtype == DType::F32 {
        for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
            *value = f32::from_le_bytes(*bytes);
        }
    } else {
        let narrow = candle_core::Tensor::from_raw_buffer(bytes, dtype, &[out.len()], &Device::Cpu)?;
        out.copy_from_slice(&narrow.to_dtype(DType::F32)?.to_vec1()?);
    }
    Ok(())
}

/// Reads every tensor of the file at `path` as f32, in the order of their bytes.
pub fn read(path: &Path) -> Result<Vec<NamedTensor>> {
    let mut reader = Reader::open(path)?;
    let names = reader.names().to_vec();
    let mut tensors = Vec::with_capacity(names.len());
    for name in names {
        let shape = reader.shape(&name).unwrap_or_default().to_vec();
        let data = reader.read(&name).with_context(|| format!("reading {}", path.display()))?;
        tensors.push((name, shape, data));
    }
    Ok(tensors)
}

/// Writes `tensors` as F32 in the given order, with `{"format": "pt"}` and `metadata` in the header. The bytes depend on
/// nothing but the arguments, and no tensor is copied as a whole.
pub fn write(out: &mut (impl Write + ?Sized), tensors: &[TensorRef], metadata: &[(&str, &str)]) -> Result<()> {
    let header = header(tensors, metadata)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut bytes = vec![0; CHUNK * 4];
    for tensor in tensors {
        for chunk in tensor.data.chunks(CHUNK) {
            for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(chunk) {
                *bytes = value.to_le_bytes();
            }
            out.write_all(&bytes[..chunk.len() * 4])?;
        }
    }
    Ok(())
}

/// The JSON header, padded with spaces to a multiple of 8 bytes. Written here and not by the `safetensors` crate, whose
/// hash maps would put several metadata entries in another order each time.
fn header(tensors: &[TensorRef], metadata: &[(&str, &str)]) -> Result<Vec<u8>> {
    let texts: BTreeMap<&str, &str> = [("format", "pt")].iter().chain(metadata).copied().collect();
    let mut entries = Map::from_iter([("__metadata__".to_owned(), json!(texts))]);
    let mut end = 0;
    for tensor in tensors {
        let n: usize = tensor.shape.iter().product();
        assert_eq!(
            n,
            tensor.data.len(),
            "{} has shape {:?}, but {} elements",
            tensor.name,
            tensor.shape,
            tensor.data.len()
        );
        let entry = json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [end, end + 4 * n]});
        ensure!(entries.insert(tensor.name.to_owned(), entry).is_none(), "two tensors are called {}", tensor.name);
        end += 4 * n;
    }
    let mut text = serde_json::to_vec(&entries)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;
    use safetensors::tensor::TensorView;
    use std::io::Cursor;

    fn parse(bytes: &[u8]) -> Result<Vec<NamedTensor>> {
        let mut reader = Reader::new(Cursor::new(bytes), bytes.len() as u64)?;
        let names = reader.names().to_vec();
        names
            .into_iter()
            .map(|name| Ok((name.clone(), reader.shape(&name).unwrap().to_vec(), reader.read(&name)?)))
            .collect()
    }

    fn valid_file() -> Vec<u8> {
        let mut bytes = Vec::new();
        let tensors = [
            TensorRef { name: "b", shape: &[2, 3], data: &[1.0, -0.0, f32::MIN_POSITIVE, f32::INFINITY, 5.5, -6.0] },
            TensorRef { name: "a", shape: &[2], data: &[7.0, 8.0] },
            TensorRef { name: "empty", shape: &[0], data: &[] },
        ];
        write(&mut bytes, &tensors, &[("progress", "{\"step\":3}")]).unwrap();
        bytes
    }

    fn with_header(header: &str, n_data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + n_data, 0);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back_bit_for_bit() {
        let nan = f32::from_bits(0x7fc0_1234);
        let data: Vec<f32> =
            (0..3 * CHUNK as u32 / 2).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))).chain([nan]).collect();
        let mut bytes = Vec::new();
        write(&mut bytes, &[TensorRef { name: "x", shape: &[data.len()], data: &data }], &[("k", "v")]).unwrap();
        let mut reader = Reader::new(Cursor::new(&bytes), bytes.len() as u64).unwrap();
        let back = reader.read("x").unwrap();
        assert!(data.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(
            (reader.metadata("k"), reader.metadata("format"), reader.metadata("no")),
            (Some("v"), Some("pt"), None)
        );
    }

    #[test]
    fn the_reference_crate_reads_what_is_written_and_the_tensors_are_aligned() {
        let bytes = valid_file();
        let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(reference.tensor("a").unwrap().data(), [7.0f32, 8.0].map(f32::to_le_bytes).concat());
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
    }

    #[test]
    fn half_precision_is_widened_exactly() {
        let bf16 = [0x3f80u16, 0xc000, 0x7f80].map(u16::to_le_bytes).concat(); // 1, -2, infinity
        let f16 = [0x3c00u16, 0xc000, 0x0001].map(u16::to_le_bytes).concat(); // 1, -2, the smallest subnormal
        let views = [
            ("bf16", TensorView::new(Dtype::BF16, vec![3], &bf16).unwrap()),
            ("f16", TensorView::new(Dtype::F16, vec![3], &f16).unwrap()),
        ];
        let bytes = safetensors::serialize(views, None).unwrap();
        for (name, _, data) in parse(&bytes).unwrap() {
            let third = if name == "bf16" { f32::INFINITY } else { 2f32.powi(-24) };
            assert_eq!(data, [1.0, -2.0, third], "{name}");
        }
    }

    #[test]
    fn hostile_headers_are_errors_that_say_what_is_wrong() {
        let tensor = |shape: &str, offsets: &str| {
            format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let cases: [(Vec<u8>, &str); 11] = [
            (vec![], "too few"),
            (vec![1, 2, 3], "too few"),
            (u64::MAX.to_le_bytes().to_vec(), "only 0 follow"),
            (with_header("", 0), "damaged"),
            (with_header("{", 0), "damaged"),
            (with_header(&"[".repeat(100_000), 0), "damaged"),
            (with_header(&tensor("[4]", "[0,16]"), 15), "holds 15"),
            (with_header(&tensor("[4]", "[0,16]"), 17), "holds 17"),
            (with_header(&tensor("[5]", "[0,16]"), 16), "damaged"),
            (with_header(&tensor("[4294967296,4294967296,4294967296]", "[0,0]"), 0), "damaged"),
            (with_header(&tensor("[4]", "[16,0]"), 16), "damaged"),
        ];
        for (bytes, words) in cases {
            let message = format!("{:#}", parse(&bytes).unwrap_err());
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
        let integers = with_header(r#"{"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, 8);
        assert!(parse(&integers).unwrap_err().to_string().contains("stored as I64"));
    }

    #[test]
    fn no_mutation_of_a_valid_file_panics() {
        let valid = valid_file();
        let mut random = Random::new(11, 0);
        let mut n_errors = 0;
        for _ in 0..5000 {
            let mut bytes = valid.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(4) {
                    0 => bytes[at] = random.next_u64() as u8,
                    1 => bytes[at] = b"0123456789[]{},:\""[random.below(17) as usize],
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b'9'),
                }
            }
            n_errors += usize::from(parse(&bytes).is_err());
        }
        assert!(n_errors > 2500, "only {n_errors} of 5000 mutations were noticed");
    }
}
