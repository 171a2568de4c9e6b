//! Which precision the matrix products of training use: as asked for, or the faster one on this machine.
//!
//! Which is faster differs. An AMD Zen 4 core multiplies twice as many bf16 numbers as f32 numbers in a cycle. An Intel
//! Emerald Rapids core whose AMX units are hidden (as in many virtual machines) has one port for `vdpbf16ps` and two for
//! f32 and f16 multiply-adds: it was measured at 86 GFLOP/s in bf16, 176 in f32 and 364 in f16. So all are timed.

use super::bench::ceiling_gflops;
use crate::kernels::Cpu;
use crate::kernels::gemm::Precision;
use anyhow::{Result, bail};

/// Halves must be so much faster before they are chosen: operands are rounded, and packing them costs conversions.
const WORTH: f64 = 1.2;

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionChoice {
    /// The faster one.
    #[default]
    Auto,
    /// This one.
    Only(Precision),
}

impl PrecisionChoice {
    /// The names that can be typed, the default first.
    pub const NAMES: [&'static str; 4] = ["auto", "f32", "bf16", "f16"];

    /// The choice of that name.
    pub fn named(name: &str) -> Option<PrecisionChoice> {
        match name {
            "auto" => Some(PrecisionChoice::Auto),
            "f32" => Some(PrecisionChoice::Only(Precision::F32)),
            "bf16" => Some(PrecisionChoice::Only(Precision::Bf16)),
            "f16" => Some(PrecisionChoice::Only(Precision::F16)),
            _ => None,
        }
    }

    /// The precision to use on `cpu`. Times each for some milliseconds where the choice is open; an error where the CPU
    /// cannot do what was asked for.
    pub fn resolve(self, cpu: &Cpu) -> Result<Precision> {
        match self {
            PrecisionChoice::Only(precision) if precision.is_available(cpu.isa) => Ok(precision),
            PrecisionChoice::Only(precision) => bail!(
                "--precision {name} needs a CPU with AVX-512 {}, but this one offers {}: use --precision f32",
                if precision == Precision::F16 { "FP16" } else { "BF16" },
                cpu.isa.name(),
                name = precision.name()
            ),
            PrecisionChoice::Auto => Ok(faster(cpu)),
        }
    }
}

fn faster(cpu: &Cpu) -> Precision {
    let halves: Vec<_> = [Precision::Bf16, Precision::F16].into_iter().filter(|p| p.is_available(cpu.isa)).collect();
    if halves.is_empty() {
        return Precision::F32;
    }
    let mut best = (Precision::F32, WORTH * ceiling_gflops(cpu, Precision::F32));
    for precision in halves {
        let gflops = ceiling_gflops(cpu, precision);
        if gflops >= best.1 {
            best = (precision, gflops);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Isa;

    #[test]
    fn every_name_is_a_choice_and_the_first_is_the_default() {
        let choices = PrecisionChoice::NAMES.map(|name| PrecisionChoice::named(name).unwrap());
        assert_eq!(choices[0], PrecisionChoice::default());
        assert_eq!(PrecisionChoice::named("f64"), None);
    }

    #[test]
    fn what_the_cpu_cannot_do_is_an_error_that_names_the_way_out() {
        let cpu = Cpu::with_isa(1, Isa::Scalar);
        assert_eq!(PrecisionChoice::Auto.resolve(&cpu).unwrap(), Precision::F32);
        let message = PrecisionChoice::Only(Precision::Bf16).resolve(&cpu).unwrap_err().to_string();
        assert!(message.contains("bf16") && message.contains("--precision f32"), "{message}");
    }
}
