//! What the processor hands over when an application enters the kernel.

/// The application's integer registers, in the order in which the entry code pushes them (Linux's `pt_regs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct UserRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The system call's number at its entry; `u64::MAX` where the entry was no system call.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// What an access wanted to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Instruction fetch.
    Execute,
}

/// A page fault of the application, or of the kernel's copy on its behalf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFault {
    /// The address that was accessed (CR2).
    pub addr: u64,
    /// What the access wanted.
    pub access: Access,
    /// A page is mapped there, but does not permit the access.
    pub protection: bool,
}

/// A processor exception in the application other than a page fault (Intel SDM volume 3, table 6-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exception {
    DivideError,
    /// Single step or hardware breakpoint, with DR6.
    Debug(u64),
    Breakpoint,
    Overflow,
    BoundRange,
    InvalidOpcode,
    DeviceNotAvailable,
    SegmentNotPresent(u64),
    StackSegment(u64),
    GeneralProtection(u64),
    /// x87 error, with the status and control words.
    X87 {
        status: u16,
        control: u16,
    },
    AlignmentCheck,
    /// SSE error, with MXCSR.
    Simd(u32),
    ControlProtection(u64),
    MachineCheck,
}
