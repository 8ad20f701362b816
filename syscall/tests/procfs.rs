//! `/proc` and `/sys` as programs see them: through system calls, on a fake machine.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use super::support::Machine;
    use abi::Errno;
    use syscall::procfs;
    use vfs::{Caller, Credentials, Follow, MountOptions, Walk};

    const SCRATCH: u64 = 0x1000;
    const O_WRONLY: u64 = 1;

    /// A machine with both file systems mounted.
    fn machine() -> Machine {
        let machine = Machine::new();
        let system = &machine.system;
        let root = machine.thread.fs().root();
        let who = Credentials::root();
        let walk =
            Walk { vfs: &system.vfs, caller: Caller::kernel(&who), root: &root, start: &root, resolve: 0 };
        for (path, fs) in [("/proc", procfs::proc(system)), ("/sys", procfs::sys(system))] {
            walk.make_directory(path.as_bytes(), 0o755).unwrap();
            let place = walk.lookup(path.as_bytes(), Follow::Yes).unwrap();
            system.vfs.mount(fs, &path[1..], &place, MountOptions::REL_ATIME).unwrap();
        }
        machine
    }

    fn open(machine: &Machine, path: &str, flags: u64) -> Result<u64, Errno> {
        machine.call("open", &[machine.path(path), flags, 0])
    }

    fn read_bytes(machine: &Machine, path: &str) -> Result<Vec<u8>, Errno> {
        let fd = open(machine, path, 0)?;
        let buffer = machine.put(SCRATCH, &[0]);
        let mut all = Vec::new();
        loop {
            let len = machine.call("read", &[fd, buffer, 4096])?;
            if len == 0 {
                break;
            }
            all.extend(machine.get(buffer, usize::try_from(len).unwrap()));
        }
        machine.call("close", &[fd])?;
        Ok(all)
    }

    fn read(machine: &Machine, path: &str) -> String {
        let bytes = read_bytes(machine, path).unwrap_or_else(|errno| panic!("{path}: {errno}"));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn limits_of_ipc_can_be_read_and_changed() {
        let machine = machine();
        assert_eq!(read(&machine, "/proc/sys/kernel/sem"), "32000\t1024000000\t500\t32000\n");
        assert_eq!(write(&machine, "/proc/sys/kernel/sem", "5\n"), Ok(2));
        assert_eq!(read(&machine, "/proc/sys/kernel/sem"), "5\t1024000000\t500\t32000\n");
        assert_eq!(machine.call("semget", &[0, 6, 0o600]), Err(Errno::EINVAL));
        assert_eq!(write(&machine, "/proc/sys/kernel/shmmax", "4096"), Ok(4));
        assert_eq!(machine.call("shmget", &[0, 4097, 0o600]), Err(Errno::EINVAL));
        assert_eq!(write(&machine, "/proc/sys/kernel/shmall", "1"), Ok(1));
        let id = machine.call("shmget", &[0, 4096, 0o600]).unwrap();
        assert_eq!(machine.call("shmget", &[0, 1, 0o600]), Err(Errno::ENOSPC));
        assert!(read(&machine, "/proc/sysvipc/shm").contains(" 600                  4096 "));
        machine.call("shmctl", &[id, 0, 0]).unwrap();
        assert_eq!(write(&machine, "/proc/sys/kernel/msgmni", "40000"), Err(Errno::EINVAL));
        assert_eq!(write(&machine, "/proc/sys/kernel/msgmni", "0"), Ok(1));
        assert_eq!(machine.call("msgget", &[0, 0o600]), Err(Errno::ENOSPC));
        assert_eq!(write(&machine, "/proc/sys/fs/mqueue/msg_max", "70000"), Err(Errno::EINVAL));
        assert_eq!(read(&machine, "/proc/sys/fs/mqueue/queues_max"), "256\n");
    }

    fn write(machine: &Machine, path: &str, text: &str) -> Result<u64, Errno> {
        let fd = open(machine, path, O_WRONLY)?;
        let result = machine.call("write", &[fd, machine.put(SCRATCH, text.as_bytes()), text.len() as u64]);
        machine.call("close", &[fd])?;
        result
    }

    fn link(machine: &Machine, path: &str) -> Result<String, Errno> {
        let buffer = machine.put(SCRATCH, &[0]);
        let len = machine.call("readlink", &[machine.path(path), buffer, 4096])?;
        Ok(String::from_utf8(machine.get(buffer, usize::try_from(len).unwrap())).unwrap())
    }

    /// Reduces a text to its form: every number becomes `0`, and runs of blanks one.
    fn form(text: &str) -> String {
        let mut form = String::new();
        for c in text.chars() {
            let c = if c.is_ascii_digit() { '0' } else { c };
            if !(matches!(c, '0' | ' ') && form.ends_with(c)) {
                form.push(c);
            }
        }
        form
    }

    /// Names of a file of `NAME: VALUE` lines, with their exact separators.
    fn names(text: &str) -> Vec<&str> {
        text.lines().map(|line| line.split_inclusive([':', '\t']).next().unwrap()).collect()
    }

    #[test]
    fn self_leads_to_the_caller() {
        let machine = machine();
        assert_eq!(link(&machine, "/proc/self").unwrap(), "2");
        assert_eq!(link(&machine, "/proc/thread-self").unwrap(), "2/task/2");
        assert_eq!(link(&machine, "/proc/self/cwd").unwrap(), "/");
        assert_eq!(link(&machine, "/proc/self/exe"), Err(Errno::ENOENT));
        assert_eq!(read(&machine, "/proc/self/comm"), "test\n");
        assert_eq!(read(&machine, "/proc/2/task/2/comm"), "test\n");
        for gone in ["/proc/3/stat", "/proc/02/stat", "/proc/+2/stat", "/proc/2/task/3", "/proc/self/nothing"]
        {
            assert_eq!(read_bytes(&machine, gone), Err(Errno::ENOENT), "{gone}");
        }
    }

    #[test]
    fn status_has_linuxs_lines_in_linuxs_order() {
        let machine = machine();
        let ours = read(&machine, "/proc/self/status");
        let linux = std::fs::read_to_string("/proc/self/status").unwrap();
        // Lines that other versions and configurations of Linux have or lack.
        let varies = [
            "Kthread:",
            "untag_mask:",
            "x86_Thread_features:",
            "Seccomp_filters:",
            "CoreDumping:",
            "THP_enabled:",
        ];
        let varies = |name: &&str| {
            !varies.contains(name)
                && !name.starts_with("NS")
                && !name.starts_with("Specul")
                && !name.starts_with("x86")
        };
        let names_of = |text| names(text).into_iter().filter(varies).map(String::from).collect::<Vec<_>>();
        assert_eq!(names_of(&ours), names_of(&linux));
        for line in [
            "Name:\ttest\nUmask:\t0022\nState:\tR (running)\nTgid:\t2\nNgid:\t0\nPid:\t2\nPPid:\t1\n",
            "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t \n",
            "\nVmSize:\t    1024 kB\n",
            "\nCapEff:\t000001ffffffffff\n",
            "\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n",
        ] {
            assert!(ours.contains(line), "{line:?} in {ours}");
        }
    }

    #[test]
    fn stat_statm_and_limits_look_like_linuxs() {
        let machine = machine();
        for file in ["stat", "statm", "limits", "schedstat"] {
            let ours = read(&machine, &format!("/proc/self/{file}"));
            let linux = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
            if file == "limits" {
                let columns = |text: &str| {
                    text.lines()
                        .map(|line| (line[..26].to_owned(), line[68..].to_owned()))
                        .collect::<Vec<_>>()
                };
                assert_eq!(columns(&ours), columns(&linux));
            } else {
                let fields = |text: &str| text.rsplit(')').next().unwrap().split(' ').count();
                assert_eq!(fields(&ours), fields(&linux), "{ours}");
            }
        }
        assert!(read(&machine, "/proc/self/stat").starts_with("2 (test) R 1 2 2 0 -1 "));
    }

    #[test]
    fn maps_are_laid_out_in_linuxs_columns() {
        let machine = machine();
        let start = machine.scratch.0;
        let maps = read(&machine, "/proc/self/maps");
        assert_eq!(maps, format!("{start:08x}-{:08x} rw-p 00000000 00:00 0 \n", start + (1 << 20)));
        let ours = read(&machine, "/proc/self/smaps");
        let linux = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let entry = |text: &str| {
            let lines = text.lines().skip(1).take_while(|line| !line.starts_with("VmFlags"));
            lines
                .map(form)
                .filter(|l| !l.starts_with("KSM") && !l.starts_with("Prot") && !l.starts_with("THP"))
                .collect::<Vec<_>>()
        };
        assert_eq!(entry(&ours), entry(&linux));
        assert!(ours.ends_with("VmFlags: rd wr mr mw me ac \n"), "{ours}");
    }

    #[test]
    fn descriptors_are_links() {
        let machine = machine();
        let ends = machine.put(SCRATCH, &[0; 8]);
        machine.call("pipe", &[ends]).unwrap();
        machine.call("eventfd2", &[5, 0o2_000_000]).unwrap();
        machine.call("open", &[machine.path("/"), 0o200_000, 0]).unwrap();
        assert!(link(&machine, "/proc/self/fd/0").unwrap().starts_with("pipe:["));
        assert_eq!(link(&machine, "/proc/self/fd/2").unwrap(), "anon_inode:[eventfd]");
        assert_eq!(link(&machine, "/proc/self/fd/3").unwrap(), "/");
        assert_eq!(link(&machine, "/proc/self/fd/9"), Err(Errno::ENOENT));
        assert_eq!(open(&machine, "/proc/self/fd/2", 0), Err(Errno::ENXIO));
        let info = read(&machine, "/proc/self/fdinfo/2");
        assert!(info.starts_with("pos:\t0\nflags:\t02000002\nmnt_id:\t"), "{info}");
        assert!(info.contains("\neventfd-count:                5\n"), "{info}");
        let (fd, stat) = (machine.path("/proc/self/fd/1"), machine.put(SCRATCH, &[0; 144]));
        machine.call("lstat", &[fd, stat]).unwrap();
        let mode = u32::from_ne_bytes(machine.get(stat + 24, 4).try_into().unwrap());
        assert_eq!(mode, 0o120_300, "the link to a writing end");
        machine.call("stat", &[machine.path("/proc/self/fd/2"), stat]).unwrap();
    }

    #[test]
    fn strangers_may_not_look_into_a_process() {
        let machine = machine();
        let mut who = syscall::proc::Credentials::clone(&machine.thread.credentials());
        who.effective = 0;
        (who.fsuid, who.euid) = (1000, 1000);
        let process = machine.thread.process();
        machine.thread.set_credentials(who);
        // A process can always look into itself.
        assert!(read_bytes(&machine, "/proc/self/maps").is_ok());
        process.state.lock().dumpable = false;
        assert_eq!(
            read_bytes(&machine, "/proc/self/environ"),
            Err(Errno::EACCES),
            "owned by root while not dumpable"
        );
        assert!(read_bytes(&machine, "/proc/self/status").is_ok());
    }

    #[test]
    fn what_can_be_changed_is_and_the_rest_says_so() {
        let machine = machine();
        assert_eq!(write(&machine, "/proc/sys/kernel/hostname", "box\n"), Ok(4));
        assert_eq!(read(&machine, "/proc/sys/kernel/hostname"), "box\n");
        assert_eq!(machine.system.names().host, b"box");
        assert_eq!(write(&machine, "/proc/sys/vm/overcommit_memory", "0\n"), Ok(2));
        assert_eq!(write(&machine, "/proc/sys/vm/overcommit_memory", "1\n"), Err(Errno::EPERM));
        assert_eq!(open(&machine, "/proc/sys/kernel/ostype", O_WRONLY), Err(Errno::EACCES));
        assert_eq!(write(&machine, "/proc/self/oom_score_adj", "300"), Ok(3));
        assert_eq!(read(&machine, "/proc/self/oom_score_adj"), "300\n");
        assert_eq!(read(&machine, "/proc/self/oom_adj"), "5\n");
        assert_eq!(write(&machine, "/proc/self/oom_score_adj", "1001"), Err(Errno::EINVAL));
        assert_eq!(write(&machine, "/proc/self/comm", "renamed"), Ok(7));
        assert_eq!(read(&machine, "/proc/self/stat").split(' ').nth(1), Some("(renamed)"));
        assert_eq!(write(&machine, "/proc/self/status", "x"), Err(Errno::EINVAL));
    }

    #[test]
    fn system_files_have_linuxs_form() {
        let machine = machine();
        let ours = read(&machine, "/proc/meminfo");
        let linux = std::fs::read_to_string("/proc/meminfo").unwrap();
        let known = names(&linux);
        let mut last = 0;
        for line in ours.lines() {
            let name = line.split_inclusive(':').next().unwrap();
            // NFS_Unstable, Bounce and WritebackTmp leave newer versions of Linux.
            if let Some(index) = known.iter().position(|&other| other == name) {
                assert!(index >= last, "{name} stands where Linux has it");
                last = index;
            }
            let end = line.strip_suffix(" kB").unwrap_or(line).len();
            assert!(end == 24 || name == "VmallocTotal:", "{line}");
        }
        assert_eq!(form(&read(&machine, "/proc/uptime")), "0.0 0.0\n");
        assert_eq!(form(&read(&machine, "/proc/loadavg")), "0.0 0.0 0.0 0/0 0\n");
        assert!(read(&machine, "/proc/stat").starts_with("cpu  "));
        assert_eq!(read(&machine, "/proc/stat").lines().filter(|line| line.starts_with("cpu")).count(), 3);
        assert_eq!(read(&machine, "/proc/cpuinfo").matches("processor\t: ").count(), 2);
        assert!(read(&machine, "/proc/version").starts_with("Linux version 6.1."));
        assert!(read(&machine, "/proc/mounts").contains("proc /proc proc rw,relatime 0 0\n"));
        assert!(read(&machine, "/proc/self/mountinfo").contains(" / /sys rw,relatime - sysfs sys rw\n"));
        let (one, two) = (
            read(&machine, "/proc/sys/kernel/random/uuid"),
            read(&machine, "/proc/sys/kernel/random/boot_id"),
        );
        assert_eq!((one.len(), two.len(), one.as_bytes()[14]), (37, 37, b'4'));
    }

    #[test]
    fn locks_are_listed() {
        let machine = machine();
        let fd = machine.call("open", &[machine.path("/file"), 0o102, 0o644]).unwrap();
        machine.call("flock", &[fd, 2]).unwrap();
        let locks = read(&machine, "/proc/locks");
        assert!(
            locks.starts_with("1: FLOCK  ADVISORY  WRITE 2 00:") && locks.ends_with(" 0 EOF\n"),
            "{locks}"
        );
    }

    #[test]
    fn headings_of_the_network_are_linuxs() {
        let machine = machine();
        for file in ["dev", "tcp", "tcp6", "udp", "udp6", "unix", "route", "arp", "packet", "netlink"] {
            let Ok(linux) = std::fs::read_to_string(format!("/proc/net/{file}")) else { continue };
            let ours = read(&machine, &format!("/proc/net/{file}"));
            assert_eq!(ours.lines().next(), linux.lines().next(), "{file}");
        }
    }

    #[test]
    fn processors_are_listed_in_sys() {
        let machine = machine();
        assert_eq!(read(&machine, "/sys/devices/system/cpu/online"), "0-1\n");
        assert_eq!(read(&machine, "/sys/devices/system/cpu/cpu1/topology/core_id"), "1\n");
        assert_eq!(read(&machine, "/sys/devices/system/cpu/cpu1/topology/core_siblings"), "3\n");
        assert_eq!(
            read(&machine, "/sys/devices/system/node/node0/cpu1/topology/thread_siblings_list"),
            "1\n"
        );
        assert_eq!(read_bytes(&machine, "/sys/devices/system/cpu/cpu2/topology/core_id"), Err(Errno::ENOENT));
        assert_eq!(open(&machine, "/sys/devices/system/cpu/online", O_WRONLY), Err(Errno::EACCES));
    }
}
