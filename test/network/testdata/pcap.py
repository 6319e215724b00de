"""What is to be seen by --pcap: streams, datagrams and echo requests in the machine, then
with the servers of argv (address, port of TCP, port of UDP) on the host."""
import socket
import struct
import sys

host, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def read(s, n):
    b = b""
    while len(b) < n:
        d = s.recv(n - len(b))
        assert d
        b += d
    return b


def pair(addr, family=socket.AF_INET):
    with socket.create_server(addr, family=family) as l:
        c = socket.create_connection(addr[:2])
        return c, l.accept()[0]


# A stream, to its end in both directions.
c, a = pair(("127.0.0.1", 4001))
c.send(b"q" * 50)
read(a, 50)
a.sendall(b"a" * 100000)
read(c, 100000)
c.close()
a.close()
# The other end has gone before.
c, a = pair(("::1", 4002), socket.AF_INET6)
a.close()
c.send(b"nobody")
c.close()
# A reset, and urgent data.
c, a = pair(("127.0.0.1", 4003))
c.send(b"x")
c.send(b"!", socket.MSG_OOB)
c.send(b"y")
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
a.close()
c.close()
# Nobody listens.
s = socket.socket()
assert s.connect_ex(("127.0.0.1", 4004))
s.close()
# Datagrams.
for family, addr in (socket.AF_INET, ("127.0.0.1", 4005)), (socket.AF_INET6, ("::1", 4006)):
    with socket.socket(family, socket.SOCK_DGRAM) as s, socket.socket(family, socket.SOCK_DGRAM) as r:
        r.bind(addr)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 7)
        s.sendto(b"odd", addr)
        s.sendto(b"", addr)
        s.sendto(b"z" * 65507, addr)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136) as s:
    s.sendto(b"lite", ("127.0.0.1", 4007))
# Echo requests.
for family, proto, kind, addr in (socket.AF_INET, 1, 8, "127.0.0.1"), (socket.AF_INET6, 58, 128, "::1"):
    with socket.socket(family, socket.SOCK_DGRAM, proto) as s:
        s.sendto(struct.pack(">BBHHH", kind, 0, 0xffff, 1, 5) + b"ping", (addr, 0))
        s.recv(100)
# To the host.
c = socket.create_connection((host, tcp))
c.send(b"echo\n" + b"e" * 50000)
read(c, 50000)
c.shutdown(socket.SHUT_WR)
assert c.recv(1) == b""
c.close()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.sendto(b"ask", (host, udp))
    assert s.recv(100) == b"ask"
