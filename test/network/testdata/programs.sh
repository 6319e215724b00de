# Clients and servers that people use, against each other by the loopback interface. What they say is the same on the
# host and in a machine. Nothing waits for a time: a server is there when its port is.
exec 2>&1
T=$(mktemp -d)
trap 'rm -rf $T' EXIT
cd $T
export LC_ALL=C
part() { echo "== $*"; }
up() { while ! ss -H"${2:-t}"ln "sport = :$1" | grep -q .; do kill -0 $P || exit 1; done; }
server() { timeout 30 "$@" & P=$!; }
over() { wait $P 2>/dev/null; echo "server: $?"; } # that a signal has ended it the shell says if it had not seen that before

part nc
server nc -l -N 127.0.0.1 5001 >nc.out; up 5001
echo hello | timeout 20 nc -N 127.0.0.1 5001; over; cat nc.out
nc -zv 127.0.0.1 5099; echo $?
server nc -lUN u.sock >un.out; until grep -q ' 00010000 .* u.sock$' /proc/net/unix; do :; done
echo local | timeout 20 nc -UN u.sock; over; cat un.out

part socat
server socat TCP-LISTEN:5003,reuseaddr EXEC:'tr a-z A-Z'; up 5003
echo hello | timeout 20 socat -t20 - TCP:127.0.0.1:5003; over
server socat TCP6-LISTEN:5004,reuseaddr,bind=[::1] SYSTEM:'echo from $SOCAT_PEERADDR to $SOCAT_SOCKADDR; cat'; up 5004
echo six | timeout 20 socat -t20 - TCP6:[::1]:5004; over
server socat UDP-RECVFROM:5005 EXEC:rev; up 5005 u
echo datagram | timeout 20 nc -u -W 1 127.0.0.1 5005; over
head -c 3000000 /dev/zero | tr '\0' a >big
server socat -u TCP-LISTEN:5006,reuseaddr,rcvbuf=20000 CREATE:big2; up 5006
timeout 20 socat -u OPEN:big TCP:localhost:5006,sndbuf=9000; over; cmp big big2 && echo the same

part iperf3
for how in '' -R '-P 4' '-u -b 500M'; do
	server iperf3 -s -1 -p 5007 >/dev/null; up 5007
	timeout 20 iperf3 -c 127.0.0.1 -p 5007 -n 4M -J $how >out
	echo "$how: $? $(grep -c '"error"' out)"; over
done

part rsync
mkdir a
for i in 1 2 3 4 5 6 7 8 9; do seq $i 3000 >a/f$i; done
ln -s f1 a/link
touch -d '2020-01-02 03:04:05' a/*
if [ "$1" = daemon ]; then # which changes its groups
printf '[m]\npath = %s/a\ncomment = files\nuse chroot = false\nread only = false\nmunge symlinks = false\n%s' $T 'uid = root' >rsyncd.conf
server rsync --daemon --no-detach --address=127.0.0.1 --port=5010 --config=rsyncd.conf --log-file=/dev/null; up 5010
rsync rsync://127.0.0.1:5010/
rsync -a rsync://127.0.0.1:5010/m/ b/; diff -r a b && echo the same
echo new >a/f7
rsync -ai rsync://127.0.0.1:5010/m/ b/ | sort
rm b/f3; rsync -ai --delete b/ rsync://127.0.0.1:5010/m/ | grep -v '[.]/' | sort; diff -r a b && echo the same
kill $P; over
fi
printf '#!/bin/sh\nshift\nexec "$@"\n' >rsh; chmod +x rsh
rsync -a -e ./rsh a/ there:$T/c/; diff -r a c && echo the same

part http
server python3 -m http.server 5011 --bind 127.0.0.1 -d a >/dev/null 2>&1; up 5011
curl -s http://127.0.0.1:5011/f9 | md5sum
curl -s -o /dev/null -w '%{http_code} %{remote_ip} %{remote_port} %{size_download} %{num_connects}\n' http://localhost:5011/f9 http://localhost:5011/none
curl -s -r 100-199 -o part http://127.0.0.1:5011/f9; wc -c <part
wget -q -O - http://127.0.0.1:5011/f9 | md5sum
wget -nv -O /dev/null http://127.0.0.1:5011/none 2>&1 | grep -o 'ERROR.*'
wget -q -r -np -nH -P r http://127.0.0.1:5011/; ls r
kill $P; over

part openssl
openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
server openssl s_server -accept 5012 -key k.pem -cert c.pem -quiet -naccept 1 -WWW; up 5012
timeout 20 curl -s --cacert c.pem https://localhost:5012/c.pem | cmp - c.pem; over
server openssl s_server -accept 5012 -key k.pem -cert c.pem -quiet -naccept 1 -www; up 5012
printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -connect localhost:5012 -CAfile c.pem -quiet -verify_return_error 2>/dev/null | grep -a '^HTTP'; over

part names
timeout 20 dig +time=1 +tries=1 @127.0.0.1 -p 5098 example.org | grep -c refused
getent hosts localhost; getent ahostsv4 127.0.0.1

part ss and ip
server nc -l 127.0.0.1 5013 >/dev/null; up 5013
mkfifo in; nc -N 127.0.0.1 5013 <in & exec 4>in
while ! ss -Htn 'dport = :5013' | grep -q ESTAB; do :; done
ss -Htan '( sport = :5013 or dport = :5013 )' | sed 's/:[0-9]\{5\}/:PORT/g; s/  */ /g' | sort
ss -Htanp '( sport = :5013 or dport = :5013 )' | sed 's/pid=[0-9]*/pid/; s/:[0-9]\{5\}/:PORT/g; s/  */ /g' | sort
ss -H -o state established '( sport = :5013 or dport = :5013 )' 2>/dev/null | sed 's/:[0-9]\{5\}/:PORT/g; s/  */ /g' | sort
exec 4>&-; over
ip -br addr show lo; ip route; ip rule; ip -6 rule; ip neigh; ip -4 -o addr show lo; ip route get 127.0.0.5 | head -n 1 | sed 's/ uid [0-9]*//'
ip link show none9; echo $?
ip tcp_metrics >/dev/null; echo $? # of a host that has just spoken to itself
for f in addrlabel nexthop; do ip $f; done
tc qdisc show; bridge link; tc filter show dev lo
nstat -az TcpActiveOpens UdpNoPorts IpExtInMcastPkts TcpExtListenDrops Ip6InMcastPkts | sed 1d | awk '{print $1, $2 == 0}'

part traceroute and ping
for how in -n '-n -I' '-n -6' '-n -6 -I'; do
	case $how in *6*) to=::1 ;; *) to=127.0.0.1 ;; esac
	traceroute $how -q 1 $to | sed 's/[0-9.]* ms/MS/'
done
for a in 127.0.0.1 ::1 127.3.2.1; do ping -c 2 -i 0.01 -q $a | sed 's/time.*//; s/rtt.*//'; done
ping -c 1 -s 3000 -p ff 127.0.0.1 | sed 's/time.*//; s/rtt.*//'

part languages
perl -MIO::Socket::IP -MIO::Socket::UNIX -MIO::Select -e '
for my $h ("127.0.0.1", "::1") {
	my $l = IO::Socket::IP->new(Listen => 5, LocalHost => $h, LocalPort => 0, ReuseAddr => 1) or die "$@";
	my $c = IO::Socket::IP->new(PeerHost => $h, PeerPort => $l->sockport, Timeout => 20) or die "$@";
	my $a = $l->accept; my $s = IO::Select->new($a);
	print {$c} "line $_\n" for 1 .. 3; $c->shutdown(1);
	print "ready ", scalar($s->can_read(20)), "\n"; print while <$a>;
	print $a->peerhost, " ", $a->peerport == $c->sockport ? "same" : "other", "\n";
}
my ($x, $y) = IO::Socket->socketpair(AF_UNIX, SOCK_DGRAM, PF_UNSPEC); $x->send("one"); $y->recv(my $b, 9); print "$b\n";
my $n = IO::Socket::IP->new(PeerHost => "127.0.0.1", PeerPort => 5097); print $n ? "?" : "$!", "\n"'
timeout 20 node -e '
const http = require("http"), dgram = require("dgram"), net = require("net"), fs = require("fs");
const s = http.createServer((q, r) => { let n = 0; q.on("data", d => n += d.length); q.on("end", () => r.end(q.method + q.url + n)); });
s.listen(0, "::1", () => {
	const q = http.request({host: "::1", port: s.address().port, method: "POST", path: "/x"}, r => {
		let t = ""; r.on("data", d => t += d);
		r.on("end", () => { console.log(r.statusCode, t); s.close();
			const u = dgram.createSocket("udp4");
			u.on("message", (m, r) => { console.log("" + m, r.address, r.port == u.address().port); u.close();
				net.connect(5096, "127.0.0.1").on("error", e => { console.log(e.code);
					const l = net.createServer(c => c.end("local")); l.listen("n.sock", () => net.connect("n.sock").on("data", d => console.log("" + d)).on("end", () => l.close())); }); });
			u.bind(0, "127.0.0.1", () => u.send("datagram", u.address().port, "127.0.0.1")); }); });
	q.end(Buffer.alloc(300000));
});
console.log(JSON.stringify(require("os").networkInterfaces().lo.map(i => [i.address, i.cidr, i.family, i.internal])))'
timeout 20 python3 -c '
import asyncio, os, socket, socketserver, threading
class H(socketserver.StreamRequestHandler):
	def handle(self): self.wfile.write(self.rfile.readline().upper())
with socketserver.ThreadingTCPServer(("127.0.0.1", 0), H) as s:
	threading.Thread(target=s.serve_forever).start()
	for w in b"a\n", b"bc\n":
		with socket.create_connection(s.server_address) as c: c.sendall(w); print(c.recv(9))
	s.shutdown()
async def serve(r, w): w.write(await r.read()); await w.drain(); w.close()
async def main():
	s = await asyncio.start_server(serve, "::1", 0)
	async def one(i):
		r, w = await asyncio.open_connection(*s.sockets[0].getsockname()[:2])
		w.write(b"x" * i * 10000); w.write_eof(); n = len(await r.read()); w.close(); return n
	print(await asyncio.gather(*map(one, range(20))))
	try: await asyncio.open_connection("127.0.0.1", 5095)
	except OSError as e: print(e.errno)
	s.close()
asyncio.run(main())
# netstat takes a shorter number for none
s = socket.socket(); print(len(os.readlink("/proc/self/fd/%d" % s.fileno())) > len("socket:[9]"))'
