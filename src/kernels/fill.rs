//! Clears a block of memory with all threads: one thread alone does not fill the memory bus.

use super::cpu::Cpu;
use super::shared::SharedSlice;

/// Sets every element of `x` to zero.
pub fn clear(cpu: &Cpu, x: &mut [f32]) {
    let (n, x) = (x.len(), SharedSlice::new(x));
    cpu.pool.for_pieces(n, 1 << 16, |_, range| {
        // SAFETY: tasks have disjoint ranges.
        unsafe { x.range(range) }.fill(0.0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_cleared_whatever_the_number_of_threads() {
        for n_threads in [1, 3] {
            let mut x = vec![1.0; (1 << 17) + 5];
            clear(&Cpu::new(n_threads), &mut x);
            assert!(x.iter().all(|&v| v == 0.0));
        }
    }
}
