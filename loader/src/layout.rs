//! Where the pieces of an address space go: Linux's layout for x86_64, with or without randomisation.
//!
//! From the top of user space down: the stack and the vDSO near it, then `mmap`'s area growing down, far below
//! position-independent programs at two thirds of user space with their heap behind them, and programs at fixed
//! addresses at the bottom. Pure arithmetic on random words that the caller supplies.

use crate::plan::{LoadPlan, Position};
use crate::{PAGE_SIZE, TASK_SIZE, page_end, page_start};

/// Two thirds of user space: where position-independent programs begin (`ELF_ET_DYN_BASE`).
pub const PROGRAM_BASE: u64 = TASK_SIZE / 3 * 2;
/// Random bits of `mmap`'s base and of a program's base, in pages (`mmap_rnd_bits`).
const MMAP_PAGES: u64 = (1 << 28) - 1;
/// Random bits of the stack's top, in pages: 16 GiB.
const STACK_PAGES: u64 = 0x3f_ffff;
/// Bytes of the random gap between a stack's strings and its pointers.
const STACK_GAP: u64 = 8192;
/// Bytes in which the heap's start is chosen.
const BRK_RANGE: u64 = 1 << 30;
/// Bytes kept free below the stack (`stack_guard_gap`).
const STACK_GUARD: u64 = 256 * PAGE_SIZE;
/// Least distance between user space's end and `mmap`'s area.
const LEAST_GAP: u64 = 128 << 20;
/// Bytes that a last-level page table covers; the vDSO stays within the stack's if it can.
const TABLE_SPAN: u64 = 2 << 20;

/// Random words; each is used for one purpose, and all their bits may be random.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Random {
    /// For `mmap`'s base.
    pub mmap: u64,
    /// For the base of a position-independent program.
    pub program: u64,
    /// For the stack's top.
    pub stack: u64,
    /// For the gap inside the stack.
    pub stack_gap: u64,
    /// For the heap's start.
    pub brk: u64,
    /// For the vDSO.
    pub vdso: u64,
}

/// The layout of one address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// First address above the stack, a multiple of the page size.
    pub stack_top: u64,
    /// For [`crate::stack::Input::gap`].
    pub stack_gap: u64,
    /// First address above `mmap`'s area, which is used from here down.
    pub mmap_base: u64,
    random: Option<Random>,
}

/// Where to put a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At the addresses in the file.
    Fixed,
    /// With its first page here.
    At(u64),
    /// Where `mmap` finds room for its whole span, at a multiple of this many bytes.
    Anywhere(u64),
}

impl Layout {
    /// Chooses a layout; `random` is `None` where randomisation is off (`personality(ADDR_NO_RANDOMIZE)`).
    ///
    /// `stack_limit` is the soft `RLIMIT_STACK` in bytes at the time of `execve`, `u64::MAX` for none.
    pub const fn new(stack_limit: u64, random: Option<Random>) -> Self {
        let (stack, stack_gap, mmap, wander) = match random {
            Some(r) => (
                (r.stack & STACK_PAGES).saturating_mul(PAGE_SIZE),
                r.stack_gap % STACK_GAP,
                (r.mmap & MMAP_PAGES).saturating_mul(PAGE_SIZE),
                STACK_PAGES.saturating_mul(PAGE_SIZE),
            ),
            None => (0, 0, 0, 0),
        };
        // LINUX: a limit so large that the sum wraps is used as it is.
        let most = TASK_SIZE / 6 * 5;
        let gap = match stack_limit.checked_add(wander.saturating_add(STACK_GUARD)) {
            Some(sum) => sum,
            None => stack_limit,
        };
        let gap = if gap < LEAST_GAP {
            LEAST_GAP
        } else if gap > most {
            most
        } else {
            gap
        };
        let mmap_base = TASK_SIZE.saturating_sub(gap).saturating_sub(mmap).saturating_add(PAGE_SIZE - 1);
        Self {
            stack_top: TASK_SIZE.saturating_sub(stack),
            stack_gap,
            mmap_base: page_start(mmap_base),
            random,
        }
    }

    /// Says where to put a program.
    ///
    /// Position-independent programs with an interpreter have an area of their own; without one (static ones, and
    /// the dynamic linker when it is run as a program or as an interpreter) they go into `mmap`'s area.
    pub fn place(&self, plan: &LoadPlan) -> Place {
        match (plan.position, &plan.interpreter) {
            (Position::Fixed, _) => Place::Fixed,
            (Position::Independent, None) => Place::Anywhere(plan.align),
            (Position::Independent, Some(_)) => {
                let offset = self.random.map_or(0, |r| (r.program & MMAP_PAGES).saturating_mul(PAGE_SIZE));
                let mask = plan.align.max(PAGE_SIZE).saturating_sub(1);
                Place::At(PROGRAM_BASE.saturating_add(offset) & !mask)
            }
        }
    }

    /// Returns the heap's start for a program that was loaded with `bias`, a multiple of the page size.
    pub fn brk(&self, plan: &LoadPlan, bias: u64) -> u64 {
        // LINUX: `mmap`'s area grows down onto the heap of a program in it, so that heap moves to where
        // position-independent programs usually are. (Linux 6.1 does so only if it randomises.)
        let is_in_mmap_area = plan.position == Position::Independent && plan.interpreter.is_none();
        let behind = plan.brk.wrapping_add(bias);
        let start = if is_in_mmap_area { page_end(PROGRAM_BASE).unwrap_or(behind) } else { behind };
        let Some(random) = self.random else { return start };
        let start = if is_in_mmap_area { start } else { start.saturating_add(PAGE_SIZE) };
        start.saturating_add((random.brk % (BRK_RANGE / PAGE_SIZE)).saturating_mul(PAGE_SIZE))
    }

    /// Returns where the vDSO (`len` bytes with its data page, whole pages) may go above the stack.
    ///
    /// `None` where there is no room: it goes where `mmap` finds some. The stack may also be a moved one; `stack` is
    /// an address in its topmost page.
    pub fn vdso(&self, stack: u64, len: u64) -> Option<u64> {
        let start = page_end(stack)?;
        let end = start.checked_add(len)?.checked_add(TABLE_SPAN - 1)? & !(TABLE_SPAN - 1);
        let last = end.min(TASK_SIZE).checked_sub(len)?;
        let pages = last.checked_sub(start)?.checked_div(PAGE_SIZE)?;
        let offset = self.random.map_or(0, |r| r.vdso).checked_rem(pages.checked_add(1)?)?;
        start.checked_add(offset.checked_mul(PAGE_SIZE)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Role;
    use crate::plan::plan;

    const MOST: Random = Random { mmap: !0, program: !0, stack: !0, stack_gap: !0, brk: !0, vdso: !0 };

    /// Compared with `setarch -R cat /proc/self/maps` and gdb on a Linux host.
    #[test]
    fn without_randomisation_addresses_are_those_that_linux_users_know() {
        let layout = Layout::new(8 << 20, None);
        assert_eq!(layout.stack_top, 0x7fff_ffff_f000);
        assert_eq!(layout.mmap_base, 0x7fff_f7ff_f000);
        assert_eq!(layout.vdso(layout.stack_top, 0x3000), None);
        let program =
            plan(crate::plan::tests::sample(Position::Independent).as_slice(), Role::Program).expect("valid");
        assert_eq!(layout.place(&program), Place::Anywhere(4096));
        let program = LoadPlan { interpreter: Some(alloc::vec![b'x']), ..program };
        assert_eq!(layout.place(&program), Place::At(0x5555_5555_4000));
        assert_eq!(layout.brk(&program, 0x5555_5555_4000), 0x5555_5555_4000 + program.brk);
    }

    #[test]
    fn the_largest_random_words_stay_in_bounds() {
        let layout = Layout::new(8 << 20, Some(MOST));
        assert_eq!(layout.stack_top, 0x7fff_ffff_f000 - (0x3f_ffff << 12));
        assert!(layout.stack_gap < 8192);
        assert!(layout.mmap_base < layout.stack_top - (8 << 20));
        let vdso = layout.vdso(layout.stack_top, 0x3000).expect("room above the stack");
        assert!(vdso >= layout.stack_top && vdso + 0x3000 <= TASK_SIZE);
        let program =
            plan(crate::plan::tests::sample(Position::Fixed).as_slice(), Role::Program).expect("valid");
        assert_eq!(layout.place(&program), Place::Fixed);
        let brk = layout.brk(&program, 0);
        assert!(brk > program.brk && brk <= program.brk + (1 << 30) && brk.is_multiple_of(4096));
        let aligned = LoadPlan {
            position: Position::Independent,
            interpreter: Some(alloc::vec![b'x']),
            align: 2 << 20,
            ..program
        };
        let Place::At(base) = layout.place(&aligned) else { panic!("it has an interpreter") };
        assert!(base.is_multiple_of(2 << 20));
        assert!(base + (1 << 40) < Layout::new(u64::MAX - 1, Some(MOST)).stack_top);
    }

    #[test]
    fn the_distance_to_the_stack_follows_its_limit_within_bounds() {
        assert_eq!(Layout::new(0, None).mmap_base, TASK_SIZE - LEAST_GAP);
        assert_eq!(Layout::new(1 << 30, None).mmap_base, TASK_SIZE - (1 << 30) - STACK_GUARD);
        let least = page_end(TASK_SIZE - TASK_SIZE / 6 * 5).expect("small");
        assert_eq!(Layout::new(u64::MAX, None).mmap_base, least);
    }
}
