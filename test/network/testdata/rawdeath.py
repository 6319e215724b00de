"""A raw socket hears what another one's ping is answered, before and after a line of input."""
import socket
import struct
import sys

r = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
r.setsockopt(255, 1, struct.pack("I", 1 << 8))
print("up", flush=True)
for i in range(2):
    d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    d.sendto(struct.pack(">BBHHH", 8, 0, 0, 0, i), ("127.0.0.1", 0))
    d.close()
    b = r.recv(100)
    print("heard", b[20], b[27], flush=True)
    r.setblocking(False)
    try:
        r.recv(100)
    except BlockingIOError:
        print("once", flush=True)
    r.setblocking(True)
    sys.stdin.readline()
