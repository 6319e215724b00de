"""The machine finds itself by its name, as the name server of files says."""
import socket
import subprocess
import sys

name = socket.gethostname()
own = sys.argv[1]
print("name", name, socket.getfqdn() if "." in name else socket.getfqdn() == name)
print("by name", socket.gethostbyname(name) == own, socket.gethostbyname_ex(name)[1])
print("by address", socket.gethostbyaddr(own)[0] == name)
for argv in [["hostname", "-f"], ["hostname", "-s"], ["hostname", "-i"], ["getent", "hosts", name], ["getent", "ahosts", name]]:
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    print(argv[:2], p.returncode, [line.split()[0] for line in p.stdout.splitlines()], p.stderr)
ping = subprocess.run(["ping", "-c", "1", "-q", name], stdin=subprocess.DEVNULL, capture_output=True, text=True)
print("ping", ping.returncode, ping.stdout.splitlines()[0] if ping.stdout else ping.stderr)
l = socket.create_server((name, 0))
c = socket.create_connection((name, l.getsockname()[1]))
print("itself", l.getsockname()[0] == own, c.getpeername()[0] == own, l.accept()[1][0] == (own if own[:4] != "127." else "127.0.0.1"))
with open("/etc/hosts", "a") as f: # it is a file as any other
    f.write("192.0.2.9 another\n")
print("added", socket.gethostbyname("another"))
