//! Random bytes: ChaCha20 (RFC 8439) keyed from every source the machine has, with the key replaced on each use.

use hal::sync::{Lock, rank};

use crate::arch::cpu::rdtsc;
use crate::arch::random_word;

/// The generator's key. Half of each first block becomes the next key ("fast key erasure"), so that what was given out
/// cannot be computed back from a later state.
struct Pool {
    key: [u32; 8],
    uses: u64,
}

static POOL: Lock<Pool, { rank::LEAF }> = Lock::new(Pool { key: [0; 8], uses: 0 });

fn quarter(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(16);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(12);
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(8);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(7);
}

/// The ChaCha20 block function.
fn block(key: &[u32; 8], counter: u64, nonce: u64) -> [u32; 16] {
    let mut start = [0; 16];
    start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    start[4..12].copy_from_slice(key);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    start[12..].copy_from_slice(&[
        counter as u32,
        (counter >> 32) as u32,
        nonce as u32,
        (nonce >> 32) as u32,
    ]);
    let mut state = start;
    for _ in 0..10 {
        quarter(&mut state, 0, 4, 8, 12);
        quarter(&mut state, 1, 5, 9, 13);
        quarter(&mut state, 2, 6, 10, 14);
        quarter(&mut state, 3, 7, 11, 15);
        quarter(&mut state, 0, 5, 10, 15);
        quarter(&mut state, 1, 6, 11, 12);
        quarter(&mut state, 2, 7, 8, 13);
        quarter(&mut state, 3, 4, 9, 14);
    }
    for (word, first) in state.iter_mut().zip(start) {
        *word = word.wrapping_add(first);
    }
    state
}

impl Pool {
    /// Absorbs bytes: they change the key, which a block then scrambles.
    fn absorb(&mut self, from: &[u8]) {
        for chunk in from.chunks(32) {
            for (i, piece) in chunk.chunks(4).enumerate() {
                let mut word = [0; 4];
                word[..piece.len()].copy_from_slice(piece);
                self.key[i] ^= u32::from_le_bytes(word);
            }
            self.rekey(rdtsc());
        }
    }

    fn rekey(&mut self, nonce: u64) {
        self.uses += 1;
        let out = block(&self.key, self.uses, nonce);
        self.key.copy_from_slice(&out[..8]);
    }
}

/// Seeds the generator from the processor.
pub(crate) fn init() {
    let mut pool = POOL.lock();
    for _ in 0..4 {
        let words = [random_word().unwrap_or(0), rdtsc(), random_word().unwrap_or(0), rdtsc()];
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        pool.absorb(&bytes);
    }
}

/// Mixes bytes into the generator.
pub(crate) fn mix(from: &[u8]) {
    POOL.lock().absorb(from);
}

/// Fills a buffer.
pub(crate) fn fill(to: &mut [u8]) {
    // A key for this request alone, so that the pool's lock is not held while a long buffer is filled.
    let mut pool = POOL.lock();
    pool.rekey(rdtsc());
    let first = block(&pool.key, 0, u64::MAX);
    let mut key = [0; 8];
    key.copy_from_slice(&first[..8]);
    pool.rekey(u64::MAX - 1);
    drop(pool);
    for (counter, chunk) in (0..).zip(to.chunks_mut(64)) {
        let out = block(&key, counter, 0);
        for (to, word) in chunk.chunks_mut(4).zip(out) {
            to.copy_from_slice(&word.to_le_bytes()[..to.len()]);
        }
    }
}

/// The generator as `hal` sees it.
pub(crate) struct Random;

impl hal::Entropy for Random {
    fn fill(&self, to: &mut [u8]) {
        fill(to);
    }

    fn mix(&self, from: &[u8]) {
        mix(from);
    }
}
