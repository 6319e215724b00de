"""Datagrams to ports that nobody has: what raw sockets see of it, and what the sender hears."""
import socket
import struct

HEAD = {socket.AF_INET: 20, socket.AF_INET6: 40}


def free(family, to):
    """A port that nobody has."""
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((to, 0))
    return s.getsockname()[1]


def take(raw, family, to):
    b, who = raw.recvfrom(65536)
    print("from", who[:2], "bytes", len(b), end=" ")
    seal = b""
    if family == socket.AF_INET:
        print("class", b[1], "life", b[8], socket.inet_ntoa(b[12:16]), socket.inet_ntoa(b[16:20]), end=" ")
        b = b[20:]
    else:
        a = socket.inet_pton(family, to)
        seal = a + a + struct.pack(">II", len(b), 58)
    print("message", b[0], b[1], b[4:8], "sum", total(seal + b) == 0xffff)
    q = b[8:]
    if family == socket.AF_INET:
        print("quotes", q[0], q[1], struct.unpack(">H", q[2:4])[0], q[8], q[9], socket.inet_ntoa(q[12:16]), socket.inet_ntoa(q[16:20]), end=" ")
    else:
        print("quotes", q[0] >> 4, (q[0] & 15) << 4 | q[1] >> 4, struct.unpack(">H", q[4:6])[0], q[6], q[7], socket.inet_ntop(family, q[8:24]), end=" ")
    q = q[HEAD[family]:]
    print("length", struct.unpack(">H", q[4:6])[0], len(q), q[8:20])
    return struct.unpack(">HH", q[:4])


def here(family, proto, to):
    raw = socket.socket(family, socket.SOCK_RAW, proto)
    raw.settimeout(30)
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(30)
    s.bind((to, 0))
    one, two = free(family, to), free(family, to)
    if family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 7)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x10)
    for data in b"", b"x", b"hello", b"z" * 1400, b"y" * 9000:
        show("send", s.sendto, data, (to, one))
        print(take(raw, family, to) == (s.getsockname()[1], one))
    show("no error", s.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    # One that is connected hears of its peer only.
    s.connect((to, one))
    show("to another", s.sendto, b"another", (to, two))
    print(take(raw, family, to) == (s.getsockname()[1], two))
    show("no error", s.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    show("to the peer", s.send, b"peer")
    print(take(raw, family, to) == (s.getsockname()[1], one))
    show("refused", s.send, b"again")
    show("sent", s.sendto, b"named", (to, one))
    print(take(raw, family, to) == (s.getsockname()[1], one))
    show("refused", s.recv, 10)
    # A forged one is seen by raw sockets; the socket that it is about does not exist.
    forged = struct.pack(">BBHI", 3 if proto == 1 else 1, 3 if proto == 1 else 4, 0x1234, 0) + b"\xff" * 40
    show("forged", raw.sendto, forged, (to, 0))
    print(len(raw.recv(100)) > 8)
    show("no error", s.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    raw.settimeout(0)
    show("at rest", raw.recv, 1)


here(socket.AF_INET, 1, "127.0.0.1")
here(socket.AF_INET6, 58, "::1")
