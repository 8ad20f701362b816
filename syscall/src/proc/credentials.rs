//! Who a thread is (`credentials(7)`, `capabilities(7)`).

use alloc::sync::Arc;

/// A capability, by its number in `linux/capability.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "capabilities(7) describes each")]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetBroadcast = 11,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    Lease = 28,
    AuditWrite = 29,
    AuditControl = 30,
    Setfcap = 31,
    MacOverride = 32,
    MacAdmin = 33,
    Syslog = 34,
    WakeAlarm = 35,
    BlockSuspend = 36,
    AuditRead = 37,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
}

/// Every capability that Linux 6.1 knows.
pub const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

/// A thread's identity; a change makes a new one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "credentials(7) and capabilities(7) describe each")]
pub struct Credentials {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Arc<[u32]>,
    pub permitted: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
    pub securebits: u32,
    pub no_new_privs: bool,
}

impl Credentials {
    /// The superuser, or a plain user with these groups.
    pub fn new(uid: u32, gid: u32, groups: &[u32]) -> Self {
        let capabilities = if uid == 0 { ALL_CAPABILITIES } else { 0 };
        Self {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: groups.into(),
            permitted: capabilities,
            effective: capabilities,
            inheritable: 0,
            bounding: ALL_CAPABILITIES,
            ambient: 0,
            securebits: 0,
            no_new_privs: false,
        }
    }

    /// Returns what decides on the access to files.
    pub fn file_access(&self) -> vfs::Credentials {
        vfs::Credentials {
            fsuid: self.fsuid,
            fsgid: self.fsgid,
            groups: Arc::clone(&self.groups),
            capabilities: vfs::Capabilities::from_bits_truncate(self.effective),
        }
    }

    /// Says whether the thread has a capability in effect.
    pub const fn can(&self, capability: Capability) -> bool {
        self.effective & 1 << capability as u8 != 0
    }

    /// Says whether the thread is in a group, by its effective or a supplementary group.
    pub fn in_group(&self, gid: u32) -> bool {
        self.egid == gid || self.groups.contains(&gid)
    }
}
