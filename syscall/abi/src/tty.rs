//! Terminals: modes, sizes, control characters (`termios(3)`, `ioctl_tty(2)`).

flags! {
    /// Input modes (`c_iflag`).
    InputFlags: u32 {
        IGNBRK = 1, BRKINT = 2, IGNPAR = 4, PARMRK = 8, INPCK = 0x10, ISTRIP = 0x20, INLCR = 0x40,
        IGNCR = 0x80, ICRNL = 0x100, IUCLC = 0x200, IXON = 0x400, IXANY = 0x800, IXOFF = 0x1000,
        IMAXBEL = 0x2000, IUTF8 = 0x4000,
    }
}

flags! {
    /// Output modes (`c_oflag`).
    OutputFlags: u32 {
        OPOST = 1, OLCUC = 2, ONLCR = 4, OCRNL = 8, ONOCR = 0x10, ONLRET = 0x20, OFILL = 0x40, OFDEL = 0x80,
        NLDLY = 0x100, CRDLY = 0x600, TABDLY = 0x1800, BSDLY = 0x2000, VTDLY = 0x4000, FFDLY = 0x8000,
    }
}

consts! {
    /// Delays of `c_oflag` that have a name of their own.
    u32 {
        NL0 = 0, NL1 = 0x100, CR0 = 0, CR1 = 0x200, CR2 = 0x400, CR3 = 0x600, TAB0 = 0, TAB1 = 0x800,
        TAB2 = 0x1000, TAB3 = 0x1800, XTABS = 0x1800, BS0 = 0, BS1 = 0x2000, VT0 = 0, VT1 = 0x4000, FF0 = 0,
        FF1 = 0x8000,
    }
}

flags! {
    /// Control modes (`c_cflag`).
    ControlFlags: u32 {
        CBAUD = 0x100f, CSIZE = 0x30, CSTOPB = 0x40, CREAD = 0x80, PARENB = 0x100, PARODD = 0x200,
        HUPCL = 0x400, CLOCAL = 0x800, CBAUDEX = 0x1000, CIBAUD = 0x100f0000, CMSPAR = 0x40000000,
        CRTSCTS = 0x80000000,
    }
}

consts! {
    /// Character sizes and speeds of `c_cflag`.
    u32 {
        CS5 = 0, CS6 = 0x10, CS7 = 0x20, CS8 = 0x30, B0 = 0, B50 = 1, B75 = 2, B110 = 3, B134 = 4, B150 = 5,
        B200 = 6, B300 = 7, B600 = 8, B1200 = 9, B1800 = 0xa, B2400 = 0xb, B4800 = 0xc, B9600 = 0xd,
        B19200 = 0xe, B38400 = 0xf, BOTHER = 0x1000, B57600 = 0x1001, B115200 = 0x1002, B230400 = 0x1003,
        B460800 = 0x1004, B500000 = 0x1005, B576000 = 0x1006, B921600 = 0x1007, B1000000 = 0x1008,
        B1152000 = 0x1009, B1500000 = 0x100a, B2000000 = 0x100b, B2500000 = 0x100c, B3000000 = 0x100d,
        B3500000 = 0x100e, B4000000 = 0x100f, IBSHIFT = 0x10,
    }
}

flags! {
    /// Local modes (`c_lflag`).
    LocalFlags: u32 {
        ISIG = 1, ICANON = 2, XCASE = 4, ECHO = 8, ECHOE = 0x10, ECHOK = 0x20, ECHONL = 0x40, NOFLSH = 0x80,
        TOSTOP = 0x100, ECHOCTL = 0x200, ECHOPRT = 0x400, ECHOKE = 0x800, FLUSHO = 0x1000, PENDIN = 0x4000,
        IEXTEN = 0x8000, EXTPROC = 0x10000,
    }
}

consts! {
    /// Places in `c_cc`.
    usize {
        VINTR = 0, VQUIT = 1, VERASE = 2, VKILL = 3, VEOF = 4, VTIME = 5, VMIN = 6, VSWTC = 7, VSTART = 8,
        VSTOP = 9, VSUSP = 10, VEOL = 11, VREPRINT = 12, VDISCARD = 13, VWERASE = 14, VLNEXT = 15,
        VEOL2 = 16,
    }
}

consts! {
    /// Arguments of `TCXONC`, `TCFLSH` and `tcsetattr(3)`.
    i32 {
        TCOOFF = 0, TCOON = 1, TCIOFF = 2, TCION = 3, TCIFLUSH = 0, TCOFLUSH = 1, TCIOFLUSH = 2,
        TCSANOW = 0, TCSADRAIN = 1, TCSAFLUSH = 2,
    }
}

consts! {
    /// Line disciplines.
    i32 {
        N_TTY = 0, N_SLIP = 1, N_PPP = 3,
    }
}

consts! {
    /// Modem lines (`TIOCMGET`).
    u32 {
        TIOCM_LE = 1, TIOCM_DTR = 2, TIOCM_RTS = 4, TIOCM_ST = 8, TIOCM_SR = 0x10, TIOCM_CTS = 0x20,
        TIOCM_CAR = 0x40, TIOCM_RNG = 0x80, TIOCM_DSR = 0x100,
    }
}

consts! {
    /// Events of packet mode (`TIOCPKT`).
    u32 {
        TIOCPKT_DATA = 0, TIOCPKT_FLUSHREAD = 1, TIOCPKT_FLUSHWRITE = 2, TIOCPKT_STOP = 4,
        TIOCPKT_START = 8, TIOCPKT_NOSTOP = 0x10, TIOCPKT_DOSTOP = 0x20, TIOCPKT_IOCTL = 0x40,
    }
}

structs! {
    /// A terminal's modes as `TCGETS` has them.
    Termios = "struct termios" {
        c_iflag: u32, c_oflag: u32, c_cflag: u32, c_lflag: u32, c_line: u8, c_cc: [u8; 19],
    }

    /// A terminal's modes with its speeds (`TCGETS2`).
    Termios2 = "struct termios2" {
        c_iflag: u32, c_oflag: u32, c_cflag: u32, c_lflag: u32, c_line: u8, c_cc: [u8; 19], c_ispeed: u32, c_ospeed: u32,
    }

    /// A terminal's modes as System V had them (`TCGETA`).
    Termio = "struct termio" { c_iflag: u16, c_oflag: u16, c_cflag: u16, c_lflag: u16, c_line: u8, c_cc: [u8; 8], _pad: u8 }

    /// A terminal's size in characters and pixels (`TIOCGWINSZ`).
    Winsize = "struct winsize" { ws_row: u16, ws_col: u16, ws_xpixel: u16, ws_ypixel: u16 }
}
