"""Groups on the loopback interface: who is a member, and what reaches whom."""
import socket

NOW = socket.MSG_DONTWAIT
G, G2 = "239.1.2.3", "239.1.2.4"
LO = "127.0.0.1"


def mreq(group, host=LO):
    return socket.inet_aton(group) + socket.inet_aton(host)


def receiver(host="", port=0, share=socket.SO_REUSEADDR):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if share:
        s.setsockopt(socket.SOL_SOCKET, share, 1)
    s.bind((host, port))
    return s


def sender(host=LO):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if host:
        s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton(host))
    return s


def got(s):
    """What waits at a socket."""
    r = []
    while True:
        try:
            r.append(s.recv(100, NOW))
        except OSError:
            return b" ".join(r).decode()


# No route says where groups are: a sender has to.
w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
show("no interface", w.sendto, b"x", (G, 9))
show("no interface", w.connect, (G, 9))
w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
w.bind((LO, 0))
show("bound", w.sendto, b"x", (G, 9))
w = sender()
show("interface", w.getsockopt, 0, socket.IP_MULTICAST_IF, 4)
for v in mreq("0.0.0.0"), mreq("0.0.0.0", "0.0.0.0") + b"\1\0\0\0", mreq("0.0.0.0", "9.9.9.9"), b"\x09\x09\x09\x09", b"\1\1", b"":
    show("set", w.setsockopt, 0, socket.IP_MULTICAST_IF, v)
    show("is", w.getsockopt, 0, socket.IP_MULTICAST_IF, 4)
# With an interface any address may be named; nobody sends as somebody else.
for v in "127.5.5.5", "127.255.255.255", "8.8.8.8", "0.0.0.1", G, "255.255.255.255":
    w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    show("from " + v, w.setsockopt, 0, socket.IP_MULTICAST_IF, mreq("0.0.0.0", v) + b"\1\0\0\0")
    show("sent", w.sendto, b"x", (G, 9))
    show("connected", w.connect, (G, 9))
    show("own", lambda: w.getsockname()[0])
show("stream", socket.socket().setsockopt, 0, socket.IP_MULTICAST_IF, socket.inet_aton(LO))
show("stream", socket.socket().setsockopt, 0, socket.IP_ADD_MEMBERSHIP, mreq(G))

# Joining.
s = receiver()
add, drop = socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP
show("join", s.setsockopt, 0, add, mreq(G))
show("twice", s.setsockopt, 0, add, mreq(G))
show("by index", s.setsockopt, 0, add, mreq(G, "0.0.0.0") + b"\1\0\0\0")
show("other", s.setsockopt, 0, add, mreq(G2, "0.0.0.0") + b"\1\0\0\0")
show("no index", s.setsockopt, 0, add, mreq("239.1.2.5", "0.0.0.0") + b"\x63\0\0\0")
show("any", s.setsockopt, 0, add, mreq("239.1.2.5", "0.0.0.0"))
show("no group", s.setsockopt, 0, add, mreq("10.1.2.3"))
show("nobody's", s.setsockopt, 0, add, mreq("239.1.2.5", "9.9.9.9"))
show("short", s.setsockopt, 0, add, b"\1\2\3\4")
show("leave none", s.setsockopt, 0, drop, mreq("239.1.2.5"))
show("leave no group", s.setsockopt, 0, drop, mreq("10.1.2.3"))
show("leave", s.setsockopt, 0, drop, mreq(G2))
show("leave", s.setsockopt, 0, drop, mreq(G2))
show("leave by no index", s.setsockopt, 0, drop, mreq(G, "0.0.0.0") + b"\x63\0\0\0")
show("leave nobody's", s.setsockopt, 0, drop, mreq(G, "9.9.9.9"))
show("leave any", s.setsockopt, 0, drop, mreq("239.1.2.9", "0.0.0.0"))
show("leave short", s.setsockopt, 0, drop, b"\1\2\3\4")
show("get", s.getsockopt, 0, add, 8)
n = 0
try:
    for i in range(100):
        s.setsockopt(0, add, mreq("239.2.0.%d" % i))
        n += 1
except OSError as e:
    print("at most", n, errno.errorcode[e.errno])
s.close()

# Several members of a port, one that is none, and one that is bound to the group.
for share in socket.SO_REUSEADDR, socket.SO_REUSEPORT:
    a = receiver(share=share)
    port = a.getsockname()[1]
    b, c, d, e = receiver("", port, share), receiver("", port, share), receiver(G, port, share), receiver(LO, port, share)
    for s in a, b, d:
        s.setsockopt(0, add, mreq(G))
    w = sender()
    show("send", w.sendto, b"1", (G, port))
    print([got(x) for x in (a, b, c, d, e)])
    b.setsockopt(0, drop, mreq(G))
    c.setsockopt(0, 49, 0)
    w.sendto(b"2", (G, port))
    print([got(x) for x in (a, b, c, d, e)])
    a.setsockopt(0, 49, 0)
    w.sendto(b"3", (G, port))
    w.sendto(b"other", (G2, port))
    print([got(x) for x in (a, b, c, d, e)])
    a.close()
    w.sendto(b"4", (G, port))
    print([got(s) for s in (b, c, d, e)])
    d.close()
    show("no member", w.sendto, b"5", (G, port))
    print([got(s) for s in (b, c, e)])
    for s in b, c, e:
        s.close()

# What the sender says.
a = receiver()
port = a.getsockname()[1]
a.setsockopt(0, add, mreq(G))
a.setsockopt(0, 8, 1)   # IP_PKTINFO
a.setsockopt(0, 12, 1)  # IP_RECVTTL
w = sender()
w.setsockopt(0, socket.IP_TTL, 77)
for ttl in None, 0, 9:
    if ttl is not None:
        w.setsockopt(0, socket.IP_MULTICAST_TTL, ttl)
    w.sendto(b"x", (G, port))
    try:
        data, beside, _, who = a.recvmsg(10, 200, NOW)
        print("time to live", ttl, data, sorted(beside), who[0])
    except OSError as e:
        print("time to live", ttl, errno.errorcode[e.errno])
w.setsockopt(0, socket.IP_MULTICAST_TTL, 1)
w.setsockopt(0, socket.IP_MULTICAST_LOOP, 0)
w.sendto(b"quiet", (G, port))
print("not looped:", got(a))
w.setsockopt(0, socket.IP_MULTICAST_LOOP, 1)
show("connect", w.connect, (G, port))
show("peer", lambda: w.getpeername()[0])
show("own", lambda: w.getsockname()[0])
show("send", w.send, b"connected")
print(got(a))
# A member that is connected hears its peer only.
w2 = sender()
a.connect((LO, w.getsockname()[1]))
w.send(b"mine")
w2.sendto(b"not", (G, port))
print(got(a))
# To a group where nobody has the port nobody is told anything.
w = sender()
show("nobody", w.sendto, b"x", (G, 1))
show("nobody", w.sendto, b"x", (G, 1))
# To oneself.
a = receiver()
a.setsockopt(0, add, mreq(G))
a.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton(LO))
show("own", a.sendto, b"self", (G, a.getsockname()[1]))
print(got(a))
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
show("stream", s.connect, (G, 9))


def req(group, index=1, size=136):
    """A struct group_req."""
    if ":" in group:
        b = struct.pack("=I4xHHI16s", index, socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, group))
    else:
        b = struct.pack("=I4xHH4s", index, socket.AF_INET, 0, socket.inet_aton(group))
    return (b + b"\0" * 136)[:size]


JOIN, LEAVE = 42, 45  # MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP
a = receiver()
for what, opt, r in (
        ("join", JOIN, req(G)), ("join", JOIN, req(G)), ("leave", LEAVE, req(G)), ("leave", LEAVE, req(G)),
        ("short", JOIN, req(G, 1, 100)), ("no index", JOIN, req(G, 99)), ("any", JOIN, req(G, 0)),
        ("no group", JOIN, req("10.1.1.1")), ("other family", JOIN, req("ff15::1")), ("again", JOIN, req(G))):
    show(what, a.setsockopt, 0, opt, r)
sender().sendto(b"by request", (G, a.getsockname()[1]))
print(got(a))

a.close()

# Of IPv6 one is a member, and no route leads there.
G6 = "ff15::1234"


def mreq6(group, index=1):
    return socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", index)


a = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
a.bind(("::", 0))
for what, opt, r in (
        ("join", 20, mreq6(G6)), ("join", 20, mreq6(G6)), ("join", JOIN, req(G6)), ("any", 20, mreq6(G6, 0)), ("no index", 20, mreq6(G6, 99)),
        ("no group", 20, mreq6("fe80::1")), ("of IPv4", 20, mreq6("::ffff:239.1.2.3")), ("short", 20, b"x" * 16),
        ("leave no index", 21, mreq6(G6, 99)), ("leave", 21, mreq6(G6)), ("leave", 21, mreq6(G6)),
        ("join", JOIN, req(G6)), ("leave by none", 21, mreq6(G6, 0)), ("leave", LEAVE, req(G6))):
    show(what, a.setsockopt, 41, opt, r)
for i in 1, 0, 2, -1:
    show("interface", a.setsockopt, 41, 17, i)
    show("is", a.getsockopt, 41, 17)
a.setsockopt(41, 17, 1)
show("send", a.sendto, b"x", (G6, 9))
show("stream", socket.socket(socket.AF_INET6).setsockopt, 41, 20, mreq6(G6))
# A socket of IPv6 that hears IPv4's.
a.setsockopt(0, add, mreq(G))
sender().sendto(b"mapped", (G, a.getsockname()[1]))
print(got(a))

# Who is a member is to be seen, until the last one goes.
a.setsockopt(41, 20, mreq6(G6))
for _ in range(2):
    for name in "igmp", "igmp6":
        with open("/proc/net/" + name) as f:
            print(f.read())
    a.close()
