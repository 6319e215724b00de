"""What a socket hears of its datagrams' errors (IP_RECVERR, IPV6_RECVERR)."""
import os
import select
import socket

ERRQUEUE = 0x2000
NOW = socket.MSG_DONTWAIT


# A host that is busy may take a packet, and then make the error of it, later than the call that sent it; those of one
# processor in their order. So what was sent has come to its end when two datagrams behind it have come, the second sent after the
# first has.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
behind.bind(("127.0.0.1", 0))


def settle():
    for _ in range(2):
        behind.sendto(b".", behind.getsockname())
        behind.recv(1)


say = show


def show(what, f, *args):
    say(what, f, *args)
    settle()


def nobody(family, host):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((host, 0))
        return s.getsockname()[:2]


def queued(s, room=200, control=500, flags=ERRQUEUE | NOW):
    """The next message of the error queue, the port of where it went left out."""
    data, beside, flags, to = s.recvmsg(room, control, flags)
    out = []
    for level, typ, b in beside:
        if (level, typ) == (1, 29):
            b = b"time"
        elif len(b) >= 16 and (level, typ) in ((0, 11), (41, 25)):
            b = struct.unpack("=I4BII", b[:16]), b[16:].hex()
        out.append((level, typ, b))
    return data, out, hex(flags), to and to[0]


def ready(s):
    p = select.poll()
    p.register(s, 0xffff)
    return [hex(ev) for _, ev in p.poll(0)]


def error(s):
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


for family, host, level, opt, info, ttl in (
        (socket.AF_INET, "127.0.0.1", 0, 11, 8, 12), (socket.AF_INET6, "::1", 41, 25, 49, 51)):
    to = nobody(family, host)

    def new():
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(level, opt, 1)
        return s

    s = new()
    show("empty", queued, s)
    print(ready(s))
    show("sent", s.sendto, b"one", to)
    print(ready(s))
    show("sent", s.sendto, b"two", to)
    show("received", s.recv, 10, NOW)
    print(ready(s), error(s))
    show("queue", queued, s)
    show("queue", queued, s)
    print(ready(s))
    show("again", s.sendto, b"three", to)
    print(error(s), ready(s))
    show("short", queued, s, 2)
    print(ready(s))
    show("again", s.sendto, b"four", to)
    show("looked at", queued, s, 100, 500, ERRQUEUE | socket.MSG_PEEK | NOW)
    show("looked at", queued, s)
    show("again", s.sendto, b"five", to)
    show("no room beside", lambda: s.recvmsg(10, 20, ERRQUEUE)[1:3])
    show("does not wait", queued, s, 100, 500, ERRQUEUE)
    s.sendto(b"x", to)
    settle()
    error(s)
    s.setsockopt(level, opt, 0)
    print("off", ready(s))
    show("off", queued, s)

    # Connected: SO_ERROR is of the next that is queued.
    s = new()
    s.connect(to)
    show("sent", s.send, b"one")
    print(error(s))
    show("sent", s.send, b"two")
    print(error(s), ready(s))
    show("queue", queued, s)
    print(error(s))
    show("sent", s.send, b"three")
    show("queue", queued, s)
    show("received", s.recv, 10, NOW)
    show("queue", queued, s)
    print(ready(s), error(s))
    other = nobody(family, host)
    show("elsewhere", s.sendto, b"x", other)
    print(ready(s))

    # Beside it.
    s = new()
    for l, o in ((level, info), (level, ttl), (1, 29)):
        s.setsockopt(l, o, 1)
    s.sendto(b"one", to)
    settle()
    show("beside", queued, s)

    # It is bounded.
    s = new()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for i in range(2000):
        try:
            s.sendto(b"x" * 100, to)
        except OSError:
            pass
    settle()
    n = 0
    try:
        while True:
            queued(s)
            n += 1
    except BlockingIOError:
        print("bounded", n < 50)

    # What waits of either kind counts for both, and an error is about the beginning of what was sent.
    def both(first):
        s, p = new(), socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        s.bind((host, 0))
        def errors():
            for i in range(100):
                try:
                    s.sendto(b"x" * 100, to)
                except OSError:
                    pass
        def data():
            for i in range(100):
                p.sendto(b"y" * 100, s.getsockname()[:2])
        def count(flags):
            n = 0
            while True:
                try:
                    s.recvmsg(10, 500, flags | NOW)
                    n += 1
                except BlockingIOError:
                    return n
                except ConnectionRefusedError:
                    pass
        for f in (errors, data) if first else (data, errors):
            f()
            settle()
        return count(ERRQUEUE), count(0)
    e, d = both(True)
    print("errors first", e > 10, d <= 1)
    e, d = both(False)
    print("data first", e <= 1, d > 10)
    for n in 519, 520, 521, 1183, 1184, 1185, 20000:
        s = new()
        s.sendto(b"z" * n, to)
        p = select.poll()
        p.register(s, 0)
        p.poll(60000)
        d, _, flags, _ = queued(s, 30000)
        print("quoted", n, len(d), flags)

    # Longer than any can be.
    s = new()
    show("too long", s.sendto, b"x" * 65600, to)
    show("too long", queued, s)
    print(ready(s), error(s))

    # A stream has none.
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(level, opt, 1)
    show("stream", s.connect, to)
    show("stream", queued, s)

# IPv4 by a socket of IPv6.
to = nobody(socket.AF_INET, "127.0.0.1")
for opts in ((41, 25),), ((0, 11),), ((41, 25), (0, 11)):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(41, 26, 0)
    for l, o in opts:
        s.setsockopt(l, o, 1)
    show("mapped", s.sendto, b"m", ("::ffff:127.0.0.1", to[1]))
    print(ready(s))
    show("mapped", queued, s)
