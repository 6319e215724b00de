"""Time stamps of what is sent (SO_TIMESTAMPING), in the error queue."""
import os
import select
import socket
import threading

ERRQUEUE, NOW = 0x2000, socket.MSG_DONTWAIT
SO, SONEW = 37, 65
HW, TX, RX, SOFT, ID, SCHED, ACK, CMSG, TSONLY, IDTCP = 1, 2, 8, 16, 128, 256, 512, 1024, 2048, 1 << 16

# With this all that comes is stamped on a host, as it is whoever else asks for it there; it begins with that a little later.
always = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
always.setsockopt(socket.SOL_SOCKET, SO, RX | SOFT)
always.bind(("127.0.0.1", 0))
while True:
    always.sendto(b".", always.getsockname())
    if always.recvmsg(1, 100)[1]:
        break


behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
behind.bind(("127.0.0.1", 0))


def settle():
    """What the stack has under way is over: what is behind it has come."""
    for _ in range(2):
        behind.sendto(b".", behind.getsockname())
        behind.recv(1)


def told(beside):
    out = []
    for level, typ, b in beside:
        if (level, typ) in ((0, 11), (41, 25)):
            b = struct.unpack("=I4BII", b[:16]), b[16:].hex()
        elif level == 1 and typ in (SO, SONEW):
            b = [bool(x) for x in struct.unpack("=6q", b)] if len(b) == 48 else len(b)
        elif level == 1 and typ in (29, 35, 63, 64):
            b = "time", len(b)
        else:
            b = b.hex()
        out.append((level, typ, b))
    return out


def frame(b, family, stream=False):
    """What is always the same of a packet: not its number and checksums, and of TCP not how long its header is."""
    if len(b) < 40:
        return b
    head, b = b[:14], b[14:]
    if family == socket.AF_INET:
        ip, b = (b[0], b[1], struct.unpack(">H", b[2:4])[0] - len(b), b[8], b[9], b[12:20].hex(), total(b[:20]) == 0xffff), b[20:]
    else:
        ip, b = (b[0], struct.unpack(">H", b[4:6])[0] - len(b), b[6:8].hex(), b[8:40].hex()), b[40:]
    if ip[4 if family == socket.AF_INET else 2] in (6, "0640"):
        return head.hex(), ip, b[(b[12] >> 4) * 4:][-40:]
    return head.hex(), ip, b[4:6].hex(), b[8:][-40:]


def ready(s):
    p = select.poll()
    p.register(s, 0xffff)
    return [hex(ev) for _, ev in p.poll(0)]


def queued(what, s, room=70000, control=500):
    """All that is in the error queue."""
    n = 0
    while True:
        try:
            data, beside, flags, to = s.recvmsg(room, control, ERRQUEUE | NOW)
        except BlockingIOError:
            print(what, n, flush=True)
            return
        n += 1
        print(what, len(data) if s.type == socket.SOCK_DGRAM else "", frame(data, socket.AF_INET if data[12:14] == b"\x08\0" else socket.AF_INET6), told(beside), hex(flags), to)


def waits(what, s, n):
    """The next n messages of it, for which a host's stack takes its time."""
    p = select.poll()
    p.register(s, 0)
    for _ in range(n):
        p.poll(60000)
        data, beside, flags, to = s.recvmsg(70000, 500, ERRQUEUE | NOW)
        print(what, frame(data, s.family), told(beside), hex(flags), to, flush=True)


def setting(s, v, opt=SO):
    show("set %#x" % v, s.setsockopt, 1, opt, v)


for family, host, level, err in ((socket.AF_INET, "127.0.0.1", 0, 11), (socket.AF_INET6, "::1", 41, 25)):
    r = socket.socket(family, socket.SOCK_DGRAM)
    r.bind((host, 0))
    to = r.getsockname()[:2]
    beside = ((0, 8), (0, 12), (0, 13)) if family == socket.AF_INET else ((41, 49), (41, 51), (41, 66))

    def new(v=0, opt=SO):
        s = socket.socket(family, socket.SOCK_DGRAM)
        if v:
            s.setsockopt(1, opt, v)
        return s

    for opt in SO, SONEW:
        for v in (SOFT | TX, TX, SOFT, SOFT | TX | ID, SOFT | TX | SCHED | ID | TSONLY, SOFT | TX | CMSG, SOFT | TX | TSONLY | ID | CMSG,
                  SOFT | ACK | ID, SOFT | ID, HW | SOFT | ID, SOFT | TX | SCHED | ACK):
            s = new(v, opt)
            show("sent %d %#x" % (opt, v), s.sendto, b"hello", to)
            print(ready(s), s.getsockopt(1, 4), struct.unpack("=2i", s.getsockopt(1, opt, 8)))
            show("sent", s.sendto, b"hello" * 10, to)
            queued("told", s)
            print(ready(s))

    # What packets have beside their data.
    s = new(SOFT | TX | CMSG | ID)
    for l, o in beside + ((level, err), (1, 29)):
        s.setsockopt(l, o, 1)
    s.sendto(b"1", to)
    s.sendmsg([b"2"], [(0, 2, struct.pack("=i", 7)), (0, 1, struct.pack("=i", 8))] if level == 0 else [(41, 52, struct.pack("=i", 7)), (41, 67, struct.pack("=i", 8))], 0, to)
    queued("beside", s)

    # Numbers go on, begin anew when they were not asked for, and all forms of stamps are of one age.
    for v, opt in ((SOFT | TX | ID | TSONLY, SO), (SOFT | TX | TSONLY, SO), (SOFT | TX | TSONLY | ID | CMSG, SO)):
        setting(s, v, opt)
        s.sendto(b"1", to)
        queued("number", s)
    for o in 35, 64, 35, 63, SO, SONEW, SO:
        setting(s, SOFT | TX | TSONLY | ID if o in (SO, SONEW) else 1, o)
        print([s.getsockopt(1, x) for x in (29, 35, 63, 64, SO, SONEW)])
        s.sendto(b"1", to)
        queued("form %d" % o, s)
    setting(s, 0)
    s.sendto(b"1", to)
    queued("none", s)

    # A message asks by itself.
    s = new(SOFT | ID | TSONLY)
    for v in TX, SCHED | TX, ID, SOFT, 0, HW | TX | SCHED | ACK, 1 << 31 | TX:
        for typ in SO, SONEW:
            show("by itself %#x" % v, s.sendmsg, [b"x"], [(1, typ, struct.pack("=I", v))], 0, to)
            queued("told", s)
    show("short", s.sendmsg, [b"x"], [(1, SO, b"ab")], 0, to)
    show("long", s.sendmsg, [b"x"], [(1, SO, bytes(8))], 0, to)
    s.sendto(b"1", to)
    queued("of others", s)
    s = new(SOFT | TX | TSONLY)
    s.sendmsg([b"x"], [(1, SO, struct.pack("=I", 0))], 0, to)
    queued("not of this", s)

    # Cut, and without room beside; bounded; nobody is there.
    s = new(SOFT | TX)
    s.sendto(b"x" * 100, to)
    data, b, flags, _ = s.recvmsg(15, 60, ERRQUEUE)
    print("cut", data, told(b), flags)
    s.sendto(b"x" * 60000, to)
    queued("long", s)
    s = new(SOFT | TX)
    s.setsockopt(1, 8, 4096)
    for _ in range(200):
        s.sendto(b"x" * 1000, to)
    n = 0
    while ready(s) and int(ready(s)[0], 16) & 8:
        s.recvmsg(1, 1, ERRQUEUE)
        n += 1
    print("bounded", 0 < n < 20)
    r.close()
    s = new(SOFT | TX | ID | TSONLY)
    s.connect(to)
    show("nobody", s.send, b"1")
    queued("nobody", s)
    p = select.poll()
    p.register(s, 0)
    p.poll(60000)
    print(s.getsockopt(1, 4), ready(s))
    s.setsockopt(level, err, 1)
    s.send(b"2")
    settle()
    for _ in range(2):
        data, b, flags, _ = s.recvmsg(100, 500, ERRQUEUE | NOW)
        print("both", data, told(b), flags, s.getsockopt(1, 4), ready(s))

    # Streams.
    l = socket.create_server((host, 0), family=family)
    s = socket.socket(family, socket.SOCK_STREAM)
    setting(s, SOFT | TX | ID)
    setting(s, SOFT | TX | SCHED | ACK)
    s.connect(l.getsockname()[:2])
    c, _ = l.accept()
    s.send(b"hello")
    waits("stream", s, 3)
    setting(s, SOFT | TX | SCHED | ACK | ID)
    for b in b"hello", b"xyz":
        os.write(s.fileno(), b)
        waits("numbered", s, 3)
    setting(s, SOFT | TX | SCHED | ACK | ID | TSONLY)
    os.writev(s.fileno(), [b"a", b"bc"])
    waits("vector", s, 3)
    s.sendmsg([b"a", b"bc"])
    waits("message", s, 3)
    t = threading.Thread(target=lambda: c.recv(300014, socket.MSG_WAITALL))
    t.start()
    s.sendall(b"x" * 300000)
    t.join()
    waits("long", s, 3)
    setting(s, SOFT | TX | SCHED | ACK | ID | TSONLY | IDTCP)
    s.send(b"hello")
    waits("long", s, 3)
    setting(s, SOFT | TX | TSONLY)
    setting(s, SOFT | TX | ACK | ID | TSONLY | IDTCP)
    s.send(b"hello")
    waits("anew", s, 2)
    s.send(b"!", socket.MSG_OOB)
    waits("urgent", s, 2)
    setting(s, SOFT | ID | TSONLY)
    s.sendmsg([b"x"], [(1, SO, struct.pack("=I", TX))])
    waits("by itself", s, 1)
    print(ready(s), s.getsockopt(1, 4))
    s.close()

    # One between two programs, which is used often before.
    c.close()
    s = socket.create_connection(l.getsockname()[:2])
    c, _ = l.accept()
    if os.fork() == 0:
        s.close()
        while c.sendall(c.recv(10) or os._exit(0)) is None:
            pass
    c.close()
    for _ in range(300):
        s.sendall(b"ping")
        s.recv(10)
    setting(s, SOFT | TX | ACK | ID | TSONLY)
    for _ in range(3):
        s.sendall(b"ping")
        print(s.recv(10))
        waits("other", s, 2)
    s.close()
    os.wait()

# IPv4 by a socket of IPv6.
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r.bind(("127.0.0.1", 0))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(41, 26, 0)
s.setsockopt(1, SO, SOFT | TX | CMSG)
for opts in (), ((41, 49),), ((0, 8),):
    for l, o in opts:
        s.setsockopt(l, o, 1)
    s.sendto(b"mapped", ("::ffff:127.0.0.1", r.getsockname()[1]))
    queued("mapped", s)

# Those that have none.
a, b = socket.socketpair()
setting(a, SOFT | TX)
a.send(b"1")
show("unix", a.sendmsg, [b"x"], [(1, SO, struct.pack("=I", TX))])
print(ready(a))

# Echo requests.
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    s.setsockopt(1, SO, SOFT | TX | ID | SCHED)
    s.sendto(b"\x08\0\0\0\0\0\0\1ping", ("127.0.0.1", 0))
    while True:
        d, b, f, _ = s.recvmsg(100, 500, ERRQUEUE | NOW)
        print("echo", len(d), d[34:36], d[40:], told(b))
except BlockingIOError:
    print("echo")
except PermissionError:
    print("echo is not for this group")
