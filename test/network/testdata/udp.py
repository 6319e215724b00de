"""Datagrams to the server of udp_test.go: argv are its address and port, and a port
where nobody is. What it prints is the same on any system."""
import errno
import select
import socket
import sys

host, port, nobody = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
for i in range(20):
    s.sendto(b"datagram %d" % i, (host, port))
    d, who = s.recvfrom(2000)
    assert d == b"datagram %d" % i and who == (host, port), (d, who)
s.sendto(b"", (host, port))
print("empty", s.recvfrom(10)[0])
s.sendto(b"long" * 15000, (host, port))
print("long", len(s.recvfrom(65536)[0]))
s.sendto(b"long" * 100, (host, port))
print("cut", len(s.recvfrom(7)[0]))
# Many at once: they are taken one by one.
for i in range(10):
    s.sendto(b"%d" % i, (host, port))
print("many", sorted(s.recv(10) for i in range(10)))
# Another's datagram does not reach who has not spoken with it: the server sends
# one from a second socket, before its answer.
s.sendto(b"other", (host, port))
print("answer", s.recvfrom(100)[0])
# A socket that is connected, and one of the other family.
c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
c.connect((host, port))
c.send(b"connected")
p = select.poll()
p.register(c, select.POLLIN)
p.poll()
print(c.recv(100), c.getpeername() == (host, port))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.sendto(b"mapped", ("::ffff:" + host, port))
d, who = six.recvfrom(100)
print(d, who[0] == "::ffff:" + host, who[1] == port)
# Where nobody is, one that is connected is told so.
c.connect((host, nobody))
c.send(b"x")
try:
    c.settimeout(20)
    c.recv(10)
except OSError as e:
    print(errno.errorcode[e.errno])
# And it can be had back.
c.connect((host, port))
c.send(b"again")
print(c.recv(100))
