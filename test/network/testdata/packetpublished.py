"""published.py on a network of packets. A line of its input is a port of the host's loopback
interface, to which it sends a datagram from the port that is published."""
import os
import socket
import sys
import threading

l = socket.create_server(("0.0.0.0", 8000))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 9000))


def serve(c):
    with c:
        try:
            while d := c.recv(65536):
                c.sendall(d)
        except OSError:
            pass


def accept():
    while True:
        c, who = l.accept()
        if who[0] != "10.0.2.2" or c.getsockname() != (sys.argv[1], 8000):
            print(who, c.getsockname(), flush=True)
        threading.Thread(target=serve, args=(c,), daemon=True).start()


def dgrams():
    while True:
        try:
            d, who = u.recvfrom(65536)
            u.sendto(d[::-1], who)
        except OSError as e:
            print(e, flush=True)


threading.Thread(target=accept, daemon=True).start()
threading.Thread(target=dgrams, daemon=True).start()
print("up", flush=True)
for line in sys.stdin:
    for ip in "10.0.2.2", "10.0.3.1", "10.0.3.200":
        try:
            u.sendto(b"x", (ip, int(line)))
        except OSError:
            pass
    print("sent", flush=True)
