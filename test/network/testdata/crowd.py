"""Echoes on TCP port 8000 for N connections at once, with one thread; on port 8001 it
listens with little room and takes nobody until a line of its input comes, then all."""
import os
import resource
import selectors
import socket
import sys

n = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, n + 100))
l = socket.create_server(("0.0.0.0", 8000), backlog=16)
busy = socket.create_server(("0.0.0.0", 8001), backlog=4)
sel = selectors.DefaultSelector()
sel.register(l, selectors.EVENT_READ)
sel.register(sys.stdin, selectors.EVENT_READ)
for x in l, busy:
    x.setblocking(False)
print("up", flush=True)
while True:
    for key, _ in sel.select():
        s = key.fileobj
        if s in (l, busy):
            try:
                c = s.accept()[0]
            except BlockingIOError:
                continue
            c.setblocking(False)
            sel.register(c, selectors.EVENT_READ)
        elif s is sys.stdin:
            if not os.read(0, 1):
                os._exit(0)
            if busy not in sel.get_map():
                sel.register(busy, selectors.EVENT_READ)
        else:
            try:
                d = s.recv(65536)
            except OSError:
                d = b""
            if d:
                s.send(d)
            else:
                sel.unregister(s)
                s.close()
