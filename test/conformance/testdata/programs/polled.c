// Connections between two processes that wait for them in epoll sets and do not wait in calls: what is
// written comes once and in order, and whatever happens to an end or a set, the next answer says so.
#include "try.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { N = 5 };
#define R(e) (errno = 0, result(#e, (long)(e)))
static void result(const char *what, long r) { say(what, r, errno); }
static char b[1 << 18];
static int s[N], ep, inet, sends;
// puts_ and gets_ are write and read, or what else there is for that.
static long puts_(int fd, const char *c, long n) {
	struct iovec v[3] = {{(char *)c, n / 3}, {(char *)c + n / 3, n / 3}, {(char *)c + n / 3 * 2, n - n / 3 * 2}};
	return !sends ? write(fd, c, n) : n % 2 ? send(fd, c, n, MSG_NOSIGNAL) : writev(fd, v, 3);
}
static long gets_(int fd, char *c, long n) { return !sends ? read(fd, c, n) : recv(fd, c, n, n % 2 ? MSG_DONTWAIT : 0); }
static pid_t peer;

static void pair(int v[2]) {
	if (!inet) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, v);
		return;
	}
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	bind(l, (void *)&a, n), listen(l, 1), getsockname(l, (void *)&a, &n);
	v[0] = socket(AF_INET, SOCK_STREAM, 0), connect(v[0], (void *)&a, n), v[1] = accept(l, 0, 0), close(l);
}
static void now(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static void ctl(int op, int fd, unsigned ev, uint64_t data) {
	struct epoll_event e = {ev, {.u64 = data}};
	if (epoll_ctl(ep, op, fd, &e) < 0)
		printf("epoll_ctl %d: %s\n", op, strerrorname_np(errno));
}
// got prints what is ready within so many ms, in the order of what was asked for.
static void got(const char *what, int ms) {
	struct epoll_event e[8];
	int n = epoll_wait(ep, e, 8, ms);
	printf("%s: %d", what, n);
	for (int k = 0; k < 100; k++)
		for (int i = 0; i < n; i++)
			if (e[i].data.u64 == k)
				printf(" %d/%x", k, e[i].events);
	puts(n < 0 ? strerrorname_np(errno) : "");
}
// The other process answers each line with the same; a digit has it do something else.
static void serve(int *t) {
	int set = epoll_create1(0);
	for (int i = 0; i < N; i++) {
		struct epoll_event e = {EPOLLIN, {.fd = t[i]}};
		now(t[i]), epoll_ctl(set, EPOLL_CTL_ADD, t[i], &e);
	}
	for (;;) {
		struct epoll_event e[4];
		int n = epoll_wait(set, e, 4, -1);
		for (int i = 0; i < n; i++) {
			char c[64];
			int fd = e[i].data.fd;
			long m = gets_(fd, c, sizeof c);
			if (m <= 0)
				_exit(m == 0 ? 7 : 8);
			struct epoll_event once = {EPOLLIN | EPOLLONESHOT, {.fd = fd}}, level = {EPOLLIN, {.fd = fd}};
			struct pollfd p = {fd, POLLIN | POLLOUT, 0};
			switch (c[0]) {
			case '1': close(fd); continue;
			case '2': shutdown(fd, SHUT_WR); continue;
			case '3': epoll_ctl(set, EPOLL_CTL_MOD, fd, &once), epoll_ctl(set, EPOLL_CTL_MOD, fd, &level); break;
			case '4': poll(&p, 1, 0); break;
			case '5': close(dup(fd)); break;
			case '6': _exit(9);
			case '7': if (!fork()) { write(fd, "from a child", 12); _exit(0); } wait(0); continue;
			case '8': for (int k = 0; k < 40; k++) { memset(b, 'a' + k, 5000); for (long at = 0; at < 5000;) { long w = puts_(fd, b + at, 5000 - at); if (w > 0) at += w; else { struct pollfd o = {fd, POLLOUT, 0}; poll(&o, 1, -1); } } } continue;
			case '9': epoll_ctl(set, EPOLL_CTL_DEL, fd, 0), epoll_ctl(set, EPOLL_CTL_ADD, fd, &level); break;
			}
			if (puts_(fd, c, m) != m)
				_exit(10);
		}
	}
}
static void begun(void) {
	int v[N][2], t[N];
	for (int i = 0; i < N; i++)
		pair(v[i]), s[i] = v[i][0], t[i] = v[i][1];
	fflush(stdout);
	peer = fork();
	for (int i = 0; i < N; i++)
		close(peer ? t[i] : s[i]);
	if (!peer)
		serve(t);
	ep = epoll_create1(0);
	for (int i = 0; i < N; i++)
		now(s[i]), ctl(EPOLL_CTL_ADD, s[i], EPOLLIN, i);
}
static void ended(void) {
	int st;
	for (int i = 0; i < N; i++)
		close(s[i]);
	close(ep), waitpid(peer, &st, 0), printf("the other one: %x\n", st);
}
// talk sends and gets lines by all connections, which are lent after a while.
static void talk(int rounds) {
	unsigned long out[N] = {0}, in[N] = {0}, bad = 0;
	for (int i = 0; i < N; i++)
		write(s[i], "x", 1);
	for (long left = (long)rounds * N; left > 0;) {
		struct epoll_event e[3];
		int n = epoll_wait(ep, e, 1 + left % 3, -1);
		if (n < 0 && errno == EINTR)
			continue;
		for (int j = 0; j < n; j++) {
			int i = e[j].data.u64;
			char c[64];
			long m = gets_(s[i], c, sizeof c);
			if (m <= 0) {
				printf("talk: %ld %m\n", m);
				return;
			}
			for (int k = 0; k < m; k++)
				bad += c[k] != (out[i] == 0 ? 'x' : (char)('A' + (in[i] * 7 + k) % 26));
			if (sends) { // as hiredis does
				ctl(EPOLL_CTL_MOD, s[i], EPOLLIN | EPOLLOUT, i), ctl(EPOLL_CTL_DEL, s[i], 0, 0);
				ctl(EPOLL_CTL_ADD, s[i], EPOLLOUT, i), ctl(EPOLL_CTL_MOD, s[i], EPOLLIN, i);
			}
			left--;
			if (++out[i] < rounds) {
				in[i] = out[i];
				int len = 1 + out[i] % 40;
				for (int k = 0; k < len; k++)
					c[k] = 'A' + (in[i] * 7 + k) % 26;
				puts_(s[i], c, len);
			}
		}
	}
	if (bad)
		printf("talk: %lu bytes are others\n", bad);
	got("nothing more", 0);
}
// talk2 does so by one, which the set does not watch.
static void talk2(int fd, int rounds) {
	for (char c; rounds > 0; rounds--) {
		struct pollfd p = {fd, POLLIN, 0};
		if (write(fd, "t", 1) != 1 || poll(&p, 1, -1) != 1 || read(fd, &c, 1) != 1 || c != 't')
			printf("talk2: %m\n");
	}
}
static void show(int i) {
	char c[64] = "";
	long n = read(s[i], c, 60);
	printf("%ld '%s' %s\n", n, c, n < 0 ? strerrorname_np(errno) : "");
}
static void on(int x) {}

int main(void) {
	begin();
	signal(SIGPIPE, SIG_IGN), signal(SIGALRM, on);
	for (int turn = 0; turn < 4; turn++) {
		inet = turn % 2, sends = turn / 2;
		begun();
		talk(300);
		show(0), R(read(s[1], 0, 1)), R(read(s[1], (void *)8, 1)), R(write(s[2], (void *)8, 1)), R(write(s[2], "", 0));
		talk(60), write(s[1], "word", 4), got("word", -1), got("word", -1), show(1), got("none", 20);
		// What both ends do in between.
		for (char c = '3'; c < '6'; c++)
			talk(60), write(s[2], &c, 1), got("in between", -1), show(2);
		talk(60), write(s[2], "9", 1), got("added again", -1), show(2), talk(60);
		talk(60), write(s[0], "here", 4), got("here", -1), ctl(EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLOUT, 50), got("both", 0), ctl(EPOLL_CTL_DEL, s[0], 0, 0), got("removed", 0), ctl(EPOLL_CTL_ADD, s[0], EPOLLIN, 0), got("again", 0), show(0);
		talk(60), write(s[0], "edge", 4), got("level", -1), ctl(EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLET, 0), got("edge", -1), got("no edge", 0), show(0), ctl(EPOLL_CTL_MOD, s[0], EPOLLIN, 0);
		// Items that are removed and added, by whatever way.
		talk(60), ctl(EPOLL_CTL_ADD, s[1], EPOLLIN, 9), ctl(EPOLL_CTL_DEL, s[1], 0, 0), ctl(EPOLL_CTL_DEL, s[1], 0, 0), ctl(EPOLL_CTL_MOD, s[1], EPOLLIN, 9);
		write(s[1], "off", 3), got("not asked for", 10), ctl(EPOLL_CTL_ADD, s[1], EPOLLIN, 0x900000009), got("other data", -1), ctl(EPOLL_CTL_MOD, s[1], EPOLLIN, 9), got("asked for", -1), show(1), ctl(EPOLL_CTL_MOD, s[1], 0, 1), write(s[1], "none", 4), got("nothing is asked for", 10);
		ctl(EPOLL_CTL_MOD, s[1], EPOLLIN, 1), got("again", -1), show(1), talk(60);
		R(epoll_ctl(ep, EPOLL_CTL_MOD, s[1], (void *)8)), ctl(EPOLL_CTL_DEL, s[1], 0, 0), close(dup(s[1])), write(s[1], "copy", 4), got("not asked for", 10), ctl(EPOLL_CTL_ADD, s[1], EPOLLIN, 1), got("copy", -1), show(1), talk(60);
		ctl(EPOLL_CTL_DEL, s[1], 0, 0), talk2(s[1], 60), ctl(EPOLL_CTL_ADD, s[1], EPOLLIN, 1);
		talk(60), write(s[3], "7", 1), got("a child", -1), show(3), talk(60);
		struct pollfd p = {s[1], POLLIN | POLLOUT, 0};
		write(s[1], "p", 1), got("p", -1), R(poll(&p, 1, 0)), printf("%x\n", p.revents), show(1);
		talk(60);
		struct pollfd q = {ep, POLLIN, 0};
		R(poll(&q, 1, 0)), write(s[1], "p", 1), R(poll(&q, 1, -1)), printf("%x\n", q.revents), got("p", 0), show(1);
		talk(60);
		int n = 0, two = epoll_create1(0);
		struct epoll_event e = {EPOLLIN}, x[4];
		epoll_ctl(two, EPOLL_CTL_ADD, ep, &e), write(s[1], "nested", 6), R(epoll_wait(two, x, 4, -1)), got("nested", 0), show(1), R(epoll_wait(two, x, 4, 0)), talk(60), close(two);
		// A second set, a copy of the first one's descriptor, and a child that has both.
		talk(60), two = dup(ep), write(s[4], "dup", 3), R(epoll_wait(two, x, 4, -1)), got("dup", -1), close(two), show(4), talk(60);
		fflush(stdout);
		if (!fork())
			got("in a child", 0), fflush(stdout), _exit(0);
		wait(0), talk(60);
		// Signals, and time limits.
		struct itimerval it = {{0, 0}, {0, 20000}};
		struct sigaction sa = {.sa_handler = on};
		sigaction(SIGALRM, &sa, 0), setitimer(ITIMER_REAL, &it, 0), got("a signal", -1), got("a time", 10);
		R(fcntl(s[0], F_SETFL, O_RDWR)), write(s[0], "waits", 5), show(0), talk(60), now(s[0]), talk(60);
		// More than there is room for.
		talk(60), memset(b, 'z', sizeof b);
		write(s[4], "8", 1);
		long all = 0, sum = 0;
		while (all < 200000) {
			epoll_wait(ep, x, 4, -1);
			long m;
			while ((m = gets_(s[4], b, 30001)) > 0)
				for (all += m; m > 0; m--)
					sum += b[m - 1];
		}
		printf("%ld %ld\n", all, sum);
		R(ioctl(s[4], FIONREAD, &n)), printf("%d\n", n), talk(60);
		// Ends of it.
		write(s[0], "2", 1), got("shut", -1), show(0), ctl(EPOLL_CTL_DEL, s[0], 0, 0);
		write(s[3], "1", 1), got("closed", -1), show(3), ctl(EPOLL_CTL_DEL, s[3], 0, 0), got("others", 0);
		siginfo_t si;
		write(s[2], "6", 1), waitid(P_PID, peer, &si, WEXITED | WNOWAIT), got("all", -1), got("all", -1);
		ended();
		begun(), talk(60), write(s[1], "left", 4), got("left", -1);
		kill(peer, SIGKILL), R(waitpid(peer, 0, 0) == peer), got("killed", -1), show(1), ended();
	}
	return 0;
}
