"""A member of a group is one after each line of input, and when it is none nobody is."""
import socket
import sys

G = "239.1.2.3"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 0))
group = socket.inet_aton(G) + socket.inet_aton("127.0.0.1")
s.setsockopt(0, socket.IP_ADD_MEMBERSHIP, group)
s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
print("up", flush=True)
for _ in range(2):
    sys.stdin.readline()
    s.sendto(b"x", (G, s.getsockname()[1]))
    show("heard", s.recv, 10, socket.MSG_DONTWAIT)
    try:
        s.setsockopt(0, socket.IP_DROP_MEMBERSHIP, group)
    except OSError:
        pass
sys.stdin.read()
