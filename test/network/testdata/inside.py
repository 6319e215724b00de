"""Holds N connections between sockets of the machine at once, opens and uses them when it
is told to, closes a half and resets the others, for each line of its input."""
import resource
import socket
import struct
import sys

n = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * n + 100, 2 * n + 100))
l = socket.create_server(("127.0.0.1", 0), backlog=4096)
print("up", flush=True)
while sys.stdin.readline():
    pairs = []
    for i in range(n):
        c = socket.create_connection(l.getsockname())
        pairs.append((c, l.accept()[0]))
    print("open", flush=True)
    sys.stdin.readline()
    for i, (c, s) in enumerate(pairs):
        c.send(b"%06d" % i)
    for i, (c, s) in enumerate(pairs):
        assert s.recv(100) == b"%06d" % i
        s.send(b"%06d" % -i)
    for i, (c, s) in enumerate(pairs):
        assert c.recv(100) == b"%06d" % -i
    print("used", flush=True)
    sys.stdin.readline()
    for i, (c, s) in enumerate(pairs):
        if i % 2:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    for i, (c, s) in enumerate(pairs):
        try:
            assert s.recv(100) == b"" and i % 2 == 0, i
        except ConnectionResetError:
            assert i % 2 == 1, i
        s.close()
    print("closed", flush=True)
