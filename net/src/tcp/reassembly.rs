//! Bytes that came in before those in front of them.

use alloc::vec::Vec;

use super::segment::Sacks;
use super::seq::Seq;

/// Most pieces that are kept apart: a sender that makes more holes has to send again.
const MOST_PIECES: usize = 128;

/// Length to which a piece grows by what follows it directly.
const PIECE_LEN: usize = 32 << 10;

/// Pieces in order of their sequence numbers, none of which overlap.
#[derive(Default, Debug)]
pub(crate) struct Reassembly {
    pieces: Vec<(Seq, Vec<u8>)>,
    len: usize,
    /// Where the piece lies that came in last: it is the first to be reported.
    last: Seq,
}

impl Reassembly {
    /// Says whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns the bytes kept.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Keeps bytes; what is there already is not kept twice.
    pub(crate) fn insert(&mut self, seq: Seq, bytes: &[u8]) {
        self.last = seq;
        let (mut seq, mut bytes) = (seq, bytes);
        let mut index = self.pieces.partition_point(|(start, piece)| !(*start + piece.len()).after(seq));
        while !bytes.is_empty() {
            let next = self.pieces.get(index).map(|(start, piece)| (*start, *start + piece.len()));
            let gap = match next {
                Some((start, end)) if !start.after(seq) => {
                    // The front is there already.
                    let known = end.distance(seq).min(bytes.len());
                    (seq, bytes) = (seq + known, &bytes[known..]);
                    index += 1;
                    continue;
                }
                Some((start, _)) => start.distance(seq).min(bytes.len()),
                None => bytes.len(),
            };
            let (now, rest) = bytes.split_at(gap);
            let full = self.pieces.len() >= MOST_PIECES;
            let before = index.checked_sub(1).and_then(|i| self.pieces.get_mut(i));
            match before {
                Some((start, piece)) if *start + piece.len() == seq && piece.len() < PIECE_LEN => {
                    piece.extend_from_slice(now);
                }
                _ if full => return,
                _ => {
                    self.pieces.insert(index, (seq, now.to_vec()));
                    index += 1;
                }
            }
            self.len += gap;
            (seq, bytes) = (seq + gap, rest);
        }
    }

    /// Takes the next bytes in order, if they are here: those from `next` on.
    pub(crate) fn take(&mut self, next: Seq) -> Option<Vec<u8>> {
        let (start, piece) = self.pieces.first()?;
        if start.after(next) {
            return None;
        }
        let known = next.distance(*start).min(piece.len());
        let (_, mut piece) = self.pieces.remove(0);
        self.len -= piece.len();
        piece.drain(..known);
        Some(piece)
    }

    /// Returns the blocks to be reported, that of the last arrival first.
    pub(crate) fn sacks(&self) -> Sacks {
        let mut blocks: Vec<(Seq, Seq)> = Vec::new();
        for (start, piece) in &self.pieces {
            let end = *start + piece.len();
            match blocks.last_mut() {
                Some(last) if last.1 == *start => last.1 = end,
                _ => blocks.push((*start, end)),
            }
        }
        if let Some(first) =
            blocks.iter().position(|(start, end)| !start.after(self.last) && end.after(self.last))
        {
            blocks[..=first].rotate_right(1);
        }
        core::array::from_fn(|i| blocks.get(i).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_whatever_their_order() {
        let mut all = Reassembly::default();
        all.insert(Seq(10), b"abc");
        all.insert(Seq(16), b"ghi");
        assert_eq!(all.sacks(), [Some((Seq(16), Seq(19))), Some((Seq(10), Seq(13))), None]);
        all.insert(Seq(11), b"bcdefgh");
        assert_eq!(all.sacks(), [Some((Seq(10), Seq(19))), None, None]);
        assert_eq!(all.len(), 9);
        assert_eq!(all.take(Seq(9)), None);
        let mut got = Vec::new();
        let mut next = Seq(11);
        while let Some(piece) = all.take(next) {
            next = next + piece.len();
            got.extend(piece);
        }
        assert_eq!((&got[..], all.len()), (&b"bcdefghi"[..], 0));
    }
}
