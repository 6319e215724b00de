"""Two connections, to each of which it writes a megabyte; it reads of neither, and waits
for its end by a signal."""
import socket
import threading

l = socket.create_server(("127.0.0.1", 0))
print(l.getsockname()[1], flush=True)
held = []
while True:
    c = l.accept()[0]
    held.append(c)
    threading.Thread(target=c.sendall, args=(b"0123456789abcdef" * 65536,), daemon=True).start()
