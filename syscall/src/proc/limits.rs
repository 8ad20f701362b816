//! Resource limits (`getrlimit(2)`).

/// A resource, by its number in `asm-generic/resource.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "getrlimit(2) describes each")]
pub enum Resource {
    Cpu,
    Fsize,
    Data,
    Stack,
    Core,
    Rss,
    Nproc,
    Nofile,
    Memlock,
    As,
    Locks,
    Sigpending,
    Msgqueue,
    Nice,
    Rtprio,
    Rttime,
}

/// No limit (`RLIM_INFINITY`).
pub(super) const INFINITY: u64 = u64::MAX;

/// A soft and a hard limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// The limit in force (`rlim_cur`).
    pub soft: u64,
    /// How far the soft limit may be raised (`rlim_max`).
    pub hard: u64,
}

/// A process's limits.
#[derive(Clone, Debug)]
pub struct Limits([Limit; 16]);

impl Limits {
    /// Linux's limits for the first process; `tasks` is the most threads that the machine's memory allows.
    pub const fn new(tasks: u64) -> Self {
        const fn both(value: u64) -> Limit {
            Limit { soft: value, hard: value }
        }
        let mut limits = [both(INFINITY); 16];
        limits[Resource::Stack as usize].soft = 8 << 20;
        limits[Resource::Core as usize].soft = 0;
        limits[Resource::Nproc as usize] = both(tasks);
        limits[Resource::Nofile as usize] = Limit { soft: 1024, hard: 1 << 20 };
        limits[Resource::Memlock as usize] = both(8 << 20);
        limits[Resource::Sigpending as usize] = both(tasks);
        limits[Resource::Msgqueue as usize] = both(819_200);
        limits[Resource::Nice as usize] = both(0);
        limits[Resource::Rtprio as usize] = both(0);
        Self(limits)
    }

    /// Returns a limit.
    pub const fn get(&self, resource: Resource) -> Limit {
        self.0[resource as usize]
    }

    /// Sets a limit.
    pub const fn set(&mut self, resource: Resource, limit: Limit) {
        self.0[resource as usize] = limit;
    }

    /// Returns the resource with that number.
    pub const fn resource(number: u32) -> Option<Resource> {
        use Resource::*;
        const ALL: [Resource; 16] = [
            Cpu, Fsize, Data, Stack, Core, Rss, Nproc, Nofile, Memlock, As, Locks, Sigpending, Msgqueue,
            Nice, Rtprio, Rttime,
        ];
        if (number as usize) < ALL.len() { Some(ALL[number as usize]) } else { None }
    }
}
