use abi::Errno;

use super::{FileKey, LockMode, LockTable, Owner, RecordLock, TO_END};

const KEY: FileKey = FileKey { dev: 1, ino: 2 };

fn lock(pid: u32, start: u64, last: u64, mode: LockMode) -> RecordLock {
    RecordLock { start, last, mode, owner: Owner::Process(pid), pid: i32::try_from(pid).expect("small") }
}

fn held(table: &LockTable, pid: u32) -> alloc::vec::Vec<(u64, u64, LockMode)> {
    let mut list = alloc::vec::Vec::new();
    table.for_each(|_, record, _| {
        list.extend(record.filter(|r| r.owner == Owner::Process(pid)).map(|r| (r.start, r.last, r.mode)));
    });
    list
}

use LockMode::{Exclusive, Shared};

#[test]
fn readers_share_and_writers_do_not() {
    let table = LockTable::default();
    table.set(KEY, lock(1, 0, 9, Shared)).expect("free");
    table.set(KEY, lock(2, 5, 15, Shared)).expect("shared");
    assert_eq!(table.set(KEY, lock(3, 8, 8, Exclusive)), Err(Errno::EAGAIN));
    assert_eq!(table.test(KEY, &lock(3, 12, 20, Exclusive)).map(|l| l.pid), Some(2));
    table.set(KEY, lock(3, 16, TO_END, Exclusive)).expect("free");
    assert_eq!(table.set(KEY, lock(1, 100, 100, Shared)), Err(Errno::EAGAIN));
    table.release_process(KEY, 3);
    table.set(KEY, lock(1, 100, 100, Shared)).expect("free");
}

#[test]
fn ranges_are_split_and_joined() {
    let table = LockTable::default();
    table.set(KEY, lock(1, 0, 99, Exclusive)).expect("free");
    table.release(KEY, Owner::Process(1), 40, 59);
    assert_eq!(held(&table, 1), [(0, 39, Exclusive), (60, 99, Exclusive)]);
    table.set(KEY, lock(1, 30, 70, Shared)).expect("own");
    assert_eq!(held(&table, 1), [(0, 29, Exclusive), (30, 70, Shared), (71, 99, Exclusive)]);
    table.set(KEY, lock(1, 30, 70, Exclusive)).expect("own");
    assert_eq!(held(&table, 1), [(0, 99, Exclusive)]);
    table.release(KEY, Owner::Process(1), 0, u64::MAX);
    assert!(held(&table, 1).is_empty());
}

#[test]
fn descriptions_and_processes_conflict() {
    let table = LockTable::default();
    let owner = Owner::Description(7);
    let ofd = RecordLock { start: 0, last: TO_END, mode: Exclusive, owner, pid: -1 };
    table.set(KEY, ofd).expect("free");
    assert_eq!(table.test(KEY, &lock(1, 5, 5, Shared)).map(|l| l.pid), Some(-1));
    table.release_process(KEY, 1);
    assert!(table.test(KEY, &lock(1, 5, 5, Shared)).is_some(), "another's close releases nothing");
    table.release_description(KEY, 7);
    assert!(table.test(KEY, &lock(1, 5, 5, Shared)).is_none());
}

#[test]
fn flock_is_by_description_and_converts() {
    let table = LockTable::default();
    table.flock(KEY, 1, Shared).expect("free");
    table.flock(KEY, 2, Shared).expect("shared");
    assert_eq!(table.flock(KEY, 1, Exclusive), Err(Errno::EAGAIN));
    // LINUX: the failed conversion has lost the lock that was held.
    table.flock(KEY, 2, Exclusive).expect("alone");
    table.funlock(KEY, 2);
    table.flock(KEY, 3, Exclusive).expect("free");
    table.set(KEY, lock(1, 0, 10, Exclusive)).expect("record locks are another kind");
}

#[test]
fn a_circle_of_waiters_is_found() {
    let table = LockTable::default();
    for pid in 1..=3 {
        table.set(KEY, lock(pid, u64::from(pid), u64::from(pid), Exclusive)).expect("free");
    }
    table.wait(KEY, &lock(1, 2, 2, Exclusive)).expect("no circle");
    table.wait(KEY, &lock(2, 3, 3, Exclusive)).expect("no circle");
    assert_eq!(table.wait(KEY, &lock(3, 1, 1, Exclusive)), Err(Errno::EDEADLK));
    table.stop_waiting(Owner::Process(2));
    table.wait(KEY, &lock(3, 1, 1, Exclusive)).expect("no circle any more");
}
