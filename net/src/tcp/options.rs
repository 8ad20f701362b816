//! Options of TCP sockets (`tcp(7)`).

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::socket::*;
use abi::{Errno, Result};
use zerocopy::IntoBytes;

use super::connection::{Connection, MS, RECEIVE_MOST, SEND_MOST, Settings, State};
use super::{Inner, Role, Tcp};
use crate::Identity;
use crate::inet::{IpOptions, int, of_int};

/// Seconds in nanoseconds.
const SECOND: u64 = 1000 * MS;

/// Largest `TCP_KEEPIDLE` and `TCP_KEEPINTVL`, and `TCP_KEEPCNT` and `TCP_SYNCNT`.
const MOST_SECONDS: i32 = 32_767;
const MOST_COUNT: i32 = 127;

/// Options that the connection itself does not need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) ip: IpOptions,
    /// `TCP_DEFER_ACCEPT` in seconds.
    pub(crate) defer_accept: u32,
    /// `TCP_MAXSEG`
    pub(crate) max_segment: u16,
    not_sent_low: u32,
    fast_open: i32,
    fast_open_connect: bool,
    thin_timeouts: bool,
    thin_duplicates: bool,
    save_syn: i32,
    inquire: bool,
    tx_delay: i32,
    /// `TCP_LINGER2` in seconds, as it was set; 0 for the default.
    linger2: i32,
    user_timeout_ms: u32,
}

impl Options {
    pub(crate) fn hop_limit(&self, v6: bool) -> u8 {
        self.ip.hop_limit(v6)
    }

    pub(crate) const fn traffic_class(&self, v6: bool) -> u8 {
        self.ip.class(v6)
    }
}

fn seconds(value: i32, most: i32) -> Result<u64> {
    if (1..=most).contains(&value) {
        Ok(u64::from(value.unsigned_abs()) * SECOND)
    } else {
        Err(Errno::EINVAL)
    }
}

fn switch(value: i32) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}

impl Tcp {
    /// Returns the settings of the connection, or those that one will have.
    fn settings(inner: &mut Inner) -> &mut Settings {
        match &mut inner.role {
            Role::Wire(wire) => &mut wire.connection.settings,
            _ => &mut inner.settings,
        }
    }

    /// Takes over what was set at the level of sockets.
    pub(crate) fn take_common(&self, inner: &mut Inner) {
        let common = &self.common;
        let lock = common.buffer_lock.load(Ordering::Relaxed);
        let (send, receive) =
            (common.send_buffer.load(Ordering::Relaxed), common.receive_buffer.load(Ordering::Relaxed));
        let (keep_alive, oob_inline) = (common.is(&common.keep_alive), common.is(&common.oob_inline));
        let now = self.net.now();
        let settings = Self::settings(inner);
        if lock & 1 != 0 {
            settings.send_limit = (send as usize).min(SEND_MOST);
        }
        if lock & 2 != 0 {
            // LINUX: half of the buffer is for the kernel's own bookkeeping (`tcp_adv_win_scale`).
            settings.receive_limit = (receive as usize / 2).clamp(1152, RECEIVE_MOST);
        }
        settings.autotune = lock == 0;
        let was = core::mem::replace(&mut settings.keep_alive, keep_alive);
        settings.oob_inline = oob_inline;
        match &mut inner.role {
            Role::Wire(wire) if was != keep_alive => wire.connection.arm_keep_alive(now),
            Role::Local(end) if lock & 2 != 0 => end.set_limit(receive as usize),
            _ => {}
        }
    }

    pub(crate) fn set_tcp(
        &self,
        inner: &mut Inner,
        name: i32,
        value: &[u8],
        _who: &Identity,
    ) -> Result<bool> {
        let now = self.net.now();
        if name == TCP_CONGESTION {
            let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
            return match &value[..end] {
                b"reno" => Ok(false),
                [] => Err(Errno::EINVAL),
                _ => Err(Errno::ENOENT),
            };
        }
        if matches!(name, TCP_ULP | TCP_MD5SIG | TCP_MD5SIG_EXT | TCP_FASTOPEN_KEY) {
            // LINUX: where the module is not there.
            return Err(if name == TCP_ULP { Errno::ENOENT } else { Errno::ENOPROTOOPT });
        }
        let number = int(value)?;
        let on = number != 0;
        let mut push = false;
        match name {
            TCP_NODELAY => {
                Self::settings(inner).no_delay = on;
                push = on;
            }
            TCP_CORK => {
                Self::settings(inner).cork = on;
                push = !on;
            }
            TCP_MAXSEG => {
                if on && !(88..=32_767).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                inner.options.max_segment = u16::try_from(number).unwrap_or(0);
                if on {
                    let settings = Self::settings(inner);
                    settings.mss = settings.mss.min(u16::try_from(number).unwrap_or(u16::MAX));
                }
            }
            TCP_KEEPIDLE | TCP_KEEPINTVL => {
                let time = seconds(number, MOST_SECONDS)?;
                let settings = Self::settings(inner);
                if name == TCP_KEEPIDLE {
                    settings.keep.0 = time;
                } else {
                    settings.keep.1 = time;
                }
                if let Role::Wire(wire) = &mut inner.role {
                    wire.connection.arm_keep_alive(now);
                    push = true;
                }
            }
            TCP_KEEPCNT => {
                if !(1..=MOST_COUNT).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                Self::settings(inner).keep.2 = number.unsigned_abs();
            }
            TCP_SYNCNT => {
                if !(1..=MOST_COUNT).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                Self::settings(inner).syn_retries = number.unsigned_abs();
            }
            TCP_LINGER2 => {
                inner.options.linger2 = number.min(60);
                let time = if number < 0 { 0 } else { number.min(60).unsigned_abs() };
                Self::settings(inner).linger2 =
                    if number == 0 { 60 * SECOND } else { u64::from(time) * SECOND };
            }
            TCP_DEFER_ACCEPT => inner.options.defer_accept = defer_seconds(number),
            TCP_WINDOW_CLAMP => {
                if number == 0 && !matches!(inner.role, Role::Idle | Role::Closed) {
                    return Err(Errno::EINVAL);
                }
                let clamp = if on { number.unsigned_abs().max(1152) as usize } else { 0 };
                Self::settings(inner).window_clamp = clamp;
            }
            TCP_QUICKACK => {
                if let Role::Wire(wire) = &mut inner.role {
                    wire.connection.quick = if on { 16 } else { 0 };
                    if on && wire.connection.delayed_ack.take().is_some() {
                        wire.connection.ack_now = true;
                        push = true;
                    }
                }
            }
            TCP_USER_TIMEOUT => {
                if number < 0 {
                    return Err(Errno::EINVAL);
                }
                inner.options.user_timeout_ms = number.unsigned_abs();
                Self::settings(inner).user_timeout = u64::from(number.unsigned_abs()) * MS;
            }
            TCP_THIN_LINEAR_TIMEOUTS => inner.options.thin_timeouts = switch(number)?,
            TCP_THIN_DUPACK => {
                switch(number)?;
                inner.options.thin_duplicates = false;
            }
            TCP_NOTSENT_LOWAT => inner.options.not_sent_low = number.cast_unsigned(),
            TCP_FASTOPEN => {
                if number < 0 || !matches!(inner.role, Role::Idle | Role::Closed | Role::Listening(_)) {
                    return Err(Errno::EINVAL);
                }
                inner.options.fast_open = number;
            }
            TCP_FASTOPEN_CONNECT => inner.options.fast_open_connect = switch(number)?,
            TCP_SAVE_SYN => {
                if !(0..=2).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                inner.options.save_syn = number;
            }
            TCP_INQ => inner.options.inquire = switch(number)?,
            TCP_TX_DELAY => inner.options.tx_delay = number,
            TCP_REPAIR => return Err(Errno::EPERM),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(push)
    }

    pub(crate) fn get_tcp(&self, inner: &mut Inner, name: i32) -> Result<Vec<u8>> {
        let flag = |on: bool| of_int(i32::from(on));
        let whole = |ns: u64| of_int(i32::try_from(ns / SECOND).unwrap_or(i32::MAX));
        let settings = *Self::settings(inner);
        let options = &inner.options;
        match name {
            TCP_NODELAY => flag(settings.no_delay),
            TCP_CORK => flag(settings.cork),
            TCP_MAXSEG => {
                let mss = match &inner.role {
                    Role::Wire(wire) => wire.connection.mss,
                    Role::Local(_) => 32_768,
                    // LINUX: what a socket shows before it knows better.
                    _ if options.max_segment != 0 => usize::from(options.max_segment),
                    _ => 536,
                };
                of_int(i32::try_from(mss).unwrap_or(i32::MAX))
            }
            TCP_KEEPIDLE => whole(settings.keep.0),
            TCP_KEEPINTVL => whole(settings.keep.1),
            TCP_KEEPCNT => of_int(settings.keep.2.cast_signed()),
            TCP_SYNCNT => of_int(settings.syn_retries.cast_signed()),
            TCP_LINGER2 => of_int(match options.linger2 {
                0 => 60,
                negative if negative < 0 => -1,
                seconds => seconds,
            }),
            TCP_DEFER_ACCEPT => of_int(options.defer_accept.cast_signed()),
            TCP_WINDOW_CLAMP => of_int(i32::try_from(settings.window_clamp).unwrap_or(i32::MAX)),
            TCP_INFO => Ok(info(inner).as_bytes().to_vec()),
            TCP_QUICKACK => match &inner.role {
                Role::Wire(wire) => flag(wire.connection.quick > 0),
                _ => of_int(1),
            },
            TCP_CONGESTION => Ok(b"reno\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
            TCP_USER_TIMEOUT => of_int(options.user_timeout_ms.cast_signed()),
            TCP_THIN_LINEAR_TIMEOUTS => flag(options.thin_timeouts),
            TCP_THIN_DUPACK => flag(options.thin_duplicates),
            TCP_NOTSENT_LOWAT => of_int(options.not_sent_low.cast_signed()),
            TCP_FASTOPEN => of_int(options.fast_open),
            TCP_FASTOPEN_CONNECT => flag(options.fast_open_connect),
            TCP_SAVE_SYN => of_int(options.save_syn),
            TCP_SAVED_SYN => Ok(Vec::new()),
            TCP_INQ => flag(options.inquire),
            TCP_TX_DELAY => of_int(options.tx_delay),
            TCP_TIMESTAMP => match &inner.role {
                Role::Wire(wire) => of_int(wire.connection.stamp(self.net.now()).cast_signed()),
                _ => of_int(0),
            },
            TCP_REPAIR => of_int(0),
            TCP_ULP => Ok(Vec::new()),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}

/// LINUX: the time is kept as a number of retransmissions, at 1, 2, 4 seconds and so on, and told as their sum.
fn defer_seconds(value: i32) -> u32 {
    if value <= 0 {
        return 0;
    }
    let (mut total, mut step) = (1, 1);
    while total < value.unsigned_abs() && step < 64 {
        step *= 2;
        total += step;
    }
    total
}

fn state_number(inner: &Inner) -> u8 {
    match &inner.role {
        Role::Idle | Role::Closed => TCP_CLOSE,
        Role::Queued => TCP_SYN_SENT,
        Role::Listening(_) => TCP_LISTEN,
        Role::Wire(wire) => wire.connection.state() as u8,
        Role::Local(end) => {
            let view = end.view();
            match (view.finished, view.ended) {
                _ if view.broken => TCP_CLOSE,
                (false, false) => TCP_ESTABLISHED,
                (true, false) => TCP_FIN_WAIT2,
                (false, true) => TCP_CLOSE_WAIT,
                // What waits for old duplicates is no longer the socket.
                (true, true) => TCP_CLOSE,
            }
        }
    }
}

impl Tcp {
    /// Returns the state, as `/proc/net/tcp` and `TCP_INFO` number it.
    pub(crate) fn state_number(&self) -> u8 {
        state_number(&self.state.lock())
    }
}

fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn micros(ns: u64) -> u32 {
    u32::try_from(ns / 1000).unwrap_or(u32::MAX)
}

/// Fills in what `TCP_INFO` tells.
fn info(inner: &Inner) -> TcpInfo {
    let mut info = TcpInfo { tcpi_state: state_number(inner), ..TcpInfo::default() };
    match &inner.role {
        Role::Wire(wire) => of_connection(&mut info, &wire.connection, wire.path.interface.mtu()),
        Role::Local(_) => {
            (info.tcpi_snd_mss, info.tcpi_rcv_mss, info.tcpi_advmss) = (32_768, 32_768, 65_483);
            (info.tcpi_snd_cwnd, info.tcpi_pmtu, info.tcpi_reordering) = (10, 65_535, 3);
            (info.tcpi_rto, info.tcpi_ato, info.tcpi_rtt, info.tcpi_rttvar) = (200_000, 40_000, 20, 10);
            info.tcpi_options = 7;
            info.tcpi_snd_ssthresh = i32::MAX.cast_unsigned();
        }
        Role::Listening(listener) => {
            let (ready, backlog) = listener.counts();
            (info.tcpi_unacked, info.tcpi_sacked) = (small(ready), small(backlog));
            info.tcpi_snd_cwnd = 10;
        }
        _ => {
            (info.tcpi_snd_mss, info.tcpi_rcv_mss) = (536, 88);
            (info.tcpi_rto, info.tcpi_snd_cwnd, info.tcpi_reordering) = (1_000_000, 10, 3);
            info.tcpi_snd_ssthresh = i32::MAX.cast_unsigned();
        }
    }
    info
}

fn of_connection(info: &mut TcpInfo, connection: &Connection, mtu: usize) {
    let counters = &connection.counters;
    let mss = connection.mss.max(1);
    info.tcpi_ca_state = match connection.recovery.is_repairing() {
        None => 0,
        Some(false) => 3,
        Some(true) => 4,
    };
    info.tcpi_retransmits = u8::try_from(connection.backoff).unwrap_or(u8::MAX);
    info.tcpi_probes = u8::try_from(connection.probes).unwrap_or(u8::MAX);
    info.tcpi_backoff = info.tcpi_retransmits;
    let scaled = connection.send_scale > 0 || connection.receive_scale > 0;
    info.tcpi_options =
        u8::from(connection.timestamps) | u8::from(connection.sack) << 1 | u8::from(scaled) << 2;
    info._wscale = connection.send_scale | connection.receive_scale << 4;
    info.tcpi_rto = micros(connection.round_trip.timeout(connection.backoff));
    info.tcpi_ato = 40_000;
    (info.tcpi_snd_mss, info.tcpi_rcv_mss) = (small(mss), small(mss));
    info.tcpi_unacked = small(connection.flight().div_ceil(mss));
    info.tcpi_sacked = small(connection.recovery.reported() / mss);
    info.tcpi_pmtu = small(mtu);
    info.tcpi_rcv_ssthresh = small(connection.settings.receive_limit);
    info.tcpi_rtt = micros(connection.round_trip.smoothed());
    info.tcpi_rttvar = micros(connection.round_trip.variation());
    info.tcpi_min_rtt = micros(connection.round_trip.least());
    info.tcpi_snd_ssthresh = small((connection.recovery.threshold() / mss).min(i32::MAX as usize));
    info.tcpi_snd_cwnd = small(connection.recovery.window() / mss);
    info.tcpi_advmss = u32::from(connection.settings.mss);
    info.tcpi_reordering = 3;
    info.tcpi_rcv_space = small(connection.settings.receive_limit);
    info.tcpi_total_retrans = counters.retransmitted;
    info.tcpi_pacing_rate = u64::MAX;
    info.tcpi_max_pacing_rate = u64::MAX;
    info.tcpi_bytes_acked = counters.bytes_acked;
    info.tcpi_bytes_received = counters.bytes_in;
    (info.tcpi_segs_out, info.tcpi_segs_in) = (counters.segments_out, counters.segments_in);
    (info.tcpi_data_segs_out, info.tcpi_data_segs_in) = (counters.data_out, counters.data_in);
    info.tcpi_notsent_bytes = small(connection.unsent());
    (info.tcpi_bytes_sent, info.tcpi_bytes_retrans) = (counters.bytes_out, counters.bytes_retransmitted);
    info.tcpi_rcv_ooopack = counters.out_of_order;
    info.tcpi_snd_wnd = small(connection.window);
}

/// Says whether the connection is one that `shutdown` and others take for connected.
pub(crate) const fn is_synchronized(state: State) -> bool {
    !matches!(state, State::Closed | State::SynSent)
}
