"""What /proc/net counts of a few things that are done on the loopback interface."""
import socket
import struct


def snmp(file="/proc/net/snmp"):
    d = {}
    with open(file) as f:
        for names, values in zip(f, f):
            group, *n = names.split()
            d.update((group[:-1] + x, int(v)) for x, v in zip(n, values.split()[1:]))
    return d


was, ext = snmp(), snmp("/proc/net/netstat")
l = socket.create_server(("127.0.0.1", 0))
for how in range(3):
    c = socket.create_connection(l.getsockname())
    a = l.accept()[0]
    if how == 1:
        a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    c.close()
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.connect_ex(("127.0.0.1", 9)))
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r.bind(("127.0.0.1", 0))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for to in r.getsockname(), r.getsockname(), ("127.0.0.1", 9):
    s.sendto(b"datagram", to)
r.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
for i in range(200):
    s.sendto(b"x" * 100, r.getsockname())
full = snmp()["UdpRcvbufErrors"] - was["UdpRcvbufErrors"]
got = snmp()["UdpInDatagrams"] - was["UdpInDatagrams"]
r.settimeout(0)
there = 0
try:
    while r.recv(100):
        there += 1
except BlockingIOError:
    pass
print("lost", 202 - there == full, full > 100)
e = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
e.sendto(struct.pack(">BBHHH", 8, 0, 0xffff, 1, 5) + b"ping", ("127.0.0.1", 0))
e.recv(100)
now, end = snmp(), snmp("/proc/net/netstat")
for n in "InOctets", "OutOctets", "InNoECTPkts", "InMcastPkts", "InBcastPkts":
    grew = end["IpExt" + n] - ext["IpExt" + n]
    print(n, grew > (10000 if "Octets" in n else 100))
print(end["TcpExtListenDrops"] - ext["TcpExtListenDrops"], end["TcpExtTCPFastRetrans"] - ext["TcpExtTCPFastRetrans"])
for n in ("TcpActiveOpens", "TcpPassiveOpens", "TcpAttemptFails", "TcpEstabResets", "TcpCurrEstab", "UdpNoPorts", "UdpOutDatagrams",
          "IcmpInEchos", "IcmpOutEchos", "IcmpInEchoReps", "IcmpOutEchoReps"):
    print(n, now[n] - was[n])
