"""Raw sockets: what they see and may do on the loopback interface; with an argument, echo
requests to another address."""
import os
import select
import socket
import struct
import sys

V4, V6 = socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6


def raw(proto, family=None):
    s = socket.socket(family or (socket.AF_INET6 if proto == V6 else socket.AF_INET), socket.SOCK_RAW, proto)
    s.settimeout(30)
    if len(sys.argv) > 1:
        s.setsockopt(255, 1, struct.pack("I", 1 << 8))  # where the address is one's own, requests come, too
    return s


def request(proto, ident, seq, data, kind=None, good=True):
    b = struct.pack(">BBHHH", kind if kind is not None else 8 if proto == V4 else 128, 0, 0, ident, seq) + data
    return b[:2] + struct.pack(">H", 0xffff - total(b) if good and proto == V4 else 0x1234) + b[4:]


def parts(b, proto):
    """A message without what each system chooses."""
    if proto != V6:
        head, b = b[:20], b[20:]
        print("header", head[0], head[1], struct.unpack(">H", head[2:4])[0] == len(b) + 20, head[8], head[9], total(head) == 0xffff,
              socket.inet_ntoa(head[12:16]), socket.inet_ntoa(head[16:]))
    return b


def take(s, proto, to=None):
    b, who = s.recvfrom(65536)
    b = parts(b, proto)
    if proto in (V4, V6):
        head = b""
        if proto == V6:
            a = socket.inet_pton(socket.AF_INET6, to)
            head = a + a + struct.pack(">IBBBB", len(b), 0, 0, 0, V6)
        print("message", b[0], b[1], struct.unpack(">HH", b[4:8]), b[8:30], len(b), "sum", total(head + b) == 0xffff, who[:2])
    else:
        print("message", len(b), b[8:20], who[:2])


def rest(*l):
    print("at rest", not select.select(l, [], [], 0)[0], flush=True)


def speak(proto, to):
    s = raw(proto)
    print("name", s.getsockname()[:2], s.type, s.proto)
    print("readable", bool(select.select([s], [s], [], 0)[0]))
    for seq, data in enumerate([b"", b"x", b"hello", b"z" * 1400]):
        show("send", s.sendto, request(proto, 77 + seq, seq, data), (to, 0))
        if len(sys.argv) == 1:
            take(s, proto, to)  # what comes is one's own request first
        take(s, proto, to)
    rest(s)
    c = raw(proto)
    show("connect", c.connect, (to, 0))
    show("peer", lambda: c.getpeername()[:2])
    for seq in range(3):
        c.send(request(proto, 5, seq, b"connected"))
    for _ in range(3 if len(sys.argv) > 1 else 6):
        take(c, proto, to)
    rest(c)


def here(proto, to):
    speak(proto, to)
    s, other = raw(proto), raw(proto)
    show("bind", s.bind, (to, 9))
    print("name", s.getsockname()[:2])
    show("again", s.bind, (to, 0))
    show("elsewhere", s.bind, ("192.0.2.1" if proto == V4 else "2001:db8::1", 0))
    # Types that are not wanted.
    if proto == V4:
        s.setsockopt(255, 1, struct.pack("I", 1 << 8))
        show("filter", s.getsockopt, 255, 1, 4)
        show("half", s.getsockopt, 255, 1, 2)
    else:
        s.setsockopt(V6, 1, b"\xff" * 16 + struct.pack("I", 1) + b"\xff" * 12)
        show("filter", s.getsockopt, V6, 1, 32)
        show("checksum", s.setsockopt, 255, 7, 2)
        show("odd", s.setsockopt, 255, 7, 3)
    show("none", s.getsockopt, 255, 99, 4)
    s.sendto(request(proto, 1, 1, b"filtered"), (to, 0))
    take(s, proto, to)
    rest(s)
    take(other, proto, to)
    take(other, proto, to)
    # What nobody answers is still seen.
    other.sendto(request(proto, 1, 1, b"another", kind=40 if proto == V4 else 200), (to, 0))
    take(other, proto, to)
    if proto == V4:
        other.sendto(request(proto, 1, 1, b"bad sum", good=False), (to, 0))
        take(other, proto, to)
        show("empty", other.sendto, b"x", (to, 0))
        other.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
        other.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 16)
        other.sendto(request(proto, 1, 1, b"options"), (to, 0))
        take(other, proto, to)
        take(other, proto, to)
    rest(other)
    show("long", other.sendto, request(proto, 1, 1, b"y" * 65530), (to, 0))
    show("port", other.sendto, request(proto, 1, 2, b""), (to, 7))
    show("urgent", other.send, request(proto, 0, 0, b""), socket.MSG_OOB)
    show("nowhere", other.send, request(proto, 0, 0, b""))
    show("listen", other.listen)
    other.settimeout(0)
    while True:
        try:
            other.recv(1)
        except BlockingIOError:
            break
    # Those of the other kind are seen, too: request and answer.
    d = socket.socket(s.family, socket.SOCK_DGRAM, proto)
    d.sendto(request(proto, 0, 3, b"ping"), (to, 0))
    d.recv(100)
    b = [parts(other.recv(100), proto) for _ in range(2)]
    print([x[0] for x in b], all(struct.unpack(">H", x[4:6])[0] == d.getsockname()[1] for x in b), [x[6:] for x in b])
    with open("/proc/net/raw" + ("6" if proto == V6 else "")) as f:
        for l in sorted(x.split()[1:4] for x in f):
            print(l)


show("none", raw, 0)
show("high", raw, 300)
here(V4, "127.0.0.1") if len(sys.argv) == 1 else speak(V4, sys.argv[1])
if len(sys.argv) == 1:
    here(V6, "::1")
    # Datagrams, and what is of no protocol that there is.
    u, r = raw(17), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    r.bind(("127.0.0.1", 0))
    r.sendto(b"datagram", r.getsockname())
    take(u, 17)
    rest(u)
    # The other family's ICMP is a protocol as any: nobody answers.
    for family, proto, to in (socket.AF_INET, V6, "127.0.0.1"), (socket.AF_INET6, V4, "::1"):
        m = raw(proto, family)
        show("other family", m.sendto, request(proto, 1, 1, b"asks nobody"), (to, 0))
        print(m.recv(100)[20 if family == socket.AF_INET else 0:])
        show("short", m.sendto, b"", (to, 0))
        print(len(m.recv(100)))
        rest(m)
        show("filter", m.getsockopt, V6, 1, 32)
        show("filter", m.setsockopt, V6, 1, b"\0" * 32)
    x, y, z = raw(253), raw(253), raw(253, socket.AF_INET6)
    x.sendto(b"message of no protocol", ("127.0.0.1", 0))
    take(x, 253)
    take(y, 253)
    rest(z)
    t = raw(6)
    l = socket.create_server(("127.0.0.1", 0))
    c = socket.create_connection(l.getsockname())
    b = [parts(t.recv(100), 6) for _ in range(2)]
    print([x[13] for x in b], [struct.unpack(">H", x[2:4])[0] == p for x, p in zip(b, (l.getsockname()[1], c.getsockname()[1]))])
    # With a header of one's own: what is 0 in it is filled in.
    def packet(body, src="0.0.0.0", dst="127.0.0.1", first=0x45, life=33, more=0, proto=V4):
        return struct.pack(">BBHHHBBH", first, 8, 1, 0, more, life, proto, 0x1234) + socket.inet_aton(src) + socket.inet_aton(dst) + body

    h, seen = socket.socket(socket.AF_INET, socket.SOCK_RAW, 255), raw(V4)
    show("headers", h.getsockopt, 0, socket.IP_HDRINCL)
    ask = request(V4, 9, 9, b"made by hand")
    for src in "0.0.0.0", "127.0.0.1":
        show("made", h.sendto, packet(ask, src), ("127.0.0.1", 0))
        take(seen, V4)
        take(seen, V4)
    show("short", h.sendto, packet(ask)[:19], ("127.0.0.1", 0))
    show("options", h.sendto, packet(b"", first=0x4f), ("127.0.0.1", 0))
    show("version", h.sendto, packet(ask, first=0x55), ("127.0.0.1", 0))
    show("dead", h.sendto, packet(ask, src="192.0.2.77"), ("127.0.0.1", 0))
    rest(h, seen)
    i = raw(V4)
    show("include", i.setsockopt, 0, socket.IP_HDRINCL, 1)
    show("made", i.sendto, packet(ask), ("127.0.0.1", 0))
    for s in i, seen:
        take(s, V4)
        take(s, V4)
    show("include", i.setsockopt, 0, socket.IP_HDRINCL, 0)
    show("made", i.sendto, ask, ("127.0.0.1", 0))
    take(seen, V4)
    take(seen, V4)
    show("message", h.sendto, packet(b"no protocol", proto=253), ("127.0.0.1", 0))
    take(x, 253)
    rest(h, seen, x)
    show("headers", h.setsockopt, 0, socket.IP_HDRINCL, 0)
    show("headers", socket.socket, socket.AF_INET, socket.SOCK_RAW, 0)
    os.setuid(65534)
    for p in 0, V4, V6, 17:
        show("another user", raw, p)
