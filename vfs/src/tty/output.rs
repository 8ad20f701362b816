//! From `write(2)` and from the echo to the screen.

use abi::tty::{ECHO, ECHOCTL, IUTF8, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, XTABS};
use alloc::collections::VecDeque;

use super::class::{is_control, to_upper};
use super::{Events, Line, Output};

/// Echo that waits at most; the oldest goes when there is more, as nobody takes it.
const ECHO_MAX: usize = 4096 - 256;

/// One step of the echo. Columns are known only when it comes out, since writes come in between.
#[derive(Clone, Copy)]
pub(super) enum Echo {
    /// A character.
    Plain(u8),
    /// A byte that moves the cursor and is else left alone.
    Byte(u8),
    /// A control character as `^` and a letter.
    Caret(u8),
    /// The line that is being typed begins here.
    LineStart,
    /// The last character was the rest of one that was counted already.
    Back,
    /// Goes back over a tab; so many columns are before it, since the line's start or since another tab.
    EraseTab { columns: usize, after_tab: bool },
}

impl Line {
    /// Says whether this is a further byte of a UTF-8 character.
    pub(super) const fn continues(&self, c: u8) -> bool {
        self.input_mode(IUTF8) && c & 0xc0 == 0x80
    }

    /// Writes: takes bytes as long as the output has room for what becomes of them, and returns how many. Fewer than
    /// given (or none, while output is stopped) means that the writer waits until the owner has taken some output.
    pub fn write(&mut self, bytes: &[u8], out: &mut Output) -> usize {
        self.put_echo(out);
        if self.stopped {
            return 0;
        }
        if !self.output_mode(OPOST) {
            let taken = bytes.len().min(out.room);
            out.push(&bytes[..taken]);
            return taken;
        }
        let mut taken = 0;
        for &byte in bytes {
            if !self.put(byte, out) {
                break;
            }
            taken += 1;
        }
        taken
    }

    /// Puts out echo that had to wait, as far as there is room now.
    pub fn put_echo(&mut self, out: &mut Output) {
        while !self.stopped
            && let Some(&echo) = self.echo.front()
        {
            if !self.put_one_echo(echo, out) {
                break;
            }
            self.echo.pop_front();
        }
        while self.echo.len() > ECHO_MAX {
            self.echo.pop_front();
        }
    }

    fn put_one_echo(&mut self, echo: Echo, out: &mut Output) -> bool {
        match echo {
            Echo::Plain(c) if self.output_mode(OPOST) => return self.put(c, out),
            Echo::Plain(c) => return out.push(&[c]),
            Echo::Byte(c) => {
                if !out.push(&[c]) {
                    return false;
                }
                self.column += 1;
            }
            Echo::Caret(c) => {
                if !out.push(&[b'^', c ^ 0x40]) {
                    return false;
                }
                self.column += 2;
            }
            Echo::LineStart => self.line_column = self.column,
            Echo::Back => self.column = self.column.saturating_sub(1),
            Echo::EraseTab { columns, after_tab } => {
                let before = if after_tab { columns } else { columns + self.line_column };
                let width = 8 - before % 8;
                if !out.push(&[8; 8][..width]) {
                    return false;
                }
                self.column = self.column.saturating_sub(width);
            }
        }
        true
    }

    /// Puts one character through output processing; `false` if there is no room.
    fn put(&mut self, byte: u8, out: &mut Output) -> bool {
        let (mut c, mut column, mut line_column) = (byte, self.column, self.line_column);
        match byte {
            b'\n' => {
                if self.output_mode(ONLRET) {
                    column = 0;
                }
                if self.output_mode(ONLCR) {
                    if !out.push(b"\r\n") {
                        return false;
                    }
                    (self.column, self.line_column) = (0, 0);
                    return true;
                }
                line_column = column;
            }
            b'\r' => {
                if self.output_mode(ONOCR) && column == 0 {
                    return true;
                }
                if self.output_mode(OCRNL) {
                    c = b'\n';
                }
                if !self.output_mode(OCRNL) || self.output_mode(ONLRET) {
                    (column, line_column) = (0, 0);
                }
            }
            b'\t' => {
                let width = 8 - column % 8;
                column += width;
                if self.termios.c_oflag & TABDLY == XTABS {
                    let fits = out.push(&[b' '; 8][..width]);
                    self.column = if fits { column } else { self.column };
                    return fits;
                }
            }
            8 => column = column.saturating_sub(1),
            _ if is_control(byte) => {}
            _ => {
                if self.output_mode(OLCUC) {
                    c = to_upper(byte);
                }
                if !self.continues(c) {
                    column += 1;
                }
            }
        }
        let fits = out.push(&[c]);
        if fits {
            (self.column, self.line_column) = (column, line_column);
        }
        fits
    }

    /// Stops output.
    pub(super) fn stop(&mut self) -> Events {
        let events = if self.stopped { Events::empty() } else { Events::STOPPED };
        self.stopped = true;
        events
    }

    /// Starts output, unless it was stopped by call. Echo that had to wait comes out at the next occasion.
    pub(super) const fn start(&mut self) -> Events {
        if !self.stopped || self.stopped_by_call {
            return Events::empty();
        }
        self.stopped = false;
        Events::STARTED
    }

    /// Echoes a byte as it is.
    pub(super) fn echo_raw(&mut self, c: u8) {
        self.echo.push_back(if c == 0xff { Echo::Byte(c) } else { Echo::Plain(c) });
    }

    /// Echoes a character, a control character visibly if that is wanted.
    pub(super) fn echo_char(&mut self, c: u8) {
        if self.local(ECHOCTL) && is_control(c) && c != b'\t' {
            self.echo.push_back(Echo::Caret(c));
        } else {
            self.echo_raw(c);
        }
    }

    /// Notes that a character is echoed with which a line may begin.
    pub(super) fn echo_start(&mut self) {
        if self.complete == self.queue.len() {
            self.echo.push_back(Echo::LineStart);
        }
    }

    pub(super) fn echo_step(&mut self, echo: Echo) {
        self.echo.push_back(echo);
    }

    pub(super) const fn echoes(&self) -> bool {
        self.local(ECHO)
    }

    pub(super) fn drop_echo(&mut self) {
        self.echo = VecDeque::new();
    }
}
