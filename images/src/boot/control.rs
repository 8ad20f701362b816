//! Requests to the process that owns a machine: one datagram each, as text.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Longest request, in bytes.
const LEN_MAX: usize = 64;

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Request {
    /// Deliver this signal to the program.
    Signal(i32),
    /// Deliver SIGTERM, and end the machine if it is still there after this time.
    Stop(Duration),
    /// End the machine now.
    End,
}

impl Request {
    /// Reads a datagram; `None` if it is not understood.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(match text.split_once(' ').unwrap_or((text, "")) {
            ("signal", number) => Self::Signal(number.parse().ok().filter(|n| (1..=64).contains(n))?),
            ("stop", seconds) => Self::Stop(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?),
            ("end", "") => Self::End,
            _ => return None,
        })
    }

    /// Writes the datagram that [`Request::parse`] reads.
    pub fn to_text(self) -> String {
        match self {
            Self::Signal(signal) => format!("signal {signal}"),
            Self::Stop(after) => format!("stop {}", after.as_secs_f64()),
            Self::End => "end".to_owned(),
        }
    }

    /// Takes the next request from a non-blocking socket; what is none is passed over.
    pub(super) fn receive(socket: &UnixDatagram) -> Option<Self> {
        let mut buffer = [0; LEN_MAX];
        loop {
            let len = socket.recv(&mut buffer).ok()?;
            if let Some(request) = Self::parse(&buffer[..len]) {
                return Some(request);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip_and_others_are_refused() {
        for request in [Request::Signal(34), Request::Stop(Duration::from_millis(1500)), Request::End] {
            assert_eq!(Request::parse(request.to_text().as_bytes()), Some(request));
        }
        for bad in ["", "signal", "signal 0", "signal 65", "stop", "stop -1", "stop nan", "end now", "\u{ff}"]
        {
            assert_eq!(Request::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
