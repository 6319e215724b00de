"""Stamps of what leaves the machine: to a server of the host's at the port that is named."""
import socket
import sys

ERRQUEUE, NOW = 0x2000, socket.MSG_DONTWAIT
to = "10.0.2.2", int(sys.argv[1])


def told(what, s):
    while True:
        try:
            data, beside, _, _ = s.recvmsg(100, 500, ERRQUEUE | NOW)
        except BlockingIOError:
            return
        print(what, data[-4:], [struct.unpack("=I4BII", b[:16])[5:] if level == 0 else any(b[:16]) for level, _, b in beside])


s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(1, 37, 2 | 16 | 128 | 256 | 1024)
s.setsockopt(0, 8, 1)
s.sendto(b"some", to)
_, beside, _, _ = s.recvmsg(100, 500, ERRQUEUE | NOW)
print(struct.unpack("=I", beside[1][2][:4])[0], socket.inet_ntoa(beside[1][2][4:8]), socket.inet_ntoa(beside[1][2][8:12]))
s.setsockopt(0, 8, 0)
told("datagram", s)
s = socket.create_connection(to)
s.setsockopt(1, 37, 2 | 16 | 128 | 256 | 512)
for b in b"echo\n", b"more":
    s.sendall(b)
    told("stream", s)
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
told("end", s)  # when the other end had it is not known
