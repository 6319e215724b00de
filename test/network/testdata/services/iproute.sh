# What iproute2 shows of the loopback interface and of sockets.
ip -o -4 addr show dev lo | sed 's/ *valid_lft.*//; s/^[0-9]*: //'
ip -o -6 addr show dev lo | sed 's/ *valid_lft.*//; s/^[0-9]*: //'
ip -o link show dev lo | sed 's/^[0-9]*: //' | grep -o 'lo: <LOOPBACK,UP,LOWER_UP> mtu 65536'
python3 -c '
import socket, subprocess
while True:
    l = socket.create_server(("127.0.0.1", 0))
    port = l.getsockname()[1]
    u = socket.socket(type=socket.SOCK_DGRAM)
    try:
        u.bind(("127.0.0.1", port))
        break
    except OSError:
        l.close() # another has the port of the other kind
c = socket.create_connection(("127.0.0.1", port))
a, _ = l.accept()
own = c.getsockname()[1]
for what in "-Htln", "-Htn", "-Huan":
    out = subprocess.run(["ss", what, "( sport = :%d or dport = :%d )" % (port, port)], capture_output=True, text=True)
    for line in sorted(out.stdout.replace(str(own), "OWN").replace(str(port), "PORT").splitlines()):
        print(what, " ".join(line.split()))
    print(out.stderr, end="")
'
python3 -c '
import socket, subprocess
l = socket.socket(socket.AF_UNIX)
l.bind("sock")
l.listen(7)
c = socket.socket(socket.AF_UNIX)
c.connect("sock")
out = subprocess.run(["ss", "-Hxan", "src = sock"], capture_output=True, text=True)
for line in sorted(out.stdout.splitlines()):
    print(" ".join(w for w in line.split() if not w.isdigit() or int(w) < 10))
print(out.stderr, end="")
'
