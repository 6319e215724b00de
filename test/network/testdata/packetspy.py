# Somebody on the host asks the switch of network argv[2] of user argv[1] for a place.
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
s.connect("\0hythe/%s/network/%s" % tuple(sys.argv[1:3]))
try:
    s.send(bytes([0, 1, 1, 0, 0, 0, 0]) + b"spy")
    answer = s.recv(4096)
except (ConnectionResetError, BrokenPipeError):
    answer = b""
print("a place" if answer[:2] == bytes([0, 2]) else "none")
