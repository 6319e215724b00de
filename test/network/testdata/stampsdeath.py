"""Stamps that are queued are there after a line of input, and numbers go on."""
import socket
import sys

r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r.bind(("127.0.0.1", 0))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(1, 37, 2 | 16 | 128 | 2048)
s.connect(r.getsockname())
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
c.sendall(b"before")
c.setsockopt(1, 37, 512 | 16 | 128 | 2048)
s.send(b"one")
c.sendall(b"four")
print("up", flush=True)


def number(s):
    _, beside, _, _ = s.recvmsg(10, 500, 0x2000)
    return struct.unpack("=I4BII", beside[-1][2][:16])[5:]


sys.stdin.readline()
s.send(b"two")
c.sendall(b"four")
print(number(s), number(s), number(c), number(c), flush=True)
show("queue", number, s)
sys.stdin.read()
