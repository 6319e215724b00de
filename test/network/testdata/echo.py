# Echo requests: the machine's own addresses, or with an argument another one.
import select, socket, struct, sys

V4, V6 = 1, 58

def sock(proto):
    s = socket.socket(socket.AF_INET if proto == V4 else socket.AF_INET6, socket.SOCK_DGRAM, proto)
    s.settimeout(30)
    return s

def request(proto, seq, data, code=0, kind=None):
    return struct.pack(">BBHHH", kind if kind is not None else 8 if proto == V4 else 128, code, 0xffff, 0x4242, seq) + data

def answer(s, proto, to, n=65536):
    b, anc, flags, who = s.recvmsg(n, 100)
    kind, code, _, ident, seq = struct.unpack(">BBHHH", b[:8])
    head = b""
    if proto == V6:
        a = socket.inet_pton(socket.AF_INET6, to)
        head = a + a + struct.pack(">IBBBB", len(b), 0, 0, 0, V6)
    print("answer", kind, code, ident == s.getsockname()[1], seq, len(b), b[8:40], "sum", hex(total(head + b)),
          [(l, t, struct.unpack("i", v)[0]) for l, t, v in anc], flags, who[:2])

def speak(proto, to):
    s = sock(proto)
    print("readable", bool(select.select([s], [], [], 0)[0]))
    for seq, data in enumerate([b"", b"x", b"hello", b"z" * 1400]):
        show("send", s.sendto, request(proto, seq, data), (to, 9))
        print("readable", bool(select.select([s], [], [], 30)[0]))
        answer(s, proto, to)
    c = sock(proto)
    for port in 0, 5:
        show("connect", c.connect, (to, port))
        show("peer", lambda: c.getpeername()[:2])
    for seq in range(3):
        c.send(request(proto, seq, b"connected"))
    for _ in range(3):
        answer(c, proto, to)
    print("at rest", bool(select.select([s, c], [], [], 0)[0]), s.getsockname()[1] != c.getsockname()[1])

def here(proto, to, ttl):
    speak(proto, to)
    s = sock(proto)
    s.setsockopt(*ttl, 1)
    s.bind((to, 77))
    print("name", s.getsockname()[:2], s.type, s.proto, s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
    show("twice", sock(proto).bind, (to, 77))
    s.sendto(request(proto, 1, b"hops"), (to, 0))
    answer(s, proto, to)
    s.sendto(request(proto, 2, b"cut"), (to, 0))
    print(s.recv(10)[6:])
    for what, b in [("short", b"\x08\0\0\0\0\0\0"), ("none", b""), ("an answer", request(proto, 0, b"", kind=0 if proto == V4 else 129)),
                    ("another", request(proto, 0, b"", kind=13)), ("code", request(proto, 0, b"", code=1)), ("long", request(proto, 0, b"y" * 65528))]:
        show(what, s.sendto, b, (to, 0))
    show("urgent", s.send, request(proto, 0, b""), socket.MSG_OOB)
    show("nowhere", s.send, request(proto, 0, b""))
    show("listen", s.listen)
    n = sock(proto)
    n.settimeout(0)
    show("nothing", n.recv, 10)
    name = "/proc/net/icmp" + ("6" if proto == V6 else "")
    for l in open(name).read().splitlines():
        f = l.split()
        print(f[1:4] if f[0] != "sl" and ":004D" in f[1] else f if f[0] == "sl" else "", len(f))

show("wrong", socket.socket, socket.AF_INET, socket.SOCK_DGRAM, V6)
show("wrong", socket.socket, socket.AF_INET6, socket.SOCK_DGRAM, V4)
if len(sys.argv) > 1:
    speak(V4, sys.argv[1])
else:
    here(V4, "127.0.0.1", (socket.IPPROTO_IP, 12))  # IP_RECVTTL
    here(V6, "::1", (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT))
