//! Which instruction set this process uses, chosen once at run time, and the threads that use it.

use super::aligned::AlignedBuf;
use super::pool::Pool;
use std::cell::RefCell;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use std::sync::OnceLock;

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that the CPU has AVX-512 F, BW, DQ and VL (and AVX2, FMA and F16C).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512 {
    bf16: bool,
    f16: bool,
    vnni: bool,
    amx: bool,
}

impl Avx2 {
    /// The token, where the CPU (and the operating system) supports it.
    pub fn new() -> Option<Avx2> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            return Some(Avx2(()));
        }
        None
    }
}

impl Avx512 {
    /// The token, where the CPU (and the operating system) supports it.
    pub fn new() -> Option<Avx512> {
        #[cfg(target_arch = "x86_64")]
        if Avx2::new().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            let (bf16, f16) = (is_x86_feature_detected!("avx512bf16"), is_x86_feature_detected!("avx512fp16"));
            let vnni = is_x86_feature_detected!("avx512vnni");
            return Some(Avx512 { bf16, f16, vnni, amx: bf16 && may_use_tiles() });
        }
        None
    }

    /// Whether the CPU also multiplies bf16 (AVX-512 BF16: `vdpbf16ps`).
    pub fn has_bf16(self) -> bool {
        self.bf16
    }

    /// Whether the CPU also multiplies bytes and adds their products to 32-bit sums (AVX-512 VNNI: `vpdpbusd`).
    pub fn has_vnni(self) -> bool {
        self.vnni
    }

    /// The token of a CPU that is the same but for AVX-512 VNNI, to test what such a one does.
    #[cfg(test)]
    pub(super) fn without_vnni(self) -> Avx512 {
        Avx512 { vnni: false, ..self }
    }

    /// Whether the CPU also multiplies bf16 in tile registers (AMX-BF16: `tdpbf16ps`), and the system lets this process use them.
    pub fn has_amx(self) -> bool {
        self.amx
    }

    /// The token of a CPU that is the same but for AMX, to test and compare what such a one does.
    fn without_amx(self) -> Avx512 {
        Avx512 { amx: false, ..self }
    }

    /// Whether the CPU also multiplies and adds f16 (AVX-512 FP16: `vfmadd231ph`).
    pub fn has_f16(self) -> bool {
        self.f16
    }
}

/// Whether the CPU has AMX for bf16, and Linux gives this process the registers, 8 KB a thread, for which it must be asked
/// (Documentation/arch/x86/xstate.rst of the kernel).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_tiles() -> bool {
    /// In EDX of leaf 7: AMX-BF16 and AMX-TILE.
    const FEATURES: u32 = 1 << 22 | 1 << 24;
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILE_DATA: libc::c_ulong = 18;
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| {
        use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
        let has_leaf = __get_cpuid_max(0).0 >= 7;
        // SAFETY: this asks for a permission, and has no other effect; where it is not known it fails.
        let ask = || unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA) };
        has_leaf && __cpuid_count(7, 0).edx & FEATURES == FEATURES && ask() == 0
    })
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn may_use_tiles() -> bool {
    false
}

/// An instruction set. A variant other than `Scalar` exists only where the CPU can execute it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Whatever the compiler's baseline is: SSE2 on x86-64, NEON on aarch64.
    Scalar,
    /// 256-bit vectors with fused multiply-add.
    Avx2(Avx2),
    /// 512-bit vectors, 32 registers, masks; and what its token says of more.
    Avx512(Avx512),
}

impl Isa {
    /// The best instruction set of this CPU.
    pub fn best() -> Isa {
        Avx512::new().map(Isa::Avx512).or_else(|| Avx2::new().map(Isa::Avx2)).unwrap_or(Isa::Scalar)
    }

    /// Every instruction set of this CPU, the plainest first: what kernel tests loop over.
    pub fn all() -> Vec<Isa> {
        let mut found = vec![Isa::Scalar];
        found.extend(Avx2::new().map(Isa::Avx2));
        if let Some(token) = Avx512::new() {
            found.push(Isa::Avx512(token.without_amx()));
            found.extend(token.has_amx().then_some(Isa::Avx512(token)));
        }
        found
    }

    /// The name that reports show.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "portable",
            Isa::Avx2(_) => "avx2",
            Isa::Avx512(token) if token.has_amx() => "amx",
            Isa::Avx512(_) => "avx512",
        }
    }
}

/// What kernels run on: an instruction set, a pool of threads, and scratch memory that is kept between calls.
pub struct Cpu {
    /// The instruction set in use.
    pub isa: Isa,
    /// The threads in use.
    pub pool: Pool,
    /// The packed right-hand side of the matrix product under way.
    pub(super) panels: RefCell<AlignedBuf>,
    /// Its left-hand side, where that is packed for all threads at once.
    pub(super) tiles: RefCell<AlignedBuf>,
    /// The product itself, where its rows are not to be kept but cannot pass one by one.
    pub(super) product: RefCell<AlignedBuf>,
    /// Partial sums of reductions over rows.
    pub(super) partials: RefCell<AlignedBuf>,
}

impl Cpu {
    /// The best instruction set and `n_threads` threads (the calling one included).
    pub fn new(n_threads: usize) -> Cpu {
        Cpu::with_isa(n_threads, Isa::best())
    }

    /// A given instruction set: for tests and comparisons.
    pub fn with_isa(n_threads: usize, isa: Isa) -> Cpu {
        Cpu {
            isa,
            pool: Pool::new(n_threads),
            panels: RefCell::default(),
            tiles: RefCell::default(),
            product: RefCell::default(),
            partials: RefCell::default(),
        }
    }

    /// Threads, the calling one included.
    pub fn n_threads(&self) -> usize {
        self.pool.n_threads()
    }
}

/// Compiles one function body for every instruction set and picks by the [`Isa`] given first.
///
/// The body is plain Rust over slices; the compiler vectorises it anew under each set of CPU features. Bodies do not
/// use fused multiply-add (which the scalar build would have to emulate), so their results agree bit for bit across
/// instruction sets.
macro_rules! for_each_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::kernels::cpu::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            match isa {
                // SAFETY: an `Isa::Avx512` can be built only where the CPU has these features.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::Isa::Avx512(_) => unsafe { avx512($($arg),*) },
                // SAFETY: an `Isa::Avx2` can be built only where the CPU has these features.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use for_each_isa;

/// The CPU's own name for itself, for reports; "unknown CPU" where it does not say.
pub fn cpu_name() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        if __cpuid(0x8000_0000).eax >= 0x8000_0004 {
            let bytes: Vec<u8> = (0x8000_0002u32..=0x8000_0004)
                .map(__cpuid)
                .flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx])
                .flat_map(u32::to_le_bytes)
                .collect();
            return String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_owned();
        }
    }
    "unknown CPU".to_owned()
}
