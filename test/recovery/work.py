"""The workload of one busy program: files, pipes to a child, threads, signals.

Each round prints one line that depends on all before it.
"""
import ctypes
import hashlib
import os
import signal
import struct
import sys
import threading

rounds, top = int(sys.argv[1]), sys.argv[2]
os.makedirs(top)
os.chdir(top)

# A child that answers each number with its square: a ping-pong over two pipes.
ask_r, ask_w = os.pipe()
ans_r, ans_w = os.pipe()
child = os.fork()
if child == 0:
    os.close(ask_w)
    os.close(ans_r)
    with os.fdopen(ask_r) as r, os.fdopen(ans_w, "w") as w:
        for line in r:
            w.write("%d\n" % int(line) ** 2)
            w.flush()
    os._exit(7)
os.close(ask_r)
os.close(ans_w)
asks, answers = os.fdopen(ask_w, "w"), os.fdopen(ans_r)

# Another that takes messages, answers each, and leaves a semaphore higher than it
# found it; that it takes back with its end.
libc = ctypes.CDLL(None, use_errno=True)


def ipc(name, *args):
    r = getattr(libc, name)(*args)
    if r < 0:
        raise OSError(ctypes.get_errno(), name)
    return r


queue, sem = ipc("msgget", 0, 0o600), ipc("semget", 0, 2, 0o600)
GETVAL, IPC_RMID, SEM_UNDO = 12, 0, 0x1000


def send(kind, n):
    ipc("msgsnd", queue, struct.pack("=qq", kind, n), ctypes.c_size_t(8), 0)


def receive(kind):
    b = ctypes.create_string_buffer(16)
    ipc("msgrcv", queue, b, ctypes.c_size_t(8), ctypes.c_long(kind), 0)
    return struct.unpack("=qq", b.raw)[1]


def semop(*ops):
    ipc("semop", sem, b"".join(struct.pack("=HhH", *o) for o in ops), ctypes.c_size_t(len(ops)))


counter = os.fork()
if counter == 0:
    while (n := receive(1)) >= 0:
        semop((0, -1, 0), (1, 1, SEM_UNDO))
        send(2, n + 1)
    os._exit(8)

# A thread that counts what it is handed.
cond = threading.Condition()
todo, done = 0, 0


def worker():
    global todo, done
    while True:
        with cond:
            cond.wait_for(lambda: todo)
            if todo < 0:
                return
            todo -= 1
            done += 1
            cond.notify_all()


thread = threading.Thread(target=worker)
thread.start()

usr1 = 0


def count(_sig, _frame):
    global usr1
    usr1 += 1


signal.signal(signal.SIGUSR1, count)

# Files of the host, of one directory, which are read ahead of who opens them.
small = os.open(os.path.join(os.path.dirname(os.__file__), "encodings"), os.O_RDONLY | os.O_DIRECTORY)


def read_small(sha, first):
    names = [n for n in os.listdir(small) if n.endswith(".py")]
    for name in names[first % 32:][:24]:
        fd = os.open(name, os.O_RDONLY, dir_fd=small)
        sha.update(os.read(fd, os.fstat(fd).st_size))
        os.close(fd)


sha = hashlib.sha256()
log = os.open("log", os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644)
for i in range(1, rounds + 1):
    for j in range(20):
        asks.write("%d\n" % (i * j))
        asks.flush()
        sha.update(answers.readline().encode())
    for j in range(10):
        os.write(log, b"entry %d %d\n" % (i, j))
    sha.update(os.pread(log, 64, 0))
    sha.update(b"%d" % os.fstat(log).st_size)

    name = "d%d" % i
    os.mkdir(name)
    fd = os.open(name + "/a", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.write(fd, bytes([i % 256]) * 5000)
    os.rename(name + "/a", name + "/b")
    os.link(name + "/b", name + "/c")
    os.ftruncate(fd, 4000)
    sha.update(b"%d %d" % (os.fstat(fd).st_size, os.fstat(fd).st_nlink))
    os.close(fd)
    with open(name + "/c", "rb") as f:
        sha.update(f.read())
    sha.update(repr(sorted(os.listdir(name))).encode())
    os.unlink(name + "/b")
    os.unlink(name + "/c")
    os.rmdir(name)

    read_small(sha, 7 * i)

    with cond:
        todo += 1
        cond.notify_all()
        cond.wait_for(lambda: not todo)
    signal.raise_signal(signal.SIGUSR1)

    send(1, i)
    semop((0, 1, 0))
    sha.update(b"%d %d %d" % (receive(2), *(ipc("semctl", sem, n, GETVAL) for n in (0, 1))))

    pid = os.fork()
    if pid == 0:
        os._exit(i % 100)
    _, status = os.waitpid(pid, 0)
    sha.update(b"%d" % os.waitstatus_to_exitcode(status))
    print("step", i, done, usr1, sha.hexdigest()[:16], flush=True)

with cond:
    todo = -1
    cond.notify_all()
thread.join()
send(1, -1)
_, ended = os.waitpid(counter, 0)
print("counter", os.waitstatus_to_exitcode(ended), ipc("semctl", sem, 0, GETVAL), ipc("semctl", sem, 1, GETVAL))
ipc("semctl", sem, 0, IPC_RMID)
ipc("msgctl", queue, IPC_RMID, 0)
asks.close()
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status), sorted(os.listdir(".")))
