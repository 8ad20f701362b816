//! Netlink and network devices (`rtnetlink(7)`, `netdevice(7)`), and special addresses of `vsock(7)`.

consts! {
    /// Protocols of `AF_NETLINK` (`netlink(7)`).
    i32 {
        NETLINK_ROUTE = 0, NETLINK_USERSOCK = 2, NETLINK_FIREWALL = 3, NETLINK_SOCK_DIAG = 4,
        NETLINK_NFLOG = 5, NETLINK_XFRM = 6, NETLINK_SELINUX = 7, NETLINK_AUDIT = 9, NETLINK_NETFILTER = 12,
        NETLINK_KOBJECT_UEVENT = 15, NETLINK_GENERIC = 16, NETLINK_CRYPTO = 21,
    }
}

consts! {
    /// Options of a netlink socket.
    i32 {
        NETLINK_ADD_MEMBERSHIP = 1, NETLINK_DROP_MEMBERSHIP = 2, NETLINK_PKTINFO = 3,
        NETLINK_BROADCAST_ERROR = 4, NETLINK_NO_ENOBUFS = 5, NETLINK_LISTEN_ALL_NSID = 8,
        NETLINK_LIST_MEMBERSHIPS = 9, NETLINK_CAP_ACK = 10, NETLINK_EXT_ACK = 11,
        NETLINK_GET_STRICT_CHK = 12,
    }
}

consts! {
    /// Message types.
    u16 {
        NLMSG_NOOP = 1, NLMSG_ERROR = 2, NLMSG_DONE = 3, NLMSG_OVERRUN = 4, NLMSG_MIN_TYPE = 16,
        RTM_NEWLINK = 16, RTM_DELLINK = 17, RTM_GETLINK = 18, RTM_SETLINK = 19, RTM_NEWADDR = 20,
        RTM_DELADDR = 21, RTM_GETADDR = 22, RTM_NEWROUTE = 24, RTM_DELROUTE = 25, RTM_GETROUTE = 26,
        RTM_NEWNEIGH = 28, RTM_DELNEIGH = 29, RTM_GETNEIGH = 30, RTM_NEWRULE = 32, RTM_DELRULE = 33,
        RTM_GETRULE = 34, RTM_GETQDISC = 38, RTM_GETSTATS = 94,
    }
}

consts! {
    /// Message flags.
    u16 {
        NLM_F_REQUEST = 1, NLM_F_MULTI = 2, NLM_F_ACK = 4, NLM_F_ECHO = 8, NLM_F_DUMP_INTR = 0x10,
        NLM_F_DUMP_FILTERED = 0x20, NLM_F_CAPPED = 0x100, NLM_F_NONREC = 0x100, NLM_F_REPLACE = 0x100,
        NLM_F_ROOT = 0x100, NLM_F_ACK_TLVS = 0x200, NLM_F_BULK = 0x200, NLM_F_EXCL = 0x200,
        NLM_F_MATCH = 0x200, NLM_F_DUMP = 0x300, NLM_F_ATOMIC = 0x400, NLM_F_CREATE = 0x400,
        NLM_F_APPEND = 0x800,
    }
}

consts! {
    /// Flags beside an attribute's type.
    u16 {
        NLA_F_NESTED = 0x8000, NLA_F_NET_BYTEORDER = 0x4000, NLA_TYPE_MASK = 0x3fff,
    }
}

consts! {
    /// Attributes of a link.
    u16 {
        IFLA_UNSPEC = 0, IFLA_ADDRESS = 1, IFLA_BROADCAST = 2, IFLA_IFNAME = 3, IFLA_MTU = 4, IFLA_LINK = 5,
        IFLA_QDISC = 6, IFLA_STATS = 7, IFLA_COST = 8, IFLA_PRIORITY = 9, IFLA_MASTER = 10,
        IFLA_WIRELESS = 11, IFLA_PROTINFO = 12, IFLA_TXQLEN = 13, IFLA_MAP = 14, IFLA_WEIGHT = 15,
        IFLA_OPERSTATE = 16, IFLA_LINKMODE = 17, IFLA_LINKINFO = 18, IFLA_NET_NS_PID = 19,
        IFLA_IFALIAS = 20, IFLA_NUM_VF = 21, IFLA_STATS64 = 23, IFLA_AF_SPEC = 26, IFLA_GROUP = 27,
        IFLA_EXT_MASK = 29, IFLA_PROMISCUITY = 30, IFLA_NUM_TX_QUEUES = 31, IFLA_NUM_RX_QUEUES = 32,
        IFLA_CARRIER = 33, IFLA_CARRIER_CHANGES = 35, IFLA_GSO_MAX_SEGS = 40, IFLA_GSO_MAX_SIZE = 41,
        IFLA_CARRIER_UP_COUNT = 47, IFLA_CARRIER_DOWN_COUNT = 48, IFLA_MIN_MTU = 50, IFLA_MAX_MTU = 51,
        IFLA_ALT_IFNAME = 53, IFLA_PERM_ADDRESS = 54, IFLA_INET6_FLAGS = 1,
    }
}

consts! {
    /// Attributes of an address.
    u16 {
        IFA_UNSPEC = 0, IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_LABEL = 3, IFA_BROADCAST = 4, IFA_ANYCAST = 5,
        IFA_CACHEINFO = 6, IFA_MULTICAST = 7, IFA_FLAGS = 8, IFA_RT_PRIORITY = 9, IFA_PROTO = 11,
    }
}

consts! {
    /// Flags of an address.
    u8 {
        IFA_F_SECONDARY = 1, IFA_F_TEMPORARY = 1, IFA_F_NODAD = 2, IFA_F_DEPRECATED = 0x20,
        IFA_F_TENTATIVE = 0x40, IFA_F_PERMANENT = 0x80,
    }
}

consts! {
    /// Attributes of a route.
    u16 {
        RTA_UNSPEC = 0, RTA_DST = 1, RTA_SRC = 2, RTA_IIF = 3, RTA_OIF = 4, RTA_GATEWAY = 5,
        RTA_PRIORITY = 6, RTA_PREFSRC = 7, RTA_METRICS = 8, RTA_MULTIPATH = 9, RTA_CACHEINFO = 12,
        RTA_TABLE = 15, RTA_MARK = 16, RTA_PREF = 20, RTA_UID = 25,
    }
}

consts! {
    /// Tables, scopes, types and origins of a route.
    u8 {
        RT_TABLE_UNSPEC = 0, RT_TABLE_DEFAULT = 253, RT_TABLE_MAIN = 254, RT_TABLE_LOCAL = 0xff,
        RT_SCOPE_UNIVERSE = 0, RT_SCOPE_SITE = 200, RT_SCOPE_LINK = 253, RT_SCOPE_HOST = 254,
        RT_SCOPE_NOWHERE = 0xff, RTN_UNSPEC = 0, RTN_UNICAST = 1, RTN_LOCAL = 2, RTN_BROADCAST = 3,
        RTN_ANYCAST = 4, RTN_MULTICAST = 5, RTN_BLACKHOLE = 6, RTN_UNREACHABLE = 7, RTPROT_UNSPEC = 0,
        RTPROT_REDIRECT = 1, RTPROT_KERNEL = 2, RTPROT_BOOT = 3, RTPROT_STATIC = 4, RTPROT_DHCP = 16,
        RTPROT_RA = 9,
    }
}

consts! {
    /// Multicast groups of `NETLINK_ROUTE`.
    u32 {
        RTMGRP_LINK = 1, RTMGRP_NOTIFY = 2, RTMGRP_NEIGH = 4, RTMGRP_TC = 8, RTMGRP_IPV4_IFADDR = 0x10,
        RTMGRP_IPV4_MROUTE = 0x20, RTMGRP_IPV4_ROUTE = 0x40, RTMGRP_IPV4_RULE = 0x80,
        RTMGRP_IPV6_IFADDR = 0x100, RTMGRP_IPV6_MROUTE = 0x200, RTMGRP_IPV6_ROUTE = 0x400,
        RTMGRP_IPV6_IFINFO = 0x800, RTMGRP_IPV6_PREFIX = 0x20000,
    }
}

consts! {
    /// Flags of a route, and how many metrics it may have.
    u32 {
        RTM_F_NOTIFY = 0x100, RTM_F_CLONED = 0x200, RTM_F_LOOKUP_TABLE = 0x1000, RTM_F_FIB_MATCH = 0x2000,
        RTEXT_FILTER_SKIP_STATS = 8,
    }
}

consts! {
    /// Attributes of a neighbour.
    u16 {
        NDA_DST = 1, NDA_LLADDR = 2, NDA_CACHEINFO = 3, NDA_PROBES = 4, NDA_IFINDEX = 8,
    }
}

consts! {
    /// Attributes of a rule.
    u16 {
        FRA_PRIORITY = 6, FRA_SUPPRESS_PREFIXLEN = 14, FRA_TABLE = 15, FRA_PROTOCOL = 21,
    }
}

consts! {
    /// States of a neighbour.
    u16 {
        NUD_INCOMPLETE = 1, NUD_REACHABLE = 2, NUD_STALE = 4, NUD_DELAY = 8, NUD_PROBE = 0x10,
        NUD_FAILED = 0x20, NUD_NOARP = 0x40, NUD_PERMANENT = 0x80,
    }
}

consts! {
    /// Multicast groups of `NETLINK_ROUTE`, by number.
    u32 {
        RTNLGRP_LINK = 1, RTNLGRP_NEIGH = 3, RTNLGRP_IPV4_IFADDR = 5, RTNLGRP_IPV4_ROUTE = 7,
        RTNLGRP_IPV6_IFADDR = 9, RTNLGRP_IPV6_ROUTE = 11,
    }
}

consts! {
    /// Flags of a network device (`netdevice(7)`).
    u32 {
        IFF_UP = 1, IFF_BROADCAST = 2, IFF_DEBUG = 4, IFF_LOOPBACK = 8, IFF_POINTOPOINT = 0x10,
        IFF_NOTRAILERS = 0x20, IFF_RUNNING = 0x40, IFF_NOARP = 0x80, IFF_PROMISC = 0x100,
        IFF_ALLMULTI = 0x200, IFF_MASTER = 0x400, IFF_SLAVE = 0x800, IFF_MULTICAST = 0x1000,
        IFF_PORTSEL = 0x2000, IFF_AUTOMEDIA = 0x4000, IFF_DYNAMIC = 0x8000, IFF_LOWER_UP = 0x10000,
    }
}

consts! {
    /// Operational states of a device (RFC 2863).
    u8 {
        IF_OPER_UNKNOWN = 0, IF_OPER_NOTPRESENT = 1, IF_OPER_DOWN = 2, IF_OPER_LOWERLAYERDOWN = 3,
        IF_OPER_TESTING = 4, IF_OPER_DORMANT = 5, IF_OPER_UP = 6,
    }
}

consts! {
    /// Hardware types of a device.
    u16 {
        ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772, ARPHRD_NONE = 65534, ARPHRD_VOID = 0xffff,
    }
}

consts! {
    /// Protocols of Ethernet.
    u16 {
        ETH_P_ALL = 3, ETH_P_IP = 2048, ETH_P_ARP = 2054, ETH_P_IPV6 = 34525, ETH_P_LOOP = 96,
    }
}

consts! {
    /// Special context numbers of `AF_VSOCK`, and its wildcard port.
    u32 {
        VMADDR_CID_ANY = 0xffffffff, VMADDR_CID_HYPERVISOR = 0, VMADDR_CID_LOCAL = 1, VMADDR_CID_HOST = 2,
        VMADDR_PORT_ANY = 0xffffffff,
    }
}

structs! {
    /// The header of a netlink message.
    Nlmsghdr = "struct nlmsghdr" { nlmsg_len: u32, nlmsg_type: u16, nlmsg_flags: u16, nlmsg_seq: u32, nlmsg_pid: u32 }

    /// The part of an error message before the request that it answers.
    Nlmsgerr = "struct nlmsgerr" { error: i32, msg: Nlmsghdr }

    /// The header of an attribute.
    Nlattr = "struct nlattr" { nla_len: u16, nla_type: u16 }

    /// The shortest request.
    Rtgenmsg = "struct rtgenmsg" { rtgen_family: u8 }

    /// A link.
    Ifinfomsg = "struct ifinfomsg" {
        ifi_family: u8, __ifi_pad: u8, ifi_type: u16, ifi_index: i32, ifi_flags: u32, ifi_change: u32,
    }

    /// An address.
    Ifaddrmsg = "struct ifaddrmsg" { ifa_family: u8, ifa_prefixlen: u8, ifa_flags: u8, ifa_scope: u8, ifa_index: u32 }

    /// A route.
    Rtmsg = "struct rtmsg" {
        rtm_family: u8, rtm_dst_len: u8, rtm_src_len: u8, rtm_tos: u8, rtm_table: u8, rtm_protocol: u8, rtm_scope: u8,
        rtm_type: u8, rtm_flags: u32,
    }

    /// A neighbour.
    Ndmsg = "struct ndmsg" {
        ndm_family: u8, ndm_pad1: u8, ndm_pad2: u16, ndm_ifindex: i32, ndm_state: u16, ndm_flags: u8, ndm_type: u8,
    }

    /// Lifetimes of an address.
    IfaCacheinfo = "struct ifa_cacheinfo" { ifa_prefered: u32, ifa_valid: u32, cstamp: u32, tstamp: u32 }

    /// Lifetimes of a route.
    RtaCacheinfo = "struct rta_cacheinfo" {
        rta_clntref: u32, rta_lastuse: u32, rta_expires: i32, rta_error: u32, rta_used: u32, rta_id: u32, rta_ts: u32,
        rta_tsage: u32,
    }

    /// When a neighbour was heard of.
    NdaCacheinfo = "struct nda_cacheinfo" { ndm_confirmed: u32, ndm_used: u32, ndm_updated: u32, ndm_refcnt: u32 }

    /// A request about a network device (`netdevice(7)`).
    Ifreq = "libc:struct ifreq" { ifr_name: [u8; 16], _data: [u8; 24] }

    /// A list of devices (`SIOCGIFCONF`).
    Ifconf = "libc:struct ifconf" { ifc_len: i32, _pad: u32, _buf: u64 }
}
