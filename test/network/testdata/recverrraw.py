"""What raw sockets and those of echo requests hear of their packets' errors (IP_RECVERR, IPV6_RECVERR)."""
import os
import select
import socket

ERRQUEUE = 0x2000
NOW = socket.MSG_DONTWAIT

# As in recverr.py: what was sent has come to its end when two datagrams behind it have come.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
behind.bind(("127.0.0.1", 0))


def settle():
    for _ in range(2):
        behind.sendto(b".", behind.getsockname())
        behind.recv(1)


def nobody(family, host):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((host, 0))
        return s.getsockname()[:2]


def queue(s, whole=True):
    """All of an error queue; of datagrams the ports and sums left out."""
    try:
        while True:
            data, beside, flags, to = s.recvmsg(2000, 500, ERRQUEUE | NOW)
            for level, typ, b in beside:
                if (level, typ) in ((0, 11), (41, 25)):
                    b = struct.unpack("=IBBBBII", b[:16]), b[16:].hex()
                print("  queued", level, typ, b)
            print("  queued", len(data), data[8:30] if whole else '', hex(flags), to and to[:2 if level == 0 else 1])
    except OSError as e:
        print("  queue", errno.errorcode[e.errno])


def state(s):
    p = select.poll()
    p.register(s, 0)
    print("  ready", [hex(ev) for _, ev in p.poll(0)], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def sent(what, s, f, *args):
    show(what, f, *args)
    settle()
    state(s)
    queue(s)
    state(s)


def drain(s):
    n = 0
    try:
        while True:
            s.recv(100, NOW)
            n += 1
    except OSError as e:
        print("  heard", n, errno.errorcode[e.errno])


def new(family, proto, asks=True, typ=socket.SOCK_RAW):
    s = socket.socket(family, typ, proto)
    if asks:
        s.setsockopt(*((0, 11, 1) if family == socket.AF_INET else (41, 25, 1)))
    return s


def udp(port, body, sum=0, length=None):
    return struct.pack(">HHHH", 9, port, len(body) + 8 if length is None else length, sum) + body


V4, V6 = socket.AF_INET, socket.AF_INET6

# Of a protocol that nobody has: who is bound elsewhere does not hear it himself.
for asks in True, False:
    for connects in False, True:
        s = new(V4, 253, asks)
        s.bind(("127.0.0.2", 0))
        print("protocol", asks, connects)
        if connects:
            s.connect(("127.0.0.1", 7))
        for _ in range(2):
            sent("send", s, s.sendto, b"abcdefghijkl", ("127.0.0.1", 7))
            if asks:
                drain(s)
        sent("long", s, s.sendto, b"z" * 2000, ("127.0.0.1", 0))
        drain(s)
        sent("elsewhere", s, s.sendto, b"abcdefghijkl", ("127.0.0.3", 0))
        s.setsockopt(0, socket.IP_TOS, 0x10)
        s.setsockopt(0, socket.IP_TTL, 9)
        for o in 8, 12, 13:
            s.setsockopt(0, o, 1)
        sent("beside", s, s.sendto, b"abcdefghijkl", ("127.0.0.1", 0))
        drain(s)
        other = new(V4, 253)
        sent("heard by another", s, s.sendto, b"abcdefghijkl", ("127.0.0.1", 0))
        drain(other)
        sent("the other's", other, other.sendto, b"abcdefghijkl", ("127.0.0.1", 0))
        other.close()
        s.close()
# With its header; what has IPPROTO_RAW hears nothing, those of the protocol do.
h, s, c = new(V4, 255), new(V4, 253), new(V4, 253)
s.bind(("127.0.0.2", 0))
c.bind(("127.0.0.2", 0))
c.setsockopt(0, socket.IP_HDRINCL, 1)
packet = struct.pack(">BBHHHBBH", 0x45, 8, 1, 0, 0, 33, 253, 0) + socket.inet_aton("127.0.0.2") + socket.inet_aton("127.0.0.1") + b"by hand!"
show("by hand", h.sendto, packet, ("127.0.0.1", 0))
settle()
for x in h, s:
    queue(x)
queue(c, False)
show("by hand, short", h.sendto, packet[:-1], ("127.0.0.1", 0))
settle()
queue(s)
# There are some that somebody has, who does not answer.
for proto in 2, 17, 6, 1:
    s = new(V4, proto)
    s.bind(("127.0.0.2", 0))
    sent("known %d" % proto, s, s.sendto, b"\0" * 8, ("127.0.0.1", 0))
    drain(s)

# Of ports that nobody has: of others' datagrams and of one's own.
for family, host in (V4, "127.0.0.1"), (V6, "::1"):
    to = nobody(family, host)
    r, quiet, connected, off = new(family, 17), new(family, 17, False), new(family, 17, False), new(family, 17)
    connected.connect((host, 0))
    bound = new(family, 17)
    if family == V4:
        bound.bind(("127.0.0.2", 0))
        off.connect(("127.0.0.9", 0))
    u = socket.socket(family, socket.SOCK_DGRAM)
    print("port", host)
    for n in 1, 3000:
        u.sendto(b"x" * n, to)
        settle()
        for x in r, quiet, connected, bound, off:
            state(x)
            queue(x)
            drain(x)
    if family == V4:
        for what, b in (("own", udp(to[1], b"own")), ("short", b"abc"), ("length", udp(to[1], b"own", 0, 50)), ("less", udp(to[1], b"own", 0, 9)),
                ("none", udp(to[1], b"own", 0, 7)), ("bad sum", udp(to[1], b"own", 77)), ("empty", udp(to[1], b""))):
            sent(what, r, r.sendto, b, (host, 0))
            drain(r)
        for x in quiet, connected, bound, off:
            state(x)
            queue(x)

# Longer than any can be.
for n in 65507, 65508, 65515, 65516, 65527, 65528, 65535, 65536, 70000:
    for family, host in (V4, "127.0.0.1"), (V6, "::1"):
        icmp, kind = (1, b"\x08") if family == V4 else (58, b"\x80")
        for typ, proto in (socket.SOCK_DGRAM, 0), (socket.SOCK_DGRAM, icmp), (socket.SOCK_RAW, icmp), (socket.SOCK_RAW, 253):
            for connects in False, True:
                s = new(family, proto, True, typ)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                to = (host, 9 if typ == socket.SOCK_DGRAM else 0)
                b = kind + b"\0" * (n - 1)
                if typ == socket.SOCK_DGRAM and proto == 0 and n <= (65507 if family == V4 else 65527):
                    continue
                print("long", n, host, int(typ), proto, connects)
                if connects:
                    s.connect(to)
                    show("send", s.send, b)
                else:
                    show("send", s.sendto, b, to)
                queue(s)
                s.close()
s = new(V4, 1, True, socket.SOCK_DGRAM)
sent("no request", s, s.sendto, b"\1" * 65520, ("127.0.0.1", 0))
h = new(V4, 255)
for n in 65515, 65516, 65535, 65536:
    sent("with header %d" % n, h, h.sendto, packet + b"\0" * (n - len(packet)), ("127.0.0.1", 0))
