# A server of one process whose sockets do not wait, and what it does with a connection by which much has
# passed: each line is a command. The same on the host and in a machine.
import array, ctypes, errno, fcntl, hashlib, os, select, signal, socket, struct, sys, termios, threading, time

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", int(sys.argv[1])))
listener.listen(64)
listener.setblocking(False)
poll = select.epoll()
poll.register(listener, select.EPOLLIN)
poll.register(0, select.EPOLLIN)  # the machine's input: its end is ours
conns = {}
last = "nothing"


class Gone(Exception):
    pass


class Alarm(Exception):
    pass


class Conn:
    def __init__(self, sock, edge):
        self.sock, self.buf = sock, b""
        self.waits = select.epoll()
        poll.register(sock, select.EPOLLIN | (select.EPOLLET if edge else 0))

    # wait waits for this connection alone.
    def wait(self, events):
        self.waits.register(self.sock, events)
        self.waits.poll()
        self.waits.unregister(self.sock)

    def more(self):
        b = self.sock.recv(65536)
        if not b:
            raise Gone("EOF")
        self.buf += b

    def need(self, n):
        while len(self.buf) < n:
            try:
                self.more()
            except BlockingIOError:
                self.wait(select.EPOLLIN)
        b, self.buf = self.buf[:n], self.buf[n:]
        return b

    def send(self, b):
        b = memoryview(b)
        while b:
            try:
                b = b[self.sock.send(b):]
            except BlockingIOError:
                self.wait(select.EPOLLOUT)

    def say(self, s):
        self.send(s.encode() + b"\n")

    def waiting(self, n):
        v = array.array("i", [0])
        while v[0] < n:
            self.wait(select.EPOLLIN)
            fcntl.ioctl(self.sock, termios.FIONREAD, v)
        return v[0]

    def run(self):
        while True:
            while b"\n" not in self.buf:
                try:
                    self.more()
                except BlockingIOError:
                    return
            line, self.buf = self.buf.split(b"\n", 1)
            words = line.decode().split(" ")
            getattr(self, "do_" + words[0])(*words[1:])

    def do_echo(self, s):
        self.say(s)

    def do_writev(self, a, b):
        os.writev(self.sock.fileno(), [a.encode(), b" and ", b.encode(), b"\n"])

    # One call with pieces of these sizes; of -1 there is no memory.
    def do_pieces(self, *sizes):
        class iovec(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]

        sizes = [int(n) for n in sizes]
        keep = [ctypes.create_string_buffer(bytes([97 + i]) * n) for i, n in enumerate(sizes) if n >= 0]
        at = iter(keep)
        v = (iovec * len(sizes))(*[iovec(8, 5) if n < 0 else iovec(ctypes.addressof(next(at)), n) for n in sizes])
        n = ctypes.CDLL(None, use_errno=True).writev(self.sock.fileno(), v, len(sizes))
        self.say(" %d %d" % (n, ctypes.get_errno() if n < 0 else 0))

    def do_writes(self, s):
        os.write(self.sock.fileno(), s.encode() + b"\n")
        self.wait(select.EPOLLIN)
        self.buf += os.read(self.sock.fileno(), 100)

    def do_sendmsg(self, s):
        self.sock.sendmsg([s.encode(), b"\n"])

    def do_recvmsg(self, n):
        self.say("go")  # what follows is not read with the line
        b = b""
        while len(b) < int(n):
            self.wait(select.EPOLLIN)
            try:
                b += self.sock.recvmsg(int(n) - len(b))[0]
            except BlockingIOError:
                pass
        self.say(b.decode())

    def do_peek(self, n):
        self.say("go")  # what follows is not read with the line
        while True:
            self.wait(select.EPOLLIN)
            try:
                b = self.sock.recv(int(n), socket.MSG_PEEK)
            except BlockingIOError:
                continue
            if len(b) == int(n):
                break
        self.say(b.decode() + " " + self.need(int(n)).decode())

    def do_waiting(self, n):
        self.say("go")  # what follows is not read with the line
        self.say(str(self.waiting(int(n))))
        self.need(int(n))

    def do_big(self, n):
        b = bytes(range(256)) * (int(n) // 256)
        self.send(b)
        self.say(hashlib.sha256(b).hexdigest())

    def do_sink(self, n):
        self.say(hashlib.sha256(self.need(int(n))).hexdigest())

    def do_options(self):
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.say("%d %d" % (self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))

    def do_poll(self):
        p = select.poll()
        p.register(self.sock, select.POLLIN | select.POLLOUT)
        first = p.poll(0)[0][1]
        self.say(str(first))
        self.waiting(1)
        self.say(str(p.poll(0)[0][1]) + " " + str(select.select([self.sock], [], [], 0)[0] == [self.sock]))

    def do_dup(self):
        poll.unregister(self.sock)
        fd = os.dup(self.sock.fileno())
        self.sock.close()
        self.sock = socket.socket(fileno=fd)
        poll.register(self.sock, select.EPOLLIN)
        del conns[[k for k, v in conns.items() if v is self][0]]
        conns[fd] = self
        self.say("by another descriptor")

    def do_block(self, n):
        self.sock.setblocking(True)
        self.say(self.need(int(n)).decode())
        self.sock.settimeout(0)

    def do_fork(self):
        pid = os.fork()
        if pid == 0:
            self.say("the child")
            self.say(self.need(4).decode())
            os._exit(0)
        os.waitpid(pid, 0)
        self.say("the parent")

    # What a set tells in which the connection is, that has been asked often. For each "go" the client sends a byte, or as
    # many as are said.
    def do_set(self, how):
        flag = select.EPOLLET if how == "edge" else 0
        said, e = [], select.epoll()

        def go(n=1):
            self.say("go %d" % n)

        # ask waits, and notes what it is told: by what, and which bits.
        def ask(timeout=None, s=None, **more):
            begin = time.monotonic()
            r = (s or e).poll(timeout, **more)
            late = timeout is None or r or time.monotonic() - begin >= timeout
            said.append(",".join("%s=%x" % ("conn" if fd == self.sock.fileno() else "other", ev) for fd, ev in r) or ("none" if late else "too soon"))
            return r

        def often():
            for _ in range(8):
                e.poll(0)

        def alarm(handler, seconds):
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, seconds)

        def ends(*_):
            raise Alarm

        e.register(self.sock, select.EPOLLIN | select.EPOLLOUT | flag)
        ask(0)
        often()
        e.modify(self.sock, select.EPOLLIN | flag)
        often()
        ask(0.05)
        go(3)
        self.waiting(3)
        ask()
        ask(0)
        self.buf += self.sock.recv(2)
        ask(0)
        self.need(3)
        ask(0)
        often()
        # Something else, which is ready while somebody sleeps.
        other = os.eventfd(0, os.EFD_NONBLOCK)
        e.register(other, select.EPOLLIN)
        for _ in range(3):
            often()
            t = threading.Timer(0.02, os.eventfd_write, (other, 1))
            t.start()
            ask()
            t.join()
            os.eventfd_read(other)
        # Both: each is told, though there is room for one.
        os.eventfd_write(other, 1)
        often()
        go()
        self.waiting(1)
        both = set()
        for _ in range(10):
            both |= {fd for fd, _ in e.poll(-1, 1)}
        said.append("both" if len(both) == 2 else "one of two")
        self.need(1)
        e.unregister(other)
        ask(0)
        often()
        alarm(ends, 0.02)
        try:
            ask()
        except Alarm:
            said.append("signal")
        often()
        alarm(lambda *_: None, 0.02)
        ask(0.08)
        # By another descriptor of the set.
        fd = os.dup(e.fileno())
        e.close()
        e = select.epoll.fromfd(fd)
        often()
        go()
        self.waiting(1)
        ask()
        self.need(1)
        ask(0)
        # Who waits for the set.
        outer = select.epoll()
        outer.register(e, select.EPOLLIN)
        often()
        go()
        ask(None, outer)
        said.append(str(len(select.select([e], [], [], 0)[0])))
        self.need(1)
        ask(0, outer)
        outer.close()
        often()
        e.modify(self.sock, select.EPOLLIN | select.EPOLLONESHOT | flag)
        go()
        self.waiting(1)
        ask()
        ask(0)
        e.modify(self.sock, select.EPOLLIN | flag)
        ask(0)
        self.need(1)
        often()
        e.unregister(self.sock)
        go()
        self.waiting(1)
        ask(0)
        e.register(self.sock, select.EPOLLIN | flag)
        ask(0)
        self.need(1)
        often()
        if not flag:
            pid = os.fork()
            if pid == 0:
                go()
                ask()
                self.say(said[-1])
                os._exit(0)
            os.waitpid(pid, 0)
            ask(0)
            self.need(1)
            often()
        e.modify(self.sock, select.EPOLLIN | select.EPOLLRDHUP | flag)
        often()
        self.say(" ".join(said))
        ask()
        self.say(said[-1])
        e.close()
        other = os.close(other)

    # A wait that a signal ends, and one after that, which lasts as long as it says.
    def do_cut(self):
        def ends(*_):
            raise Alarm

        for _ in range(64):
            poll.poll(0)
        signal.signal(signal.SIGALRM, ends)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            poll.poll(0.5)
            return self.say("no signal")
        except Alarm:
            pass
        begin = time.monotonic()
        r = poll.poll(0.6)
        self.say("too soon" if r or time.monotonic() - begin < 0.6 else "as long as that")

    def do_half(self):
        self.sock.shutdown(socket.SHUT_WR)
        try:
            self.sock.send(b"x")
        except BrokenPipeError:
            self.half = "EPIPE"
        n = len(self.buf)
        while True:
            try:
                self.buf = b""
                self.more()
                n += len(self.buf)
            except BlockingIOError:
                self.wait(select.EPOLLIN)
            except Gone:
                raise Gone("%s, %d bytes" % (self.half, n))

    def do_close(self):
        raise Gone("closed")

    def do_unread(self, n):
        self.say("go")  # what follows is not read with the line
        self.waiting(int(n))
        raise Gone("closed, with something to be read")

    def do_linger(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone("reset")

    def do_last(self):
        self.say(last)


accepted = 0
print("up", flush=True)
while True:
    for fd, ev in poll.poll():
        if fd == 0:
            sys.exit(0)
        if fd == listener.fileno():
            try:
                s, _ = listener.accept()
            except BlockingIOError:
                continue
            s.setblocking(False)
            accepted += 1
            conns[s.fileno()] = Conn(s, accepted % 2)
            continue
        c = conns[fd]
        try:
            c.run()
        except Gone as e:
            last = str(e)
        except OSError as e:
            last = errno.errorcode[e.errno]
        else:
            continue
        del conns[[k for k, v in conns.items() if v is c][0]]
        c.sock.close()
