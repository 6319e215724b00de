"""Groups by source on the loopback interface: who hears whom."""
import ctypes
import random
import socket

NOW = socket.MSG_DONTWAIT
G = "239.1.2.3", "239.1.2.4"
SOURCES = ["127.0.0.%d" % i for i in range(1, 5)]
ADD, DROP, JOIN, LEAVE = 35, 36, 42, 45
UNBLOCK, BLOCK, ADDSRC, DROPSRC, MSF = 37, 38, 39, 40, 41
MBLOCK, MUNBLOCK, MJOINSRC, MLEAVESRC, MMSF = 43, 44, 46, 47, 48
inet = socket.inet_aton


def storage(ip, family=socket.AF_INET):
    return (struct.pack("=HH", family, 0) + inet(ip)).ljust(128, b"\0")


def mreq(g, host="127.0.0.1"):
    return inet(g) + inet(host)


def mreqs(g, src, host="127.0.0.1"):
    return inet(g) + inet(host) + inet(src)


def gsr(g, src, index=1, family=socket.AF_INET, sfamily=socket.AF_INET):
    return struct.pack("=I4x", index) + storage(g, family) + storage(src, sfamily)


def msf(g, mode, srcs, n=None, host="127.0.0.1"):
    return inet(g) + inet(host) + struct.pack("=II", mode, len(srcs) if n is None else n) + b"".join(map(inet, srcs))


def gf(g, mode, srcs, n=None, index=1, family=socket.AF_INET, sfamily=socket.AF_INET):
    return (struct.pack("=I4x", index) + storage(g, family) + struct.pack("=II", mode, len(srcs) if n is None else n) +
            b"".join(storage(s, sfamily) for s in srcs))


libc = ctypes.CDLL(None, use_errno=True)


def get(s, opt, head, room=2000):
    """getsockopt with what it reads."""
    b = ctypes.create_string_buffer(head, 4096)
    n = ctypes.c_uint(room)
    if libc.getsockopt(s.fileno(), 0, opt, b, ctypes.byref(n)) < 0:
        return errno.errorcode[ctypes.get_errno()]
    r = b.raw[:n.value]
    if opt == MSF:
        return n.value, struct.unpack("=II", r[8:16]), [socket.inet_ntoa(r[i:i + 4]) for i in range(16, len(r), 4)]
    return n.value, struct.unpack("=II", r[136:144]), [(r[i:i + 2].hex(), socket.inet_ntoa(r[i + 4:i + 8]), any(r[i + 8:i + 128]))
                                                       for i in range(144, len(r), 128)]


def setopt(s, opt, b):
    try:
        s.setsockopt(0, opt, b)
        return 0
    except OSError as e:
        return errno.errorcode[e.errno]


def receiver(port=0, host="", family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, port))
    return s


senders = []
for host in SOURCES:
    w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    w.bind((host, 0))
    w.setsockopt(0, socket.IP_MULTICAST_IF, inet("127.0.0.1"))
    senders.append(w)


def got(s):
    r = []
    while True:
        try:
            r.append(s.recv(100, NOW).decode())
        except OSError:
            return " ".join(r)


def heard(port, *l):
    for g in G:
        for i, w in enumerate(senders):
            w.sendto(b"%s<%d" % (g[-1:].encode(), i + 1), (g, port))
    return [got(s) for s in l]


a = receiver()
port = a.getsockname()[1]
b = receiver(port)
c = receiver(port)  # a member of nothing
d = receiver(port)
d.setsockopt(0, 49, 0)
print(heard(port, a, b, c, d))

# What is refused.
for what, opt, v in (
        ("no member", BLOCK, mreqs(G[0], SOURCES[0])), ("no member", UNBLOCK, mreqs(G[0], SOURCES[0])), ("no member", DROPSRC, mreqs(G[0], SOURCES[0])),
        ("no group", ADDSRC, mreqs("10.0.0.1", SOURCES[0])), ("no interface", ADDSRC, mreqs(G[0], SOURCES[0], "0.0.0.0")),
        ("nobody's", ADDSRC, mreqs(G[0], SOURCES[0], "9.9.9.9")), ("another of its", ADDSRC, mreqs(G[0], SOURCES[0], "127.9.9.9")),
        ("leave", DROPSRC, mreqs(G[0], SOURCES[0])), ("short", ADDSRC, mreqs(G[0], SOURCES[0])[:11]),
        ("long", ADDSRC, mreqs(G[0], SOURCES[0]) + b"\0"), ("empty", ADDSRC, b""), ("empty", MSF, b""), ("empty", MMSF, b""),
        ("no member", MBLOCK, gsr(G[0], SOURCES[0])), ("no member", MLEAVESRC, gsr(G[0], SOURCES[0])), ("no group", MJOINSRC, gsr("1.1.1.1", SOURCES[0])),
        ("no index", MJOINSRC, gsr(G[0], SOURCES[0], 0)), ("no such", MJOINSRC, gsr(G[0], SOURCES[0], 77)),
        ("family", MJOINSRC, gsr(G[0], SOURCES[0], 1, socket.AF_INET6)), ("family", MJOINSRC, gsr(G[0], SOURCES[0], 1, socket.AF_INET, 0)),
        ("short", MJOINSRC, gsr(G[0], SOURCES[0])[:-1]), ("long", MJOINSRC, gsr(G[0], SOURCES[0]) + b"\0"),
        ("no member", MSF, msf(G[0], 1, SOURCES)), ("no member", MSF, msf(G[0], 0, [])), ("no member", MSF, msf(G[0], 1, [])),
        ("mode", MSF, msf(G[0], 2, SOURCES)), ("no group", MSF, msf("1.2.3.4", 1, SOURCES)), ("no interface", MSF, msf(G[0], 1, SOURCES, None, "0.0.0.0")),
        ("count", MSF, msf(G[0], 1, SOURCES, 5)), ("count", MSF, msf(G[0], 1, SOURCES, 11)), ("count", MSF, msf(G[0], 1, SOURCES, 0x3ffffffc)),
        ("count", MSF, msf(G[0], 1, SOURCES, 0xffffffff)), ("many", MSF, msf(G[0], 1, SOURCES * 3)), ("short", MSF, msf(G[0], 1, [])[:15]),
        ("huge", MSF, msf(G[0], 1, SOURCES).ljust(131073, b"\0")),
        ("no member", MMSF, gf(G[0], 1, SOURCES)), ("family", MMSF, gf(G[0], 1, SOURCES, None, 1, 10)), ("family", MMSF, gf(G[0], 1, SOURCES, None, 1, 2, 10)),
        ("mode", MMSF, gf(G[0], 7, SOURCES)), ("no such", MMSF, gf(G[0], 1, SOURCES, None, 77)), ("count", MMSF, gf(G[0], 1, SOURCES, 5)),
        ("count", MMSF, gf(G[0], 1, SOURCES, 0x1ffffff)), ("count", MMSF, gf(G[0], 1, SOURCES, 0xffffffff)), ("many", MMSF, gf(G[0], 1, SOURCES * 3)),
        ("short", MMSF, gf(G[0], 1, [])[:143]), ("huge", MMSF, gf(G[0], 1, SOURCES).ljust(131073, b"\0"))):
    print(what, opt, setopt(a, opt, v))
for what, opt, v, room in (
        ("no member", MSF, msf(G[0], 0, []), 2000), ("no group", MSF, msf("1.2.3.4", 0, []), 2000), ("no interface", MSF, msf(G[0], 0, [], 9, "0.0.0.0"), 2000),
        ("short", MSF, msf(G[0], 0, []), 15), ("no member", MMSF, gf(G[0], 0, []), 2000), ("no group", MMSF, gf("1.2.3.4", 0, []), 2000),
        ("no such", MMSF, gf(G[0], 0, [], 9, 77), 2000), ("family", MMSF, gf(G[0], 0, [], 9, 1, 10), 2000), ("short", MMSF, gf(G[0], 0, []), 143)):
    print(what, opt, get(a, opt, v, room))
for opt in UNBLOCK, BLOCK, ADDSRC, DROPSRC, MBLOCK, MUNBLOCK, MJOINSRC, MLEAVESRC:
    print(opt, get(a, opt, b""))

# Bounds.
for i in range(12):
    print("source", setopt(a, ADDSRC, mreqs(G[0], "127.0.1.%d" % i)))
print(get(a, MSF, msf(G[0], 0, [], 99)), get(a, MSF, msf(G[0], 0, [], 3)), get(a, MMSF, gf(G[0], 0, [], 2)))
print("leave", setopt(a, DROP, mreq(G[0])), setopt(a, DROP, mreq(G[0])), get(a, MSF, msf(G[0], 0, [], 99)))
n = 0
while True:
    r = setopt(a, ADDSRC, mreqs("239.3.0.%d" % n, SOURCES[0]))
    if r:
        break
    n += 1
print("memberships", n, r)
for i in range(n):
    setopt(a, DROPSRC, mreqs("239.3.0.%d" % i, SOURCES[0]))
print("again", setopt(a, ADDSRC, mreqs(G[0], SOURCES[0])), heard(port, a, b, c, d), setopt(a, DROP, mreq(G[0])))

# Whatever is done by whom: what each is told, what his filters are then, and who hears whom.
rnd = random.Random(20)
socks = [a, b, d]


def step():
    s, g, src = rnd.choice(socks), rnd.choice(G), rnd.choice(SOURCES)
    opt = rnd.choice([ADD, DROP, UNBLOCK, BLOCK, ADDSRC, ADDSRC, DROPSRC, MSF, MBLOCK, MUNBLOCK, MJOINSRC, MLEAVESRC, MMSF, JOIN, LEAVE])
    some = rnd.sample(SOURCES, rnd.randrange(4))
    mode = rnd.randrange(2)
    if opt in (ADD, DROP):
        v = mreq(g)
    elif opt in (JOIN, LEAVE):
        v = struct.pack("=I4x", 1) + storage(g)
    elif opt == MSF:
        v = msf(g, mode, some)
    elif opt == MMSF:
        v = gf(g, mode, some)
    elif opt >= MBLOCK:
        v = gsr(g, src)
    else:
        v = mreqs(g, src)
    print(socks.index(s), opt, g[-1], src[-1], mode, [x[-1] for x in some], setopt(s, opt, v))


for i in range(400):
    step()
    print("  ", [get(s, MSF, msf(g, 0, [], 9)) for s in socks for g in G], heard(port, a, b, c, d))
with open("/proc/net/igmp") as f:
    print(sorted(f))
for s in socks:
    s.close()
with open("/proc/net/igmp") as f:
    print(f.read())
print(heard(port, c))

# A socket of IPv6 that hears IPv4's.
s = receiver(0, "::", socket.AF_INET6)
port = s.getsockname()[1]
print(setopt(s, ADDSRC, mreqs(G[0], SOURCES[1])), heard(port, s), get(s, MSF, msf(G[0], 0, [], 9)))
