"""A client of TestRudePeers' servers: host, port, the port of the process that vanishes."""
import socket
import sys
import threading

host, port, gone = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pattern = b"0123456789abcdef" * 4096


def connect(what):
    s = socket.create_connection((host, port))
    s.sendall(what.encode() + b"\n")
    return s


def ask(what):
    with connect(what) as s:
        return s.recv(100)


def others():
    """Other connections go on."""
    for _ in range(3):
        with connect("echo") as s:
            s.sendall(pattern)
            got = b""
            while len(got) < len(pattern):
                got += s.recv(65536)
            assert got == pattern


def all_of(s):
    """How a stream ends, and whether it was right until there; the number of bytes is the
    host's affair if it ends as a reset."""
    n, how = 0, "end"
    try:
        while True:
            d = s.recv(65536)
            if not d:
                how += " after %d" % n
                break
            at = n % 16
            if d != (pattern + pattern)[at:at + len(d)]:
                how = "wrong bytes"
                break
            n += len(d)
    except OSError as e:
        how = errno.errorcode[e.errno]
    return how


def fill(s):
    """Sends what there is no room for; another thread ends that."""
    n, how = 0, "took all"
    try:
        while n < 256 << 20:
            n += s.send(pattern)
    except OSError as e:
        how = "ended"
    print("  of what was sent:", how, flush=True)


# A window that is closed.
s = connect("deaf")
t = threading.Thread(target=fill, args=(s,))
t.start()
others()
s.shutdown(socket.SHUT_RDWR)
t.join()
s.close()
others()

# A byte at a time.
s = connect("drip")
n = 0
for i in range(20):
    assert ask("tick") == b"true"
    n += len(s.recv(100))
print("drip", n)
s.close()

# Resets.
s = connect("cut")
print("got", len(s.recv(16, socket.MSG_WAITALL)))
s.send(b"x")
print("cut:", all_of(s), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
show("then", s.recv, 1)
show("then", s.getpeername)
s.close()
s = connect("cut me")
try:
    while True:
        s.sendall(pattern)
except OSError as e:
    print("cut me:", e.errno in (errno.ECONNRESET, errno.EPIPE))
show("then", s.recv, 1)
s.close()
others()

# An end, and then nothing.
s = connect("half")
show("half", s.recv, 1)
show("half", s.recv, 1)
t = threading.Thread(target=fill, args=(s,))
t.start()
others()
s.shutdown(socket.SHUT_RDWR)
t.join()
s.close()

# A process that is killed: what it had not read makes it a reset.
read, unread = socket.create_connection((host, gone)), socket.create_connection((host, gone))
assert read.recv(1) == unread.recv(1) == b"0"
unread.sendall(b"x" * 1000)
others()
print(ask("kill").decode())
pattern = pattern[1:] + pattern[:1]
print("unread:", all_of(unread))
print("read:", all_of(read))
show("nobody", socket.create_connection, (host, gone))
