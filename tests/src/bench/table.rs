//! The table of figures, and what others reached.

/// Figures that others reached, by the row that they stand beside: measured side by side on one machine, TCG, one vCPU,
/// 512 MB, in November 2026. They hold for that machine; the ratio to Linux is what carries over.
const OTHERS: &[(&str, &str)] = &[
    ("boot to first line, static hello", "Nanos 0.18, Unikraft 0.29, OSv 0.35, Linux 1.57; floor 0.05"),
    ("boot to first line, dynamic hello", "OSv 0.35, Nanos 0.36"),
    ("memory of the emulator, static hello", "Unikraft 79, Nanos 115, Linux 205; QEMU alone 37"),
    ("instructions from reset, static hello", "Linux 1400"),
    ("smallest memory, dynamic hello", "Unikraft 5, Nanos 11, OSv 14, Linux 70"),
    ("kernel file, stripped", "Unikraft 0.78, Nanos 1.74, OSv 6.35, Linux 52"),
    ("getpid", "Linux 782, OSv 1006, Unikraft 2897, Nanos 4713"),
    ("clock_gettime", "Linux 104, OSv 243, Unikraft 2183, Nanos 5563"),
    ("pread-4K", "OSv 3252, Linux 4321, Unikraft 15593, Nanos 21975"),
    ("pwrite-4K", "OSv 3370, Linux 5536, Unikraft 15865, Nanos 22087"),
    ("stat", "OSv 2448, Unikraft 6624, Linux 7192, Nanos 16504"),
    ("eventfd-write", "OSv 2012, Linux 3449, Nanos 13764"),
    ("epoll-ready", "OSv 1410, Linux 1889, Nanos 7292"),
    ("mmap-touch-munmap", "Unikraft 22642, OSv 26523, Nanos 53435, Linux 180958"),
    ("page-fault", "Nanos 5951, OSv 8029, Unikraft 10968, Linux 13148"),
    ("signal", "Linux 15028, OSv 18676, Nanos 19945"),
    ("yield", "OSv 1531, Unikraft 4281, Nanos 4698, Linux 6308"),
    ("thread-create-join", "Nanos 96916, Linux 239951, Unikraft 363555, OSv 622444"),
    ("futex-round-trip", "OSv 8126, Nanos 11864, Unikraft 17225, Linux 26268"),
    ("pipe-round-trip", "OSv 10559, Unikraft 22602, Nanos 28096, Linux 36910"),
    ("unix-round-trip", "OSv 9506, Nanos 30296, Linux 54157"),
    ("tcp-round-trip", "Nanos 54143, Unikraft 56346, OSv 70130, Linux 166226"),
    ("tcp-64K", "Linux 284519, Nanos 624509, Unikraft 1839329, OSv 3223774"),
    ("fork-exit", "Linux 2077798; no unikernel forks"),
    ("getpid, instructions", "Linux 321; target 120"),
];

/// The rows so far.
pub(super) struct Table(Vec<[String; 6]>);

impl Table {
    /// An empty table.
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a row: Hull's figure and the Linux guest's.
    pub(super) fn add(&mut self, name: &str, unit: &str, figures: (f64, f64)) {
        self.add_with(name, unit, figures, "");
    }

    /// Adds a row with a remark.
    pub(super) fn add_with(&mut self, name: &str, unit: &str, (hull, linux): (f64, f64), remark: &str) {
        let others = OTHERS.iter().find(|(row, _)| *row == name).map_or("", |(_, text)| text);
        let remark =
            [others, remark].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        eprintln!("  {name}: Hull {} {unit}, Linux {} {unit}", short(hull), short(linux));
        let ratio = if linux > 0.0 { format!("{:.3}", hull / linux) } else { "-".into() };
        self.0.push([name.into(), unit.into(), short(hull), short(linux), ratio, remark]);
    }

    /// Prints the rows as a table that Markdown understands.
    pub(super) fn print(&self) {
        let head = ["what", "unit", "Hull", "Linux", "ratio", "others, and remarks"].map(String::from);
        let rows = || std::iter::once(&head).chain(&self.0);
        let width = |column: usize| rows().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        for (i, row) in rows().enumerate() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            println!("| {} |", cells.join(" | "));
            if i == 0 {
                println!("|{}|", widths.iter().map(|w| "-".repeat(w + 2)).collect::<Vec<_>>().join("|"));
            }
        }
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        v if v.is_nan() => "-".into(),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
