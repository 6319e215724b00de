"""Speaks on one stream; a line of input, or the end of it, for each turn."""
import socket
import sys

with socket.create_server(("127.0.0.1", 4001)) as l:
    c = socket.create_connection(("127.0.0.1", 4001))
    a = l.accept()[0]
print("up", flush=True)
while True:
    c.send(b"hello")
    assert a.recv(100) == b"hello"
    a.send(b"answer")
    assert c.recv(100) == b"answer"
    print("ready", flush=True)
    if not sys.stdin.readline():
        break
c.close()
a.close()
