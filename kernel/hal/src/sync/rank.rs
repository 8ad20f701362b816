//! The order in which locks are taken: lower ranks first. Equal ranks are never held together, but for those
//! that a function takes in a fixed order and marks with `lock_nested`.

macro_rules! ranks {
    ($( $(#[$doc:meta])* $name:ident = $value:literal; )*) => {
        $( $(#[$doc])* pub const $name: u16 = $value; )*

        /// Every rank with its name, lowest first.
        pub const ALL: &[(u16, &str)] = &[$( ($value, stringify!($name)) ),*];
    };
}

ranks! {
    /// An open file description's offset (`SleepLock`, across a read or write, so below `VM`).
    OFFSET = 90;
    /// Who writes to a file or changes its size (`SleepLock`, across a copy from the application, so below `VM`).
    FILE_WRITE = 95;
    /// Who reads from a socket, across the copy to the application (`SleepLock`).
    SOCKET_READ = 96;
    /// Who writes to a socket, across the copy from the application (`SleepLock`).
    SOCKET_WRITE = 97;
    /// An address space's mappings (a [`super::SleepLock`]; faults take it, so no copy to or from the application under it).
    VM = 100;
    /// The directory tree: renames.
    RENAME = 200;
    /// A directory's entries (`SleepLock`); a parent before its child.
    DIRECTORY = 210;
    /// A file system's own state (`SleepLock`).
    FILE_SYSTEM = 220;
    /// A file's contents and size (`SleepLock`).
    INODE = 230;
    /// Pages on their way from a disk (`SleepLock`, held by whoever reads them).
    DISK_READ = 232;
    /// The list of processes, process groups and sessions. Behind every sleeping lock: proc looks at it under those.
    PROCESS_TABLE = 235;
    /// A process's threads, children and exit state.
    PROCESS = 236;
    /// A file's pages.
    PAGE_CACHE = 240;
    /// The mount table.
    MOUNTS = 250;
    /// What a name in the directory tree is linked to.
    DENTRY = 260;
    /// A process's descriptor table.
    FD_TABLE = 300;
    /// A process's working directory, root and umask.
    FS_CONTEXT = 310;
    /// An epoll instance's interest list.
    EPOLL = 320;
    /// A futex bucket.
    FUTEX = 330;
    /// Signal handlers and pending signals.
    SIGNAL = 340;
    /// A thread's small state: mask, names, identities.
    THREAD = 350;
    /// Timers that a process made.
    TIMER = 360;
    /// A pipe, socket or other object's buffer.
    OBJECT = 400;
    /// One direction of a connection within the machine.
    STREAM = 405;
    /// The objects of one kind of System V IPC; an object may be taken out while it is locked.
    IPC_TABLE = 406;
    /// A terminal.
    TTY = 410;
    /// Who is bound to which port of TCP.
    NET_PORTS = 415;
    /// Which packets belong to whom.
    NET_TABLE = 420;
    /// Interfaces, addresses, routes.
    NET_CONFIG = 430;
    /// Link-layer addresses of neighbours.
    NEIGHBOR = 440;
    /// An epoll instance's list of ready files.
    EPOLL_READY = 450;
    /// Who waits for an object.
    WAIT_QUEUE = 500;
    /// The queue of a [`super::SleepLock`].
    SLEEP_QUEUE = 510;
    /// The kernel's run queues and timers.
    SCHEDULER = 600;
    /// A driver's queues.
    DRIVER = 700;
    /// Page tables.
    PAGE_TABLE = 800;
    /// The kernel heap.
    HEAP = 890;
    /// Physical memory.
    FRAMES = 900;
    /// Small leaf state that holds no other lock.
    LEAF = 1000;
}
