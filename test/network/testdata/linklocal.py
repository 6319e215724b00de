# Link-local addresses: argv[1] is "server", which has fe80::2, or "client", argv[2] the interface. (After common.py.)
import socket, struct, sys

socket.setdefaulttimeout(20)
index = socket.if_nametoindex(sys.argv[2])

def shown(a):
    return a[0].split('%')[0], a[1] if a[1] < 10000 else 'a port', a[2], a[3] == index

def server():
    l = socket.socket(socket.AF_INET6)
    l.bind(('::', 80))
    l.listen(5)
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    u.bind(('::', 9))
    print('up', flush=True)
    c, a = l.accept()
    print(shown(a), shown(c.getsockname()), c.recv(10))
    c.sendall(b'well')
    for _ in range(3):
        b, info, _, a = u.recvmsg(100, 100)
        print(b, shown(a), socket.inet_ntop(socket.AF_INET6, info[0][2][:16]))
        u.sendto(b'and you', a)
    # And back, to who listens.
    c.recv(10)
    d = socket.socket(socket.AF_INET6)
    d.connect((a[0].split('%')[0], 8000, 0, index))
    print(d.recv(100))
    d.close()
    c.recv(10)
    v = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    v.sendto(b'by itself', ('fe80::aff:fe00:303', 9000, 0, index))
    print(v.recv(100))

def no(f):
    try:
        print(f())
    except OSError as e:
        print(e.strerror)

def client():
    for scope in 0, index, 77:
        s = socket.socket(socket.AF_INET6)
        s.settimeout(30)
        print('connect', {0: 'no interface', index: 'its', 77: 'none'}[scope])
        no(lambda: s.connect(('fe80::2', 80, 0, scope)))
        if scope == index:
            c = s
    print(shown(c.getpeername()), shown(c.getsockname()))
    c.sendall(b'hello')
    print(c.recv(10))
    for scope in 0, index, 77:
        for a in 'fe80::aff:fe00:303', 'fe80::9', '::1', '::':
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            print('bind', a, {0: 'no interface', index: 'its', 77: 'none'}[scope])
            no(lambda: s.bind((a, 0, 0, scope)))
            print(s.getsockname()[3:] if a == '::' or scope != index else shown(s.getsockname())[2:])
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    u.settimeout(30)
    u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    no(lambda: u.sendto(b'x', ('fe80::2', 9)))
    print(u.recv(100))
    no(lambda: u.sendto(b'x', ('fe80::2', 9, 0, 77)))
    for scope in 0, 77:
        no(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect(('fe80::2', 9, 0, scope)))
    u.sendto(b'to all', ('fe80::2', 9, 0, index))
    b, info, _, a = u.recvmsg(100, 100)
    print(b, shown(a), [(l, t, socket.inet_ntop(socket.AF_INET6, d[:16]), struct.unpack('I', d[16:])[0] == index) for l, t, d in info])
    u.connect(('fe80::2', 9, 0, index))
    print(shown(u.getpeername()), shown(u.getsockname()))
    u.send(b'connected')
    print(u.recv(100))
    l = socket.socket(socket.AF_INET6)
    l.bind(('fe80::aff:fe00:303', 8000, 0, index))
    l.listen(5)
    c.sendall(b'listens')
    d, a = l.accept()
    print(shown(a), shown(d.getsockname()))
    d.sendall(b'welcome')
    d.close()
    v = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    v.bind(('::', 9000))
    c.sendall(b'hears')
    b, a = v.recvfrom(100)
    print(b, shown(a))
    v.sendto(b'heard', a)
    p = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
    p.settimeout(30)
    for a in 'fe80::2', 'fe80::aff:fe00:303':
        p.sendto(struct.pack('!BBHHH', 128, 0, 0, 0, 1) + b'ping', (a, 0, 0, index))
        b, a = p.recvfrom(100)
        print(b[0], b[6:], shown(a))
    # To ourselves.
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    u.bind(('fe80::aff:fe00:303', 7000, 0, index))
    u.sendto(b'self', ('fe80::aff:fe00:303', 7000, 0, index))
    b, a = u.recvfrom(100)
    print(b, shown(a))

(server if sys.argv[1] == 'server' else client)()
