"""The workload of a client and a server on the loopback interface.

Each round prints one line that depends on all before it.
"""
import errno
import hashlib
import os
import select
import socket
import sys
import threading

rounds = int(sys.argv[1])

listener = socket.create_server(("127.0.0.1", 0), backlog=2)
port = listener.getsockname()[1]
datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.bind(("::", 0))


def serve(conn):
    """Answers each line with its length and hash, and how many there were."""
    n = 0
    with conn, conn.makefile("rwb") as f:
        for line in f:
            n += 1
            f.write(b"%d %d %s\n" % (n, len(line), hashlib.sha1(line).hexdigest().encode()))
            f.flush()


def answer_datagrams():
    n = 0
    while True:
        d, who = datagrams.recvfrom(2000)
        n += 1
        datagrams.sendto(b"%d %s" % (n, d[::-1]), who)


child = os.fork()
if child == 0:
    threading.Thread(target=answer_datagrams, daemon=True).start()
    while True:
        c, _ = listener.accept()
        threading.Thread(target=serve, args=(c,), daemon=True).start()
listener.close()
asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asks.connect(("127.0.0.1", datagrams.getsockname()[1]))
datagrams.close()

nobody = socket.socket()
nobody.bind(("127.0.0.1", 0))
kept = socket.create_connection(("127.0.0.1", port)).makefile("rwb")
h = hashlib.sha1()
for i in range(rounds):
    # A connection that lives on, one of this round, one that is refused.
    kept.write(b"round %d\n" % i)
    kept.flush()
    h.update(kept.readline())
    big = (b"%d," % i) * (20000 + i * 997 % 20000) + b"\n"
    s = socket.socket()
    s.setblocking(False)
    e = s.connect_ex(("127.0.0.1", port))
    assert e == errno.EINPROGRESS, e
    select.select([], [s], [])
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    s.setblocking(True)
    s.sendall(big)
    s.shutdown(socket.SHUT_WR)
    with s.makefile("rb") as f:
        got = f.read()
    assert got.split()[1] == b"%d" % len(big), got
    h.update(got)
    s.close()
    s = socket.socket()
    e = s.connect_ex(nobody.getsockname())
    assert e == errno.ECONNREFUSED, e
    s.close()
    # A datagram each way.
    asks.send(b"datagram %d" % i)
    h.update(asks.recv(2000))
    print("step %d %s" % (i, h.hexdigest()[:16]), flush=True)
os.kill(child, 9)
os.waitpid(child, 0)
print("end", h.hexdigest())
