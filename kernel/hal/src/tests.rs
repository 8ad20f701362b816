//! Host tests of the seams and of the fakes themselves.

use alloc::sync::Arc;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Wake;

use crate::sync::{Lock, SleepLock, rank};
use crate::*;

#[derive(Default)]
struct Count(std::sync::atomic::AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn frames_are_counted_and_copied() {
    let frame = Frame::zeroed().unwrap();
    frame.write(4090, b"abcdef");
    let other = frame.clone();
    assert_eq!(frame.references(), 2);
    let copy = Frame::copy_of(&frame).unwrap();
    drop(other);
    assert_eq!((frame.references(), copy.references()), (1, 1));
    let mut bytes = [0; 6];
    copy.read(4090, &mut bytes);
    assert_eq!(&bytes, b"abcdef");
    assert_eq!(size_of::<Option<Frame>>(), 4);
}

#[test]
fn a_wake_reaches_those_interested_and_one_exclusive_waiter() {
    let queue = WaitQueue::new();
    let counts: Vec<Arc<Count>> = (0..4).map(|_| Arc::default()).collect();
    let wakers: Vec<_> = counts.iter().map(|c| core::task::Waker::from(Arc::clone(c))).collect();
    let _reader = queue.add(Readiness::READ, &wakers[0]);
    let _writer = queue.add(Readiness::WRITE, &wakers[1]);
    let _one = queue.add_exclusive(Readiness::READ, &wakers[2]);
    let two = queue.add_exclusive(Readiness::READ, &wakers[3]);
    let seen = || counts.iter().map(|c| c.0.load(std::sync::atomic::Ordering::SeqCst)).collect::<Vec<_>>();
    queue.wake(Readiness::IN);
    assert_eq!(seen(), [1, 0, 1, 0]);
    queue.wake(Readiness::IN);
    assert_eq!(seen(), [2, 0, 1, 1], "exclusive waiters take turns");
    drop(two);
    assert_eq!(seen(), [2, 0, 2, 1], "one that leaves passes its wake-up on");
    queue.wake(Readiness::HUP);
    assert_eq!(seen(), [3, 1, 3, 1], "everyone hears of a hang-up, but those who left");
}

#[test]
fn locks_out_of_order_are_caught() {
    let low: Lock<(), { rank::FD_TABLE }> = Lock::new(());
    let high: Lock<(), { rank::OBJECT }> = Lock::new(());
    let sleep: SleepLock<(), { rank::INODE }> = SleepLock::new(());
    {
        let _a = low.lock();
        let _b = high.lock();
    }
    for wrong in [
        catch_unwind(AssertUnwindSafe(|| {
            let _b = high.lock();
            let _a = low.lock();
        })),
        catch_unwind(AssertUnwindSafe(|| {
            let _a = low.lock();
            let _s = sleep.lock();
        })),
    ] {
        assert!(wrong.is_err(), "out of order");
    }
}

#[test]
fn a_sleeping_lock_hands_over_between_threads() {
    let lock: Arc<SleepLock<u32, { rank::INODE }>> = Arc::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut value = lock.lock();
                    let now = *value;
                    std::thread::yield_now();
                    *value = now + 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock(), 4000);
}

#[test]
fn dest_and_source_walk_kernel_slices() {
    let mut bytes = [0; 6];
    let mut dest = Dest::kernel(&mut bytes);
    assert_eq!(dest.push(b"abcd"), Ok(4));
    assert_eq!((dest.push_zeros(1), dest.push(b"xyz"), dest.done(), dest.remaining()), (Ok(1), Ok(1), 6, 0));
    assert_eq!(&bytes, b"abcd\0x");
    let mut source = Source::kernel(b"hello");
    let mut part = [0; 3];
    assert_eq!((source.pull(&mut part), &part), (Ok(3), b"hel"));
    assert_eq!((source.pull(&mut part), source.remaining()), (Ok(2), 0));
}
