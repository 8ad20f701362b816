//! Requests on terminals (`ioctl_tty(2)`).

use alloc::sync::Arc;

use abi::Errno;
use abi::ioctl::{
    TCFLSH, TCGETA, TCGETS, TCGETS2, TCSBRK, TCSBRKP, TCSETA, TCSETAF, TCSETAW, TCSETS, TCSETS2, TCSETSF,
    TCSETSF2, TCSETSW, TCSETSW2, TCXONC, TIOCCBRK, TIOCEXCL, TIOCGDEV, TIOCGETD, TIOCGEXCL, TIOCGPGRP,
    TIOCGPKT, TIOCGPTLCK, TIOCGPTN, TIOCGPTPEER, TIOCGSID, TIOCGSOFTCAR, TIOCGWINSZ, TIOCINQ, TIOCNOTTY,
    TIOCNXCL, TIOCOUTQ, TIOCPKT, TIOCSBRK, TIOCSCTTY, TIOCSETD, TIOCSIG, TIOCSPGRP, TIOCSPTLCK, TIOCSTI,
    TIOCSWINSZ, TIOCVHANGUP,
};
use abi::signal::SIGTTOU;
use abi::tty::{CLOCAL, N_TTY, TCIFLUSH, Termio, Termios, Termios2, Winsize};
use hal::UserAddr;
use vfs::tty::Events;

use super::control::{self, check_foreground};
use super::{Behind, Side, Terminal, TtyFile};
use crate::decode::{In, Out, UserPtr};
use crate::proc::{Capability, CloseOnExec, Description, Object};
use crate::{Context, SysResult};

/// Speed in bits per second of `B38400`, which a terminal without a line reports.
const SPEED: u32 = 38400;
/// What `TCGETS2` and `TCGETS` share.
const TERMIOS_LEN: usize = size_of::<Termios>();

fn give<T: zerocopy::IntoBytes + zerocopy::Immutable>(
    cx: &Context<'_>,
    at: UserAddr,
    value: &T,
) -> SysResult<i64> {
    UserPtr::<T, Out>::new(at).write(cx, value)?;
    Ok(0)
}

fn take<T: zerocopy::FromBytes + zerocopy::IntoBytes>(cx: &Context<'_>, at: UserAddr) -> SysResult<T> {
    Ok(UserPtr::<T, In>::new(at).read(cx)?)
}

fn give_count(cx: &Context<'_>, at: UserAddr, count: usize) -> SysResult<i64> {
    give(cx, at, &i32::try_from(count).unwrap_or(i32::MAX))
}

/// Carries out a request.
///
/// # Errors
/// `ENOTTY` for one that terminals do not know; `EIO` after a hang-up; and those of each request.
pub(crate) fn ioctl(cx: &Context<'_>, file: &TtyFile, request: u32, argument: u64) -> SysResult<i64> {
    let terminal = file.terminal();
    let at = UserAddr(argument);
    #[expect(clippy::cast_possible_truncation, reason = "the argument is an int")]
    let word = (argument as u32).cast_signed();
    if file.is_hung_up(&terminal.state.lock()) {
        return Err(if request == TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO }.into());
    }
    // What changes the terminal is for the foreground alone.
    if changes(request) && file.side() == Side::Slave {
        check_foreground(cx, terminal, SIGTTOU)?;
    }
    match request {
        TCGETS | TCGETS2 | TCGETA => get_modes(cx, terminal, request, at),
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 | TCSETA | TCSETAW | TCSETAF => {
            set_modes(cx, terminal, request, at)
        }
        TIOCGWINSZ => give(cx, at, &terminal.state.lock().line.size()),
        TIOCSWINSZ => {
            let size: Winsize = take(cx, at)?;
            terminal.resize(size);
            Ok(0)
        }
        TIOCGPGRP => give(cx, at, &control::numbers(cx, terminal, file.side() == Side::Master)?.1),
        TIOCGSID => match control::numbers(cx, terminal, file.side() == Side::Master)?.0 {
            0 => Err(Errno::ENOTTY.into()),
            session => give(cx, at, &session),
        },
        TIOCSPGRP => {
            let group: i32 = take(cx, at)?;
            control::set_foreground(cx, terminal, group).map(|()| 0)
        }
        TIOCSCTTY => control::set_controlling(cx, terminal, word == 1).map(|()| 0),
        TIOCNOTTY => control::give_up(cx, terminal).map(|()| 0),
        TIOCINQ => {
            let state = terminal.state.lock();
            let waiting = match file.side() {
                Side::Slave => state.line.waiting(),
                Side::Master => state.output.len(),
            };
            drop(state);
            give_count(cx, at, waiting)
        }
        // What was written is with the other side at once.
        TIOCOUTQ => give_count(cx, at, 0),
        TCFLSH => {
            let flushed = terminal.change(|state, _| match state.line.flush(word) {
                Ok(events) => (Ok(()), events),
                Err(errno) => (Err(errno), Events::empty()),
            });
            flushed?;
            Ok(0)
        }
        TCXONC => {
            let done = terminal.change(|state, out| match state.line.flow(word, out) {
                Ok((events, character)) => {
                    out.bytes.extend(character);
                    (Ok(()), events)
                }
                Err(errno) => (Err(errno), Events::empty()),
            });
            done?;
            Ok(0)
        }
        // Breaks go nowhere, and output has left already.
        TCSBRK | TCSBRKP | TIOCSBRK | TIOCCBRK => Ok(0),
        TIOCEXCL | TIOCNXCL => {
            terminal.state.lock().exclusive = request == TIOCEXCL;
            Ok(0)
        }
        TIOCGEXCL => give(cx, at, &i32::from(terminal.state.lock().exclusive)),
        TIOCGETD => give(cx, at, &N_TTY),
        TIOCSETD => {
            let discipline: i32 = take(cx, at)?;
            if discipline == N_TTY { Ok(0) } else { Err(Errno::EINVAL.into()) }
        }
        TIOCGSOFTCAR => give(cx, at, &i32::from(terminal.state.lock().line.termios().c_cflag & CLOCAL != 0)),
        TIOCGDEV => {
            let device = u32::try_from(terminal.device()).unwrap_or(0);
            give(cx, at, &device)
        }
        TIOCSTI => {
            let mine = control::controlling(cx.process()).is_some_and(|t| Arc::ptr_eq(&t, terminal));
            if !mine && !cx.credentials().can(Capability::SysAdmin) {
                return Err(Errno::EPERM.into());
            }
            let character: u8 = take(cx, at)?;
            terminal.change(|state, out| state.line.input(&[character], out));
            Ok(0)
        }
        TIOCVHANGUP => {
            if !cx.credentials().can(Capability::SysAdmin) {
                return Err(Errno::EPERM.into());
            }
            terminal.hang_up();
            Ok(0)
        }
        _ if file.side() == Side::Master => master(cx, terminal, request, at, word),
        _ => Err(Errno::ENOTTY.into()),
    }
}

const fn changes(request: u32) -> bool {
    matches!(
        request,
        TCSETS
            | TCSETSW
            | TCSETSF
            | TCSETS2
            | TCSETSW2
            | TCSETSF2
            | TCSETA
            | TCSETAW
            | TCSETAF
            | TCXONC
            | TCFLSH
            | TIOCSPGRP
            | TIOCSETD
            | TCSBRK
            | TCSBRKP
            | TIOCSBRK
            | TIOCCBRK
    )
}

/// Requests on the master side of a pseudo-terminal.
fn master(
    cx: &Context<'_>,
    terminal: &Arc<Terminal>,
    request: u32,
    at: UserAddr,
    word: i32,
) -> SysResult<i64> {
    let Behind::Master(number) = terminal.behind else { return Err(Errno::ENOTTY.into()) };
    match request {
        TIOCGPTN => give(cx, at, &number),
        TIOCSPTLCK => {
            let lock: i32 = take(cx, at)?;
            terminal.state.lock().locked = lock != 0;
            Ok(0)
        }
        TIOCGPTLCK => give(cx, at, &i32::from(terminal.state.lock().locked)),
        TIOCPKT => {
            let on: i32 = take(cx, at)?;
            let mut state = terminal.state.lock();
            state.packets = (on != 0).then(|| state.packets.unwrap_or(0));
            Ok(0)
        }
        TIOCGPKT => give(cx, at, &i32::from(terminal.state.lock().packets.is_some())),
        TIOCSIG => {
            if !(1..=64).contains(&word) {
                return Err(Errno::EINVAL.into());
            }
            let group = terminal.session().1;
            terminal.signal(group, word);
            Ok(0)
        }
        TIOCGPTPEER => {
            let flags = word.cast_unsigned();
            let close = CloseOnExec::from_bit(flags & abi::fs::O_CLOEXEC != 0);
            let peer = TtyFile::new(terminal, Side::Slave, None);
            let description = Description::new(Object::Tty(peer), flags & !abi::fs::O_CLOEXEC);
            Ok(i64::from(crate::handlers::file::install(cx, description, close)?.0))
        }
        _ => Err(Errno::ENOTTY.into()),
    }
}

fn get_modes(cx: &Context<'_>, terminal: &Terminal, request: u32, at: UserAddr) -> SysResult<i64> {
    let modes = *terminal.state.lock().line.termios();
    match request {
        TCGETS => give(cx, at, &modes),
        TCGETS2 => {
            let &Termios { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc } = &modes;
            let (c_ispeed, c_ospeed) = (SPEED, SPEED);
            give(cx, at, &Termios2 { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc, c_ispeed, c_ospeed })
        }
        _ => {
            #[expect(clippy::cast_possible_truncation, reason = "the old structure has the low halves")]
            let half = |flags: u32| flags as u16;
            let mut old = Termio {
                c_iflag: half(modes.c_iflag),
                c_oflag: half(modes.c_oflag),
                c_cflag: half(modes.c_cflag),
                c_lflag: half(modes.c_lflag),
                c_line: modes.c_line,
                ..Termio::default()
            };
            let len = old.c_cc.len();
            old.c_cc.copy_from_slice(&modes.c_cc[..len]);
            give(cx, at, &old)
        }
    }
}

fn set_modes(cx: &Context<'_>, terminal: &Terminal, request: u32, at: UserAddr) -> SysResult<i64> {
    let now = *terminal.state.lock().line.termios();
    let modes = match request {
        TCSETA | TCSETAW | TCSETAF => {
            let old: Termio = take(cx, at)?;
            let join = |now: u32, low: u16| now & 0xffff_0000 | u32::from(low);
            let mut modes = Termios {
                c_iflag: join(now.c_iflag, old.c_iflag),
                c_oflag: join(now.c_oflag, old.c_oflag),
                c_cflag: join(now.c_cflag, old.c_cflag),
                c_lflag: join(now.c_lflag, old.c_lflag),
                c_line: old.c_line,
                c_cc: now.c_cc,
            };
            let len = old.c_cc.len();
            modes.c_cc[..len].copy_from_slice(&old.c_cc);
            modes
        }
        TCSETS2 | TCSETSW2 | TCSETSF2 => {
            let new: Termios2 = take(cx, at)?;
            let Termios2 { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc, .. } = new;
            Termios { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc }
        }
        _ => take(cx, at)?,
    };
    const _: () = assert!(TERMIOS_LEN == 36, "the kernel's structure, not the C library's");
    let flushes = matches!(request, TCSETSF | TCSETSF2 | TCSETAF);
    terminal.change(|state, out| {
        let mut events = Events::empty();
        if flushes {
            // Throwing input away cannot fail.
            events |= state.line.flush(TCIFLUSH).unwrap_or_default();
        }
        events |= state.line.set_termios(&modes, out);
        ((), events)
    });
    // Readers and writers look again under the new modes.
    terminal.slave_queue.wake(hal::Readiness::READ | hal::Readiness::WRITE);
    Ok(0)
}
