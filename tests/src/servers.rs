//! Servers, unmodified: each entry of `servers.list` runs here and in the machine, and clients here ask both the same.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{self, Output, difference, words};
use crate::machine::{find_program, host_command};
use crate::stage::{Context, Outcome, Report};

/// How much higher the host's port is that leads to the machine's.
const FORWARDED: u16 = 10_000;

/// How long a server may take to answer for the first time, and a client in all.
const START: Duration = Duration::from_secs(40);
const CLIENT: Duration = Duration::from_secs(60);

/// An entry of the list.
#[derive(Debug)]
struct Server {
    name: String,
    options: Vec<String>,
    port: u16,
    udp: bool,
    command: String,
    clients: Vec<String>,
}

/// The stage.
pub fn run(cx: &Context, report: &Report) {
    let servers = parse(include_str!("../servers.list"));
    report.each(&servers, 2, |server| {
        report.check(cx, &format!("servers/{}", server.name), || check(cx, server));
    });
}

/// The names of all entries, and their commands.
pub(crate) fn lines() -> Vec<(String, String)> {
    parse(include_str!("../servers.list")).into_iter().map(|s| (s.name, s.command)).collect()
}

fn parse(list: &str) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(client) = line.strip_prefix("  ") {
            if let Some(server) = servers.last_mut() {
                server.clients.push(client.to_owned());
            }
            continue;
        }
        let Some((head, command)) = line.split_once(": ") else { continue };
        let Some((head, port)) = head.rsplit_once(' ') else { continue };
        let (name, options) = head.split_once(" [").map_or((head, ""), |(n, o)| (n, o.trim_end_matches(']')));
        let (port, udp) = port.strip_suffix("/udp").map_or((port, false), |port| (port, true));
        let Ok(port) = port.parse() else { continue };
        let (name, options, command) = (name.to_owned(), words(options), command.to_owned());
        servers.push(Server { name, options, port, udp, command, clients: Vec::new() });
    }
    servers
}

/// A server that runs, and is ended whatever becomes of the check.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        let file = std::fs::File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let other = file.try_clone().map_err(|e| e.to_string())?;
        command.stdin(Stdio::null()).stdout(file).stderr(other);
        command.spawn().map(Self).map_err(|e| format!("{command:?}: {e}"))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks the server to end, and returns its status as a shell shows it.
    fn end(mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            std::thread::sleep(Duration::from_millis(500));
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn fill(text: &str, dir: &Path, port: u16) -> String {
    text.replace("{dir}", &dir.to_string_lossy()).replace("{port}", &port.to_string())
}

fn client(line: &str, dir: &Path, port: u16, limit: Duration) -> Result<Output, String> {
    let line = words(&fill(line, dir, port));
    let (program, args) = line.split_first().ok_or("a client without a command")?;
    let path = find_program(program).ok_or_else(|| format!("{program} is not installed"))?;
    command::run(host_command(&path).args(args).current_dir(dir), b"", limit)
}

/// Asks a server everything, once it answers the first question.
fn ask(server: &Server, dir: &Path, port: u16) -> Result<Vec<Output>, String> {
    let Some(first) = server.clients.first() else { return Ok(Vec::new()) };
    let deadline = Instant::now() + START;
    loop {
        let output = client(first, dir, port, Duration::from_secs(5))?;
        if output.status == Some(0) {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("no answer: {}\n{}", output.status_text(), output.tail(5)));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    server.clients.iter().map(|line| client(line, dir, port, CLIENT)).collect()
}

fn check(cx: &Context, server: &Server) -> Outcome {
    let dir = cx.scratch().join("servers").join(server.name.replace('/', "-"));
    let line = words(&fill(&server.command, &dir, server.port));
    let Some(program) = line.first().and_then(|name| find_program(name)) else {
        return Outcome::Skipped(format!("{} is not installed", line.first().map_or("", String::as_str)));
    };
    compare(cx, server, &dir, &program, &line).map_or_else(Outcome::Failed, |()| Outcome::Passed)
}

fn compare(cx: &Context, server: &Server, dir: &Path, program: &Path, line: &[String]) -> Result<(), String> {
    files(dir, server.port)?;
    let log = dir.join("log");
    let tail = || {
        std::fs::read_to_string(&log)
            .unwrap_or_default()
            .lines()
            .rev()
            .take(10)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let mut here = host_command(program);
    let running = Running::start(here.args(&line[1..]).current_dir(dir), &log)?;
    let linux = ask(server, dir, server.port).map_err(|e| format!("Linux: {e}\n{}", tail()))?;
    let linux_status = running.end();
    files(dir, server.port)?;
    let forwarded = server.port + FORWARDED;
    let kind = if server.udp { "/udp" } else { "" };
    let mut machine = Command::new(cx.target().join("release/hull"));
    machine.env("HULL_ACCEL", "tcg").env("HULL_STATE_DIR", dir.join("state"));
    machine.args(["run", "-p", &format!("127.0.0.1:{forwarded}:{}{kind}", server.port)]);
    machine.args(["--include", &dir.to_string_lossy(), "-w", &dir.to_string_lossy()]);
    let running = Running::start(machine.args(&server.options).args(line), &log)?;
    let hull = ask(server, dir, forwarded).map_err(|e| format!("Hull: {e}\n{}", tail()))?;
    let hull_status = running.end();
    for ((question, linux), hull) in server.clients.iter().zip(&linux).zip(&hull) {
        if linux.stdout != hull.stdout || linux.status != hull.status {
            return Err(format!(
                "{question}\nLinux: {}, Hull: {}\n{}{}",
                linux.status_text(),
                hull.status_text(),
                difference(&linux.stdout, &hull.stdout),
                hull.tail(5),
            ));
        }
    }
    if linux_status != hull_status {
        return Err(format!("ended with {hull_status:?}, on Linux with {linux_status:?}\n{}", tail()));
    }
    let _ = std::fs::remove_dir_all(dir);
    Ok(())
}

const NGINX: &str = "\
daemon off;
worker_processes 2;
error_log stderr;
pid nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    sendfile on;
    tcp_nopush on;
    server { LISTEN; root www; }
}
";

const HAPROXY: &str = "\
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend front
    bind 0.0.0.0:PORT
    acl refused path /refused
    http-request deny deny_status 403 if refused
    http-request return status 200 content-type text/plain string \"through haproxy\\n\"
";

const MEMCACHED: &str = "\
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=10)
f = s.makefile('rwb')
def ask(line, lines=1):
    f.write(line); f.flush()
    return [f.readline() for _ in range(lines)]
print(ask(b'set a 5 0 3\\r\\nabc\\r\\n'), ask(b'get a\\r\\n', 3), ask(b'incr a 1\\r\\n'), ask(b'set n 0 0 2\\r\\n10\\r\\n'), ask(b'incr n 5\\r\\n'))
big = b'x' * 500000
print(ask(b'set big 0 0 %d\\r\\n%s\\r\\n' % (len(big), big)))
f.write(b'get big\\r\\n'); f.flush(); f.readline(); print(f.read(len(big)) == big, f.readline(), f.readline())
for i in range(2000):
    assert ask(b'set k%d 0 0 4\\r\\nv%03d\\r\\n' % (i, i % 1000)) == [b'STORED\\r\\n']
print(ask(b'get k1999\\r\\n', 3), ask(b'delete k7\\r\\n'), ask(b'get k7\\r\\n'))
";

const ECHO: &str = "\
import asyncio, sys
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '0.0.0.0', int(sys.argv[1]))
    async with server:
        await server.serve_forever()
asyncio.run(main())
";

/// The client does not close its half first: QEMU's user networking sometimes resets such connections.
const CLIENT_PY: &str = "\
import hashlib, selectors, socket, sys, threading
port, count, size = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
results = [None] * count
def talk(i):
    data = hashlib.sha256(str(i).encode()).digest() * (size // 32 + 1)
    s = socket.create_connection(('127.0.0.1', port), timeout=30)
    threading.Thread(target=lambda: s.sendall(data)).start()
    got = b''
    while len(got) < len(data) and (part := s.recv(65536)):
        got += part
    s.close()
    results[i] = got == data
for first in range(0, count, 8):
    threads = [threading.Thread(target=talk, args=(i,)) for i in range(first, min(first + 8, count))]
    [t.start() for t in threads]
    [t.join() for t in threads]
print(count, all(results))
sys.exit(0 if all(results) else 1)
";

const UDP: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data[::-1], peer)
";

const UDP_CLIENT: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('127.0.0.1', int(sys.argv[1])))
s.settimeout(1)
good = 0
for i in range(200):
    data = bytes([i]) * (i * 7 + 1)
    for _ in range(5):
        s.send(data + bytes([255 - i]))
        try:
            if s.recv(65536) == bytes([255 - i]) + data:
                good += 1
                break
        except (TimeoutError, ConnectionRefusedError):
            pass
    else:
        sys.exit(1)
print(good)
";

const FORK: &str = "\
use strict; use IO::Socket::INET; use POSIX ':sys_wait_h';
$SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
my $server = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 20, ReuseAddr => 1) or die $!;
while (1) {
    my $client = $server->accept or next;
    my $pid = fork;
    if (!$pid) { my $data; while (sysread($client, $data, 65536)) { my $at = 0; while ($at < length $data) { $at += syswrite($client, $data, length($data) - $at, $at); } } exit 0; }
    close $client;
}
";

/// Makes the folder that a server and its clients work with.
fn files(dir: &Path, port: u16) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(dir);
    let fail = |e: std::io::Error| format!("{}: {e}", dir.display());
    for sub in ["www", "state"] {
        std::fs::create_dir_all(dir.join(sub)).map_err(fail)?;
    }
    let big: Vec<u8> =
        (0..3_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3..].to_vec()).collect();
    let numbers: String = (0..1000).map(|i| format!("{i}\n")).collect();
    let plain = NGINX.replace("LISTEN", &format!("listen 0.0.0.0:{port}"));
    let tls =
        format!("listen 0.0.0.0:{port} ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem");
    let (tls, haproxy) = (NGINX.replace("LISTEN", &tls), HAPROXY.replace("PORT", &port.to_string()));
    let lighttpd = format!(
        "server.port = {port}\nserver.bind = \"0.0.0.0\"\nserver.document-root = \"{}/www\"\nindex-file.names = (\"index.html\")\n",
        dir.display()
    );
    let all: &[(&str, &[u8])] = &[
        ("www/index.html", b"<p>hello from a server</p>\n"),
        ("www/big.bin", &big),
        ("www/numbers.txt", numbers.as_bytes()),
        ("nginx.conf", plain.as_bytes()),
        ("tls.conf", tls.as_bytes()),
        ("haproxy.cfg", haproxy.as_bytes()),
        ("lighttpd.conf", lighttpd.as_bytes()),
        ("memcached.py", MEMCACHED.as_bytes()),
        ("echo.py", ECHO.as_bytes()),
        ("client.py", CLIENT_PY.as_bytes()),
        ("udp.py", UDP.as_bytes()),
        ("udp_client.py", UDP_CLIENT.as_bytes()),
        ("fork.pl", FORK.as_bytes()),
    ];
    for (name, bytes) in all {
        std::fs::write(dir.join(name), bytes).map_err(fail)?;
    }
    let mut certificate = Command::new("openssl");
    certificate.current_dir(dir).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    certificate.args([
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]);
    command::must(&mut certificate, Duration::from_secs(30)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_port_and_clients() {
        let all = parse("# x 1: y\na/b [-m 1G] 53/udp: server -p 53\n  ask {port}\n  ask again\n\nc 80: d\n");
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[0].port, all[0].udp), ("a/b", 53, true));
        assert_eq!((all[0].options.len(), all[0].clients.len()), (2, 2));
        assert_eq!((all[1].command.as_str(), all[1].clients.len()), ("d", 0));
    }

    #[test]
    fn names_and_ports_are_unique() {
        let all = parse(include_str!("../servers.list"));
        let mut names: Vec<_> = all.iter().map(|s| s.name.clone()).collect();
        let mut ports: Vec<_> = all.iter().map(|s| s.port).collect();
        names.sort();
        names.dedup();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((names.len(), ports.len()), (all.len(), all.len()));
        assert!(all.iter().all(|s| !s.clients.is_empty()));
    }
}
