"""Generic netlink: families that are asked for by name or number, and what TCP remembers of others."""
import socket

s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
s.bind((0, 0))
GET, DEL, NEW = 3, 2, 1


def attrs(*l):
    return b"".join(struct.pack("=HH", 4 + len(v), t) + v + b"\0" * (-len(v) % 4) for t, v in l)


def ask(typ, body, flags=1):
    """Each message's type, and of an error its number, of a family its name and version."""
    s.send(struct.pack("=IHHII", 16 + len(body), typ, flags, 7, 0) + body)
    out = []
    while True:
        b = s.recv(70000)
        while len(b) >= 16:
            n, typ, fl, seq, port = struct.unpack("=IHHII", b[:16])
            m, b = b[16:n], b[(n + 3) & ~3:]
            if typ in (2, 3):
                e = -struct.unpack("=i", m[:4])[0]
                return out + [(typ, fl & 2, seq, port == s.getsockname()[0], errno.errorcode.get(e, e))]
            if typ == 16:
                d, a = {}, m[4:]
                while len(a) >= 4:
                    x, t = struct.unpack("=HH", a[:4])
                    d[t & 0x3fff] = a[4:x]
                    a = a[(x + 3) & ~3:]
                out.append((typ, fl & 2, m[0], d[2], d[3][0], d[4][0]))
                if not fl & 2:
                    return out, struct.unpack("=H", d[1])[0]


def head(cmd, version=1):
    return bytes([cmd, version, 0, 0])


_, ctrl = ask(16, head(GET) + attrs((2, b"nlctrl\0")))
family, metrics = ask(16, head(GET) + attrs((2, b"tcp_metrics\0")))
print(ctrl, family, metrics > 16)
for what, typ, body, flags in (
        ("by number", 16, head(GET) + attrs((1, struct.pack("=H", 16))), 1), ("nobody's", 16, head(GET) + attrs((2, b"nobody\0")), 1),
        ("nobody's", 16, head(GET) + attrs((1, struct.pack("=H", 999))), 1), ("nothing", 16, head(GET), 1), ("command", 16, head(77), 1),
        ("type", 999, head(GET), 1), ("short", 16, b"", 1), ("short", metrics, b"\1", 1), ("command", metrics, head(9), 1), ("which", metrics, head(1), 1),
        ("who", metrics, head(1) + attrs((1, socket.inet_aton("192.0.2.1"))), 1), ("who", metrics, head(1) + attrs((2, bytes(15) + b"\7")), 1),
        ("all", metrics, head(1), 0x301)):
    show(what, ask, typ, body, flags)
l = ask(16, head(GET), 0x301)
print(l[-1], [x for x in l if x[3] in (b"nlctrl\0", b"tcp_metrics\0")])
