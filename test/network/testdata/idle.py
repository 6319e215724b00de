"""Waits for what never comes on a connection to the echo server of argv; when that is
reset, makes another."""
import errno
import socket
import sys


def conn():
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    s.sendall(b"echo\nx")
    assert s.recv(1) == b"x"
    return s


s = conn()
print("up", flush=True)
try:
    print(s.recv(1), flush=True)
except OSError as e:
    print(errno.errorcode[e.errno], flush=True)
s = conn()
print("again", flush=True)
sys.stdin.read()
