"""Holds N connections to the echo server of argv at once, and uses each; then closes a
half, resets the others, and does it again."""
import resource
import selectors
import socket
import struct
import sys

host, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, n + 100))

for turn in range(2):
    sel = selectors.DefaultSelector()
    socks = []
    for i in range(n):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((host, port))
        sel.register(s, selectors.EVENT_WRITE, [i, b""])
        socks.append(s)
    left = n
    while left:
        got = sel.select(60)
        assert got, "%d are left" % left
        for key, ev in got:
            s, (i, have) = key.fileobj, key.data
            if ev & selectors.EVENT_WRITE:
                assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                s.send(b"echo\n%06d" % i)
                sel.modify(s, selectors.EVENT_READ, key.data)
                continue
            have += s.recv(100)
            key.data[1] = have
            if len(have) == 6:
                assert have == b"%06d" % i, have
                sel.unregister(s)
                left -= 1
    for i, s in enumerate(socks):
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    print("turn", turn, flush=True)
