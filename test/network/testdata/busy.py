"""Keeps streams to the echo server of argv (address, port) busy, for so many rounds;
each is checked to the byte. With a third argument "may", connections may be reset:
then a round begins anew. A line for each round."""
import hashlib
import os
import socket
import sys
import threading

host, port, rounds, may = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["may"]


def conn():
    while True:
        try:
            s = socket.create_connection((host, port), 60)
            s.sendall(b"echo\n")
            return s
        except ConnectionResetError:
            if not may:
                raise


def small(s, i):
    """A few small messages."""
    for j in range(5):
        want = b"%d %d" % (i, j)
        s.sendall(want)
        got = b""
        while len(got) < len(want):
            d = s.recv(len(want) - len(got))
            assert d, "the end"
            got += d
        assert got == want, (got, want)


def big(i):
    """A long stream that is sent and received at once."""
    with conn() as s:
        data = hashlib.sha512(b"%d" % i).digest() * (2000 + i % 7 * 500)

        failed = []

        def send():
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError as e:
                failed.append(e)  # an error is told once: the receiver may just see the end

        t = threading.Thread(target=send)
        t.start()
        at = 0
        try:
            while True:
                d = s.recv(65536)
                if not d:
                    break
                assert d == data[at:at + len(d)], "wrong bytes at %d" % at
                at += len(d)
        finally:
            if at < len(data):
                try:
                    s.shutdown(socket.SHUT_RDWR)  # ends the sender
                except OSError:
                    pass
            t.join()
        if failed and isinstance(failed[0], ConnectionResetError):
            raise failed[0]
        assert at == len(data), (at, len(data), failed)


print("up", flush=True)
kept = conn()
resets = 0
for i in range(rounds):
    while True:
        try:
            small(kept, i)
            big(i)
            break
        except OSError as e:
            if not may or isinstance(e, TimeoutError):
                raise
            resets += 1
            kept.close()
            kept = conn()
    print("round", i, flush=True)
print("end", flush=True)
sys.stdin.read()
print(resets, "resets", file=sys.stderr)
os._exit(0)
