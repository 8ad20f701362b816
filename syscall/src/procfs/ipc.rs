//! `/proc/sysvipc` (`sysvipc(7)`), and the limits of IPC in `/proc/sys/kernel` and `/proc/sys/fs/mqueue`.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};

use abi::ipc::IpcPerm;
use abi::{Errno, Result};
use vfs::Caller;
use vfs::fs::synthetic::{Entry, File, Folder};

use super::Text;
use super::system::about;
use crate::ipc::table::MOST;
use crate::system::System;

/// Makes `/proc/sysvipc`.
pub(super) fn sysvipc(system: &Arc<System>) -> Folder {
    Folder::new()
        .with("msg", about(system, 0o444, msg))
        .with("sem", about(system, 0o444, sem))
        .with("shm", about(system, 0o444, shm))
}

fn owners(text: &mut Text, perm: &IpcPerm) {
    put!(text, " {:5} {:5} {:5} {:5}", perm.uid, perm.gid, perm.cuid, perm.cgid);
}

fn msg(system: &System) -> Text {
    let mut text = Text::default();
    text.push(b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid");
    text.push(b"      stime      rtime      ctime\n");
    for queue in system.ipc.msg.table.all() {
        let (id, q) = queue.status();
        put!(text, "{:10} {id:10}  {:4o}  ", q.msg_perm.key, q.msg_perm.mode);
        put!(text, "{:10} {:10} {:5} {:5}", q.msg_cbytes, q.msg_qnum, q.msg_lspid, q.msg_lrpid);
        owners(&mut text, &q.msg_perm);
        put!(text, " {:10} {:10} {:10}\n", q.msg_stime, q.msg_rtime, q.msg_ctime);
    }
    text
}

fn sem(system: &System) -> Text {
    let mut text = Text::default();
    text.push(b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    for set in system.ipc.sem.table.all() {
        let (id, s) = set.status();
        put!(text, "{:10} {id:10}  {:4o} {:10}", s.sem_perm.key, s.sem_perm.mode, s.sem_nsems);
        owners(&mut text, &s.sem_perm);
        put!(text, " {:10} {:10}\n", s.sem_otime, s.sem_ctime);
    }
    text
}

fn shm(system: &System) -> Text {
    let mut text = Text::default();
    text.push(
        b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid",
    );
    text.push(b"      atime      dtime      ctime                   rss                  swap\n");
    for segment in system.ipc.shm.table.all() {
        let report = segment.report();
        let (s, resident) = (report.status, report.resident * hal::PAGE_SIZE as u64);
        put!(text, "{:10} {:10}  {:4o} ", s.shm_perm.key, report.id, s.shm_perm.mode);
        put!(text, "{:21} {:5} {:5}  {:5}", s.shm_segsz, s.shm_cpid, s.shm_lpid, s.shm_nattch);
        owners(&mut text, &s.shm_perm);
        put!(text, " {:10} {:10} {:10} {resident:21} {:21}\n", s.shm_atime, s.shm_dtime, s.shm_ctime, 0);
    }
    text
}

/// A number that can be changed; whoever changes it has checked that it fits.
trait Number {
    fn get(&self) -> u64;
    fn set(&self, value: u64);
}

impl Number for AtomicU64 {
    fn get(&self) -> u64 {
        self.load(Relaxed)
    }

    fn set(&self, value: u64) {
        self.store(value, Relaxed);
    }
}

impl Number for AtomicU32 {
    fn get(&self) -> u64 {
        u64::from(self.load(Relaxed))
    }

    fn set(&self, value: u64) {
        self.store(u32::try_from(value).unwrap_or(u32::MAX), Relaxed);
    }
}

/// One number of a limit.
struct Field {
    value: fn(&System) -> &dyn Number,
    least: u64,
    most: u64,
}

/// A file with limits that can be changed.
struct Limits {
    system: Arc<System>,
    fields: &'static [Field],
}

impl File for Limits {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        let texts: Vec<String> =
            self.fields.iter().map(|f| format!("{}", (f.value)(&self.system).get())).collect();
        Ok((texts.join("\t") + "\n").into_bytes())
    }

    fn write(&self, bytes: &[u8], offset: u64, _: &Caller<'_>) -> Result<usize> {
        // LINUX: only the first write of an opening counts (sysctl_writes_strict).
        if offset > 0 {
            return Ok(bytes.len());
        }
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let mut values = Vec::new();
        for (word, field) in text.split_ascii_whitespace().zip(self.fields) {
            let value = word.parse().map_err(|_| Errno::EINVAL)?;
            if !(field.least..=field.most).contains(&value) {
                return Err(Errno::EINVAL);
            }
            values.push(value);
        }
        for (value, field) in values.into_iter().zip(self.fields) {
            (field.value)(&self.system).set(value);
        }
        Ok(bytes.len())
    }
}

/// A field that is an atomic number of the system's IPC state.
macro_rules! field {
    ($($path:ident).+, $least:expr, $most:expr) => {
        Field {
            value: |system| &system.ipc.$($path).+,
            least: $least,
            most: $most,
        }
    };
}

const INT: u64 = i32::MAX as u64;
const IDS: u64 = MOST as u64;

static SHMMAX: &[Field] = &[field!(shm.max, 0, u64::MAX)];
static SHMALL: &[Field] = &[field!(shm.all, 0, u64::MAX)];
static SHMMNI: &[Field] = &[field!(shm.table.limit, 0, IDS)];
static MSGMAX: &[Field] = &[field!(msg.message_limit, 0, INT)];
static MSGMNB: &[Field] = &[field!(msg.queue_limit, 0, INT)];
static MSGMNI: &[Field] = &[field!(msg.table.limit, 0, IDS)];
static SEM: &[Field] = &[
    field!(sem.set_limit, 0, INT),
    field!(sem.total_limit, 0, INT),
    field!(sem.operation_limit, 0, INT),
    field!(sem.table.limit, 0, IDS),
];
static MQ_QUEUES_MAX: &[Field] = &[field!(mqueue.limits.queues_max, 0, INT)];
static MQ_MSG_MAX: &[Field] = &[field!(mqueue.limits.msg_max, 1, 65_536)];
static MQ_MSGSIZE_MAX: &[Field] = &[field!(mqueue.limits.msgsize_max, 128, 16 << 20)];
static MQ_MSG_DEFAULT: &[Field] = &[field!(mqueue.limits.msg_default, 1, 65_536)];
static MQ_MSGSIZE_DEFAULT: &[Field] = &[field!(mqueue.limits.msgsize_default, 128, 16 << 20)];

fn limits(system: &Arc<System>, fields: &'static [Field]) -> Entry {
    Entry::file(0o644, Limits { system: Arc::clone(system), fields }).strict()
}

/// Adds what is in `/proc/sys/kernel` (`proc_sys_kernel(5)`).
pub(super) fn kernel(folder: Folder, system: &Arc<System>) -> Folder {
    folder
        .with("msgmax", limits(system, MSGMAX))
        .with("msgmnb", limits(system, MSGMNB))
        .with("msgmni", limits(system, MSGMNI))
        .with("sem", limits(system, SEM))
        .with("shm_rmid_forced", super::sysctl::fixed("0"))
        .with("shmall", limits(system, SHMALL))
        .with("shmmax", limits(system, SHMMAX))
        .with("shmmni", limits(system, SHMMNI))
}

/// Makes `/proc/sys/fs/mqueue` (`mq_overview(7)`).
pub(super) fn mqueue(system: &Arc<System>) -> Folder {
    Folder::new()
        .with("msg_default", limits(system, MQ_MSG_DEFAULT))
        .with("msg_max", limits(system, MQ_MSG_MAX))
        .with("msgsize_default", limits(system, MQ_MSGSIZE_DEFAULT))
        .with("msgsize_max", limits(system, MQ_MSGSIZE_MAX))
        .with("queues_max", limits(system, MQ_QUEUES_MAX))
}
