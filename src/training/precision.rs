//! Which precision the matrix products of training use: as asked for, or the faster one on this machine.
//!
//! bf16 is not always faster. An AMD Zen 4 core multiplies twice as many bf16 pairs as f32 numbers in a cycle; an Intel
//! Emerald Rapids core whose AMX units are hidden (as in many virtual machines) has one port for `vdpbf16ps` and two for
//! f32 multiply-adds, and was measured at 86 GFLOP/s a core in bf16 and 176 in f32. So both are timed.

use super::bench::ceiling_gflops;
use crate::kernels::Cpu;
use crate::kernels::gemm::Precision;
use anyhow::{Result, bail};

/// bf16 must be so much faster before it is chosen: its operands are rounded, and packing them costs conversions.
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
    pub const NAMES: [&'static str; 3] = ["auto", "f32", "bf16"];

    /// The choice of that name.
    pub fn named(name: &str) -> Option<PrecisionChoice> {
        match name {
            "auto" => Some(PrecisionChoice::Auto),
            "f32" => Some(PrecisionChoice::Only(Precision::F32)),
            "bf16" => Some(PrecisionChoice::Only(Precision::Bf16)),
            _ => None,
        }
    }

    /// The precision to use on `cpu`. Times both for some milliseconds where the choice is open; an error where the CPU
    /// cannot do what was asked for.
    pub fn resolve(self, cpu: &Cpu) -> Result<Precision> {
        match self {
            PrecisionChoice::Only(precision) if precision.is_available(cpu.isa) => Ok(precision),
            PrecisionChoice::Only(precision) => bail!(
                "--precision {} needs a CPU with AVX-512 BF16, but this one offers {}: use --precision f32",
                precision.name(),
                cpu.isa.name()
            ),
            PrecisionChoice::Auto => Ok(faster(cpu)),
        }
    }
}

fn faster(cpu: &Cpu) -> Precision {
    if !Precision::Bf16.is_available(cpu.isa) {
        return Precision::F32;
    }
    let gain = ceiling_gflops(cpu, Precision::Bf16) / ceiling_gflops(cpu, Precision::F32);
    if gain >= WORTH { Precision::Bf16 } else { Precision::F32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Isa;

    #[test]
    fn every_name_is_a_choice_and_the_first_is_the_default() {
        let choices = PrecisionChoice::NAMES.map(|name| PrecisionChoice::named(name).unwrap());
        assert_eq!(choices[0], PrecisionChoice::default());
        assert_eq!(PrecisionChoice::named("f16"), None);
    }

    #[test]
    fn what_the_cpu_cannot_do_is_an_error_that_names_the_way_out() {
        let cpu = Cpu::with_isa(1, Isa::Scalar);
        assert_eq!(PrecisionChoice::Auto.resolve(&cpu).unwrap(), Precision::F32);
        let message = PrecisionChoice::Only(Precision::Bf16).resolve(&cpu).unwrap_err().to_string();
        assert!(message.contains("bf16") && message.contains("--precision f32"), "{message}");
    }
}
