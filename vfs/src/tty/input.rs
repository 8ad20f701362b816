//! From the keyboard into the queue.

use abi::tty::{
    ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOPRT, EXTPROC, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG,
    ISTRIP, IUCLC, IXANY, IXON, NOFLSH, PARMRK, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VQUIT,
    VREPRINT, VSTART, VSTOP, VSUSP, VWERASE,
};

use super::class::{is_alphanumeric, is_control, to_lower};
use super::output::Echo;
use super::{DISABLED, Events, Line, Output, QUEUE_MAX, Queued};

/// What an erasing character takes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

impl Line {
    /// Notes which characters have a meaning under the present modes.
    pub(super) fn note_special(&mut self) {
        let mut special = [0_u64; 4];
        let mut add = |c: Option<u8>| {
            if let Some(c) = c {
                special[usize::from(c >> 6)] |= 1 << (c & 63);
            }
        };
        if self.input_mode(IGNCR | ICRNL) {
            add(Some(b'\r'));
        }
        if self.input_mode(INLCR) || self.local(ICANON) {
            add(Some(b'\n'));
        }
        let lines = self.local(ICANON);
        let extended = lines && self.local(IEXTEN);
        let groups: [(bool, &[usize]); 5] = [
            (lines, &[VERASE, VKILL, VEOF, VEOL]),
            (extended, &[VWERASE, VLNEXT, VEOL2]),
            (extended && self.echoes(), &[VREPRINT]),
            (self.input_mode(IXON), &[VSTART, VSTOP]),
            (self.local(ISIG), &[VINTR, VQUIT, VSUSP]),
        ];
        for (_, indices) in groups.into_iter().filter(|group| group.0) {
            for &index in indices {
                add(self.control(index));
            }
        }
        self.special = special;
        self.raw = !(self.input_mode(ISTRIP | IUCLC | IGNCR | ICRNL | INLCR | IXON | PARMRK)
            || self.local(ICANON | ISIG)
            || self.echoes());
    }

    const fn is_special(&self, c: u8) -> bool {
        self.special[(c >> 6) as usize] >> (c & 63) & 1 != 0
    }

    fn is(&self, c: u8, index: usize) -> bool {
        self.control(index) == Some(c)
    }

    /// Takes what was typed. Returns how many bytes were taken, and what follows; the rest stays with the owner until
    /// somebody has read, unless a line is being typed: then what does not fit is lost, as on Linux.
    pub fn input(&mut self, bytes: &[u8], out: &mut Output) -> (usize, Events) {
        let mut events = Events::empty();
        let mut taken = 0;
        for &byte in bytes {
            if !self.make_room() {
                break;
            }
            taken += 1;
            events |= self.receive(byte, out);
        }
        self.put_echo(out);
        if taken > 0 && !self.by_lines() && !self.queue.is_empty() {
            events |= Events::READABLE;
        }
        (taken, events)
    }

    /// Makes sure that one more byte fits; in a line that is too long, the last byte makes room for the next.
    fn make_room(&mut self) -> bool {
        let free = QUEUE_MAX.saturating_sub(self.queue.len());
        let free = if self.input_mode(PARMRK) { free.div_ceil(3) } else { free };
        if free > 1 {
            return true;
        }
        let overflow = self.local(ICANON) && self.complete == 0;
        if overflow && free == 0 {
            self.queue.pop_back();
        }
        overflow
    }

    pub(super) const fn by_lines(&self) -> bool {
        self.local(ICANON) && !self.local(EXTPROC)
    }

    fn receive(&mut self, byte: u8, out: &mut Output) -> Events {
        if self.raw {
            self.enqueue(byte, false);
            return Events::empty();
        }
        let literal = core::mem::take(&mut self.literal);
        let mut c = byte;
        if self.input_mode(ISTRIP) {
            c &= 0x7f;
        }
        if self.input_mode(IUCLC) && self.local(IEXTEN) {
            c = to_lower(c);
        }
        if !literal && self.local(EXTPROC) {
            self.enqueue(c, false);
            return Events::empty();
        }
        if !literal && self.is_special(c) {
            return self.receive_special(c, out);
        }
        let events = self.start_by_any(out);
        self.echo_input(c);
        self.enqueue_data(c, false);
        events
    }

    /// Lets any character start output again (`IXANY`).
    fn start_by_any(&mut self, out: &mut Output) -> Events {
        if self.stopped && self.input_mode(IXON) && self.input_mode(IXANY) {
            let events = self.start();
            self.put_echo(out);
            events
        } else {
            Events::empty()
        }
    }

    fn echo_input(&mut self, c: u8) {
        if self.echoes() {
            self.finish_erasing();
            self.echo_start();
            self.echo_char(c);
        }
    }

    fn receive_special(&mut self, c: u8, out: &mut Output) -> Events {
        if self.input_mode(IXON) {
            if self.is(c, VSTART) {
                let events = self.start();
                self.put_echo(out);
                return events;
            }
            if self.is(c, VSTOP) {
                return self.stop();
            }
        }
        if self.local(ISIG) {
            for (index, event) in
                [(VINTR, Events::INTERRUPT), (VQUIT, Events::QUIT), (VSUSP, Events::SUSPEND)]
            {
                if self.is(c, index) {
                    return self.signal(c, event, out);
                }
            }
        }
        let events = self.start_by_any(out);
        let c = match c {
            b'\r' if self.input_mode(IGNCR) => return events,
            b'\r' if self.input_mode(ICRNL) => b'\n',
            b'\n' if self.input_mode(INLCR) => b'\r',
            c => c,
        };
        if self.local(ICANON)
            && let Some(more) = self.receive_line(c)
        {
            return events | more;
        }
        if self.echoes() && c == b'\n' {
            self.finish_erasing();
            self.echo_raw(c);
        } else {
            self.echo_input(c);
        }
        self.enqueue_data(c, false);
        events
    }

    /// Takes a character that makes a signal.
    fn signal(&mut self, c: u8, event: Events, out: &mut Output) -> Events {
        let mut events = event;
        if !self.local(NOFLSH) {
            self.drop_echo();
            out.room += out.bytes.len();
            out.bytes.clear();
            self.clear_input();
            events |= Events::FLUSH_OUTPUT;
        }
        if self.input_mode(IXON) {
            events |= self.start();
        }
        if self.echoes() {
            self.echo_char(c);
        } else {
            self.put_echo(out);
        }
        events
    }

    /// Takes a character that has a meaning in a line; `None` if it has none.
    fn receive_line(&mut self, c: u8) -> Option<Events> {
        let extended = self.local(IEXTEN);
        let erase = if self.is(c, VERASE) {
            Some(Erase::Character)
        } else if self.is(c, VKILL) {
            Some(Erase::Line)
        } else if extended && self.is(c, VWERASE) {
            Some(Erase::Word)
        } else {
            None
        };
        if let Some(erase) = erase {
            self.erase(erase);
            return Some(Events::empty());
        }
        if extended && self.is(c, VLNEXT) {
            self.literal = true;
            if self.echoes() {
                self.finish_erasing();
                if self.local(ECHOCTL) {
                    self.echo_raw(b'^');
                    self.echo_raw(8);
                }
            }
            return Some(Events::empty());
        }
        if extended && self.echoes() && self.is(c, VREPRINT) {
            self.finish_erasing();
            self.echo_char(c);
            self.echo_raw(b'\n');
            for index in self.complete..self.queue.len() {
                self.echo_char(self.byte(index));
            }
            return Some(Events::empty());
        }
        if c == b'\n' {
            if self.echoes() || self.local(ECHONL) {
                self.echo_raw(b'\n');
            }
            return Some(self.end_line(c));
        }
        if self.is(c, VEOF) {
            return Some(self.end_line(DISABLED));
        }
        if self.is(c, VEOL) || extended && self.is(c, VEOL2) {
            if self.echoes() {
                self.echo_start();
                self.echo_char(c);
            }
            if c == 0xff && self.input_mode(PARMRK) {
                self.enqueue(c, false);
            }
            return Some(self.end_line(c));
        }
        None
    }

    fn end_line(&mut self, c: u8) -> Events {
        self.enqueue(c, true);
        self.complete = self.queue.len();
        Events::READABLE
    }

    fn enqueue(&mut self, byte: u8, end: bool) {
        self.queue.push_back(Queued { byte, end });
    }

    /// Queues a byte of data; 0xff is doubled where it marks errors otherwise.
    fn enqueue_data(&mut self, byte: u8, end: bool) {
        if byte == 0xff && self.input_mode(PARMRK) {
            self.enqueue(byte, false);
        }
        self.enqueue(byte, end);
    }

    fn byte(&self, index: usize) -> u8 {
        self.queue.get(index).map_or(0, |queued| queued.byte)
    }

    fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echo_raw(b'/');
        }
    }

    fn erase(&mut self, erase: Erase) {
        if self.queue.len() == self.complete {
            return;
        }
        if erase == Erase::Line && !self.echoes() {
            self.queue.truncate(self.complete);
            return;
        }
        if erase == Erase::Line && !(self.local(ECHOK) && self.local(ECHOKE) && self.local(ECHOE)) {
            self.queue.truncate(self.complete);
            self.finish_erasing();
            if let Some(kill) = self.control(VKILL) {
                self.echo_char(kill);
            }
            if self.local(ECHOK) {
                self.echo_raw(b'\n');
            }
            return;
        }
        let mut in_word = false;
        while self.queue.len() > self.complete {
            let mut start = self.queue.len() - 1;
            while self.continues(self.byte(start)) && start > self.complete {
                start -= 1;
            }
            let c = self.byte(start);
            if self.continues(c) {
                // Half a character is left alone.
                break;
            }
            if erase == Erase::Word {
                if is_alphanumeric(c) || c == b'_' {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            let rest = self.queue.split_off(start);
            if self.echoes() {
                self.echo_erased(erase, c, rest.iter().skip(1).map(|queued| queued.byte));
            }
            if erase == Erase::Character {
                break;
            }
        }
        if self.queue.len() == self.complete && self.echoes() {
            self.finish_erasing();
        }
    }

    /// Shows that a character is gone; `more` are its further bytes.
    fn echo_erased(&mut self, erase: Erase, c: u8, more: impl Iterator<Item = u8>) {
        if self.local(ECHOPRT) {
            if !core::mem::replace(&mut self.erasing, true) {
                self.echo_raw(b'\\');
            }
            self.echo_char(c);
            for byte in more {
                self.echo_raw(byte);
                self.echo_step(Echo::Back);
            }
        } else if erase == Erase::Character && !self.local(ECHOE) {
            if let Some(erase) = self.control(VERASE) {
                self.echo_char(erase);
            }
        } else if c == b'\t' {
            let (columns, after_tab) = self.columns_before();
            self.echo_step(Echo::EraseTab { columns: columns % 8, after_tab });
        } else {
            let width = match is_control(c) {
                true if self.local(ECHOCTL) => 2,
                true => 0,
                false => 1,
            };
            for _ in 0..width {
                for c in [8, b' ', 8] {
                    self.echo_raw(c);
                }
            }
        }
    }

    /// Counts the columns from the end of the line that is being typed back to its start, or to a tab.
    fn columns_before(&self) -> (usize, bool) {
        let mut columns = 0;
        for index in (self.complete..self.queue.len()).rev() {
            match self.byte(index) {
                b'\t' => return (columns, true),
                c if is_control(c) => columns += if self.local(ECHOCTL) { 2 } else { 0 },
                c if self.continues(c) => {}
                _ => columns += 1,
            }
        }
        (columns, false)
    }
}
