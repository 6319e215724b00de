# Two machines on one network: argv[1] is "server", or "client" with the server's address. What
# the client prints is the same on two hosts. (After common.py.)
import os, select, socket, sys, threading

def tcp(port, addr=''):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr, port))
    s.listen(256)
    return s

def server():
    echo, local, reset, six = tcp(8000), tcp(8002, '127.0.0.1'), tcp(8003), socket.socket(socket.AF_INET6)
    six.bind(('::', 8005))
    six.listen(5)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(('', 9000))
    print('up', flush=True)
    done = False
    conns = []
    while not done or conns:
        for s in select.select([echo, reset, six, udp] + conns, [], [])[0]:
            if s is udp:
                b, a = udp.recvfrom(70000)
                udp.sendto(b, a)
            elif s in (echo, six):
                c, a = s.accept()
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

def client(there):
    def no(f):
        try:
            print(f())
        except OSError as e:
            print(type(e).__name__, e.strerror or e)
    def connect(port, addr=there):
        s = socket.socket()
        s.settimeout(30)
        s.connect((addr, port))
        return s
    s = connect(8000)
    print('peer', s.getpeername()[1], s.getsockname()[0] != there, s.getsockname()[1] != 0)
    s.sendall(b'hello')
    print(s.recv(100))
    # Much, in both directions at once.
    data = os.urandom(1 << 16) * 64
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
    # A port of ours is what the other one sees.
    s = socket.socket()
    s.bind(('', 5555))
    s.connect((there, 8005))
    s.sendall(b'by six')
    print(s.recv(10), s.getsockname()[1])
    s.close()
    print('refused:')
    no(lambda: connect(8001))
    print('on its loopback interface only:')
    no(lambda: connect(8002))
    print('reset:')
    s = connect(8003)
    s.sendall(b'x')
    no(lambda: s.recv(10))
    no(lambda: s.send(b'y'))
    s.close()
    print('no such network:')
    no(lambda: connect(80, '192.0.2.1'))
    # Without waiting.
    s = socket.socket()
    s.setblocking(False)
    no(lambda: s.connect((there, 8001)))
    print(select.select([], [s], [], 30)[1] == [s], errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
    # Datagrams.
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(30)
    for n in (0, 1, 1000, 9000, 40000, 65507):
        u.sendto(b'd' * n, (there, 9000))
        b, a = u.recvfrom(70000)
        print(len(b), a == (there, 9000))
    no(lambda: u.sendto(b'd' * 65508, (there, 9000)))
    u.connect((there, 9000))
    u.send(b'connected')
    print(u.recv(100), u.getsockname()[0] != '0.0.0.0')
    print('a port that nobody has:')
    u.connect((there, 9001))
    u.send(b'x')
    no(lambda: u.recv(10))
    # Pings.
    p = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    p.settimeout(30)
    for n in (0, 56, 5000):
        p.sendto(struct.pack('!BBHHH', 8, 0, 0, 0, n) + b'p' * n, (there, 0))
        b, a = p.recvfrom(10000)
        print(b[0], b[1], struct.unpack('!H', b[6:8]), len(b), a[0] == there)
    # Many at once.
    l = [connect(8000) for _ in range(200)]
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
    server()
else:
    client(sys.argv[2])
