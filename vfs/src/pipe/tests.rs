use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::Errno;
use hal::{Dest, Frame, PAGE_SIZE, Readiness, Source};

use super::{Pipe, PipeEnd, Side, WriteMode};

fn write(end: &PipeEnd, bytes: &[u8]) -> abi::Result<usize> {
    end.write(&mut Source::kernel(bytes), WriteMode::Stream)
}

fn read(end: &PipeEnd, len: usize) -> abi::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let n = end.read(&mut Dest::kernel(&mut bytes))?;
    bytes.truncate(n);
    Ok(bytes)
}

#[test]
fn bytes_come_out_in_order_and_the_end_is_told() {
    let (reader, writer) = Pipe::pair();
    assert_eq!(read(&reader, 10), Err(Errno::EAGAIN));
    assert_eq!(write(&writer, b"hello "), Ok(6));
    assert_eq!(write(&writer, b"world"), Ok(5));
    assert_eq!(reader.pipe().len(), 11);
    assert_eq!(read(&reader, 4).as_deref(), Ok(&b"hell"[..]));
    drop(writer);
    assert_eq!(reader.readiness(), Readiness::READ | Readiness::HUP);
    assert_eq!(read(&reader, 100).as_deref(), Ok(&b"o world"[..]));
    assert_eq!(read(&reader, 100).as_deref(), Ok(&b""[..]));
    assert_eq!(reader.readiness(), Readiness::HUP);
}

#[test]
fn nobody_reads() {
    let (reader, writer) = Pipe::pair();
    drop(reader);
    assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
    assert!(writer.readiness().contains(Readiness::ERR));
}

#[test]
fn each_side_does_its_own_only() {
    let (reader, writer) = Pipe::pair();
    assert_eq!(write(&reader, b"x"), Err(Errno::EBADF));
    assert_eq!(read(&writer, 1), Err(Errno::EBADF));
}

#[test]
fn a_small_write_is_whole_or_nothing() {
    let (reader, writer) = Pipe::pair();
    // Linux's own numbers: sixteen pages, and 4000 bytes do not share a page with as many.
    for _ in 0..16 {
        assert_eq!(write(&writer, &[1; 4000]), Ok(4000));
    }
    assert!(!writer.readiness().contains(Readiness::OUT));
    assert_eq!(write(&writer, &[2; 100]), Err(Errno::EAGAIN), "does not fit behind the last");
    assert_eq!(write(&writer, &[2; 96]), Ok(96), "fits behind the last");
    assert_eq!(read(&reader, 4000).map(|b| b.len()), Ok(4000));
    assert_eq!(write(&writer, &[3; 4096]), Ok(4096));
    assert_eq!(write(&writer, &[3; 1]), Err(Errno::EAGAIN));
}

#[test]
fn a_large_write_takes_what_fits() {
    let (reader, writer) = Pipe::pair();
    let bytes: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    assert_eq!(write(&writer, &bytes), Ok(65536));
    assert_eq!(read(&reader, 100_000).as_deref(), Ok(&bytes[..65536]));
}

#[test]
fn packets_stay_apart_and_lose_what_is_not_read() {
    let (reader, writer) = Pipe::pair();
    for text in [&b"one"[..], b"three"] {
        writer.write(&mut Source::kernel(text), WriteMode::Packet).expect("fits");
    }
    assert_eq!(read(&reader, 2).as_deref(), Ok(&b"on"[..]));
    assert_eq!(read(&reader, 100).as_deref(), Ok(&b"three"[..]));
    assert_eq!(read(&reader, 100), Err(Errno::EAGAIN));
}

#[test]
fn the_capacity_is_rounded_up_and_does_not_lose_bytes() {
    let (_reader, writer) = Pipe::pair();
    let pipe = writer.pipe();
    assert_eq!(pipe.capacity(), 65536);
    assert_eq!(pipe.set_capacity(1), Ok(PAGE_SIZE));
    assert_eq!(pipe.set_capacity(5000), Ok(2 * PAGE_SIZE));
    assert_eq!(write(&writer, &[0; 9000]), Ok(8192));
    assert_eq!(pipe.set_capacity(PAGE_SIZE), Err(Errno::EBUSY));
    assert_eq!(pipe.set_capacity(0), Err(Errno::EINVAL));
}

#[test]
fn pages_move_through_without_a_copy() {
    let (a, b) = Pipe::pair();
    let (c, d) = Pipe::pair();
    let frame = Frame::zeroed().expect("memory");
    frame.write(10, b"spliced");
    b.pipe().give(frame.clone(), 10, 7).expect("fits");
    assert_eq!(a.pipe().tee(d.pipe(), 100), Ok(7));
    // What was teed is shared, so a later write must not go on in it.
    write(&b, b"!").expect("fits");
    assert_eq!(read(&c, 100).as_deref(), Ok(&b"spliced"[..]));
    let (taken, offset, len) = a.pipe().take(4).expect("there").expect("not the end");
    assert_eq!((&taken, offset, len), (&frame, 10, 4));
    a.pipe().put_back(taken, offset, len);
    assert_eq!(read(&a, 100).as_deref(), Ok(&b"spliced!"[..]));
}

#[test]
fn a_fifo_is_empty_when_it_is_opened_again() {
    let pipe = Pipe::new();
    let both = pipe.open(Side::READ | Side::WRITE);
    write(&both, b"lost").expect("fits");
    drop(both);
    let reader = pipe.open(Side::READ);
    assert_eq!(read(&reader, 10).as_deref(), Ok(&b""[..]), "no writer: the end");
    assert_eq!(pipe.opens(), (2, 1));
}

#[test]
fn waiters_are_woken_by_the_other_side() {
    struct Count(AtomicUsize);
    impl alloc::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Arc::clone(&count).into();
    let (reader, writer) = Pipe::pair();
    let _registration = reader.pipe().wait_queue().add(Readiness::READ, &waker);
    write(&writer, b"x").expect("fits");
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    drop(writer);
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
}

#[test]
fn small_writes_of_many_threads_do_not_mix() {
    let (reader, writer) = Pipe::pair();
    let writer = Arc::new(writer);
    std::thread::scope(|scope| {
        for byte in 1..=4_u8 {
            let writer = Arc::clone(&writer);
            scope.spawn(move || {
                for _ in 0..200 {
                    while write(&writer, &[byte; 1000]) == Err(Errno::EAGAIN) {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut got = Vec::new();
        while got.len() < 800_000 {
            match read(&reader, 4096) {
                Ok(bytes) => got.extend(bytes),
                Err(_) => std::thread::yield_now(),
            }
        }
        assert!(got.chunks(1000).all(|chunk| chunk.iter().all(|&b| b == chunk[0])));
    });
}
