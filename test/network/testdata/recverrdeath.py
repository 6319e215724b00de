"""Errors that are queued are there after a line of input."""
import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
to = s.getsockname()
s.close()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(0, 11, 1)
s.sendto(b"one", to)
s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
s.sendto(b"two", to)
print("up", flush=True)
sys.stdin.readline()
for _ in range(2):
    data, beside, flags, _ = s.recvmsg(10, 100, 0x2000)
    print(data.decode(), len(beside), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), flush=True)
show("queue", s.recv, 10, 0x2000)
sys.stdin.read()
