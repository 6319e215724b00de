# Two machines on one network: argv[1] is "server" (by IPv6: with its address of that), or "client" with the
# server's address (by IPv6: with those of IPv6 and of IPv4). What the client prints is the same on two
# hosts. (After common.py.)
import os, select, socket, sys, threading

def sock(addr, typ=socket.SOCK_STREAM, proto=0):
    s = socket.socket(socket.AF_INET6 if ':' in addr else socket.AF_INET, typ, proto)
    s.settimeout(30)
    return s

def bound(port, addr='', only=None, typ=socket.SOCK_STREAM):
    s = sock(addr, typ)
    if typ == socket.SOCK_STREAM:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    s.bind((addr, port))
    if typ == socket.SOCK_STREAM:
        s.listen(256)
    return s

def dgram(port, addr='', only=None):
    return bound(port, addr, only, socket.SOCK_DGRAM)

def serve(echoes, reset, dgrams):
    """Says again what is said to it, resets who comes to reset, until somebody has said "end" and all have gone."""
    print('up', flush=True)
    done, conns = False, []
    while not done or conns:
        for s in select.select([*echoes, reset, *dgrams, *conns], [], [])[0]:
            if s in dgrams:
                b, a = s.recvfrom(70000)
                s.sendto(b, a)
            elif s in echoes:
                c, a = s.accept()
                c.settimeout(30)
                conns.append(c)
            elif s is reset:
                c, a = s.accept()
                c.recv(1)
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                c.close()
            else:
                try:
                    b = s.recv(1 << 16)
                    s.sendall(b)
                except OSError:
                    b = b''
                if b == b'end':
                    done = True
                if not b:
                    s.close()
                    conns.remove(s)

def server():
    local = bound(8002, '127.0.0.1')
    serve([bound(8000), bound(8005, '::')], bound(8003), [dgram(9000)])

def server6(there):
    local = bound(8004, '::1')
    serve([bound(8000, '::'), bound(8001, '::', 1), bound(8002), bound(8006, there)], bound(8003, '::'),
          [dgram(9000, '::'), dgram(9001, '::', 1), dgram(9002)])

def no(f):
    try:
        print(f())
    except OSError as e:
        print(type(e).__name__, e.strerror or e)

def connect(port, addr):
    s = sock(addr)
    s.connect((addr, port))
    return s

def name(s):
    """Our address; by IPv4 only that there is one: the two may be anywhere."""
    a = s.getsockname()[0]
    return a if ':' in a else a != '0.0.0.0'

def named(s):
    with s:
        return name(s)

def stream(s, blocks):
    """Uses a connection to the end, with much in both directions at once."""
    s.sendall(b'hello')
    print(s.recv(100))
    data = os.urandom(1 << 16) * blocks
    got = bytearray()
    def take():
        while len(got) < len(data):
            b = s.recv(1 << 20)
            if not b:
                return
            got.extend(b)
    t = threading.Thread(target=take)
    t.start()
    s.sendall(data)
    t.join()
    print('the same', bytes(got) == data)
    s.shutdown(socket.SHUT_WR)
    print('end', s.recv(10))
    s.close()

def from5555(there, port, addr):
    """A port of ours is what the other one sees."""
    s = sock(addr)
    s.bind((addr, 5555))
    s.connect((there, port))
    s.sendall(b'from a port of its own')
    print(s.recv(100), s.getsockname()[1:])
    s.close()

def refusals(there):
    print('refused:')
    no(lambda: connect(8009, there))
    print('reset:')
    s = connect(8003, there)
    s.sendall(b'x')
    no(lambda: s.recv(10))
    no(lambda: s.send(b'y'))
    s.close()

def dgrams(there, most):
    u = sock(there, socket.SOCK_DGRAM)
    for n in (0, 1, 1000, 9000, 40000, 65507):
        u.sendto(b'd' * n, (there, 9000))
        b, a = u.recvfrom(70000)
        print(len(b), a[0] == there, a[1:])
    no(lambda: u.sendto(b'd' * (most + 1), (there, 9000)))
    return u

def spoken(u, there, port):
    u.connect((there, port))
    u.send(b'connected')
    print(u.recv(100), name(u))

def nobody(addr, port):
    print('a port that nobody has:', port)
    v = sock(addr, socket.SOCK_DGRAM)
    v.connect((addr, port))
    v.send(b'x')
    no(lambda: v.recv(10))
    v.close()

def pings(there, proto, request):
    p = sock(there, socket.SOCK_DGRAM, proto)
    for n in (0, 56, 5000):
        p.sendto(struct.pack('!BBHHH', request, 0, 0, 0, n) + b'p' * n, (there, 0))
        b, a = p.recvfrom(10000)
        print(b[0], b[1], struct.unpack('!H', b[6:8]), len(b), a[0] == there, a[1:])

def end(there, many):
    """Many at once, and the server's end."""
    l = [connect(8000, there) for _ in range(many)]
    for i, s in enumerate(l):
        s.sendall(b'%d' % i)
    print('many', all(s.recv(10) == b'%d' % i for i, s in enumerate(l)))
    for s in l:
        s.close()
    s = connect(8000, there)
    s.sendall(b'end')
    print(s.recv(10))
    s.close()

def client(there):
    s = connect(8000, there)
    print('peer', s.getpeername()[1], s.getsockname()[0] != there, s.getsockname()[1] != 0)
    stream(s, 64)
    from5555(there, 8005, '')
    refusals(there)
    print('on its loopback interface only:')
    no(lambda: connect(8002, there))
    print('no such network:')
    no(lambda: connect(80, '192.0.2.1'))
    # Without waiting.
    s = sock(there)
    s.setblocking(False)
    no(lambda: s.connect((there, 8001)))
    print(select.select([], [s], [], 30)[1] == [s], errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
    u = dgrams(there, 65507)
    spoken(u, there, 9000)
    nobody(there, 9001)
    pings(there, socket.IPPROTO_ICMP, 8)
    end(there, 200)

def client6(there, there4):
    mapped = '::ffff:' + there4
    s = connect(8000, there)
    print('names', s.getpeername(), name(s), s.getsockname()[2:])
    stream(s, 32)
    # Which of them are reached by which family.
    for port in 8000, 8001, 8002, 8006, 8004:
        for addr in there, there4, mapped:
            print(port, addr)
            no(lambda: named(connect(port, addr)))
    refusals(there)
    print('no such network:')
    no(lambda: connect(80, '2001:db8::1'))
    from5555(there, 8000, '::')
    print('not ours:')
    no(lambda: bound(0, there))
    u = dgrams(there, 65527)
    for port in 9000, 9002:
        u.sendto(b'by four', (mapped, port))
        print(u.recvfrom(100))
    for port in 9000, 9001:
        spoken(u, there, port)
    for addr, port in (there, 9009), (there, 9002), (mapped, 9001):
        nobody(addr, port)
    pings(there, socket.IPPROTO_ICMPV6, 128)
    end(there, 100)

if sys.argv[1] == 'server':
    (server6 if sys.argv[2:] else server)(*sys.argv[2:])
else:
    (client6 if sys.argv[3:] else client)(*sys.argv[2:])
