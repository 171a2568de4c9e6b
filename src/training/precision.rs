//! Which precision the matrix products of training use: as asked for, or the fastest that this CPU has.
//!
//! The choice is not timed, since a busy moment must not change the bytes of a model. It follows from the instructions: AVX-512
//! FP16 multiplies twice as many f16 numbers as f32 numbers in a cycle wherever it exists (364 GFLOP/s a core against 176 on
//! an Intel Emerald Rapids, where `vdpbf16ps` has one port and reaches 86). CPUs with AVX-512 BF16 alone (AMD Zen 4 and 5,
//! Intel Cooper Lake) do as well with bf16.

use crate::kernels::gemm::Precision;
use crate::kernels::{Cpu, Isa};
use anyhow::{Result, bail};

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionChoice {
    /// The fastest one.
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

    /// The precision to use on `cpu`; an error where it cannot do what was asked for.
    pub fn resolve(self, cpu: &Cpu) -> Result<Precision> {
        match self {
            PrecisionChoice::Only(precision) if precision.is_available(cpu.isa) => Ok(precision),
            PrecisionChoice::Only(precision) => bail!(
                "--precision {name} needs a CPU with AVX-512 {}, but this one offers {}: use --precision f32",
                if precision == Precision::F16 { "FP16" } else { "BF16" },
                cpu.isa.name(),
                name = precision.name()
            ),
            PrecisionChoice::Auto => Ok(fastest(cpu.isa)),
        }
    }
}

fn fastest(isa: Isa) -> Precision {
    let halves = [Precision::F16, Precision::Bf16];
    halves.into_iter().find(|precision| precision.is_available(isa)).unwrap_or(Precision::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

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
