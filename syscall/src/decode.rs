//! From registers to the types that handlers take.
//!
//! Decoding cannot fail and touches no memory: it narrows as Linux narrows (a descriptor is the low 32 bits,
//! a mode the low 16), and the handler validates. Holding a [`UserPtr`] proves nothing about the address.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::marker::PhantomData;

use abi::{Errno, Result};
use hal::{UserAddr, UserMemory, UserRange, UserRegs};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::Context;

/// Longest path, with its NUL (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;

/// The argument registers of a call, taken from the front.
#[derive(Clone, Copy)]
pub struct Args {
    regs: [u64; 6],
    next: usize,
}

impl Args {
    /// Starts at the first argument.
    #[inline]
    pub const fn new(regs: [u64; 6]) -> Self {
        Self { regs, next: 0 }
    }

    /// Starts at the first argument of a call whose registers these are.
    #[inline(always)]
    pub const fn of(regs: &UserRegs) -> Self {
        Self::new([regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9])
    }

    #[inline(always)]
    fn take(&mut self) -> u64 {
        let value = self.regs.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        value
    }
}

/// An argument type: how it is taken from the registers, and how the trace shows it.
pub trait Arg: Sized {
    /// Takes the argument from the next register or registers.
    fn take(args: &mut Args) -> Self;
    /// Writes it as the trace shows it, before the call.
    fn show(&self, memory: &dyn UserMemory, out: &mut String);
}

macro_rules! integers {
    ($($t:ty),*) => { $(
        impl Arg for $t {
            #[inline(always)]
            #[expect(clippy::allow_attributes, reason = "which casts a type needs differs")]
            #[allow(
                clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::unnecessary_cast,
                reason = "narrowing as Linux does is what decoding is"
            )]
            fn take(args: &mut Args) -> Self {
                args.take() as Self
            }

            fn show(&self, _: &dyn UserMemory, out: &mut String) {
                let _ = write!(out, "{self}");
            }
        }
    )* };
}
integers!(i32, u32, i64, u64, usize);

macro_rules! wrappers {
    ($($(#[$doc:meta])* $name:ident($t:ty), $mask:expr, $format:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name(pub $t);

        impl Arg for $name {
            #[inline(always)]
            fn take(args: &mut Args) -> Self {
                Self(<$t as Arg>::take(args) & $mask)
            }

            fn show(&self, _: &dyn UserMemory, out: &mut String) {
                let _ = write!(out, $format, self.0);
            }
        }
    )* };
}

wrappers! {
    /// A file descriptor, or `AT_FDCWD`.
    Fd(i32), -1, "{}";
    /// File mode bits: Linux takes 16 (`umode_t`).
    Mode(u32), 0xffff, "{:#o}";
    /// A set of flags, not yet checked.
    Flags(u32), u32::MAX, "{:#x}";
    /// A set of flags in a whole register, not yet checked.
    Flags64(u64), u64::MAX, "{:#x}";
    /// A signal number, not yet checked.
    Signal(i32), -1, "{}";
}

impl Arg for UserAddr {
    #[inline(always)]
    fn take(args: &mut Args) -> Self {
        Self(args.take())
    }

    fn show(&self, _: &dyn UserMemory, out: &mut String) {
        show_address(*self, out);
    }
}

fn show_address(at: UserAddr, out: &mut String) {
    if at.is_null() {
        out.push_str("NULL");
    } else {
        let _ = write!(out, "{:#x}", at.0);
    }
}

/// A path in the application's memory.
#[derive(Clone, Copy, Debug)]
pub struct UserPath(pub UserAddr);

impl UserPath {
    /// Copies the path in, without its NUL.
    ///
    /// # Errors
    /// `EFAULT` where it cannot be read, `ENAMETOOLONG` where no NUL comes in [`PATH_MAX`] bytes. The empty path is
    /// left to the caller (`AT_EMPTY_PATH`).
    pub fn read(self, cx: &Context<'_>) -> Result<Vec<u8>> {
        read_string(cx.memory(), self.0, PATH_MAX)?.ok_or(Errno::ENAMETOOLONG)
    }
}

/// Copies a NUL-terminated string of at most `max` bytes with its NUL; `None` where it is longer.
///
/// # Errors
/// `EFAULT` where it cannot be read.
pub fn read_string(memory: &dyn UserMemory, at: UserAddr, max: usize) -> Result<Option<Vec<u8>>> {
    // Most strings are short: a first try on the stack costs no allocation but the result's.
    let mut short = [0; 256];
    let first = max.min(short.len());
    let fault = |_| Errno::EFAULT;
    if let Some(len) = memory.copy_in_string(at, &mut short[..first]).map_err(fault)? {
        return Ok(Some(short[..len].to_vec()));
    }
    let mut long = alloc::vec![0; max];
    let len = memory.copy_in_string(at, &mut long).map_err(fault)?;
    Ok(len.map(|len| {
        long.truncate(len);
        long
    }))
}

impl Arg for UserPath {
    #[inline(always)]
    fn take(args: &mut Args) -> Self {
        Self(UserAddr::take(args))
    }

    fn show(&self, memory: &dyn UserMemory, out: &mut String) {
        let mut text = [0; 64];
        match memory.copy_in_string(self.0, &mut text) {
            Ok(found) => {
                let bytes = &text[..found.unwrap_or(text.len())];
                let _ =
                    write!(out, "\"{}\"{}", bytes.escape_ascii(), if found.is_none() { "..." } else { "" });
            }
            Err(_) => show_address(self.0, out),
        }
    }
}

/// Marks a pointer from which a call reads.
#[derive(Clone, Copy, Debug)]
pub struct In;
/// Marks a pointer to which a call writes.
#[derive(Clone, Copy, Debug)]
pub struct Out;
/// Marks a pointer from which a call reads and to which it writes.
#[derive(Clone, Copy, Debug)]
pub struct InOut;

/// A direction that permits reading.
pub trait Readable {}
/// A direction that permits writing.
pub trait Writable {}
impl Readable for In {}
impl Readable for InOut {}
impl Writable for Out {}
impl Writable for InOut {}

/// A pointer that the application passed. Each access copies once; no reference into its memory exists.
pub struct UserPtr<T, D> {
    at: UserAddr,
    of: PhantomData<fn() -> (T, D)>,
}

impl<T, D> Clone for UserPtr<T, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, D> Copy for UserPtr<T, D> {}

impl<T, D> UserPtr<T, D> {
    /// Makes a pointer to an address that came by another way than a register.
    pub const fn new(at: UserAddr) -> Self {
        Self { at, of: PhantomData }
    }

    /// Returns the address.
    pub const fn addr(self) -> UserAddr {
        self.at
    }

    /// Says whether it is the null pointer.
    pub const fn is_null(self) -> bool {
        self.at.is_null()
    }

    /// Returns the pointer, or `None` for the null pointer.
    pub fn non_null(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }

    /// Points to the element `index` places on.
    #[must_use]
    pub const fn add(self, index: usize) -> Self {
        Self::new(self.at.offset(index.wrapping_mul(size_of::<T>()) as u64))
    }
}

impl<T: FromBytes + IntoBytes, D: Readable> UserPtr<T, D> {
    /// Copies the value in.
    ///
    /// # Errors
    /// `EFAULT` where it cannot be read.
    pub fn read(self, cx: &Context<'_>) -> Result<T> {
        let mut value = T::new_zeroed();
        cx.memory().copy_in(self.at, value.as_mut_bytes()).map_err(|_| Errno::EFAULT)?;
        Ok(value)
    }

    /// Copies `count` values in. The caller bounds `count`.
    ///
    /// # Errors
    /// `EFAULT` where they cannot be read, `ENOMEM` where there is no room for them.
    pub fn read_many(self, cx: &Context<'_>, count: usize) -> Result<Vec<T>>
    where
        T: Clone + Immutable,
    {
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        values.resize(count, T::new_zeroed());
        cx.memory().copy_in(self.at, values.as_mut_slice().as_mut_bytes()).map_err(|_| Errno::EFAULT)?;
        Ok(values)
    }
}

impl<T: IntoBytes + Immutable, D: Writable> UserPtr<T, D> {
    /// Copies the value out.
    ///
    /// # Errors
    /// `EFAULT` where it cannot be written.
    pub fn write(self, cx: &Context<'_>, value: &T) -> Result<()> {
        cx.memory().copy_out(self.at, value.as_bytes()).map_err(|_| Errno::EFAULT)
    }

    /// Copies values out, one after the other.
    ///
    /// # Errors
    /// `EFAULT` where they cannot be written.
    pub fn write_many(self, cx: &Context<'_>, values: &[T]) -> Result<()> {
        cx.memory().copy_out(self.at, values.as_bytes()).map_err(|_| Errno::EFAULT)
    }
}

impl<T, D> Arg for UserPtr<T, D> {
    #[inline(always)]
    fn take(args: &mut Args) -> Self {
        Self::new(UserAddr::take(args))
    }

    fn show(&self, _: &dyn UserMemory, out: &mut String) {
        show_address(self.at, out);
    }
}

/// A buffer that a call fills: an address and a length, in two registers.
#[derive(Clone, Copy, Debug)]
pub struct OutBuf(pub UserRange);

/// A buffer that a call reads: an address and a length, in two registers.
#[derive(Clone, Copy, Debug)]
pub struct InBuf(pub UserRange);

#[inline(always)]
fn take_range(args: &mut Args) -> UserRange {
    UserRange { start: UserAddr::take(args), len: usize::take(args) }
}

impl Arg for OutBuf {
    #[inline(always)]
    fn take(args: &mut Args) -> Self {
        Self(take_range(args))
    }

    fn show(&self, _: &dyn UserMemory, out: &mut String) {
        show_address(self.0.start, out);
        let _ = write!(out, ", {}", self.0.len);
    }
}

impl Arg for InBuf {
    #[inline(always)]
    fn take(args: &mut Args) -> Self {
        Self(take_range(args))
    }

    fn show(&self, memory: &dyn UserMemory, out: &mut String) {
        let mut text = [0; 32];
        let len = self.0.len.min(text.len());
        match memory.copy_in(self.0.start, &mut text[..len]) {
            Ok(()) => {
                let more = if self.0.len > len { "..." } else { "" };
                let _ = write!(out, "\"{}\"{more}", text[..len].escape_ascii());
            }
            Err(_) => show_address(self.0.start, out),
        }
        let _ = write!(out, ", {}", self.0.len);
    }
}
