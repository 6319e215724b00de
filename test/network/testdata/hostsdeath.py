"""Changes /etc/hosts, and says after a line of input whether it is as it was left."""
import sys

with open("/etc/hosts") as f:
    text = f.read()
left = text.replace("127.0.1.1\tm1\n", "")
with open("/etc/hosts", "w") as f:
    f.write(left)
print("up", flush=True)
sys.stdin.readline()
print("named", text.count("\tm1\n"), left != text)
with open("/etc/hosts") as f:
    print("as it was left", f.read() == left, flush=True)
sys.stdin.read()
