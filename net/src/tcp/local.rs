//! Connections within the machine: two sockets joined directly, without segments.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Readiness, Source, WaitQueue};

use super::Tcp;
use crate::bytes::{Batch, Bytes};

/// Bytes that a direction holds where nobody has set `SO_RCVBUF`.
const LIMIT: usize = 512 << 10;

/// One direction: bytes for one end.
struct Half {
    state: Lock<HalfState, { rank::STREAM }>,
    /// Its reader.
    queue: Arc<WaitQueue>,
}

#[derive(Default)]
struct HalfState {
    bytes: Bytes,
    /// The writer has ended.
    finished: bool,
    /// The writer has broken the connection.
    reset: bool,
    /// The reader is gone: what is written is lost.
    deaf: bool,
    /// The urgent byte, and how many bytes stand in front of it.
    urgent: Option<(usize, u8)>,
    limit: usize,
}

/// A connection within the machine.
pub(crate) struct Pair {
    /// What end 0 reads, and what end 1 reads.
    halves: [Half; 2],
    sockets: Lock<[Weak<Tcp>; 2], { rank::LEAF }>,
}

/// One end of a connection within the machine.
#[derive(Clone)]
pub(crate) struct End {
    pair: Arc<Pair>,
    side: usize,
    reuse: bool,
}

/// What an end sees of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Bytes that can be read.
    pub(crate) readable: usize,
    /// The peer has ended sending.
    pub(crate) ended: bool,
    /// The connection is broken.
    pub(crate) broken: bool,
    /// Bytes that can be written.
    pub(crate) room: usize,
    /// This end has ended sending.
    pub(crate) finished: bool,
    /// Bytes under way to the peer.
    pub(crate) unread: usize,
    pub(crate) urgent: bool,
}

impl View {
    /// Nothing can be sent any more in either direction.
    pub(crate) const fn is_over(&self) -> bool {
        self.broken || self.ended && self.finished
    }
}

impl Pair {
    /// Joins two sockets; returns the end of the first and of the second.
    pub(crate) fn join(first: &Arc<Tcp>, second: &Arc<Tcp>, reuse: [bool; 2]) -> (End, End) {
        let limit = |tcp: &Tcp| {
            let fixed = tcp.common.buffer_lock.load(Ordering::Relaxed) & 2 != 0;
            if fixed { tcp.common.receive_buffer.load(Ordering::Relaxed) as usize } else { LIMIT }
        };
        let half = |reader: &Arc<Tcp>| Half {
            state: Lock::new(HalfState { limit: limit(reader), ..HalfState::default() }),
            queue: Arc::clone(&reader.queue),
        };
        let pair = Arc::new(Self {
            halves: [half(first), half(second)],
            sockets: Lock::new([Arc::downgrade(first), Arc::downgrade(second)]),
        });
        let end = |side: usize| End { pair: Arc::clone(&pair), side, reuse: reuse[side] };
        (end(0), end(1))
    }
}

impl HalfState {
    fn room(&self) -> usize {
        if self.deaf { self.limit } else { self.limit.saturating_sub(self.bytes.len()) }
    }
}

impl End {
    fn incoming(&self) -> &Half {
        &self.pair.halves[self.side]
    }

    fn outgoing(&self) -> &Half {
        &self.pair.halves[1 - self.side]
    }

    /// Says whether the end's port may be shared.
    pub(crate) const fn reuse(&self) -> bool {
        self.reuse
    }

    /// Returns the socket at the other end.
    pub(crate) fn peer(&self) -> Option<Arc<Tcp>> {
        self.pair.sockets.lock()[1 - self.side].upgrade()
    }

    /// Looks at the connection.
    pub(crate) fn view(&self) -> View {
        let (readable, ended, broken, urgent) = {
            let state = self.incoming().state.lock();
            (state.bytes.len(), state.finished, state.reset, state.urgent.is_some())
        };
        let state = self.outgoing().state.lock();
        View {
            readable,
            ended,
            broken,
            urgent,
            room: state.room(),
            finished: state.finished,
            unread: state.bytes.len(),
        }
    }

    /// Writes. The copy from the application may wait; the caller lets one writer in at a time.
    ///
    /// # Errors
    /// `EAGAIN`, `EPIPE`, `EFAULT`, `ENOBUFS`
    pub(crate) fn write(&self, from: &mut Source<'_>, urgent: bool) -> Result<usize> {
        let half = self.outgoing();
        let mut done = 0;
        while from.remaining() > 0 {
            let (room, tail, deaf) = {
                let state = half.state.lock();
                if state.finished {
                    break;
                }
                (state.room(), state.bytes.tail(), state.deaf)
            };
            if self.incoming().state.lock().reset {
                break;
            }
            if room == 0 {
                break;
            }
            // Not more in one go than the reader can begin with meanwhile.
            let batch = match Batch::gather(from, room.min(64 << 10), tail) {
                Ok(batch) => batch,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            };
            let len = batch.len();
            if len == 0 {
                break;
            }
            done += len;
            if deaf {
                // The peer answers with a reset.
                self.incoming().state.lock().reset = true;
                if let Some(me) = self.pair.sockets.lock()[self.side].upgrade() {
                    me.common.set_error(Errno::EPIPE);
                }
                self.incoming().queue.wake(Readiness::READ | Readiness::WRITE | Readiness::ALWAYS);
                break;
            }
            {
                let mut state = half.state.lock();
                state.bytes.append_batch(batch);
                if urgent && from.remaining() == 0 {
                    take_urgent(&mut state);
                }
            }
            // Whoever watches for edges hears of every arrival.
            half.queue.wake(if urgent { Readiness::READ | Readiness::PRI } else { Readiness::READ });
        }
        if done == 0 && from.remaining() > 0 {
            let finished = half.state.lock().finished || self.incoming().state.lock().reset;
            return Err(if finished { Errno::EPIPE } else { Errno::EAGAIN });
        }
        Ok(done)
    }

    /// Reads, looks (`keep`), or drops bytes (`discard`). The copy to the application may wait; the caller lets one
    /// reader in at a time.
    ///
    /// # Errors
    /// `EAGAIN`, `EFAULT`
    pub(crate) fn read(
        &self,
        to: &mut Dest<'_>,
        keep: Option<usize>,
        discard: Option<usize>,
    ) -> Result<usize> {
        let half = self.incoming();
        if let Some(offset) = keep {
            let pieces = half.state.lock().bytes.peek(offset, to.remaining());
            for mut piece in pieces {
                piece.push_to(to)?;
            }
        } else if let Some(most) = discard {
            let mut state = half.state.lock();
            let len = state.bytes.len().min(most);
            state.bytes.consume(len);
            drop(state);
            self.outgoing_room(len);
            return if len > 0 { Ok(len) } else { self.nothing() };
        } else {
            let mut moved = 0;
            while to.remaining() > 0 {
                let piece = {
                    let mut state = half.state.lock();
                    // The byte behind the mark is not read together with those in front of it.
                    let most = match state.urgent {
                        Some((at, _)) if at > 0 => to.remaining().min(at),
                        _ => to.remaining(),
                    };
                    let piece = state.bytes.take_piece(most);
                    if let (Some((at, _)), Some(piece)) = (&mut state.urgent, &piece) {
                        *at = at.saturating_sub(piece.len());
                    }
                    piece
                };
                let Some(mut piece) = piece else { break };
                let pushed = piece.push_to(to);
                let whole = piece.is_empty();
                half.state.lock().bytes.put_back(piece);
                match pushed {
                    Ok(len) => moved += len,
                    Err(_) if to.done() > 0 => break,
                    Err(errno) => return Err(errno),
                }
                if !whole {
                    break;
                }
            }
            self.outgoing_room(moved);
        }
        if to.done() > 0 || to.remaining() == 0 { Ok(to.done()) } else { self.nothing() }
    }

    fn nothing(&self) -> Result<usize> {
        let state = self.incoming().state.lock();
        if state.finished || state.reset { Ok(0) } else { Err(Errno::EAGAIN) }
    }

    /// Wakes the peer's writer if these bytes made room that it may wait for: a third of the buffer.
    fn outgoing_room(&self, freed: usize) {
        if freed == 0 {
            return;
        }
        let (before, after, limit) = {
            let state = self.incoming().state.lock();
            (state.bytes.len() + freed, state.bytes.len(), state.limit)
        };
        let enough = |len: usize| limit.saturating_sub(len) >= (limit / 3).max(1);
        if !enough(before) && enough(after) {
            self.outgoing().queue.wake(Readiness::WRITE);
        }
    }

    /// Ends sending.
    pub(crate) fn finish(&self) {
        let half = self.outgoing();
        half.state.lock().finished = true;
        half.queue.wake(Readiness::READ | Readiness::RDHUP);
        if self.incoming().state.lock().finished {
            self.hang_up();
        }
    }

    /// Both directions have ended.
    fn hang_up(&self) {
        for half in &self.pair.halves {
            half.queue.wake(Readiness::READ | Readiness::WRITE | Readiness::RDHUP | Readiness::ALWAYS);
        }
    }

    /// Takes the urgent byte, or looks at it.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub(crate) fn urgent(&self, keep: bool) -> Result<u8> {
        let mut state = self.incoming().state.lock();
        let (_, byte) = state.urgent.ok_or(Errno::EINVAL)?;
        if !keep {
            state.urgent = None;
        }
        Ok(byte)
    }

    /// Says whether the next byte is the one behind the mark.
    pub(crate) fn at_mark(&self) -> bool {
        matches!(self.incoming().state.lock().urgent, Some((0, _)))
    }

    /// The application is gone: `reset` where it wanted no orderly end.
    pub(crate) fn close(&self, reset: bool) {
        let unread = {
            let mut state = self.incoming().state.lock();
            let unread = !state.bytes.is_empty();
            state.bytes.clear();
            state.deaf = true;
            unread
        };
        let broken = reset || unread;
        {
            let mut state = self.outgoing().state.lock();
            state.finished = true;
            if broken {
                // What arrived before the reset can still be read.
                state.reset = true;
            }
        }
        if broken && let Some(peer) = self.peer() {
            peer.common.set_error(Errno::ECONNRESET);
        }
        let events = Readiness::READ | Readiness::WRITE | Readiness::RDHUP | Readiness::ALWAYS;
        self.outgoing().queue.wake(events);
    }

    /// Sets the limit of what may wait to be read.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.incoming().state.lock().limit = limit;
    }
}

/// Takes the last byte out of the stream as the urgent one.
fn take_urgent(state: &mut HalfState) {
    let len = state.bytes.len();
    let mut byte = [0];
    state.bytes.copy_out(len - 1, &mut byte);
    state.bytes.truncate(len - 1);
    state.urgent = Some((len - 1, byte[0]));
}
