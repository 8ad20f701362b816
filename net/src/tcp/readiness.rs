//! What a TCP socket is ready for.

use core::sync::atomic::Ordering;

use hal::Readiness;

use super::connection::State;
use super::{Role, Tcp};

impl Tcp {
    /// Says what the socket is ready for (`tcp_poll`).
    pub(super) fn ready(&self) -> Readiness {
        let mut ready = Readiness::empty();
        if self.common.has_error() {
            ready |= Readiness::ERR;
        }
        let inner = self.state.lock();
        let (read_ended, write_ended) = (self.common.read_ended(), self.common.write_ended());
        let low = self.common.receive_low.load(Ordering::Relaxed) as usize;
        match &inner.role {
            // LINUX: a socket that was never connected is as one that is closed.
            Role::Idle => {
                ready |= Readiness::WRITE | Readiness::HUP;
                if read_ended {
                    ready |= Readiness::READ | Readiness::RDHUP;
                }
            }
            Role::Queued => {}
            Role::Closed => {
                ready |= Readiness::READ | Readiness::WRITE | Readiness::HUP | Readiness::RDHUP;
            }
            Role::Listening(listener) => {
                if listener.is_ready() {
                    ready |= Readiness::READ;
                }
            }
            Role::Local(end) => {
                let view = end.view();
                let over = view.is_over() || read_ended && view.finished;
                if view.readable >= low || view.ended || view.broken || read_ended {
                    ready |= Readiness::READ;
                }
                if view.ended || view.broken || read_ended {
                    ready |= Readiness::RDHUP;
                }
                if over {
                    ready |= Readiness::HUP;
                }
                if view.finished || view.broken || view.room >= (view.unread / 2).max(1) {
                    ready |= Readiness::WRITE;
                }
                if view.urgent {
                    ready |= Readiness::PRI;
                }
            }
            Role::Wire(wire) => {
                let connection = &wire.connection;
                let state = connection.state();
                if matches!(state, State::SynSent | State::SynReceived) {
                    return ready;
                }
                let ended = connection.at_end() || read_ended;
                if connection.readable() >= low || ended {
                    ready |= Readiness::READ;
                }
                if ended {
                    ready |= Readiness::RDHUP;
                }
                if state == State::Closed
                    || ended && (write_ended || connection.fin)
                    || state == State::TimeWait
                {
                    ready |= Readiness::HUP;
                }
                if !connection.may_write() || connection.has_room() {
                    ready |= Readiness::WRITE;
                }
                if connection.urgent_byte.is_some() {
                    ready |= Readiness::PRI;
                }
            }
        }
        ready
    }
}
