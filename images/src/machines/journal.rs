//! A machine's output in a file: frames of [`abi::channel`], so that both streams stay in order and apart.
//!
//! Each frame is on its way to the disk before the next is taken from the machine. Whatever ends the supervisor,
//! what it had written stays; a frame that was cut off by that is not a frame, and the reader stops before it.

use abi::channel::{Decoder, Event, Kind, MAX_PAYLOAD, header};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

/// The writer.
#[derive(Debug)]
pub struct Journal {
    file: File,
    lost: Option<String>,
}

impl Journal {
    /// Makes the file.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = File::options();
        let options = std::os::unix::fs::OpenOptionsExt::mode(options.append(true).create_new(true), 0o600);
        let file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file, lost: None })
    }

    /// Writes bytes of a stream. What cannot be written is lost, and that is remembered: the machine must not stand
    /// still for a full disk.
    pub fn put(&mut self, kind: Kind, stream: u8, bytes: &[u8]) {
        for part in bytes.chunks(MAX_PAYLOAD) {
            let whole = [&header(kind, stream, part.len())[..], part].concat();
            let before = self.file.metadata().map(|meta| meta.len());
            if let Err(error) = self.file.write_all(&whole) {
                // Half a frame would swallow the next one.
                let _ = before.and_then(|len| self.file.set_len(len));
                self.lost.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// Why output was lost, if any was.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }
}

/// The reader, which may follow a writer.
#[derive(Debug)]
pub struct Reader {
    file: File,
    decoder: Decoder,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { file, decoder: Decoder::default() })
    }

    /// Takes what has been written since the last time, in parts; `false` once there is nothing more at present.
    ///
    /// # Errors
    /// If the file cannot be read, or as `take`.
    pub fn read(&mut self, mut take: impl FnMut(Kind, u8, &[u8]) -> Result<()>) -> Result<bool> {
        let mut buffer = vec![0; 1 << 16];
        let len = self.file.read(&mut buffer).context("cannot read the machine's output")?;
        for event in self.decoder.push(&buffer[..len]) {
            if let Event::Frame { kind, stream, payload } = event {
                take(kind, stream, &payload)?;
            }
        }
        Ok(len > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_stay_in_order_and_a_cut_frame_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output");
        let mut journal = Journal::create(&path).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let mut seen = Vec::new();
        let mut read = |reader: &mut Reader| {
            while reader
                .read(|kind, stream, bytes| {
                    seen.push((kind, stream, bytes.len()));
                    Ok(())
                })
                .unwrap()
            {}
            std::mem::take(&mut seen)
        };
        journal.put(Kind::Output, 1, b"out");
        journal.put(Kind::Output, 2, b"error");
        assert_eq!(read(&mut reader), [(Kind::Output, 1, 3), (Kind::Output, 2, 5)]);
        journal.put(Kind::Output, 1, &vec![7; MAX_PAYLOAD + 1]);
        assert_eq!(read(&mut reader), [(Kind::Output, 1, MAX_PAYLOAD), (Kind::Output, 1, 1)]);
        File::options().append(true).open(&path).unwrap().write_all(&header(Kind::Output, 1, 100)).unwrap();
        assert!(read(&mut reader).is_empty() && journal.lost().is_none());
        assert!(Journal::create(&path).is_err(), "never two writers");
    }
}
