//! The input side of the kernel's console, included by its path because the kernel builds for the bare machine only.
#![expect(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "the whole file is tests")]

extern crate alloc;

/// The kernel's module of the same name, as far as it is used.
mod serial {
    pub(crate) trait Receiver: Send + Sync {
        fn room(&self) -> usize;
        fn take(&self, bytes: &[u8]);
    }
}

#[path = "."]
mod console {
    #[path = "../../src/drivers/console/input.rs"]
    mod input;

    use std::sync::{Arc, Mutex};

    use abi::channel::{Kind, frame};
    use hal::ConsoleInput;

    use super::serial::Receiver;
    use input::Input;

    #[derive(Default)]
    struct Sink(Mutex<Vec<String>>);

    impl Sink {
        fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn taken(&self) -> Vec<String> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    impl ConsoleInput for Sink {
        fn bytes(&self, bytes: &[u8]) {
            self.note(String::from_utf8_lossy(bytes).into_owned());
        }

        fn end(&self) {
            self.note("end".into());
        }

        fn resize(&self, rows: u16, columns: u16) {
            self.note(format!("{rows} x {columns}"));
        }

        fn signal(&self, signal: u32) {
            self.note(format!("signal {signal}"));
        }
    }

    fn stream() -> Vec<u8> {
        let mut stream = b"noise".to_vec();
        stream.extend(frame(Kind::Resize, 0, &[24, 0, 80, 0]));
        stream.extend(frame(Kind::Input, 0, b"abc"));
        stream.extend(frame(Kind::Output, 1, b"not for us"));
        stream.extend(frame(Kind::Signal, 0, &[2, 0, 0, 0]));
        stream.extend(frame(Kind::Signal, 0, b"bad"));
        stream.extend(frame(Kind::Input, 0, b""));
        stream.extend(frame(Kind::InputEof, 0, b""));
        stream
    }

    const ALL: [&str; 4] = ["24 x 80", "abc", "signal 2", "end"];

    #[test]
    fn frames_are_kept_until_somebody_takes_them() {
        let (input, sink) = (Input::new(true), Arc::new(Sink::default()));
        input.frames(&stream());
        input.signal(15);
        assert!(sink.taken().is_empty());
        input.set_sink(Arc::clone(&sink) as Arc<dyn ConsoleInput>);
        assert_eq!(sink.taken(), [&ALL[..], &["signal 15"]].concat());
    }

    #[test]
    fn frames_arrive_in_order_however_they_are_cut() {
        for cut in 1..stream().len() {
            let (input, sink) = (Input::new(true), Arc::new(Sink::default()));
            input.set_sink(Arc::clone(&sink) as Arc<dyn ConsoleInput>);
            stream().chunks(cut).for_each(|part| input.take(part));
            assert_eq!(sink.taken(), ALL);
        }
    }

    #[test]
    fn a_plain_port_is_read_as_far_as_there_is_credit() {
        let (input, sink) = (Input::new(false), Arc::new(Sink::default()));
        input.set_sink(Arc::clone(&sink) as Arc<dyn ConsoleInput>);
        assert_eq!(input.room(), 0);
        input.add_room(5);
        input.take(b"abc");
        assert_eq!((input.room(), sink.taken()), (2, vec!["abc".to_string()]));
        input.add_room(u32::MAX);
        assert_eq!(input.room(), u32::MAX as usize + 2);
    }
}
