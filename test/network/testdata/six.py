"""A client by IPv6 of servers on the host: argv are their address, ports of TCP and UDP and one
where nobody is, and the address and UDP port of one of IPv4."""
import hashlib
import socket
import sys
import threading

host, tcp, udp, nobody, host4, udp4 = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], int(sys.argv[6])


c = socket.create_connection((host, tcp))
print("peer", c.family.name, c.getpeername() == (host, tcp, 0, 0), c.getsockname()[0] not in ("::", "::ffff:0.0.0.0"))
data = hashlib.sha512(b"six").digest() * 20000
t = threading.Thread(target=lambda: (c.sendall(b"echo\n" + data), c.shutdown(socket.SHUT_WR)))
t.start()
got = b""
while True:
    d = c.recv(65536)
    if not d:
        break
    got += d
t.join()
print("stream", got == data)
c.close()
show("refused", socket.create_connection, (host, nobody))
c = socket.create_connection((host, tcp))
c.sendall(b"reset\n")
print(c.recv(10))
c.send(b"x")
show("reset", c.recv, 10)
# Datagrams, also of one socket by both.
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(30)
for to in (host, udp), ("::ffff:" + host4, udp4), (host, udp), ("::ffff:" + host4, udp4):
    s.sendto(b"to " + str(to[1] == udp).encode(), to)
    b, who = s.recvfrom(100)
    print(b, who[:2] == to)
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(30)
s.sendto(b"of IPv4 first", ("::ffff:" + host4, udp4))
print(s.recv(100))
s.sendto(b"then of IPv6", (host, udp))
print(s.recv(100))
s.connect((host, nobody))
s.send(b"x")
show("nobody", s.recv, 10)
s.connect((host, udp))
s.send(b"connected")
print(s.recv(100), s.getpeername() == (host, udp, 0, 0))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
show("only", s.sendto, b"x", ("::ffff:" + host4, udp4))
print("interfaces", sorted(i for i in socket.getaddrinfo(host, tcp, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG))[0][0].name)
