//! Rust's standard library: threads, channels, files, time, panics that are caught.
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Condvar, Mutex, RwLock, mpsc};
use std::time::{Duration, Instant};

fn main() {
    let counter = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..20)
        .map(|i| {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    *counter.lock().unwrap() += 1;
                }
                i
            })
        })
        .collect();
    let sum: i32 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    println!("{} {sum}", counter.lock().unwrap());
    let (to, from) = mpsc::channel();
    for i in 0..4 {
        let to = to.clone();
        std::thread::spawn(move || to.send(i * i).unwrap());
    }
    drop(to);
    let mut got: Vec<i32> = from.iter().collect();
    got.sort_unstable();
    println!("{got:?}");
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = Arc::clone(&pair);
    std::thread::spawn(move || {
        *other.0.lock().unwrap() = true;
        other.1.notify_one();
    });
    let guard = pair.1.wait_while(pair.0.lock().unwrap(), |done| !*done).unwrap();
    println!("{}", *guard);
    let lock = RwLock::new(HashMap::new());
    lock.write().unwrap().insert("key", 7);
    println!("{:?}", lock.read().unwrap().get("key"));
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    println!("{}", start.elapsed() >= Duration::from_millis(20));
    let base = std::env::var("SCRATCH").unwrap_or("/tmp".into());
    let dir = format!("{base}/rust-{}", std::process::id());
    std::fs::create_dir_all(format!("{dir}/a/b")).unwrap();
    let path = format!("{dir}/a/file");
    let mut file = std::fs::OpenOptions::new().create(true).read(true).write(true).truncate(true).open(&path).unwrap();
    file.write_all(b"some text").unwrap();
    file.seek(SeekFrom::Start(5)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    println!("{text} {}", std::fs::metadata(&path).unwrap().len());
    let mut names: Vec<_> = std::fs::read_dir(format!("{dir}/a")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    println!("{names:?}");
    std::fs::remove_dir_all(&dir).unwrap();
    println!("{:?}", std::fs::read(&path).unwrap_err().kind());
    let caught = std::panic::catch_unwind(|| {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("expected")
    });
    println!("{}", caught.is_err());
    println!("{:?}", std::env::args().skip(1).collect::<Vec<_>>());
    std::process::exit(5);
}
