extern crate std;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

/// A disk whose bytes say where they are.
#[derive(Default)]
struct FakeDisk {
    len: u64,
    /// A page that cannot be read.
    bad: Option<u64>,
    slow: bool,
    requests: std::sync::Mutex<Vec<(u64, usize)>>,
    overlap: AtomicBool,
    under_way: std::sync::Mutex<std::collections::BTreeSet<u64>>,
}

impl BlockDevice for FakeDisk {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&self, first: u64, frames: &[Frame]) -> Result<()> {
        self.requests.lock().unwrap().push((first, frames.len()));
        let range = first..first + frames.len() as u64;
        for page in range.clone() {
            if !self.under_way.lock().unwrap().insert(page) {
                self.overlap.store(true, Ordering::SeqCst);
            }
        }
        if self.slow {
            thread::sleep(Duration::from_millis(2));
        }
        for (page, frame) in range.clone().zip(frames) {
            frame.zero(0, PAGE_SIZE);
            frame.write(0, &page.to_le_bytes());
        }
        for page in range.clone() {
            self.under_way.lock().unwrap().remove(&page);
        }
        if self.bad.is_some_and(|bad| range.contains(&bad)) { Err(Errno::EIO) } else { Ok(()) }
    }

    fn write(&self, _: u64, _: &[Frame]) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

fn disk(pages: u64) -> FakeDisk {
    FakeDisk { len: pages * PAGE_SIZE as u64, ..FakeDisk::default() }
}

fn number(frame: &Frame) -> u64 {
    let mut bytes = [0; 8];
    frame.read(0, &mut bytes);
    u64::from_le_bytes(bytes)
}

#[test]
fn sequential_reads_become_long_and_random_ones_stay_short() {
    let device = Arc::new(disk(200));
    let cache = CachedDisk::with_limit(device.clone(), 1000);
    for index in 0..200 {
        assert_eq!(number(&cache.page(index).unwrap()), index);
    }
    let lengths: Vec<usize> = device.requests.lock().unwrap().iter().map(|r| r.1).collect();
    assert_eq!(lengths, [4, 8, 16, 32, 32, 32, 32, 32, 12]);
    assert_eq!((cache.cached(), cache.reads()), (200, 9));

    let device = Arc::new(disk(100_000));
    let cache = CachedDisk::with_limit(device.clone(), 1000);
    for index in [5000, 90_000, 70, 40_000] {
        assert_eq!(number(&cache.page(index).unwrap()), index);
    }
    assert!(device.requests.lock().unwrap().iter().all(|r| r.1 == 4));
}

#[test]
fn two_readers_are_told_apart() {
    let device = Arc::new(disk(1000));
    let cache = CachedDisk::with_limit(device.clone(), 2000);
    for step in 0..200 {
        cache.page(step).unwrap();
        cache.page(500 + step).unwrap();
    }
    assert!(cache.reads() <= 18, "{} reads", cache.reads());
}

#[test]
fn the_end_of_the_disk_is_the_end() {
    let device = Arc::new(FakeDisk { len: 2 * PAGE_SIZE as u64 + 100, ..FakeDisk::default() });
    let cache = CachedDisk::new(device.clone());
    assert_eq!(PageStore::len(&*cache), 8292);
    assert_eq!(number(&cache.page(2).unwrap()), 2);
    assert_eq!(cache.page(3).err(), Some(Errno::EINVAL));
    assert_eq!(device.requests.lock().unwrap().as_slice(), [(2, 1)]);
    assert_eq!(CachedDisk::new(Arc::new(disk(0))).page(0).err(), Some(Errno::EINVAL));
}

#[test]
fn an_error_hits_only_the_page_that_has_it() {
    let cache = CachedDisk::with_limit(Arc::new(FakeDisk { bad: Some(2), ..disk(8) }), 100);
    for index in [0, 1, 3, 7] {
        assert_eq!(number(&cache.page(index).unwrap()), index);
    }
    assert_eq!(cache.page(2).err(), Some(Errno::EIO));
    assert_eq!(
        cache.page(2).err(),
        Some(Errno::EIO),
        "it is tried again, and not remembered as being on its way"
    );
}

#[test]
fn the_cache_keeps_to_its_limit_and_to_what_is_used() {
    let cache = CachedDisk::with_limit(Arc::new(disk(10_000)), 64);
    let held = cache.page(9000).unwrap();
    for index in 0..5000 {
        assert_eq!(number(&cache.page(index).unwrap()), index);
        if index % 16 == 0 {
            cache.page(9500).unwrap();
        }
        assert!(cache.cached() <= 64 + 1, "{} pages", cache.cached());
    }
    let before = cache.reads();
    assert_eq!(cache.page(9000).unwrap(), held, "a page that somebody holds stays");
    cache.page(9500).unwrap();
    assert_eq!(cache.reads(), before, "so does one that is used again and again");
    drop(held);
    let gone = cache.shrink(10);
    assert_eq!(gone, 10);
    cache.shrink(usize::MAX);
    assert_eq!(cache.cached(), 0);
}

#[test]
fn pages_that_are_all_held_do_not_keep_others_from_being_read() {
    let cache = CachedDisk::with_limit(Arc::new(disk(1000)), 32);
    let held: Vec<Frame> = (0..200).map(|index| cache.page(index).unwrap()).collect();
    assert!(held.iter().zip(0..).all(|(frame, index)| number(frame) == index));
    assert_eq!(number(&cache.page(900).unwrap()), 900);
    drop(held);
    cache.shrink(usize::MAX);
    assert_eq!(cache.cached(), 0);
}

#[test]
fn threads_share_one_read_of_a_page() {
    let device = Arc::new(FakeDisk { slow: true, ..disk(400) });
    let cache = CachedDisk::with_limit(device.clone(), 10_000);
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for index in 0..400 {
                    assert_eq!(number(&cache.page(index).unwrap()), index);
                }
            });
        }
    });
    assert!(!device.overlap.load(Ordering::SeqCst), "no page was read twice at once");
    assert!(cache.reads() <= 20, "{} reads", cache.reads());
}

#[test]
fn threads_with_little_room_get_the_right_pages() {
    let device = Arc::new(FakeDisk { bad: Some(777), ..disk(1000) });
    let cache = CachedDisk::with_limit(device, 40);
    let errors = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in 1..=6_u64 {
            let (cache, errors) = (&cache, &errors);
            scope.spawn(move || {
                let mut state = seed * 77;
                for step in 0..3000_u64 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
                    let index = if step % 3 == 0 { (state >> 33) % 1000 } else { step % 1000 };
                    match cache.page(index) {
                        Ok(frame) => assert_eq!(number(&frame), index),
                        Err(error) => {
                            assert_eq!((index, error), (777, Errno::EIO));
                            errors.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert!(errors.load(Ordering::SeqCst) >= 12);
    assert!(cache.cached() <= 40 + 6 * 32);
}
