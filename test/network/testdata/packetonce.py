import socket, sys

s = socket.create_connection((sys.argv[1], 8000), 60)
s.sendall(b'x' * 1000)
n = 0
while n < 1000:
    n += len(s.recv(1000))
print('served')
