"""A client of the server of network_test.go: argv are its address and port, and a
port where nobody listens. What it prints is the same on any system."""
import errno
import hashlib
import os
import select
import socket
import struct
import sys
import threading

host, port, nobody = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def conn(cmd):
    s = socket.create_connection((host, port))
    s.sendall(cmd + b"\n")
    return s


def name(e):
    return errno.errorcode[e.errno]


def rest(s):
    h, n = hashlib.sha1(), 0
    while True:
        d = s.recv(1 << 16)
        if not d:
            return n, h.hexdigest()[:16]
        h.update(d)
        n += len(d)


# Small messages, each way.
s = conn(b"echo")
for i in range(50):
    s.sendall(b"%d" % i)
    got = b""
    while len(got) < len(b"%d" % i):
        got += s.recv(100)
    assert got == b"%d" % i, got
assert s.getpeername() == (host, port)
s.close()
print("small")

# A long stream both ways at once, with half a close.
s = conn(b"echo")
data = bytes(range(256)) * 4096 * 3
t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
t.start()
print("echo", rest(s) == (len(data), hashlib.sha1(data).hexdigest()[:16]))
t.join()
s.close()

# What was sent before a close arrives.
s = conn(b"sink")
s.sendall(b"x" * 500000)
s.close()
s = conn(b"sunk")
print("sunk", rest(s)[0], "digits")

# The other end closes, resets.
s = conn(b"close")
print("close", rest(s)[0])
s.close()
s = conn(b"reset")
s.recv(3, socket.MSG_WAITALL)
s.send(b"x")
try:
    while s.recv(100):
        pass
    print("reset: end")
except OSError as e:
    print("reset", name(e))
try:
    s.send(b"x")
    print("sent")
except OSError as e:
    print("then", name(e))
s.close()

# Nobody listens.
s = socket.socket()
try:
    s.connect((host, nobody))
except OSError as e:
    print("nobody", name(e))
s.close()
s = socket.socket()
s.setblocking(False)
e = s.connect_ex((host, nobody))
print(errno.errorcode[e])
p = select.epoll()
p.register(s, select.EPOLLIN | select.EPOLLOUT)
print("events", bool(p.poll()[0][1] & select.EPOLLERR), errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
s.close()

# A connect that is not waited for.
s = socket.socket()
s.setblocking(False)
print(errno.errorcode[s.connect_ex((host, port))])
p.register(s, select.EPOLLOUT)
print("connected", bool(p.poll()[0][1] & select.EPOLLOUT), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
s.send(b"echo\n")
# Who reads nothing stops the writer.
n = 0
while True:
    try:
        n += s.send(b"y" * 65536)
    except BlockingIOError:
        if not select.select([], [s], [], 0.5)[1]:
            break
print("full", n > 100000)
p.unregister(s)
s.setblocking(True)
t = threading.Thread(target=lambda: s.shutdown(socket.SHUT_WR))
t.start()
print("drained", rest(s)[0] == n)
t.join()
s.close()

# Our own reset.
s = conn(b"sink")
s.send(b"z")
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
s = conn(b"how")
print("how", s.makefile().read())

# A child has the connection, too.
s = conn(b"echo")
if os.fork() == 0:
    s.sendall(b"of the child")
    os._exit(0)
os.wait()
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
