//! Options in, QEMU's arguments and the kernel's configuration out.

use super::*;
use clap::Parser as _;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    network: Network,
}

fn setup(line: &[&str]) -> Result<Setup> {
    let line = Line::try_parse_from([&["x"], line].concat()).unwrap();
    line.network.setup(MachineType::Microvm, &[])
}

fn texts(line: &[&str], kind: MachineType, cpus: u32) -> Vec<String> {
    let setup = setup(line).unwrap();
    let args = |(index, interface): (usize, &Interface)| {
        let [_, netdev, _, device] = interface.args(u8::try_from(index).unwrap(), kind, cpus);
        [netdev, device, interface.config.to_text()]
    };
    setup.interfaces.iter().enumerate().flat_map(args).collect()
}

#[test]
fn the_default_is_a_user_network_that_needs_no_answers() {
    let expected = [
        "user,id=net0",
        "virtio-net-device,netdev=net0,mac=52:54:00:12:34:56",
        "slaac,10.0.2.15/24,gw=10.0.2.2",
    ];
    assert_eq!(texts(&[], MachineType::Microvm, 4), expected);
    assert_eq!(setup(&[]).unwrap().dns, ["10.0.2.3".parse::<IpAddr>().unwrap()]);
    let pci = texts(&["--mac", "02:00:00:00:00:01"], MachineType::Q35, 1);
    assert_eq!(pci[1], "virtio-net-pci,disable-legacy=on,romfile=,netdev=net0,mac=02:00:00:00:00:01");
    let none = setup(&["--net", "none"]).unwrap();
    assert!(none.interfaces.is_empty() && none.dns.is_empty());
}

#[test]
fn ports_lead_to_the_machines_address() {
    let free = TcpPort::new();
    let port = free.0.to_string();
    let args =
        texts(&["-p", &format!("127.0.0.1:{port}:80"), "-p", "127.0.0.1:0:53/udp"], MachineType::Pc, 1);
    assert!(
        args[0].starts_with(&format!(
            "user,id=net0,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:80,hostfwd=udp:127.0.0.1:"
        )),
        "{args:?}"
    );
    assert!(args[0].ends_with("-10.0.2.15:53") && !args[0].contains("127.0.0.1:0-"), "{args:?}");
    let range = Forward::parse("8000-8002:80-82/udp").unwrap();
    assert_eq!(range.len(), 3);
    assert_eq!(range[2].to_string(), "0.0.0.0:8002->82/udp");
    let line = Line::try_parse_from(["x"]).unwrap();
    let from_recipe =
        line.network.setup(MachineType::Microvm, &Forward::parse("127.0.0.1:0:80").unwrap()).unwrap();
    assert_eq!(from_recipe.forwards().next().unwrap().guest, 80);
    let line = Line::try_parse_from(["x", "--net", "none"]).unwrap();
    assert_eq!(
        line.network
            .setup(MachineType::Microvm, &Forward::parse("1:80").unwrap())
            .unwrap()
            .forwards()
            .count(),
        0
    );
}

/// A port that was free a moment ago.
struct TcpPort(u16);

impl TcpPort {
    fn new() -> Self {
        Self(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
    }
}

#[test]
fn addresses_given_replace_automatic_ones_and_move_the_user_network() {
    let args = texts(&["--ip", "192.168.7.9/24", "--ip", "fd00:1::9/64"], MachineType::Microvm, 1);
    assert_eq!(
        args[0],
        "user,id=net0,net=192.168.7.0/24,host=192.168.7.2,dns=192.168.7.3,dhcpstart=192.168.7.9,ipv6-net=fd00:1::/64"
    );
    assert_eq!(args[2], "192.168.7.9/24,fd00:1::9/64,gw=192.168.7.2,gw=fd00:1::2");
    let wide = texts(&["--ip", "10.1.0.9/16", "--gateway", "10.1.0.1"], MachineType::Microvm, 1);
    assert!(wide[0].contains("net=10.1.0.0/16,host=10.1.0.1,dns=10.1.2.3,dhcpstart=10.1.0.9"), "{wide:?}");
    assert_eq!(wide[2], "slaac,10.1.0.9/16,gw=10.1.0.1");
    let two = texts(&["--net", "user", "--net", "user,mac=52:54:00:00:00:09"], MachineType::Microvm, 1);
    assert_eq!(
        two[3],
        "user,id=net1,net=10.0.3.0/24,host=10.0.3.2,dns=10.0.3.3,dhcpstart=10.0.3.15,ipv6-net=fec0:0:0:1::/64"
    );
    assert!(two[4].ends_with("netdev=net1,mac=52:54:00:00:00:09"), "{two:?}");
}

#[test]
fn sockets_connect_machines() {
    let line = ["--net", "socket:udp=127.0.0.1:9,localaddr=127.0.0.1:10,ip=10.9.0.1/24", "--dns", "10.9.0.2"];
    let args = texts(&line, MachineType::Microvm, 1);
    assert_eq!(args[0], "socket,id=net0,udp=127.0.0.1:9,localaddr=127.0.0.1:10");
    assert_eq!(args[2], "slaac,10.9.0.1/24");
    assert_eq!(setup(&line).unwrap().dns, ["10.9.0.2".parse::<IpAddr>().unwrap()]);
    let dynamic = texts(&["--net", "socket:mcast=230.0.0.1:9"], MachineType::Microvm, 1);
    assert_eq!(dynamic[2], "dhcp,slaac");
}

#[test]
fn taps_use_several_queues_where_they_have_them() {
    let dir = tempfile::tempdir().unwrap();
    for (name, flags) in [("tap0", "0x1002\n"), ("tap1", "0x1102\n"), ("tun0", "0x1001\n")] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("tun_flags"), flags).unwrap();
    }
    std::fs::create_dir(dir.path().join("eth0")).unwrap();
    assert!(!check_tap("tap0", dir.path()).unwrap() && check_tap("tap1", dir.path()).unwrap());
    for bad in ["tun0", "eth0", "tap2", "", "..", "a/b", "sixteen-letters-"] {
        assert!(check_tap(bad, dir.path()).is_err(), "{bad}");
    }
    let tap = |several| Interface {
        backend: Backend::Tap("tap1".into(), several),
        mac: Mac([2; 6]),
        config: NetConfig::default(),
    };
    let [_, netdev, _, device] = tap(true).args(0, MachineType::Q35, 3);
    assert_eq!(netdev, "tap,id=net0,ifname=tap1,script=no,downscript=no,queues=3");
    assert!(device.ends_with(",mq=on,vectors=8"), "{device}");
    assert!(tap(true).args(0, MachineType::Microvm, 2)[3].ends_with(",mq=on"));
    let [_, netdev, _, device] = tap(true).args(0, MachineType::Q35, 1);
    assert!(netdev.ends_with(",queues=2") && !device.contains("mq"), "{netdev} {device}");
    assert!(!tap(false).args(0, MachineType::Q35, 4)[1].contains("queues"));
}

#[test]
fn malformed_values_are_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("127.0.0.1:{}:80", taken.local_addr().unwrap().port());
    for (line, words) in [
        (&["-p", "80"][..], "one of the two ports is missing"),
        (&["-p", "a:80"], "ports are numbers"),
        (&["-p", "70000:80"], "ports are numbers"),
        (&["-p", "+1:80"], "ports are numbers"),
        (&["-p", "80:0"], "port 0 stands for"),
        (&["-p", "1-3:1-2"], "differ in length"),
        (&["-p", "3-1:3-1"], "ports are numbers"),
        (&["-p", "80:80/sctp"], "neither tcp nor udp"),
        (&["-p", "[::1]:80:80"], "IPv4 only"),
        (&["-p", "localhost:80:80"], "no IPv4 address"),
        (&["-p", &taken], "in use"),
        (&["-p", "192.0.2.1:8080:80"], "cannot be published"),
        (&["-p", "8080:80", "--net", "socket:mcast=230.0.0.1:9"], "this machine has none"),
        (&["--ip", "10.0.0.1"], "its prefix length is missing"),
        (&["--ip", "10.0.0.1/40"], "not an address"),
        (&["--ip", "10.0.0.0/24"], "no interface can have"),
        (&["--ip", "10.0.0.255/24"], "no interface can have"),
        (&["--ip", "127.0.0.1/8"], "no interface can have"),
        (&["--ip", "10.0.0.2/24"], "has this address itself"),
        (&["--ip", "10.0.0.1/31"], "too small"),
        (&["--ip", "10.0.0.9/24", "--gateway", "10.0.1.1"], "in none of the interface's networks"),
        (&["--gateway", "nowhere"], "not an IP address"),
        (&["--gateway", "10.0.2.15"], "is taken"),
        (&["--dns", "ns.example.org"], "not an IP address"),
        (&["--dns", "224.0.0.1"], "no machine can have"),
        (&["--mac", "52:54:00:12:34"], "not a hardware address"),
        (&["--mac", "53:54:00:12:34:56"], "group's address"),
        (&["--net", "bridge"], "no such kind"),
        (&["--net", "tap"], "no such kind"),
        (&["--net", "tap:no-such-tap"], "does not exist"),
        (&["--net", "tap:lo"], "is no tap interface"),
        (&["--net", "socket:"], "needs an end"),
        (&["--net", "user,mtu=9000"], "is not understood"),
        (&["--net", "none", "--net", "user"], "leaves no room"),
        (&["--net", "none", "--ip", "10.0.0.1/24"], "--net none leaves none"),
        (&["--net", "user"].repeat(7), "too many"),
    ] {
        let error = setup(line).unwrap_err();
        let (text, code) = crate::problem::explain(&error);
        assert!(text.contains(words) && text.contains("\nhint: ") && code == 125, "{line:?}: {text}");
    }
}
