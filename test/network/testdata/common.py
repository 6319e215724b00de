"""What stands before each program here (script)."""
import errno
import struct


def show(what, f, *args):
    """Says what a call answers, or its error."""
    try:
        r = f(*args)
    except OSError as e:
        r = errno.errorcode[e.errno]
    print(what, r, flush=True)


def look(f):
    """Prints what a call answers, or that there is no such name, or its error."""
    try:
        print(f())
    except OSError as e:
        print('no such name' if type(e).__name__ == 'gaierror' else errno.errorcode.get(e.errno, e))


def total(b):
    """The sum of a checksum of the Internet: 0xffff if it is right."""
    b += b"\0" * (len(b) % 2)
    n = sum(struct.unpack(">%dH" % (len(b) // 2), b))
    while n >> 16:
        n = (n & 0xffff) + (n >> 16)
    return n


