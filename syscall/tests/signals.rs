//! Signals from the outside: frames, restarts, masks, waiting.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use abi::Errno;
    use abi::signal::*;
    use hal::{Access, Flow, PageFault, UserRegs, UserThread};
    use syscall::proc::{ExitState, Work};

    use super::support::Machine;

    const HANDLER: u64 = 0x40_1000;
    const RESTORER: u64 = 0x40_2000;

    fn number(name: &str) -> u64 {
        u64::from(syscall::table::TABLE.iter().find(|e| e.name == name).unwrap().number)
    }

    fn act(machine: &Machine, signal: i32, handler: u64, flags: u64, mask: u64) {
        let words = [handler, flags | 0x400_0000, RESTORER, mask];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let at = machine.put(0x1000, &bytes);
        machine.call("rt_sigaction", &[u64::from(signal.cast_unsigned()), at, 0, 8]).unwrap();
    }

    fn regs(machine: &Machine) -> UserRegs {
        UserRegs {
            rip: 0x40_0500,
            rsp: machine.scratch.0 + 0x8_0000,
            rflags: 0x246,
            rbx: 77,
            cs: 0x33,
            ss: 0x2b,
            ..UserRegs::default()
        }
    }

    fn word(machine: &Machine, at: u64) -> u64 {
        u64::from_le_bytes(machine.get(at, 8).try_into().unwrap())
    }

    fn kill_self(machine: &Machine, signal: i32, regs: &mut UserRegs) -> Flow {
        regs.orig_rax = number("kill");
        (regs.rdi, regs.rsi) = (2, u64::from(signal.cast_unsigned()));
        machine.thread.syscall(regs)
    }

    #[test]
    fn a_handler_gets_linux_frame_and_returning_from_it_restores_everything() {
        let machine = Machine::new();
        act(&machine, SIGUSR1, HANDLER, 4, 1 << (SIGUSR2 - 1));
        let mut regs = regs(&machine);
        assert_eq!(kill_self(&machine, SIGUSR1, &mut regs), Flow::Resume);
        assert_eq!((regs.rip, regs.rdi, regs.rax), (HANDLER, 10, 0));
        assert_eq!(regs.rsp % 16, 8, "aligned as behind a call");
        assert!(regs.rsp < machine.scratch.0 + 0x8_0000 - 128, "below the red zone");
        assert_eq!(word(&machine, regs.rsp), RESTORER);
        assert_eq!((regs.rdx, regs.rsi), (regs.rsp + 8, regs.rsp + 8 + 304));
        // si_signo, si_errno; si_code; si_pid, si_uid.
        assert_eq!((word(&machine, regs.rsi), word(&machine, regs.rsi + 16)), (10, 2));
        // uc_mcontext.gregs begin behind uc_flags, uc_link and uc_stack: r8 ... rip is the seventeenth.
        assert_eq!(word(&machine, regs.rdx + 40 + 16 * 8), 0x40_0500);
        assert_eq!(machine.thread.signals.mask(), 1 << (SIGUSR1 - 1) | 1 << (SIGUSR2 - 1));
        // The handler changes rbx in its context and returns.
        machine.put(regs.rdx + 40 + 11 * 8 - machine.scratch.0, &78_u64.to_le_bytes());
        regs.rsp += 8;
        regs.orig_rax = 15;
        assert_eq!(machine.thread.syscall(&mut regs), Flow::Resume);
        assert_eq!((regs.rip, regs.rbx, regs.rax), (0x40_0500, 78, 0), "kill answered 0");
        assert_eq!((regs.rsp, machine.thread.signals.mask()), (machine.scratch.0 + 0x8_0000, 0));
    }

    #[test]
    fn a_blocked_signal_waits_until_it_is_unblocked() {
        let machine = Machine::new();
        act(&machine, SIGUSR1, HANDLER, 0, 0);
        let set = machine.put(0, &(1_u64 << (SIGUSR1 - 1)).to_le_bytes());
        machine.call("rt_sigprocmask", &[0, set, 0, 8]).unwrap();
        machine.call("kill", &[2, 10]).unwrap();
        machine.call("kill", &[2, 10]).unwrap();
        let pending = machine.put(0x100, &[0; 8]);
        machine.call("rt_sigpending", &[pending, 8]).unwrap();
        assert_eq!(word(&machine, pending), 1 << (SIGUSR1 - 1));
        let mut regs = UserRegs { orig_rax: 14, rdi: 1, rsi: set, r10: 8, ..regs(&machine) };
        assert_eq!(machine.thread.syscall(&mut regs), Flow::Resume);
        assert_eq!(regs.rip, HANDLER);
        assert!(machine.process.pending.is_empty(), "a standard signal waits once");
    }

    #[test]
    fn the_default_of_term_ends_the_process_and_of_chld_does_nothing() {
        let machine = Machine::new();
        let mut regs = regs(&machine);
        assert_eq!(kill_self(&machine, SIGCHLD, &mut regs), Flow::Return);
        machine.call("rt_sigprocmask", &[0, 0, 0, 8]).unwrap();
        syscall::signal::send_process(&machine.process, Siginfo::kill(SIGTERM, SI_USER, 2, 0)).unwrap();
        assert!(machine.thread.work_flags().contains(Work::SIGNAL));
        let cx = syscall::Context::new(&machine.thread, &mut regs);
        syscall::signal::deliver_pending(&cx, None);
        assert_eq!(machine.process.state.lock().exit, ExitState::Ending(15));
    }

    #[test]
    fn real_time_signals_queue_in_order_and_can_be_waited_for() {
        let machine = Machine::new();
        let set = machine.put(0, &(3_u64 << 33).to_le_bytes());
        machine.call("rt_sigprocmask", &[0, set, 0, 8]).unwrap();
        for (signal, value) in [(35, 1_u64), (34, 2), (34, 3)] {
            let info = Siginfo::rt(signal, SI_QUEUE, 2, 0, value);
            let at = machine.put(0x200, zerocopy::IntoBytes::as_bytes(&info));
            machine.call("rt_sigqueueinfo", &[2, u64::from(signal.cast_unsigned()), at]).unwrap();
        }
        let info = machine.put(0x400, &[0; 128]);
        for (signal, value) in [(34, 2), (34, 3), (35, 1)] {
            assert_eq!(machine.call("rt_sigtimedwait", &[set, info, 0, 8]), Ok(signal));
            assert_eq!(word(&machine, info + 24), value);
        }
        let zero = machine.put(0x300, &[0; 16]);
        assert_eq!(machine.call("rt_sigtimedwait", &[set, info, zero, 8]), Err(Errno::EAGAIN));
    }

    #[test]
    fn an_interrupted_call_is_repeated_or_answers_eintr_as_the_handler_says() {
        for (flags, again) in [(0x1000_0000, true), (0, false)] {
            let machine = Machine::new();
            act(&machine, SIGALRM, HANDLER, flags, 0);
            syscall::signal::send_process(&machine.process, Siginfo::kill(SIGALRM, SI_USER, 2, 0)).unwrap();
            let word_at = machine.put(0, &[0; 8]);
            let mut regs = UserRegs { orig_rax: number("futex"), rdi: word_at, rsi: 128, ..regs(&machine) };
            assert_eq!(machine.thread.syscall(&mut regs), Flow::Resume);
            assert_eq!(regs.rip, HANDLER);
            let (rip, rax) = (word(&machine, regs.rdx + 40 + 128), word(&machine, regs.rdx + 40 + 104));
            let expected =
                if again { (0x40_0500 - 2, number("futex")) } else { (0x40_0500, (-4_i64).cast_unsigned()) };
            assert_eq!((rip, rax), expected);
        }
    }

    #[test]
    fn a_bad_access_reaches_the_handler_with_its_address() {
        let machine = Machine::new();
        act(&machine, SIGSEGV, HANDLER, 4, 0);
        let mut regs = regs(&machine);
        let fault = PageFault { addr: 0x1234, access: Access::Write, protection: false };
        assert_eq!(machine.thread.page_fault(&fault, &mut regs), Flow::Resume);
        assert_eq!((regs.rip, regs.rdi), (HANDLER, 11));
        assert_eq!(word(&machine, regs.rsi + 16), 0x1234, "si_addr");
        assert_eq!(word(&machine, regs.rsi + 8), 1, "SEGV_MAPERR");
        let mcontext = regs.rdx + 40;
        assert_eq!((word(&machine, mcontext + 152), word(&machine, mcontext + 160)), (6, 14), "err, trapno");
        assert_eq!(word(&machine, mcontext + 176), 0x1234, "cr2");
    }

    #[test]
    fn the_alternate_stack_is_used_and_cannot_be_changed_from_there() {
        let machine = Machine::new();
        act(&machine, SIGUSR1, HANDLER, 0x800_0000, 0);
        let stack = [machine.scratch.0 + 0x2_0000, 0, 0x4000];
        let bytes: Vec<u8> = stack.iter().flat_map(|w| w.to_le_bytes()).collect();
        let at = machine.put(0, &bytes);
        assert_eq!(machine.call("sigaltstack", &[at, 0]), Ok(0));
        let mut regs = regs(&machine);
        assert_eq!(kill_self(&machine, SIGUSR1, &mut regs), Flow::Resume);
        assert!((stack[0]..stack[0] + stack[2]).contains(&regs.rsp));
        let mut again = UserRegs { orig_rax: number("sigaltstack"), rdi: at, rsi: 0, ..regs };
        let _ = machine.thread.syscall(&mut again);
        assert_eq!(again.rax.cast_signed(), -1, "EPERM");
        let small = machine.put(0x40, &[0; 16]);
        machine.put(0x50, &1024_u64.to_le_bytes());
        assert_eq!(machine.call("sigaltstack", &[small, 0]), Err(Errno::ENOMEM));
    }

    #[test]
    fn numbers_and_sizes_are_checked_in_linux_order() {
        let machine = Machine::new();
        assert_eq!(machine.call("rt_sigaction", &[9, 0, 0, 4]), Err(Errno::EINVAL));
        assert_eq!(machine.call("rt_sigaction", &[9, 0, 0, 8]), Ok(0));
        let new = machine.put(0, &[0; 32]);
        assert_eq!(machine.call("rt_sigaction", &[9, new, 0, 8]), Err(Errno::EINVAL));
        assert_eq!(machine.call("kill", &[99, 77]), Err(Errno::ESRCH));
        assert_eq!(machine.call("kill", &[2, 77]), Err(Errno::EINVAL));
        assert_eq!(machine.call("kill", &[2, 0]), Ok(0));
        assert_eq!(machine.call("tgkill", &[2, 3, 0]), Err(Errno::ESRCH));
        assert_eq!(machine.call("tgkill", &[0, 2, 0]), Err(Errno::EINVAL));
    }
}
