//! Which precision the matrix products of training use: as asked for, or the fastest that this CPU has.
//!
//! The choice is not timed, since a busy moment must not change the bytes of a model. It follows from the instructions:
//!
//! | the CPU has | `auto` | why |
//! |---|---|---|
//! | AMX, and Linux (Intel Sapphire Rapids and later) | bf16 | sixteen times the work of f32 in a cycle: 3,700 GFLOP/s a core against 230; with int8 in vectors beside it a step takes 7 to 15 % longer |
//! | AVX-512 FP16 (the same without AMX, as in some virtual machines) | f16 | twice the work of f32 in a cycle: 364 GFLOP/s a core against 176 on an Emerald Rapids, where `vdpbf16ps` has one port and reaches 86; int8 takes 12 to 20 % less time for a step, but how it learns beside f16 has not been measured |
//! | AVX-512 VNNI (Intel Cascade Lake to Rocket Lake, AMD Zen 4 and 5) | int8 | in linear layers, forward and for the gradients of their inputs, four times the work of f32 and twice that of bf16; the rest is in bf16 where the CPU has that, else in f32 |
//! | neither | f32 | |
//!
//! The other way to divide a step, all in one kind of floats, is `float`: without AMX the bytes that `auto` gave before int8 was there.

use crate::kernels::gemm::Precision;
use crate::kernels::{Cpu, Isa};
use anyhow::{Result, bail};

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionChoice {
    /// The fastest one.
    #[default]
    Auto,
    /// The fastest of those that are floats throughout.
    Floats,
    /// This one.
    Only(Precision),
}

impl PrecisionChoice {
    /// The names that can be typed, the default first.
    pub const NAMES: [&'static str; 6] = ["auto", "float", "f32", "bf16", "f16", "int8"];

    /// The choice of that name.
    pub fn named(name: &str) -> Option<PrecisionChoice> {
        match name {
            "auto" => Some(PrecisionChoice::Auto),
            "float" => Some(PrecisionChoice::Floats),
            "f32" => Some(PrecisionChoice::Only(Precision::F32)),
            "bf16" => Some(PrecisionChoice::Only(Precision::Bf16)),
            "f16" => Some(PrecisionChoice::Only(Precision::F16)),
            "int8" => Some(PrecisionChoice::Only(Precision::Int8)),
            _ => None,
        }
    }

    /// The precision to use on `cpu`; an error where it cannot do what was asked for.
    pub fn resolve(self, cpu: &Cpu) -> Result<Precision> {
        match self {
            PrecisionChoice::Only(precision) if precision.is_available(cpu.isa) => Ok(precision),
            PrecisionChoice::Only(precision) => bail!(
                "--precision {name} needs a CPU with AVX-512 {}, but this one offers {}: use --precision f32",
                match precision {
                    Precision::F16 => "FP16",
                    Precision::Int8 => "VNNI",
                    _ => "BF16",
                },
                cpu.isa.name(),
                name = precision.name()
            ),
            PrecisionChoice::Auto => Ok(fastest(cpu.isa)),
            PrecisionChoice::Floats => Ok(Precision::fastest_of_floats(cpu.isa)),
        }
    }
}

fn fastest(isa: Isa) -> Precision {
    let floats = Precision::fastest_of_floats(isa);
    let takes_codes = floats != Precision::F16 && !floats.is_in_tiles(isa) && Precision::Int8.is_available(isa);
    if takes_codes { Precision::Int8 } else { floats }
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
    fn auto_takes_codes_only_where_float_has_neither_tiles_nor_f16_and_float_never_takes_them() {
        for isa in Isa::all() {
            let [auto, float] = [PrecisionChoice::Auto, PrecisionChoice::Floats]
                .map(|choice| choice.resolve(&Cpu::with_isa(1, isa)).unwrap());
            assert_ne!(float, Precision::Int8);
            let has_codes = Precision::Int8.is_available(isa) && float != Precision::F16 && !float.is_in_tiles(isa);
            assert_eq!(auto, if has_codes { Precision::Int8 } else { float }, "{}", isa.name());
        }
    }

    #[test]
    fn what_the_cpu_cannot_do_is_an_error_that_names_the_way_out() {
        let cpu = Cpu::with_isa(1, Isa::Scalar);
        assert_eq!(PrecisionChoice::Auto.resolve(&cpu).unwrap(), Precision::F32);
        let message = PrecisionChoice::Only(Precision::Bf16).resolve(&cpu).unwrap_err().to_string();
        assert!(message.contains("bf16") && message.contains("--precision f32"), "{message}");
    }
}
