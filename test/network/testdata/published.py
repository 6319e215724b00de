"""A server of the machine: it echoes on TCP port 8000 and UDP port 9000, until its
input ends. A connection that begins with a Q is closed at once."""
import os
import socket
import sys
import threading

l = socket.create_server(("0.0.0.0", 8000), backlog=2)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 9000))


def serve(c):
    with c:
        try:
            while True:
                d = c.recv(65536)
                if not d or d[:1] == b"Q":
                    return
                c.sendall(d)
        except OSError:
            pass


def accept():
    while True:
        c, who = l.accept()
        assert who[0] == "10.0.2.2", who
        assert c.getsockname() == ("10.0.2.15", 8000), c.getsockname()
        threading.Thread(target=serve, args=(c,), daemon=True).start()


def dgrams():
    while True:
        d, who = u.recvfrom(65536)
        u.sendto(d[::-1], who)


threading.Thread(target=accept, daemon=True).start()
threading.Thread(target=dgrams, daemon=True).start()
print("up", flush=True)
sys.stdin.read()
os._exit(0)
