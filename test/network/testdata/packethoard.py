# Fills the net servers' buffers: argv[1] is "server", which takes nothing of what is sent to it, or
# "client" with the server's address.
import socket, sys, time

if sys.argv[1] == 'server':
    s = socket.socket()
    s.bind(('', 8001))
    s.listen(256)
    print('up', flush=True)
    kept = []
    while True:
        kept.append(s.accept()[0])

print('up', flush=True)
for l in sys.stdin:
    kept = []
    try:
        while True:
            s = socket.create_connection((sys.argv[2], 8001), 60)
            s.setblocking(False)
            kept.append(s)
            for c in kept:
                try:
                    while True:
                        c.send(b'x' * 65536)
                except BlockingIOError:
                    pass
    except OSError as e:
        print(errno.errorcode.get(e.errno, repr(e)), flush=True)
