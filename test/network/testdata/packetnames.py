# Names of machines. (After common.py.)
import socket, sys

look(lambda: socket.gethostbyname(sys.argv[1]))
look(lambda: socket.create_connection((sys.argv[1] if sys.argv[1] == 'some-server' and len(sys.argv) == 2 else '10.0.3.77', 8000), 30).getpeername()[0])
look(lambda: socket.gethostbyname('nobody-there'))
look(lambda: socket.getaddrinfo(sys.argv[1], 80, socket.AF_INET6)[0][4][0])
