"""Groups of IPv6 by source on the loopback interface: what their filters are. Nothing is heard: no route leads to them."""
import ctypes
import random
import socket

G = "ff01::1234", "ff02::5", "ff15::77:8"
SOURCES = ["fd00::%d" % i for i in range(1, 5)]
ADD, DROP, JOIN, LEAVE = 20, 21, 42, 45
BLOCK, UNBLOCK, JOINSRC, LEAVESRC, MSF = 43, 44, 46, 47, 48


def addr(ip):
    return socket.inet_pton(socket.AF_INET6, ip)


def storage(ip, family=socket.AF_INET6):
    return (struct.pack("=HHI", family, 0, 0) + addr(ip)).ljust(128, b"\0")


def gsr(g, src, index=1, family=socket.AF_INET6, sfamily=socket.AF_INET6):
    return struct.pack("=I4x", index) + storage(g, family) + storage(src, sfamily)


def gf(g, mode, srcs, n=None, index=1, family=socket.AF_INET6, sfamily=socket.AF_INET6):
    return (struct.pack("=I4x", index) + storage(g, family) + struct.pack("=II", mode, len(srcs) if n is None else n) +
            b"".join(storage(s, sfamily) for s in srcs))


libc = ctypes.CDLL(None, use_errno=True)


def get(s, opt, head, room=20000):
    """getsockopt with what it reads."""
    b = ctypes.create_string_buffer(head, 40000)
    n = ctypes.c_uint(room)
    if libc.getsockopt(s.fileno(), 41, opt, b, ctypes.byref(n)) < 0:
        return errno.errorcode[ctypes.get_errno()]
    r = b.raw[:n.value]
    return n.value, struct.unpack("=II", r[136:144]), [(r[i:i + 8].hex(), socket.inet_ntop(socket.AF_INET6, r[i + 8:i + 24]), any(r[i + 24:i + 128]))
                                                       for i in range(144, len(r), 128)]


def setopt(s, opt, b):
    try:
        s.setsockopt(41, opt, b)
        return 0
    except OSError as e:
        return errno.errorcode[e.errno]


def new(typ=socket.SOCK_DGRAM):
    return socket.socket(socket.AF_INET6, typ)


def users():
    with open("/proc/net/igmp6") as f:
        return sorted(l.split()[2:4] for l in f if not l.split()[2].endswith("000001"))


a, b, d = new(), new(), new()
for s in a, new(socket.SOCK_STREAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
    for what, opt, v in (
            ("no member", BLOCK, gsr(G[0], SOURCES[0])), ("no member", UNBLOCK, gsr(G[0], SOURCES[0])), ("no member", LEAVESRC, gsr(G[0], SOURCES[0])),
            ("no group", JOINSRC, gsr("fd00::1", SOURCES[0])), ("no group", BLOCK, gsr("fd00::1", SOURCES[0])), ("mapped", JOINSRC, gsr("::ffff:239.1.1.1", SOURCES[0])),
            ("no index", JOINSRC, gsr(G[0], SOURCES[0], 0)), ("no index", BLOCK, gsr(G[0], SOURCES[0], 0)), ("no such", JOINSRC, gsr(G[0], SOURCES[0], 77)),
            ("family", JOINSRC, gsr(G[0], SOURCES[0], 1, socket.AF_INET)), ("family", JOINSRC, gsr(G[0], SOURCES[0], 1, socket.AF_INET6, 0)),
            ("short", JOINSRC, gsr(G[0], SOURCES[0])[:-1]), ("long", JOINSRC, gsr(G[1], SOURCES[0]) + b"\0"), ("empty", JOINSRC, b""), ("empty", MSF, b""),
            ("no member", MSF, gf(G[0], 1, SOURCES)), ("no member", MSF, gf(G[0], 0, [])), ("no member", MSF, gf(G[0], 1, [])),
            ("family", MSF, gf(G[0], 1, SOURCES, None, 1, 2)), ("family", MSF, gf(G[0], 1, SOURCES, None, 1, 10, 2)), ("mode", MSF, gf(G[0], 7, SOURCES)),
            ("no group", MSF, gf("fd00::1", 1, SOURCES)), ("mapped", MSF, gf("::ffff:239.1.1.1", 1, SOURCES)),
            ("no such", MSF, gf(G[0], 1, SOURCES, None, 77)), ("no index", MSF, gf(G[0], 1, SOURCES, None, 0)), ("count", MSF, gf(G[0], 1, SOURCES, 5)),
            ("count", MSF, gf(G[0], 1, SOURCES, 0x1fffffe)), ("count", MSF, gf(G[0], 1, SOURCES, 0xffffffff)), ("many", MSF, gf(G[0], 1, SOURCES * 17)),
            ("short", MSF, gf(G[0], 1, [])[:143]), ("huge", MSF, gf(G[0], 1, SOURCES).ljust(131073, b"\0"))):
        print(what, opt, setopt(s, opt, v))
    for what, opt, v, room in (
            ("no member", MSF, gf(G[0], 0, []), 2000), ("no group", MSF, gf("fd00::1", 0, []), 2000), ("no such", MSF, gf(G[0], 0, [], 9, 77), 2000),
            ("no index", MSF, gf(G[0], 0, [], 9, 0), 2000), ("family", MSF, gf(G[0], 0, [], 9, 1, 2), 2000), ("short", MSF, gf(G[0], 0, []), 143)):
        print(what, opt, get(s, opt, v, room))
    for opt in BLOCK, UNBLOCK, JOINSRC, LEAVESRC:
        print(opt, get(s, opt, b""))
    print(users())
setopt(a, LEAVESRC, gsr(G[1], SOURCES[0]))

# Bounds.
n = 0
while n < 200 and not setopt(a, JOINSRC, gsr(G[0], "fd01::%x" % n)):
    n += 1
print("sources", n, setopt(a, JOINSRC, gsr(G[0], "fd01::%x" % n)), setopt(a, JOINSRC, gsr(G[0], "fd01::1")))
r = get(a, MSF, gf(G[0], 0, [], 99))
print(r[:2], len(r[2]), r[2][:2], r[2][-1], get(a, MSF, gf(G[0], 0, [], 2)))
print("set", setopt(a, MSF, gf(G[0], 0, ["fd02::%x" % i for i in range(64)])), get(a, MSF, gf(G[0], 0, [], 99))[:2])
print("leave", setopt(a, LEAVE, struct.pack("=I4x", 1) + storage(G[0])), get(a, MSF, gf(G[0], 0, [], 99)))

# Whatever is done by whom: what each is told, and what his filters are then.
rnd = random.Random(21)
socks = [a, b, d]
for i in range(500):
    s, g, src = rnd.choice(socks), rnd.choice(G), rnd.choice(SOURCES)
    opt = rnd.choice([ADD, DROP, BLOCK, UNBLOCK, JOINSRC, JOINSRC, LEAVESRC, MSF, JOIN, LEAVE])
    some = rnd.sample(SOURCES, rnd.randrange(4))
    mode = rnd.randrange(2)
    if opt in (ADD, DROP):
        v = addr(g) + struct.pack("=I", 1)
    elif opt in (JOIN, LEAVE):
        v = struct.pack("=I4x", 1) + storage(g)
    elif opt == MSF:
        v = gf(g, mode, some)
    else:
        v = gsr(g, src)
    print(socks.index(s), opt, g, src, mode, some, setopt(s, opt, v))
    print("  ", [get(s, MSF, gf(g, 0, [], 9)) for s in socks for g in G], users())
show("to it", a.sendto, b"x", (G[0], 1234))
for s in socks:
    s.close()
print(users())
