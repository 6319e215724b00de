# Keeps connections to a server (packets.py) and says when they work again.
import os, socket, sys, time

def exchange(s):
    b = os.urandom(100000)
    s.sendall(b)
    got = b''
    while len(got) < len(b):
        r = s.recv(1 << 16)
        if not r:
            raise ConnectionResetError(errno.ECONNRESET, 'ended')
        got += r
    if got != b:
        print('wrong bytes', flush=True)
        sys.exit(1)

def connected():
    """A connection that works; until there is one, the errors are those of resets and of absence."""
    while True:
        try:
            s = socket.create_connection((sys.argv[1], 8000), 60)
            exchange(s)
            return s
        except OSError as e:
            if e.errno not in (errno.ECONNRESET, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EPIPE, errno.ETIMEDOUT):
                print(repr(e), flush=True)
                sys.exit(1)
            time.sleep(0.01)

print('up', flush=True)
s = connected()
print('connected', flush=True)
for l in sys.stdin:
    try:
        exchange(s)  # that the other end has died it learns by itself
    except OSError:
        s.close()
        s = connected()
    print('connected', flush=True)
