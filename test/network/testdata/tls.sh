# Clients of TLS: DIR (certificates) HOST, and the ports of servers whose certificate is in
# order, another's, out of date.
dir=$1 host=$2 ok=https://$2:$3 elsewhere=https://$2:$4 old=https://$2:$5
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
c() { curl -sS --cacert "$dir/ca.crt" "$@" 2>&1 | sed "s/$host/HOST/g"; echo "status ${PIPESTATUS[0]}"; }
c "$ok/big" | sha256sum
c "$ok/who"
c --key "$dir/client.key" --cert "$dir/client.crt" "$ok/who"
c --key "$dir/client.key" --cert "$dir/other.crt" "$ok/who" | tail -n 1
for how in "--http1.1" "--http2" "--tls-max 1.2"; do
	# $how is words.
	head -c 3000000 /dev/zero | c $how --data-binary @- "$ok/sum"
	head -c 100000 /dev/zero | c $how -T - "$ok/sum"
done
# Many on one connection, and some at once.
c -o /dev/null -w '%{http_code} %{num_connects} %{ssl_verify_result}\n' "$ok/big" -o /dev/null "$ok/big" -o /dev/null "$ok/who"
c --no-progress-meter -Z --parallel-immediate -w '%{http_code}\n' -o /dev/null "$ok/[1-4]x" -o /dev/null "$ok/big?[1-4]" | sort
c --resolve "server.test:$3:$host" "https://server.test:$3/who"
# Nobody of these is believed.
c "$elsewhere/who"
c "$old/who"
curl -sS --cacert "$dir/other.crt" "$ok/who" 2>&1 | head -n 1
echo "status ${PIPESTATUS[0]}"
c "http://$host:$3/who"
exec python3 - "$@" <<'C'
import hashlib, http.client, ssl, sys, urllib.error, urllib.request

dir, host, ok, elsewhere, old = sys.argv[1:]
by = lambda ca: ssl.create_default_context(cafile=f"{dir}/{ca}.crt")

def ask(port, path, data=None, ctx=by("ca")):
    try:
        with urllib.request.urlopen(f"https://{host}:{port}{path}", data, context=ctx) as r:
            b = r.read()
        print(path, r.status, hashlib.sha256(b).hexdigest() if len(b) > 100 else b)
    except urllib.error.HTTPError as e:
        print(path, e)
    except urllib.error.URLError as e:
        print(path, type(e.reason), getattr(e.reason, "verify_message", e.reason).replace(host, "HOST"))

ask(ok, "/big")
ask(ok, "/sum", b"to the host " * 100000)
ask(ok, "/none")
mine = by("ca")
mine.load_cert_chain(f"{dir}/client.crt", f"{dir}/client.key")
ask(ok, "/who", ctx=mine)
one = by("ca")
one.maximum_version = ssl.TLSVersion.TLSv1_2
ask(ok, "/sum", b"", one)
ask(ok, "/who", ctx=by("other"))
ask(elsewhere, "/who")
ask(old, "/who")
ask(ok, "/who", ctx=ssl.create_default_context())
# One connection, kept.
c = http.client.HTTPSConnection(host, int(ok), context=by("ca"))
for i in range(20):
    c.request("POST", "/sum", b"%d" % i * 1000)
    print(c.getresponse().read()[:8], end=" ")
print(c.sock.version(), c.sock.cipher()[0])
C
