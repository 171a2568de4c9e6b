//! The kernels' reading of quantized blocks against that of the file formats, and what quantized products lose.

use siskin::formats::blocks::{TensorType, dequantize, quantize};
use siskin::inference::weight_type;
use siskin::kernels::Cpu;
use siskin::kernels::quantized::PackedMatrix;
use siskin::kernels::random::Random;

#[test]
fn a_packed_row_has_the_values_of_the_file() {
    let (n_rows, n_columns) = (37, 768);
    let mut random = Random::new(4, 4);
    let values: Vec<f32> = (0..n_rows * n_columns).map(|_| random.normal() as f32).collect();
    for kind in TensorType::ALL {
        let mut bytes = vec![0; n_rows * kind.row_bytes(n_columns).unwrap()];
        quantize(kind, &values, &mut bytes).unwrap();
        let mut wanted = vec![0.0; values.len()];
        dequantize(kind, &bytes, &mut wanted);
        let packed = PackedMatrix::pack(&Cpu::new(2), weight_type(kind), n_rows, n_columns, &bytes);
        for (row, wanted) in wanted.chunks(n_columns).enumerate() {
            let mut found = vec![0.0; n_columns];
            packed.row(row, &mut found);
            assert_eq!(found, wanted, "{kind} row {row}");
        }
        let allowed = match kind {
            // A byte for each scale, where the file has six bits.
            TensorType::Q4_K | TensorType::Q5_K => 148.0 / 144.0,
            // 32 bytes in 3,392 to keep entries on cache lines.
            TensorType::Q6_K => 212.0 / 210.0,
            _ => 1.0,
        };
        let tiles = n_rows.next_multiple_of(16) as f64 / n_rows as f64;
        let most = bytes.len() as f64 * tiles * allowed;
        assert!(packed.n_bytes() as f64 <= most + 1e-6, "{kind}: {} bytes packed, {most} wanted", packed.n_bytes());
    }
}
