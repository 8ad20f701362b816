//! Copying and clearing, in assembly: neither the compiler's view of aliasing nor extended state is involved.

unsafe extern "C" {
    fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8;
    fn user_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    fn user_zero(to: *mut u8, len: usize) -> usize;
    fn user_compare_exchange(at: *mut u32, old: u32, new: u32, held: *mut u32) -> u32;
    fn user_load(at: *const u32, held: *mut u32) -> u32;
    fn user_string(to: *mut u8, from: *const u8, room: usize) -> StringEnd;
}

#[repr(C)]
struct StringEnd {
    len: usize,
    how: u64,
}

/// Copies bytes that do not overlap.
///
/// # Safety
/// Both ranges are mapped memory of the kernel's half. Other processors may write to them meanwhile.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { memcpy(to, from, len) };
}

/// Clears bytes.
///
/// # Safety
/// The range is mapped memory of the kernel's half.
pub(crate) unsafe fn zero(to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { memset(to, 0, len) };
}

/// Clears a page.
///
/// # Safety
/// As for [`zero`]; the page is aligned.
#[inline]
pub(crate) unsafe fn zero_page(to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!(
            "rep stosq", inout("rcx") 512_u64 => _, inout("rdi") to => _, in("rax") 0_u64,
            options(nostack, preserves_flags)
        );
    };
}

/// Copies between the application and the kernel; returns how many bytes at the end were not copied.
///
/// # Safety
/// One range lies in the application's half whole, the other is valid memory of the kernel.
pub(crate) unsafe fn with_user(to: *mut u8, from: *const u8, len: usize) -> usize {
    // SAFETY: the caller's promise; faults in the application's half are caught by the exception table.
    unsafe { user_copy(to, from, len) }
}

/// Clears memory of the application; returns how many bytes at the end were not cleared.
///
/// # Safety
/// The range lies in the application's half whole.
pub(crate) unsafe fn zero_user(to: *mut u8, len: usize) -> usize {
    // SAFETY: the caller's promise; faults are caught by the exception table.
    unsafe { user_zero(to, len) }
}

/// Compares and exchanges a word of the application; `None` for a fault.
///
/// # Safety
/// The word is aligned and lies in the application's half.
pub(crate) unsafe fn compare_exchange_user(at: *mut u32, old: u32, new: u32) -> Option<u32> {
    let mut held = 0;
    // SAFETY: the caller's promise; faults are caught by the exception table.
    let fault = unsafe { user_compare_exchange(at, old, new, &raw mut held) };
    (fault == 0).then_some(held)
}

/// Reads a word of the application; `None` for a fault.
///
/// # Safety
/// The word is aligned and lies in the application's half.
pub(crate) unsafe fn load_user(at: *const u32) -> Option<u32> {
    let mut held = 0;
    // SAFETY: the caller's promise; faults are caught by the exception table.
    let fault = unsafe { user_load(at, &raw mut held) };
    (fault == 0).then_some(held)
}

/// Where copying a string ended.
pub(crate) enum StringCopy {
    /// At its NUL, behind so many bytes.
    Whole(usize),
    /// The room is used up.
    NoRoom,
    /// At a fault, behind so many bytes.
    Fault(usize),
}

/// Copies a NUL-terminated string of the application.
///
/// # Safety
/// `room` is at least 1, that many bytes at `from` lie in the application's half, and `to` has that much room.
pub(crate) unsafe fn string_from_user(to: *mut u8, from: *const u8, room: usize) -> StringCopy {
    // SAFETY: the caller's promise; faults are caught by the exception table.
    let end = unsafe { user_string(to, from, room) };
    match end.how & 0xffff_ffff {
        0 => StringCopy::Whole(end.len),
        1 => StringCopy::NoRoom,
        _ => StringCopy::Fault(end.len),
    }
}
