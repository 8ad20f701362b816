//! What the processor is, for `/proc/cpuinfo` and the auxiliary vector.

use alloc::string::String;

use hal::ProcessorInfo;

use super::features::leaf;

/// Linux's names of CPUID feature bits (arch/x86/include/asm/cpufeatures.h), by leaf, register and bit; names that
/// Linux does not show in `/proc/cpuinfo` are left out.
const FLAGS: &[(u32, u32, usize, &str)] = &[
    (
        1,
        0,
        3,
        "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse \
         sse2 ss ht tm ia64 pbe",
    ),
    (
        0x8000_0001,
        0,
        3,
        "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow",
    ),
    (
        1,
        0,
        2,
        "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 \
         x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor",
    ),
    (
        0x8000_0001,
        0,
        2,
        "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 \
         tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx - -",
    ),
    (
        7,
        0,
        1,
        "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq rdseed adx smap \
         avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl",
    ),
    (0xd, 1, 0, "xsaveopt xsavec xgetbv1 xsaves"),
    (
        7,
        0,
        2,
        "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme \
         avx512_vpopcntdq - la57 - - - - - rdpid - - cldemote - movdiri movdir64b",
    ),
    (
        7,
        0,
        3,
        "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - - - pconfig arch_lbr - \
         - amx_bf16 avx512_fp16 amx_tile amx_int8",
    ),
];

/// AVX-512 and AMX names, which are left out where the kernel does not enable the state.
fn is_enabled(name: &str, xcr0: u64) -> bool {
    match name {
        n if n.starts_with("avx512") => xcr0 & 0xe0 == 0xe0,
        n if n.starts_with("amx") => false,
        "avx" | "avx2" | "fma" | "f16c" | "fma4" | "xop" | "vaes" | "vpclmulqdq" => xcr0 & 4 != 0,
        "pku" | "ospke" | "vmx" | "svm" | "monitor" | "mwaitx" | "pcid" | "la57" => false,
        _ => true,
    }
}

fn text(words: &[u32]) -> String {
    let bytes: alloc::vec::Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let text = String::from_utf8_lossy(&bytes);
    String::from(text.trim_matches(['\0', ' ']))
}

/// Describes the processor.
pub(crate) fn describe(xcr0: u64, constant_tsc: bool) -> ProcessorInfo {
    let [_, b, c, d] = leaf(0, 0);
    let [signature, misc, _, _] = leaf(1, 0);
    let base_family = signature >> 8 & 15;
    let family = if base_family == 15 { base_family + (signature >> 20 & 0xff) } else { base_family };
    let base_model = signature >> 4 & 15;
    let model = if base_family >= 6 { base_model | (signature >> 12 & 0xf0) } else { base_model };
    let mut flags = String::new();
    let mut add = |name: &str| {
        if !flags.is_empty() {
            flags.push(' ');
        }
        flags += name;
    };
    for &(number, sub, register, names) in FLAGS {
        let bits = leaf(number, sub)[register];
        for (bit, name) in names.split_ascii_whitespace().enumerate() {
            if bits >> bit & 1 != 0 && name != "-" && is_enabled(name, xcr0) {
                add(name);
            }
        }
    }
    if constant_tsc {
        add("constant_tsc nonstop_tsc");
    }
    add("rep_good nopl cpuid");
    let sizes = leaf(0x8000_0008, 0)[0].to_le_bytes();
    let name = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(|l| leaf(l, 0));
    ProcessorInfo {
        vendor: text(&[b, d, c]),
        family,
        model,
        stepping: signature & 15,
        name: text(name.as_flattened()),
        flags,
        cache_line: match (misc >> 8 & 0xff) * 8 {
            0 => 64,
            bytes => bytes,
        },
        address_bits: if sizes[0] == 0 { (36, 48) } else { (sizes[0], sizes[1]) },
    }
}

/// Returns CPUID leaf 1's EDX, which is `AT_HWCAP`.
pub(crate) fn hwcap() -> u64 {
    leaf(1, 0)[3].into()
}
