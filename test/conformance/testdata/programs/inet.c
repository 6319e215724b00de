#include "fds.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

// IP sockets on the loopback interface. Ports are the system's choice, so that
// both sides print the same.

static struct sockaddr_in A4(const char *ip, int port) {
	struct sockaddr_in a = {AF_INET, htons(port)};
	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}
static struct sockaddr_in6 A6(const char *ip, int port) {
	struct sockaddr_in6 a = {AF_INET6, htons(port)};
	inet_pton(AF_INET6, ip, &a.sin6_addr);
	return a;
}
static int sock(int f, int t) { return socket(f, t, 0); }
static int port(int s) {
	struct sockaddr_in6 a = {0};
	socklen_t l = sizeof a;
	getsockname(s, (void *)&a, &l);
	return ntohs(a.sin6_port); // at the same place in both
}
static void show(const char *w, void *p, int l) {
	struct sockaddr_in6 *a = p;
	char b[80] = "?";
	inet_ntop(a->sin6_family, a->sin6_family == AF_INET ? (void *)&((struct sockaddr_in *)p)->sin_addr : &a->sin6_addr, b, sizeof b);
	printf("%s: len %d family %d %s port %d\n", w, l, a->sin6_family, b, a->sin6_port != 0);
}
static void name(const char *w, int s, int peer) {
	struct sockaddr_in6 a = {0};
	socklen_t l = sizeof a;
	errno = 0;
	int r = peer ? getpeername(s, (void *)&a, &l) : getsockname(s, (void *)&a, &l);
	if (r)
		printf("%s: %s\n", w, strerrorname_np(errno));
	else
		show(w, &a, l);
}
static int err(int s) {
	int e = -1;
	socklen_t l = 4;
	getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &l);
	return e;
}
static int state(int s) {
	struct tcp_info i = {0};
	socklen_t l = sizeof i;
	if (getsockopt(s, IPPROTO_TCP, TCP_INFO, &i, &l))
		return -errno;
	return i.tcpi_state;
}
static int on(int s, int level, int opt, int v) { return setsockopt(s, level, opt, &v, sizeof v); }
static void opt(const char *w, int s, int level, int o) {
	int v = -77;
	socklen_t l = 4;
	errno = 0;
	int r = getsockopt(s, level, o, &v, &l);
	if (r)
		printf("%s: %s\n", w, strerrorname_np(errno));
	else
		printf("%s: %d len %d\n", w, v, l);
}
#define C(s, a) connect(s, (void *)&a, sizeof a)
#define B(s, a) bind(s, (void *)&a, sizeof a)

// pair makes a connection; l is the listener that stays.
static int l;
static void pair(int *p) {
	struct sockaddr_in a = A4("127.0.0.1", port(l));
	p[0] = sock(AF_INET, SOCK_STREAM);
	if (C(p[0], a))
		perror("connect");
	p[1] = accept(l, 0, 0);
}

static char b[1 << 20];

static void sockets(void) {
	T(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	T(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
	T(socket(AF_INET, SOCK_SEQPACKET, 0));
	T(socket(AF_INET, SOCK_STREAM, 300));
	T(socket(AF_INET6, SOCK_STREAM, IPPROTO_UDP));
	T(socket(AF_INET, 0, 0));
	int p[2];
	T(socketpair(AF_INET, SOCK_STREAM, 0, p));
	T(socketpair(AF_INET6, SOCK_DGRAM, 0, p));
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	T(fcntl(s, F_GETFD));
	printf("%x\n", fcntl(s, F_GETFL));
	opt("type", s, SOL_SOCKET, SO_TYPE);
	opt("domain", s, SOL_SOCKET, SO_DOMAIN);
	opt("protocol", s, SOL_SOCKET, SO_PROTOCOL);
	name("fresh", s, 0);
	name("fresh peer", s, 1);
	ready("fresh", s);
	T(recv(s, b, 1, 0));
	T(send(s, b, 1, MSG_NOSIGNAL));
	T(shutdown(s, SHUT_WR));
	T(accept(s, 0, 0));
	T(state(s));
	struct stat st;
	T(fstat(s, &st));
	printf("%o\n", st.st_mode);
	T(lseek(s, 0, SEEK_SET));
	ready("fresh udp", sock(AF_INET, SOCK_DGRAM));
	name("fresh six", sock(AF_INET6, SOCK_STREAM), 0);
}

static void binds(void) {
	int s = sock(AF_INET, SOCK_STREAM), t = sock(AF_INET, SOCK_STREAM), u;
	struct sockaddr_in a = A4("127.0.0.1", 0);
	struct sockaddr_in6 a6;
	T(bind(s, (void *)&a, 8));
	T(bind(s, (void *)&a, 0));
	T(bind(s, (void *)8, sizeof a));
	a.sin_family = AF_INET6;
	T(B(s, a));
	a.sin_family = AF_UNSPEC;
	T(B(s, a));
	a = A4("192.0.2.1", 0);
	T(B(s, a));
	a = A4("127.0.0.1", 0);
	T(B(s, a));
	name("bound", s, 0);
	T(B(s, a));
	a = A4("127.0.0.1", port(s));
	T(B(t, a));
	a = A4("0.0.0.0", port(s));
	T(B(t, a));
	a = A4("127.0.0.2", port(s));
	T(B(t, a));
	// Both with SO_REUSEADDR, until one listens.
	s = sock(AF_INET, SOCK_STREAM), t = sock(AF_INET, SOCK_STREAM);
	on(s, SOL_SOCKET, SO_REUSEADDR, 1);
	a = A4("127.0.0.1", 0);
	B(s, a);
	a = A4("127.0.0.1", port(s));
	T(B(t, a));
	on(t, SOL_SOCKET, SO_REUSEADDR, 1);
	T(B(t, a));
	T(listen(s, 1));
	T(listen(t, 1));
	u = sock(AF_INET, SOCK_STREAM);
	on(u, SOL_SOCKET, SO_REUSEADDR, 1);
	T(B(u, a));
	// With SO_REUSEPORT.
	s = sock(AF_INET, SOCK_STREAM), t = sock(AF_INET, SOCK_STREAM);
	on(s, SOL_SOCKET, SO_REUSEPORT, 1);
	on(t, SOL_SOCKET, SO_REUSEPORT, 1);
	a = A4("127.0.0.1", 0);
	B(s, a);
	a = A4("127.0.0.1", port(s));
	T(B(t, a));
	T(listen(s, 1));
	T(listen(t, 1));
	// IPv6 and both.
	s = sock(AF_INET6, SOCK_STREAM);
	a6 = A6("::1", 0);
	T(bind(s, (void *)&a6, 16));
	a6.sin6_family = AF_INET;
	T(B(s, a6));
	a6 = A6("2001:db8::1", 0);
	T(B(s, a6));
	a6 = A6("::", 0);
	T(B(s, a6));
	name("any six", s, 0);
	T(on(s, IPPROTO_IPV6, IPV6_V6ONLY, 1));
	opt("only", s, IPPROTO_IPV6, IPV6_V6ONLY);
	t = sock(AF_INET, SOCK_STREAM);
	a = A4("0.0.0.0", port(s));
	T(B(t, a));
	a = A4("127.0.0.1", port(s));
	T(B(t, a));
	t = sock(AF_INET6, SOCK_STREAM);
	a6 = A6("::1", port(s));
	T(B(t, a6));
	s = sock(AF_INET6, SOCK_STREAM);
	T(on(s, IPPROTO_IPV6, IPV6_V6ONLY, 1));
	a6 = A6("::ffff:127.0.0.1", 0);
	T(B(s, a6));
	a6 = A6("::", 0);
	T(B(s, a6));
	t = sock(AF_INET, SOCK_STREAM);
	a = A4("0.0.0.0", port(s));
	T(B(t, a));
	s = sock(AF_INET6, SOCK_STREAM);
	a6 = A6("::ffff:127.0.0.1", 0);
	T(B(s, a6));
	name("mapped", s, 0);
	s = sock(AF_INET, SOCK_STREAM);
	T(listen(s, 1)); // without a name
	name("listens", s, 0);
	// UDP and TCP do not meet.
	t = sock(AF_INET, SOCK_DGRAM);
	a = A4("0.0.0.0", port(s));
	T(B(t, a));
	// Privileged ports need a capability.
	if (geteuid() != 0) {
		a = A4("127.0.0.1", 81);
		T(B(sock(AF_INET, SOCK_STREAM), a));
	}
}

static void connects(void) {
	struct sockaddr_in a = A4("127.0.0.1", port(l)), none;
	struct sockaddr_in6 a6;
	int gone = sock(AF_INET, SOCK_STREAM);
	none = A4("127.0.0.1", 0);
	B(gone, none);
	none = A4("127.0.0.1", port(gone)); // bound, nobody listens
	int s = sock(AF_INET, SOCK_STREAM), c;
	T(connect(s, (void *)&a, 1));
	T(connect(s, (void *)&a, 8));
	T(connect(s, (void *)8, 16));
	a.sin_family = AF_INET6;
	T(C(s, a));
	a.sin_family = AF_INET;
	T(C(s, none));
	ready("refused", s);
	name("refused", s, 0);
	T(err(s));
	T(C(s, a));
	name("own", s, 0);
	name("peer", s, 1);
	T(C(s, a));
	ready("connected", s);
	ready("listener", l);
	T(state(s));
	T(state(l));
	struct sockaddr_in6 from = {0};
	socklen_t n = sizeof from;
	OK(c = accept4(l, (void *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC));
	show("from", &from, n);
	T(port(s) == ntohs(from.sin6_port));
	name("accepted", c, 0);
	printf("%x %x\n", fcntl(c, F_GETFL), fcntl(c, F_GETFD));
	T(listen(s, 1));
	T(B(s, a));
	T(accept(s, 0, 0));
	T(connect(l, (void *)&a, sizeof a));
	// Without waiting.
	s = sock(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	T(C(s, a));
	ready("in progress", s);
	T(C(s, a));
	T(C(s, a));
	close(accept(l, 0, 0));
	s = sock(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	T(C(s, none));
	ready("refused later", s);
	T(C(s, none));
	T(C(s, none));
	T(err(s));
	T(err(s));
	ready("told", s);
	T(C(s, none));
	T(C(s, a));
	T(err(s));
	name("peer", s, 1);
	close(accept(l, 0, 0));
	// IPv6, and IPv4 from it.
	int l6 = sock(AF_INET6, SOCK_STREAM);
	a6 = A6("::", 0);
	B(l6, a6);
	listen(l6, 5);
	s = sock(AF_INET6, SOCK_STREAM);
	a6 = A6("::1", port(l6));
	T(C(s, a6));
	name("six", s, 0);
	n = sizeof from;
	c = accept(l6, (void *)&from, &n);
	show("six", &from, n);
	s = sock(AF_INET, SOCK_STREAM);
	a = A4("127.0.0.1", port(l6));
	T(C(s, a));
	n = sizeof from;
	c = accept(l6, (void *)&from, &n);
	show("four at six", &from, n);
	name("its own", c, 0);
	opt("domain", c, SOL_SOCKET, SO_DOMAIN);
	s = sock(AF_INET6, SOCK_STREAM);
	a6 = A6("::ffff:127.0.0.1", port(l6));
	T(C(s, a6));
	name("mapped", s, 0);
	name("mapped", s, 1);
	close(accept(l6, 0, 0));
	s = sock(AF_INET6, SOCK_STREAM);
	a6 = A6("::1", port(l));
	T(C(s, a6)); // listens at IPv4 only
	a = A4("127.0.0.3", port(l6));
	s = sock(AF_INET, SOCK_STREAM);
	T(C(s, a));
	name("from", s, 0);
	name("to", s, 1);
	a = A4("0.0.0.0", port(l6));
	s = sock(AF_INET, SOCK_STREAM);
	T(C(s, a));
	name("to any", s, 1);
	a = A4("255.255.255.255", 80);
	s = sock(AF_INET, SOCK_STREAM);
	T(C(s, a));
	a = A4("127.0.0.1", 0);
	T(C(s, a));
	// To no one, and again.
	a.sin_family = AF_UNSPEC;
	s = sock(AF_INET, SOCK_STREAM);
	T(C(s, a));
	a = A4("127.0.0.1", port(l));
	T(C(s, a));
	c = accept(l, 0, 0);
	a.sin_family = AF_UNSPEC;
	T(C(s, a));
	name("apart", s, 1);
	T(recv(c, b, 1, 0));
	T(recv(c, b, 1, 0));
	a.sin_family = AF_INET;
	T(C(s, a));
	close(accept(l, 0, 0));
}

static void backlog(void) {
	int s = sock(AF_INET, SOCK_STREAM), c[6];
	struct sockaddr_in a = A4("127.0.0.1", 0);
	B(s, a);
	listen(s, 1);
	a = A4("127.0.0.1", port(s));
	for (int i = 0; i < 2; i++) {
		c[i] = sock(AF_INET, SOCK_STREAM);
		T(C(c[i], a));
	}
	ready("pending", s);
	T(send(c[0], "early", 5, 0));
	close(c[1]);
	int d = accept(s, 0, 0), e = accept(s, 0, 0);
	T(recv(d, b, 10, 0));
	T(recv(e, b, 10, 0));
	c[2] = sock(AF_INET, SOCK_STREAM);
	T(C(c[2], a));
	close(s); // with one that nobody accepted
	T(recv(c[2], b, 1, 0));
	T(recv(c[2], b, 1, 0));
	c[3] = sock(AF_INET, SOCK_STREAM);
	T(C(c[3], a));
	T(send(d, "on", 2, 0)); // what was accepted goes on
	T(recv(c[0], b, 10, 0));
	s = sock(AF_INET, SOCK_STREAM);
	listen(s, 1);
	T(shutdown(s, SHUT_WR));
	T(shutdown(s, SHUT_RD));
	T(accept(s, 0, 0));
	ready("shut listener", s);
}

static void streams(void) {
	int p[2], n, q;
	pair(p);
	T(send(p[0], "hello", 5, 0));
	T(recv(p[1], b, 2, MSG_PEEK));
	T(ioctl(p[1], FIONREAD, &n));
	printf("%d\n", n);
	T(ioctl(p[0], TIOCOUTQ, &n));
	printf("%d\n", n);
	T(recv(p[1], b, 100, 0));
	printf("%.5s\n", b);
	T(recv(p[1], b, 100, MSG_DONTWAIT));
	T(send(p[0], "dropped", 7, 0));
	memset(b, 'z', 8);
	T(recv(p[1], b, 4, MSG_TRUNC));
	printf("%.4s\n", b);
	T(recv(p[1], b, 4, 0));
	printf("%.3s\n", b);
	struct sockaddr_in a = A4("127.0.0.1", 9), from;
	T(sendto(p[0], "x", 1, 0, (void *)&a, sizeof a));
	socklen_t fl = sizeof from;
	T(recvfrom(p[1], b, 1, 0, (void *)&from, &fl));
	printf("from %d\n", fl);
	T(send(p[0], "", 0, 0));
	T(send(p[0], (void *)8, 5, 0));
	// An end of one direction.
	T(shutdown(p[0], SHUT_WR));
	ready("write shut", p[0]);
	ready("its peer", p[1]);
	T(state(p[1]));
	T(recv(p[1], b, 1, 0));
	T(send(p[0], "x", 1, MSG_NOSIGNAL));
	T(send(p[1], "back", 4, 0));
	T(recv(p[0], b, 100, 0));
	T(shutdown(p[1], SHUT_WR));
	ready("both shut", p[1]);
	ready("both shut", p[0]);
	T(state(p[1]));
	name("both shut", p[1], 1);
	T(shutdown(p[1], SHUT_WR));
	T(recv(p[0], b, 1, 0));
	T(recv(p[1], b, 1, 0));
	T(send(p[1], "x", 1, MSG_NOSIGNAL));
	close(p[0]), close(p[1]);
	// The peer closes.
	pair(p);
	send(p[1], "last", 4, 0);
	close(p[1]);
	ready("closed peer", p[0]);
	T(recv(p[0], b, 100, 0));
	T(recv(p[0], b, 100, 0));
	T(send(p[0], "x", 1, MSG_NOSIGNAL));
	ready("after a write", p[0]);
	T(send(p[0], "x", 1, MSG_NOSIGNAL));
	T(send(p[0], "x", 1, MSG_NOSIGNAL));
	T(recv(p[0], b, 100, 0));
	T(err(p[0]));
	name("closed", p[0], 1);
	close(p[0]);
	// With bytes that it did not read.
	pair(p);
	send(p[0], "unread", 6, 0);
	send(p[1], "left", 4, 0);
	close(p[1]);
	ready("reset", p[0]);
	T(recv(p[0], b, 2, 0));
	T(recv(p[0], b, 100, 0));
	T(recv(p[0], b, 100, 0));
	T(recv(p[0], b, 100, 0));
	T(send(p[0], "x", 1, MSG_NOSIGNAL));
	close(p[0]);
	// SO_LINGER of nothing.
	pair(p);
	struct linger li = {1, 0};
	T(setsockopt(p[1], SOL_SOCKET, SO_LINGER, &li, sizeof li));
	close(p[1]);
	ready("lingered", p[0]);
	T(err(p[0]));
	T(recv(p[0], b, 100, 0));
	T(send(p[0], "x", 1, MSG_NOSIGNAL));
	close(p[0]);
	// Reading shut.
	pair(p);
	T(shutdown(p[0], SHUT_RD));
	ready("read shut", p[0]);
	ready("its peer", p[1]);
	T(recv(p[0], b, 1, 0));
	T(send(p[1], "late", 4, 0));
	T(recv(p[0], b, 10, 0));
	T(recv(p[0], b, 10, 0));
	T(shutdown(p[0], SHUT_RDWR));
	T(send(p[1], "nobody", 6, MSG_NOSIGNAL));
	T(send(p[1], "nobody", 6, MSG_NOSIGNAL));
	T(shutdown(p[1], 3));
	close(p[0]), close(p[1]);
	// Much.
	pair(p);
	fflush(stdout);
	pid_t k = fork();
	if (k == 0) {
		close(p[1]);
		for (int i = 0; i < (int)sizeof b; i++)
			b[i] = i * 7 >> 3;
		int r = 0;
		for (int i = 0; i < 8; i++)
			r += write(p[0], b, sizeof b) == sizeof b;
		_exit(r);
	}
	close(p[0]);
	long sum = 0, bytes = 0;
	while ((n = recv(p[1], b, sizeof b, 0)) > 0)
		for (q = 0; q < n; q++, bytes++)
			sum += (unsigned char)b[q] * (bytes % 251);
	int st;
	waitpid(k, &st, 0);
	printf("%ld bytes %ld, %d writes\n", bytes, sum, WEXITSTATUS(st));
	close(p[1]);
	// Full, without waiting.
	pair(p);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	for (bytes = 0; (n = send(p[0], b, 65536, 0)) > 0;)
		bytes += n;
	printf("full %d %s\n", bytes > 100000, strerrorname_np(errno));
	struct pollfd f = {p[0], POLLOUT};
	T(poll(&f, 1, 0));
	while (bytes > 0 && (n = recv(p[1], b, sizeof b, 0)) > 0)
		bytes -= n;
	T(bytes);
	T(poll(&f, 1, -1));
	// recv that waits for all of it.
	fflush(stdout);
	k = fork();
	if (k == 0) {
		fcntl(p[0], F_SETFL, 0);
		for (int i = 0; i < 10; i++)
			send(p[0], "0123456789", 10, 0);
		_exit(0);
	}
	T(recv(p[1], b, 100, MSG_WAITALL));
	waitpid(k, 0, 0);
	// Vectors, files.
	struct iovec v[3] = {{"a", 1}, {"", 0}, {"bcd", 3}};
	T(writev(p[0], v, 3));
	struct iovec w[2] = {{b, 1}, {b + 10, 10}};
	T(readv(p[1], w, 2));
	printf("%c %.3s\n", b[0], b + 10);
	int file = open("sent", O_RDWR | O_CREAT | O_TRUNC, 0600), pi[2];
	write(file, "from a file", 11);
	off_t off = 5;
	T(sendfile(p[0], file, &off, 100));
	T(recv(p[1], b, 100, 0));
	pipe(pi);
	write(pi[1], "spliced", 7);
	T(splice(pi[0], 0, p[0], 0, 100, 0));
	T(splice(p[1], 0, pi[1], 0, 100, 0));
	T(read(pi[0], b, 100));
	// A signal for who writes to nobody.
	struct timeval tv = {0, 20000};
	T(setsockopt(p[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	T(recv(p[1], b, 1, 0));
	close(p[0]), close(p[1]);
}

static volatile int urged;
static void onurg(int x) { urged++; }

static void urgent(void) {
	int p[2], at;
	pair(p);
	signal(SIGURG, onurg);
	T(fcntl(p[1], F_SETOWN, getpid()));
	T(recv(p[1], b, 1, MSG_OOB));
	T(send(p[0], "ab!", 3, MSG_OOB));
	ready("urgent", p[1]);
	T(urged);
	T(ioctl(p[1], SIOCATMARK, &at));
	printf("at %d\n", at);
	T(recv(p[1], b, 1, MSG_OOB | MSG_PEEK));
	T(recv(p[1], b, 1, MSG_OOB));
	printf("%c\n", b[0]);
	T(recv(p[1], b, 1, MSG_OOB));
	ready("taken", p[1]);
	send(p[0], "cd", 2, 0);
	T(recv(p[1], b, 100, 0)); // up to the mark
	T(ioctl(p[1], SIOCATMARK, &at));
	printf("at %d\n", at);
	T(recv(p[1], b, 100, 0));
	printf("%.2s\n", b);
	T(ioctl(p[1], SIOCATMARK, &at));
	printf("at %d\n", at);
	// In the stream.
	T(on(p[1], SOL_SOCKET, SO_OOBINLINE, 1));
	send(p[0], "ef", 2, 0);
	send(p[0], "?", 1, MSG_OOB);
	send(p[0], "gh", 2, 0);
	T(recv(p[1], b, 1, MSG_OOB));
	T(recv(p[1], b, 100, 0));
	T(ioctl(p[1], SIOCATMARK, &at));
	printf("at %d\n", at);
	T(recv(p[1], b, 100, 0));
	printf("%.3s\n", b);
	T(urged);
	struct pollfd f = {p[1], POLLPRI};
	T(poll(&f, 1, 0));
	close(p[0]), close(p[1]);
	T(send(sock(AF_INET, SOCK_DGRAM), "x", 1, MSG_OOB));
}

static void piped(void) {
	int p[2];
	pair(p);
	close(p[1]);
	send(p[0], "x", 1, 0);
	send(p[0], "x", 1, 0);
	puts("survived");
}

static void epolls(void) {
	int p[2], e = epoll_create1(0), n;
	struct epoll_event v = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.u32 = 7}}, got[4];
	pair(p);
	epoll_ctl(e, EPOLL_CTL_ADD, p[0], &v);
	n = epoll_wait(e, got, 4, 0);
	printf("first %d %x\n", n, got[0].events);
	T(epoll_wait(e, got, 4, 0));
	send(p[1], "x", 1, 0);
	n = epoll_wait(e, got, 4, -1);
	printf("data %d %x\n", n, got[0].events);
	T(epoll_wait(e, got, 4, 0));
	close(p[1]);
	n = epoll_wait(e, got, 4, -1);
	printf("end %d %x\n", n, got[0].events);
	close(p[0]);
	// A connect in progress, a listener.
	int s = sock(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	struct sockaddr_in a = A4("127.0.0.1", port(l));
	v.events = EPOLLIN;
	epoll_ctl(e, EPOLL_CTL_ADD, l, &v);
	T(epoll_wait(e, got, 4, 0));
	C(s, a);
	n = epoll_wait(e, got, 4, -1);
	printf("listener %d %x\n", n, got[0].events);
	close(accept(l, 0, 0));
	close(s);
}

static void datagrams(void) {
	int s = sock(AF_INET, SOCK_DGRAM), t = sock(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK), n;
	struct sockaddr_in a = A4("127.0.0.1", 0), to;
	struct sockaddr_in6 from = {0}, a6;
	socklen_t fl = sizeof from;
	T(send(s, "x", 1, 0));
	T(recv(t, b, 1, 0));
	T(B(s, a));
	to = A4("127.0.0.1", port(s));
	T(sendto(t, "one", 3, 0, (void *)&to, sizeof to));
	name("chosen", t, 0);
	T(sendto(t, "", 0, 0, (void *)&to, sizeof to));
	T(sendto(t, "three", 5, 0, (void *)&to, sizeof to));
	ready("three", s);
	T(ioctl(s, FIONREAD, &n));
	printf("%d\n", n);
	T(recvfrom(s, b, 100, 0, (void *)&from, &fl));
	show("from", &from, fl);
	T(port(t) == ntohs(from.sin6_port));
	T(recv(s, b, 100, 0));
	T(recv(s, b, 2, MSG_TRUNC | MSG_PEEK));
	struct iovec v = {b, 2};
	struct msghdr h = {&from, sizeof from, &v, 1};
	T(recvmsg(s, &h, 0));
	printf("%x %d\n", h.msg_flags, h.msg_namelen);
	T(recv(s, b, 2, MSG_DONTWAIT));
	T(sendto(t, b, 65508, 0, (void *)&to, sizeof to));
	T(sendto(t, b, 65507, 0, (void *)&to, sizeof to));
	T(recv(s, b, 65536, 0));
	to.sin_port = 0;
	T(sendto(t, "x", 1, 0, (void *)&to, sizeof to));
	T(sendto(t, "x", 1, 0, (void *)&to, 8));
	to = A4("127.0.0.1", port(s));
	to.sin_family = AF_INET6;
	T(sendto(t, "x", 1, 0, (void *)&to, sizeof to));
	// Connected ones hear their peer only.
	to.sin_family = AF_INET;
	T(C(t, to));
	name("connected", t, 0);
	name("connected", t, 1);
	T(send(t, "c", 1, 0));
	T(recv(s, b, 10, 0));
	int u = sock(AF_INET, SOCK_DGRAM);
	a = A4("127.0.0.1", port(t));
	T(sendto(u, "stranger", 8, 0, (void *)&a, sizeof a));
	T(recv(t, b, 10, 0));
	T(sendto(s, "friend", 6, 0, (void *)&a, sizeof a));
	T(recv(t, b, 10, 0));
	T(shutdown(t, SHUT_WR));
	T(send(t, "x", 1, MSG_NOSIGNAL));
	T(shutdown(s, SHUT_RD));
	T(recv(s, b, 1, 0));
	to.sin_family = AF_UNSPEC;
	T(C(t, to));
	name("apart", t, 1);
	name("apart", t, 0);
	// To nobody.
	u = sock(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK);
	int gone = sock(AF_INET, SOCK_DGRAM);
	a = A4("127.0.0.1", 0);
	B(gone, a);
	a = A4("127.0.0.1", port(gone));
	close(gone);
	T(sendto(u, "x", 1, 0, (void *)&a, sizeof a));
	T(recv(u, b, 1, 0));
	T(C(u, a));
	T(send(u, "x", 1, 0));
	ready("refused", u);
	T(recv(u, b, 1, 0));
	T(recv(u, b, 1, 0));
	send(u, "x", 1, 0);
	T(send(u, "x", 1, 0));
	T(err(u));
	T(listen(u, 1));
	T(accept(u, 0, 0));
	// IPv6, and IPv4 by it.
	s = sock(AF_INET6, SOCK_DGRAM);
	a6 = A6("::", 0);
	B(s, a6);
	t = sock(AF_INET6, SOCK_DGRAM);
	a6 = A6("::1", port(s));
	T(sendto(t, "six", 3, 0, (void *)&a6, sizeof a6));
	fl = sizeof from;
	T(recvfrom(s, b, 10, 0, (void *)&from, &fl));
	show("six", &from, fl);
	a = A4("127.0.0.1", port(s));
	T(sendto(t, "four", 4, 0, (void *)&a, sizeof a));
	fl = sizeof from;
	T(recvfrom(s, b, 10, 0, (void *)&from, &fl));
	show("four", &from, fl);
	// Broadcasts need leave.
	u = sock(AF_INET, SOCK_DGRAM);
	a = A4("127.255.255.255", 9);
	T(sendto(u, "x", 1, 0, (void *)&a, sizeof a));
	// Shared ports.
	s = sock(AF_INET, SOCK_DGRAM), t = sock(AF_INET, SOCK_DGRAM);
	on(s, SOL_SOCKET, SO_REUSEADDR, 1), on(t, SOL_SOCKET, SO_REUSEADDR, 1);
	a = A4("127.0.0.1", 0);
	B(s, a);
	a = A4("127.0.0.1", port(s));
	T(B(t, a));
	sendto(u, "last", 4, 0, (void *)&a, sizeof a);
	T(recv(s, b, 10, MSG_DONTWAIT));
	T(recv(t, b, 10, MSG_DONTWAIT));
	// Queues are bounded; what is too much is lost.
	for (n = 0; n < 5000; n++)
		sendto(u, "many", 4, 0, (void *)&a, sizeof a);
	for (n = 0; recv(t, b, 10, MSG_DONTWAIT) > 0; n++)
		;
	printf("%d\n", n > 100 && n < 1000);
	// Several with one call.
	struct mmsghdr mm[3] = {0};
	struct iovec mi[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
	for (int i = 0; i < 3; i++)
		mm[i].msg_hdr = (struct msghdr){&a, sizeof a, &mi[i], 1};
	T(sendmmsg(u, mm, 3, 0));
	for (int i = 0; i < 3; i++)
		mi[i] = (struct iovec){b + 100 * i, 50}, mm[i].msg_hdr = (struct msghdr){0, 0, &mi[i], 1};
	T(recvmmsg(t, mm, 3, MSG_WAITFORONE, 0));
	printf("%d %d %d\n", mm[0].msg_len, mm[1].msg_len, mm[2].msg_len);
}

// control prints what comes beside a datagram.
static void control(const char *w, int s) {
	char c[512];
	struct sockaddr_in6 from;
	struct iovec v = {b, 100};
	struct msghdr h = {&from, sizeof from, &v, 1, c, sizeof c};
	errno = 0;
	int r = recvmsg(s, &h, MSG_DONTWAIT);
	printf("%s: %d", w, r);
	for (struct cmsghdr *m = r < 0 ? 0 : CMSG_FIRSTHDR(&h); m; m = CMSG_NXTHDR(&h, m)) {
		printf(" [%d %d len %d", m->cmsg_level, m->cmsg_type, (int)(m->cmsg_len - CMSG_LEN(0)));
		if (m->cmsg_level == IPPROTO_IP && m->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *i = (void *)CMSG_DATA(m);
			printf(" if %d to %s", i->ipi_ifindex, inet_ntoa(i->ipi_addr));
			printf(" local %s", inet_ntoa(i->ipi_spec_dst));
		} else if (m->cmsg_level == IPPROTO_IPV6 && m->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *i = (void *)CMSG_DATA(m);
			char t[60];
			printf(" if %d to %s", i->ipi6_ifindex, inet_ntop(AF_INET6, &i->ipi6_addr, t, sizeof t));
		} else if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SO_TIMESTAMP) {
			struct timeval t;
			memcpy(&t, CMSG_DATA(m), sizeof t);
			printf(" %d", labs(t.tv_sec - time(0)) < 100);
		} else {
			int x = 0;
			memcpy(&x, CMSG_DATA(m), m->cmsg_len - CMSG_LEN(0) < 4 ? m->cmsg_len - CMSG_LEN(0) : 4);
			printf(" %d", x);
		}
		printf("]");
	}
	puts("");
}

static void beside(void) {
	int s = sock(AF_INET, SOCK_DGRAM), t = sock(AF_INET, SOCK_DGRAM);
	struct sockaddr_in a = A4("0.0.0.0", 0);
	B(s, a);
	a = A4("127.0.0.5", port(s));
	T(on(s, SOL_SOCKET, SO_TIMESTAMP, 1));
	T(on(s, IPPROTO_IP, IP_PKTINFO, 1));
	T(on(s, IPPROTO_IP, IP_RECVTTL, 1));
	sendto(t, "x", 1, 0, (void *)&a, sizeof a);
	control("four", s);
	on(s, SOL_SOCKET, SO_TIMESTAMP, 0);
	on(s, IPPROTO_IP, IP_PKTINFO, 0);
	on(t, IPPROTO_IP, IP_TTL, 9);
	sendto(t, "x", 1, 0, (void *)&a, sizeof a);
	control("ttl", s);
	s = sock(AF_INET6, SOCK_DGRAM), t = sock(AF_INET6, SOCK_DGRAM);
	struct sockaddr_in6 a6 = A6("::", 0);
	B(s, a6);
	a6 = A6("::1", port(s));
	T(on(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
	T(on(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1));
	sendto(t, "x", 1, 0, (void *)&a6, sizeof a6);
	control("six", s);
	T(on(s, IPPROTO_IPV6, IPV6_RECVTCLASS, 1));
	char c[CMSG_SPACE(4)];
	struct iovec v = {"y", 1};
	struct msghdr h = {&a6, sizeof a6, &v, 1, c, sizeof c};
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);
	*m = (struct cmsghdr){CMSG_LEN(4), IPPROTO_IPV6, IPV6_HOPLIMIT};
	int x = 3;
	memcpy(CMSG_DATA(m), &x, 4);
	T(sendmsg(t, &h, 0));
	control("hops", s);
	m->cmsg_type = IPV6_TCLASS;
	T(sendmsg(t, &h, 0));
	control("class", s);
	x = 300;
	memcpy(CMSG_DATA(m), &x, 4);
	T(sendmsg(t, &h, 0));
	// UDP-Lite has ports of its own.
	s = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), t = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	if (s >= 0) {
		a = A4("127.0.0.1", 0);
		B(s, a);
		a = A4("127.0.0.1", port(s));
		T(B(sock(AF_INET, SOCK_DGRAM), a));
		T(sendto(t, "lite", 4, 0, (void *)&a, sizeof a));
		T(recv(s, b, 10, 0));
		opt("protocol", s, SOL_SOCKET, SO_PROTOCOL);
	}
}

static void options(void) {
	int s = sock(AF_INET, SOCK_STREAM), u = sock(AF_INET, SOCK_DGRAM), s6 = sock(AF_INET6, SOCK_STREAM);
	static const int tcp[] = {TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_QUICKACK, TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_MAXSEG, 99};
	for (unsigned i = 0; i < sizeof tcp / sizeof *tcp; i++) {
		printf("tcp %d ", tcp[i]);
		opt("was", s, IPPROTO_TCP, tcp[i]);
		T(on(s, IPPROTO_TCP, tcp[i], 1));
		opt("1", s, IPPROTO_TCP, tcp[i]);
		T(on(s, IPPROTO_TCP, tcp[i], 100));
		opt("100", s, IPPROTO_TCP, tcp[i]);
		T(on(s, IPPROTO_TCP, tcp[i], -5));
	}
	T(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, b, 1));
	T(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (void *)8, 4));
	static const int ip[] = {IP_TOS, IP_TTL, IP_RECVERR, IP_PKTINFO, IP_RECVTTL, IP_MTU_DISCOVER, IP_FREEBIND, IP_MULTICAST_TTL, IP_MULTICAST_LOOP, 60};
	for (unsigned i = 0; i < sizeof ip / sizeof *ip; i++) {
		printf("ip %d ", ip[i]);
		opt("was", u, IPPROTO_IP, ip[i]);
		T(on(u, IPPROTO_IP, ip[i], 1));
		opt("1", u, IPPROTO_IP, ip[i]);
		T(on(u, IPPROTO_IP, ip[i], 300));
	}
	char one = 7;
	T(setsockopt(u, IPPROTO_IP, IP_TTL, &one, 1));
	opt("ttl", u, IPPROTO_IP, IP_TTL);
	static const int v6[] = {IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_V6ONLY, IPV6_RECVPKTINFO, IPV6_TCLASS, IPV6_MTU_DISCOVER, 99};
	for (unsigned i = 0; i < sizeof v6 / sizeof *v6; i++) {
		printf("ipv6 %d ", v6[i]);
		opt("was", s6, IPPROTO_IPV6, v6[i]);
		T(on(s6, IPPROTO_IPV6, v6[i], 1));
		opt("1", s6, IPPROTO_IPV6, v6[i]);
		T(on(s6, IPPROTO_IPV6, v6[i], 300));
	}
	T(on(s, IPPROTO_IPV6, IPV6_V6ONLY, 1));
	T(on(u, IPPROTO_TCP, TCP_NODELAY, 1));
	opt("udp of tcp", s, IPPROTO_UDP, 1);
	opt("level", s, 99, 1);
	T(on(s, 99, 1, 1));
	static const int so[] = {SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST, SO_OOBINLINE, SO_DONTROUTE, SO_ACCEPTCONN, SO_RCVLOWAT, SO_PRIORITY, SO_TIMESTAMP};
	for (unsigned i = 0; i < sizeof so / sizeof *so; i++) {
		printf("socket %d ", so[i]);
		opt("was", s, SOL_SOCKET, so[i]);
		T(on(s, SOL_SOCKET, so[i], 1));
		opt("1", s, SOL_SOCKET, so[i]);
	}
	T(on(s, SOL_SOCKET, SO_RCVBUF, 10000));
	opt("rcvbuf", s, SOL_SOCKET, SO_RCVBUF);
	T(on(s, SOL_SOCKET, SO_SNDBUF, 10000));
	opt("sndbuf", s, SOL_SOCKET, SO_SNDBUF);
	opt("linger", s, SOL_SOCKET, SO_LINGER);
	char cc[16] = {0};
	socklen_t n = sizeof cc;
	T(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	T(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, cc, &n));
	printf("%s %d\n", cc, n);
	T(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6));
	// Accepted sockets have the listener's.
	on(l, IPPROTO_TCP, TCP_NODELAY, 1);
	int p[2];
	pair(p);
	opt("client", p[0], IPPROTO_TCP, TCP_NODELAY);
	opt("accepted", p[1], IPPROTO_TCP, TCP_NODELAY);
	opt("reuse", p[1], SOL_SOCKET, SO_REUSEADDR);
	on(l, IPPROTO_TCP, TCP_NODELAY, 0);
	close(p[0]), close(p[1]);
}

// A thread that waits in connect, accept, recv is woken by what it waits for.
static void *late(void *x) {
	int s = *(int *)x;
	char c;
	int d = accept(s, 0, 0);
	if (recv(d, &c, 1, 0) == 1)
		send(d, "y", 1, 0);
	close(d);
	return 0;
}
static void threads(void) {
	int s = sock(AF_INET, SOCK_STREAM), c = sock(AF_INET, SOCK_STREAM);
	listen(s, 1);
	pthread_t t;
	pthread_create(&t, 0, late, &s);
	struct sockaddr_in a = A4("127.0.0.1", port(s));
	T(C(c, a));
	T(send(c, "x", 1, 0));
	T(recv(c, b, 1, 0));
	T(recv(c, b, 1, 0));
	pthread_join(t, 0);
}

int main(void) {
	begin();
	struct sockaddr_in a = A4("127.0.0.1", 0);
	l = sock(AF_INET, SOCK_STREAM);
	B(l, a);
	listen(l, 10);
	puts("== sockets"), sockets();
	puts("== binds"), binds();
	puts("== connects"), connects();
	puts("== backlog"), backlog();
	puts("== streams"), streams();
	puts("== urgent"), urgent();
	child("piped", piped);
	puts("== epoll"), epolls();
	puts("== datagrams"), datagrams();
	puts("== beside"), beside();
	puts("== options"), options();
	puts("== threads"), threads();
	return 0;
}
