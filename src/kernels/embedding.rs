//! The embedding: rows of a table by token id, and the gradient that adds rows back.

use super::cpu::Cpu;
use super::shared::SharedSlice;

/// x (N, C) = rows `ids` of `table` (V, C).
pub fn gather(cpu: &Cpu, table: &[f32], ids: &[u32], x: &mut [f32]) {
    let c = x.len() / ids.len().max(1);
    let x = SharedSlice::new(x);
    cpu.pool.for_pieces(ids.len(), 256, |_, rows| {
        for row in rows {
            let id = ids[row] as usize;
            // SAFETY: tasks have disjoint rows.
            unsafe { x.range(row * c..(row + 1) * c) }.copy_from_slice(&table[id * c..(id + 1) * c]);
        }
    });
}

/// `d_table` (V, C) += `dx` (N, C) at rows `ids`. Tasks divide the columns, so that every row is added to in the order
/// of the ids whatever the number of threads.
pub fn scatter_add(cpu: &Cpu, ids: &[u32], dx: &[f32], d_table: &mut [f32]) {
    let c = dx.len() / ids.len().max(1);
    let d_table = SharedSlice::new(d_table);
    cpu.pool.for_pieces(c, 64, |_, columns| {
        for (row, &id) in ids.iter().enumerate() {
            let at = id as usize * c;
            // SAFETY: tasks have disjoint columns.
            let target = unsafe { d_table.range(at + columns.start..at + columns.end) };
            for (t, g) in target.iter_mut().zip(&dx[row * c + columns.start..row * c + columns.end]) {
                *t += g;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{check, noise};
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences_also_for_repeated_ids() {
        let cpu = Cpu::new(2);
        let (ids, c) = ([4, 1, 4, 0], 70);
        let (table, dx) = (noise(5 * c, 1), noise(ids.len() * c, 2));
        let mut d_table = vec![0.0; table.len()];
        scatter_add(&cpu, &ids, &dx, &mut d_table);
        check("table", &table, &d_table, &dx, |table| {
            let mut x = vec![0.0; ids.len() * c];
            gather(&cpu, table, &ids, &mut x);
            x
        });
    }
}
