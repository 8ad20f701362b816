//! The door to the application's memory: copies whose faults are caught.

use hal::sync::order;
use hal::{Fault, Frame, PAGE_SIZE, USER_END, UserAddr, UserMemory};

use super::layout;
use crate::arch::copy::{self, StringCopy};
use crate::arch::ipi;

/// Longest piece copied at once: between two pieces the processor answers the others.
const PIECE: usize = 64 << 10;

/// The memory of the space that is loaded.
pub(crate) struct Memory;

fn pointer<T>(at: UserAddr) -> *mut T {
    layout::pointer(at.0)
}

/// Cuts a range where the application's half ends.
fn within(at: UserAddr, len: usize) -> usize {
    let room = USER_END.saturating_sub(at.0);
    len.min(usize::try_from(room).unwrap_or(usize::MAX))
}

/// Runs a copy piece by piece; `copy` gets an offset and a length, and returns how many bytes it left.
#[inline]
fn in_pieces(at: UserAddr, len: usize, mut copy: impl FnMut(usize, usize) -> usize) -> Result<(), Fault> {
    order::assert_may_wait("a copy from or to the application", hal::sync::rank::VM);
    let room = within(at, len);
    let mut done = 0;
    while done < room {
        let piece = (room - done).min(PIECE);
        let left = copy(done, piece);
        done += piece - left;
        if left > 0 {
            return Err(Fault { done });
        }
        if done < room {
            ipi::serve();
        }
    }
    if room < len { Err(Fault { done }) } else { Ok(()) }
}

impl UserMemory for Memory {
    fn copy_in(&self, from: UserAddr, to: &mut [u8]) -> Result<(), Fault> {
        let target = to.as_mut_ptr();
        in_pieces(from, to.len(), |offset, len| {
            let source = pointer::<u8>(from).wrapping_add(offset);
            // SAFETY: `in_pieces` keeps the source in the application's half and the target within the slice.
            unsafe { copy::with_user(target.wrapping_add(offset), source, len) }
        })
    }

    fn copy_out(&self, to: UserAddr, from: &[u8]) -> Result<(), Fault> {
        let source = from.as_ptr();
        in_pieces(to, from.len(), |offset, len| {
            let target = pointer::<u8>(to).wrapping_add(offset);
            // SAFETY: as in `copy_in`, the other way round.
            unsafe { copy::with_user(target, source.wrapping_add(offset), len) }
        })
    }

    fn frame_out(&self, to: UserAddr, frame: &Frame, offset: usize, len: usize) -> Result<(), Fault> {
        let len = len.min(PAGE_SIZE - offset.min(PAGE_SIZE));
        let source = layout::direct(u64::from(frame.number().get()) << 12).wrapping_add(offset);
        in_pieces(to, len, |offset, len| {
            let target = pointer::<u8>(to).wrapping_add(offset);
            // SAFETY: the source lies in one page of the direct map, the target in the application's half.
            unsafe { copy::with_user(target, source.wrapping_add(offset), len) }
        })
    }

    fn frame_in(&self, from: UserAddr, frame: &Frame, offset: usize, len: usize) -> Result<(), Fault> {
        let len = len.min(PAGE_SIZE - offset.min(PAGE_SIZE));
        let target = layout::direct(u64::from(frame.number().get()) << 12).wrapping_add(offset);
        in_pieces(from, len, |offset, len| {
            let source = pointer::<u8>(from).wrapping_add(offset);
            // SAFETY: as in `frame_out`, the other way round.
            unsafe { copy::with_user(target.wrapping_add(offset), source, len) }
        })
    }

    fn zero(&self, to: UserAddr, len: usize) -> Result<(), Fault> {
        in_pieces(to, len, |offset, len| {
            // SAFETY: `in_pieces` keeps the range in the application's half.
            unsafe { copy::zero_user(pointer::<u8>(to).wrapping_add(offset), len) }
        })
    }

    fn compare_exchange_u32(&self, at: UserAddr, old: u32, new: u32) -> Result<u32, Fault> {
        if within(at, 4) < 4 || !at.0.is_multiple_of(4) {
            return Err(Fault { done: 0 });
        }
        // SAFETY: the word is aligned and lies in the application's half.
        unsafe { copy::compare_exchange_user(pointer(at), old, new) }.ok_or(Fault { done: 0 })
    }

    fn load_u32(&self, at: UserAddr) -> Result<u32, Fault> {
        if within(at, 4) < 4 || !at.0.is_multiple_of(4) {
            return Err(Fault { done: 0 });
        }
        // SAFETY: the word is aligned and lies in the application's half.
        unsafe { copy::load_user(pointer(at)) }.ok_or(Fault { done: 0 })
    }

    fn copy_in_string(&self, from: UserAddr, to: &mut [u8]) -> Result<Option<usize>, Fault> {
        let room = within(from, to.len());
        if room == 0 {
            return if to.is_empty() { Ok(None) } else { Err(Fault { done: 0 }) };
        }
        // SAFETY: `room` bytes fit into the slice and lie in the application's half.
        match unsafe { copy::string_from_user(to.as_mut_ptr(), pointer::<u8>(from), room) } {
            StringCopy::Whole(len) => Ok(Some(len)),
            StringCopy::NoRoom if room == to.len() => Ok(None),
            StringCopy::NoRoom => Err(Fault { done: room }),
            StringCopy::Fault(done) => Err(Fault { done }),
        }
    }
}
