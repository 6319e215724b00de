"""Tries to reach each ADDRESS PORT of argv, by TCP and by UDP, and says how that ends."""
import errno
import socket
import sys


def name(e):
    return errno.errorcode.get(e.errno, str(e))


for a in sys.argv[1:]:
    host, port = a.split()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(20)
    try:
        s.connect((host, int(port)))
        out = "CONNECTED"
    except OSError as e:
        out = name(e)
    s.close()
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(0.5)
    try:
        s.sendto(b"a datagram that nobody gets", (host, int(port)))
        s.recv(100)
        out += " ANSWERED"
    except TimeoutError:
        out += " -"
    except OSError as e:
        out += " " + name(e)
    print(a, out, flush=True)
