# Two machines on one network, by IPv6: argv[1] is "server", or "client" with the server's addresses of
# IPv6 and of IPv4. What the client prints is the same on two hosts. (After common.py.)
import os, select, socket, sys, threading

def sock(typ=socket.SOCK_STREAM, family=socket.AF_INET6, proto=0):
    s = socket.socket(family, typ, proto)
    s.settimeout(30)
    return s

def bound(port, addr='::', only=None, typ=socket.SOCK_STREAM, family=socket.AF_INET6):
    s = sock(typ, family)
    if typ == socket.SOCK_STREAM:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    s.bind((addr, port))
    if typ == socket.SOCK_STREAM:
        s.listen(256)
    return s

def server(there):
    both, six = bound(8000), bound(8001, only=1)
    four = bound(8002, '', family=socket.AF_INET)
    own, local, reset = bound(8003, there), bound(8004, '::1'), bound(8005)
    udp, udp6 = bound(9000, typ=socket.SOCK_DGRAM), bound(9001, only=1, typ=socket.SOCK_DGRAM)
    udp4 = bound(9002, '', typ=socket.SOCK_DGRAM, family=socket.AF_INET)
    print('up', flush=True)
    done = False
    conns = []
    while not done or conns:
        for s in select.select([both, six, four, own, reset, udp, udp6, udp4] + conns, [], [])[0]:
            if s in (udp, udp6, udp4):
                b, a = s.recvfrom(70000)
                s.sendto(b, a)
            elif s in (both, six, four, own):
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

def client(there, there4):
    def no(f):
        try:
            print(f())
        except OSError as e:
            print(type(e).__name__, e.strerror or e)
    def connect(port, addr=there):
        s = sock(family=socket.AF_INET6 if ':' in addr else socket.AF_INET)
        s.connect((addr, port))
        return s
    def name(s):
        a = s.getsockname()
        s.close()
        return a[0]
    s = connect(8000)
    print('names', s.getpeername(), s.getsockname()[0], s.getsockname()[2:])
    s.sendall(b'hello')
    print(s.recv(100))
    data = os.urandom(1 << 16) * 32
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
    # Which of them are reached by which family.
    for port in 8000, 8001, 8002, 8003, 8004:
        for addr in there, there4, '::ffff:' + there4:
            print(port, addr)
            no(lambda: name(connect(port, addr)))
    print('refused:')
    no(lambda: connect(8009))
    print('reset:')
    s = connect(8005)
    s.sendall(b'x')
    no(lambda: s.recv(10))
    s.close()
    print('no such network:')
    no(lambda: connect(80, '2001:db8::1'))
    # A port and an address of ours is what the other one sees.
    s = sock()
    s.bind(('::', 5555))
    s.connect((there, 8000))
    s.sendall(b'x')
    print(s.recv(10), s.getsockname())
    s.close()
    print('not ours:')
    no(lambda: bound(0, there))
    # Datagrams.
    u = sock(socket.SOCK_DGRAM)
    for n in (0, 1, 1000, 9000, 40000, 65507):
        u.sendto(b'd' * n, (there, 9000))
        b, a = u.recvfrom(70000)
        print(len(b), a)
    no(lambda: u.sendto(b'd' * 65528, (there, 9000)))
    u.sendto(b'by four', ('::ffff:' + there4, 9000))
    print(u.recvfrom(100))
    u.sendto(b'by four only', ('::ffff:' + there4, 9002))
    print(u.recvfrom(100))
    for port in 9000, 9001:
        u.connect((there, port))
        u.send(b'connected')
        print(u.recv(100), u.getsockname()[0])
    for addr, port in (there, 9009), (there, 9002), ('::ffff:' + there4, 9001):
        print('a port that nobody has:', addr, port)
        v = sock(socket.SOCK_DGRAM)
        v.connect((addr, port))
        v.send(b'x')
        no(lambda: v.recv(10))
        v.close()
    u.close()
    # Pings.
    p = sock(socket.SOCK_DGRAM, proto=socket.IPPROTO_ICMPV6)
    for n in (0, 56, 5000):
        p.sendto(struct.pack('!BBHHH', 128, 0, 0, 0, n) + b'p' * n, (there, 0))
        b, a = p.recvfrom(10000)
        print(b[0], b[1], struct.unpack('!H', b[6:8]), len(b), a)
    # Many at once.
    l = [connect(8000) for _ in range(100)]
    for i, s in enumerate(l):
        s.sendall(b'%d' % i)
    print('many', all(s.recv(10) == b'%d' % i for i, s in enumerate(l)))
    for s in l:
        s.close()
    s = connect(8000)
    s.sendall(b'end')
    print(s.recv(10))
    s.close()

if sys.argv[1] == 'server':
    server(sys.argv[2])
else:
    client(*sys.argv[2:])
