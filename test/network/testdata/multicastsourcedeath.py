"""Filters of memberships outlive the unix server."""
import socket
import sys


def mreqs(src):
    return socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1") + socket.inet_aton(src)


s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 0))
s.setsockopt(0, 39, mreqs("127.0.0.2"))
s.setsockopt(0, 39, mreqs("127.0.0.3"))
senders = []
for n in range(1, 5):
    w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    w.bind(("127.0.0.%d" % n, 0))
    w.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    senders.append(w)
print("up", flush=True)
for i in range(2):
    sys.stdin.readline()
    for w in senders:
        w.sendto(w.getsockname()[0].encode(), ("239.1.2.3", s.getsockname()[1]))
    l = []
    try:
        while True:
            l.append(s.recv(100, socket.MSG_DONTWAIT).decode())
    except OSError:
        print("heard", *l, flush=True)
    if i == 0:
        s.setsockopt(0, 40, mreqs("127.0.0.2"))
sys.stdin.read()
