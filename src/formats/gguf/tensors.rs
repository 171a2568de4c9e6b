//! The tensors that a header describes: each with a name of its own, a type that is known, and bytes of the file that
//! belong to no other.

use super::cursor::Cursor;
use super::{MAX_DIMENSIONS, MAX_NAME_BYTES, shown};
use crate::formats::blocks::{TensorType, ggml_name};
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::ops::Range;

/// Fewest bytes of a description: a name of one byte with its length, no dimension, type and offset.
pub(super) const LEAST_BYTES: usize = 8 + 1 + 4 + 4 + 8;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the header.
    pub name: String,
    /// Outermost dimension first, as everywhere in siskin (a file has them innermost first): a matrix is (rows, row
    /// length), and its rows are stored one after the other. Empty for a single number.
    pub shape: Vec<usize>,
    /// How the elements are stored.
    pub kind: TensorType,
    /// Where its bytes are in the file.
    pub range: Range<usize>,
}

impl TensorInfo {
    /// Elements of a row: the innermost dimension.
    pub fn row_len(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of rows: the product of all dimensions but the innermost.
    pub fn n_rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// Number of elements.
    pub fn n_elements(&self) -> usize {
        self.n_rows() * self.row_len()
    }
}

/// A description as it stands in the header: its offset has not been compared with the file yet.
struct Described {
    /// Where the description starts, for errors.
    at: usize,
    name: String,
    shape: Vec<usize>,
    kind: TensorType,
    n_bytes: usize,
    /// From the start of the data.
    offset: u64,
}

/// Reads `n` descriptions, the last part of the header, and finds the bytes of each tensor. Also returns the index of each
/// name.
pub(super) fn read(
    cursor: &mut Cursor,
    n: usize,
    alignment: usize,
) -> Result<(Vec<TensorInfo>, HashMap<String, usize>)> {
    let (mut described, mut names) = (Vec::new(), HashMap::new());
    for idx in 0..n {
        let tensor = Described::read(cursor).with_context(|| format!("tensor {} of {n}", idx + 1))?;
        ensure!(
            names.insert(tensor.name.clone(), idx).is_none(),
            "byte {}: a second tensor is called {}",
            tensor.at,
            shown(&tensor.name)
        );
        described.push(tensor);
    }
    let data_start = cursor.at().next_multiple_of(alignment);
    let place = |tensor: Described| tensor.place(data_start, cursor.len(), alignment);
    let tensors = described.into_iter().map(place).collect::<Result<Vec<_>>>()?;
    check_overlaps(&tensors)?;
    Ok((tensors, names))
}

impl Described {
    fn read(cursor: &mut Cursor) -> Result<Described> {
        let at = cursor.at();
        let name = cursor.string("a tensor's name", MAX_NAME_BYTES)?;
        ensure!(!name.is_empty(), "byte {at}: a tensor's name is empty");
        Described::read_rest(cursor, at, name).with_context(|| format!("tensor {}", shown(name)))
    }

    fn read_rest(cursor: &mut Cursor, at: usize, name: &str) -> Result<Described> {
        let shape = read_shape(cursor)?;
        let type_at = cursor.at();
        let kind = read_type(cursor)?;
        let n_bytes = kind.tensor_bytes(&shape).with_context(|| format!("byte {type_at}"))?;
        let offset = cursor.u64("the offset")?;
        Ok(Described { at, name: name.to_owned(), shape, kind, n_bytes, offset })
    }

    /// Finds the tensor's bytes in a file of `file_len` bytes whose data start at `data_start`.
    fn place(self, data_start: usize, file_len: usize, alignment: usize) -> Result<TensorInfo> {
        let Described { at, name, shape, kind, n_bytes, offset } = self;
        ensure!(
            offset.is_multiple_of(alignment as u64),
            "byte {at}: tensor {} has offset {offset}, which is no multiple of the alignment {alignment}",
            shown(&name)
        );
        let start = usize::try_from(offset).ok().and_then(|offset| data_start.checked_add(offset));
        let range = start.and_then(|start| Some(start..start.checked_add(n_bytes)?));
        match range.filter(|range| range.end <= file_len) {
            Some(range) => Ok(TensorInfo { name, shape, kind, range }),
            None => bail!(
                "byte {at}: tensor {} takes {n_bytes} bytes at offset {offset} of the data, which start at byte \
                 {data_start}, but the file ends at byte {file_len}: it is cut short or damaged",
                shown(&name)
            ),
        }
    }
}

/// The dimensions, outermost first. Their product is checked where the bytes are counted.
fn read_shape(cursor: &mut Cursor) -> Result<Vec<usize>> {
    let at = cursor.at();
    let n = cursor.u32("the number of dimensions")?;
    ensure!(
        n as usize <= MAX_DIMENSIONS,
        "byte {at}: the number of dimensions is {n}, above the limit of {MAX_DIMENSIONS}"
    );
    let mut shape = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let at = cursor.at();
        let dimension = cursor.u64("a dimension")?;
        ensure!(dimension > 0, "byte {at}: a dimension is 0");
        shape.push(usize::try_from(dimension).with_context(|| format!("byte {at}: a dimension is {dimension}"))?);
    }
    shape.reverse();
    Ok(shape)
}

fn read_type(cursor: &mut Cursor) -> Result<TensorType> {
    let at = cursor.at();
    let id = cursor.u32("the tensor type")?;
    TensorType::from_id(id).with_context(|| {
        let found = ggml_name(id).map_or_else(|| format!("the unknown type {id}"), str::to_owned);
        let known = TensorType::ALL.map(TensorType::name).join(", ");
        format!("byte {at}: it is stored as {found}, but {known} are what this version reads")
    })
}

fn check_overlaps(tensors: &[TensorInfo]) -> Result<()> {
    let mut by_place: Vec<&TensorInfo> = tensors.iter().collect();
    by_place.sort_by_key(|tensor| tensor.range.start);
    for pair in by_place.windows(2) {
        ensure!(
            pair[0].range.end <= pair[1].range.start,
            "byte {}: tensor {} starts within tensor {}, which takes bytes {} to {}",
            pair[1].range.start,
            shown(&pair[1].name),
            shown(&pair[0].name),
            pair[0].range.start,
            pair[0].range.end
        );
    }
    Ok(())
}
