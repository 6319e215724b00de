import socket, sys

print('up', flush=True)
s = socket.create_connection((sys.argv[1], 8000), 30)
s.sendall(b'hello')
s.recv(10)
print('connected', flush=True)
show('reading:', s.recv, 10)
show('connecting:', socket.create_connection, (sys.argv[1], 8000), 30)
sys.stdin.read()
