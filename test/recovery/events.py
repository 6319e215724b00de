"""The workload of one program that lives on messages and signals of events: POSIX
message queues with a child that answers, who is told of a message by a signal and by a
netlink socket, and files that tell of input by SIGIO and by real-time signals.

Each round prints one line that depends on all before it.
"""
import ctypes
import fcntl
import hashlib
import os
import signal
import socket
import struct
import sys

rounds, top = int(sys.argv[1]), sys.argv[2]
os.makedirs(top)
os.chdir(top)
libc = ctypes.CDLL(None, use_errno=True)
SYS_MQ_NOTIFY, F_SETSIG, F_SETOWN = 244, 10, 8
SIZE = 64


def call(name, *args):
    r = getattr(libc, name)(*args)
    if r < 0:
        raise OSError(ctypes.get_errno(), name)
    return r


def mq_open(name):
    attr = struct.pack("=8q", 0, 8, SIZE, 0, 0, 0, 0, 0)
    return call("mq_open", name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, attr)


def send(q, text, prio=0):
    call("mq_send", q, text, ctypes.c_size_t(len(text)), prio)


def receive(q):
    b, prio = ctypes.create_string_buffer(SIZE), ctypes.c_uint()
    n = call("mq_receive", q, b, ctypes.c_size_t(SIZE), ctypes.byref(prio))
    return b.raw[:n], prio.value


def late(q):
    """late asks for a message that does not come in time."""
    b = ctypes.create_string_buffer(SIZE)
    if libc.mq_timedreceive(q, b, ctypes.c_size_t(SIZE), None, struct.pack("=qq", 1, 0)) >= 0:
        return "a message"
    return os.strerror(ctypes.get_errno())


def notify(q, how, signo, value):
    event = struct.pack("=qii", value, signo, how).ljust(64, b"\0")
    call("syscall", SYS_MQ_NOTIFY, q, event)


TOLD, INPUT, MORE = signal.SIGRTMIN + 2, signal.SIGRTMIN + 3, signal.SIGIO
signals = {TOLD, INPUT, MORE}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def wait(sig):
    i = signal.sigwaitinfo({sig})
    return b"%d %d" % (i.si_code, i.si_band if sig != TOLD else 0)


ask, answer, word = mq_open(b"/ask"), mq_open(b"/answer"), mq_open(b"/word")
pipe_r, pipe_w = os.pipe()
near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
child = os.fork()
if child == 0:
    while True:
        text, prio = receive(ask)
        if text == b"end":
            os._exit(9)
        send(answer, b"<" + text + b">", prio + 1)
        os.write(pipe_w, text[:1])
        far.send(text)

for fd, sig in (pipe_r, INPUT), (near.fileno(), 0):
    fcntl.fcntl(fd, F_SETOWN, os.getpid())
    fcntl.fcntl(fd, F_SETSIG, sig)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
cookie = ctypes.create_string_buffer(b"a cookie", 32)

sha = hashlib.sha256()
for i in range(1, rounds + 1):
    # A signal for the answer, one for the byte, one for the datagram.
    notify(answer, 0, TOLD, i)
    send(ask, b"%d" % i, i % 7)
    sha.update(wait(TOLD) + wait(INPUT) + wait(MORE))
    sha.update(os.read(pipe_r, 100) + near.recv(100))
    text, prio = receive(answer)
    sha.update(text + b"%d" % prio)
    # Messages by their priority.
    for j in range(8):
        send(word, b"%d.%d" % (i, j), j * i % 5)
    for j in range(8):
        text, prio = receive(word)
        sha.update(text + b"%d" % prio)
    sha.update(late(word).encode())
    # A cookie for a message.
    notify(word, 2, netlink.fileno(), ctypes.addressof(cookie))
    send(word, b"word")
    sha.update(netlink.recv(100) + receive(word)[0])
    left = signal.sigtimedwait(signals, 0)
    print("step", i, left, sha.hexdigest()[:16], flush=True)

send(ask, b"end")
_, status = os.waitpid(child, 0)
print("end", os.waitstatus_to_exitcode(status))
for name in b"/ask", b"/answer", b"/word":
    call("mq_unlink", name)
