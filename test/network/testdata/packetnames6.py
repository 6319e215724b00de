# Names of machines and their addresses of IPv6. (After common.py.)
import socket, sys

there = sys.argv[1]
look(lambda: sorted({a[4] for a in socket.getaddrinfo(there, 80, socket.AF_INET6)}))
look(lambda: sorted({a[4] for a in socket.getaddrinfo(there, 80)}))
def connect(addr):
    s = socket.socket(socket.AF_INET6)
    s.settimeout(30)
    s.connect((addr, 8000))
    return s.getpeername()[0]
look(lambda: connect(there))
look(lambda: socket.getaddrinfo('nobody-there', 80, socket.AF_INET6))
# Addresses that a machine could have, and that none can.
look(lambda: connect('fd00:10:0:3::99'))
look(lambda: connect('fd00:10:0:3:1::2'))
