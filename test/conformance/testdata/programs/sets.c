// Epoll sets that are asked again and again without anything happening, which the library then answers
// from: whatever happens to a set, to what it watches, or to its descriptor, the next answer says so.
#include "try.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

enum { HOT = 60 };
static int ep, r[4], w[4];
static char b[1 << 17];

// R is T in the middle of an expression.
#define R(e) (errno = 0, result(#e, (long)(e)))
static void result(const char *what, long r) { say(what, r, errno); }
static void ctl(int op, int fd, unsigned ev, uint64_t data) {
	struct epoll_event e = {ev, {.u64 = data}};
	if (epoll_ctl(ep, op, fd, &e) < 0)
		printf("epoll_ctl %d: %s\n", op, strerrorname_np(errno));
}
static void got(const char *what, int most) {
	struct epoll_event e[8];
	int n = epoll_wait(ep, e, most, 0);
	printf("%s: %d", what, n);
	for (int i = 0; i < n; i++)
		printf(" %x/%llx", e[i].events, (long long)e[i].data.u64);
	puts(n < 0 ? strerrorname_np(errno) : "");
}
// hot asks until the set is surely lent, and leaves the order as it was.
static void hot(void) {
	struct epoll_event e[8];
	for (int i = 0; i < HOT; i++)
		epoll_wait(ep, e, 8, 0);
}
static void make(int n) {
	ep = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < n; i++) {
		int p[2];
		if (pipe2(p, O_NONBLOCK) < 0)
			printf("pipe: %m\n");
		r[i] = p[0], w[i] = p[1];
		ctl(EPOLL_CTL_ADD, w[i], EPOLLOUT, 0xabcdef0100000000 + i);
	}
	hot();
}
static void done(int n) {
	close(ep);
	for (int i = 0; i < n; i++)
		close(r[i]), close(w[i]);
}
static void *asker(void *x) {
	struct epoll_event e;
	for (int i = 0; i < 20000; i++)
		if (epoll_wait(ep, &e, 1, 0) != 1 || e.events != EPOLLOUT || e.data.u64 >> 32 != 0xabcdef01)
			return "wrong";
	return "right";
}
static void on(int s) {}

int main(void) {
	begin();
	// Round by round.
	make(4);
	for (int most = 1; most < 6; most++)
		got("rounds", most);
	hot(), got("first", 1), got("second", 1);
	ctl(EPOLL_CTL_MOD, w[1], 0, 0), got("one less", 8), got("one less", 2);
	ctl(EPOLL_CTL_MOD, w[1], EPOLLOUT, 77), got("again", 8);
	hot(), ctl(EPOLL_CTL_DEL, w[0], 0, 0), got("removed", 8);
	hot(), close(w[2]), got("closed", 8);
	hot();
	R(epoll_wait(ep, (void *)8, 1, 0)), R(epoll_wait(ep, (void *)-8, 1, 0)), R(epoll_wait(ep, (void *)b, 0, 0)), R(epoll_wait(ep, (void *)b, -1, 0)), R(epoll_wait(ep, (void *)b, 1 << 30, 0));
	R(epoll_wait(ep, (void *)b, 1, -1)), R(epoll_pwait(ep, (void *)b, 8, -1, 0)), R(epoll_wait(ep, (void *)b, 1, 1 << 30));
	sigset_t s;
	sigfillset(&s);
	R(epoll_pwait(ep, (void *)b, 8, 5, &s)), R(syscall(SYS_epoll_pwait, ep, b, 8, 5, &s, 4)), R(syscall(SYS_epoll_pwait, ep, b, 8, 5, 0, 4)), R(syscall(SYS_epoll_pwait2, ep, b, 8, 0, 0, 8));
	// On the edge of what is mapped.
	char *page = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(page + 4096, 4096, 0);
	R(epoll_wait(ep, (void *)(page + 4096 - 12), 8, 0) > 0), R(epoll_wait(ep, (void *)(page + 4096 - 6), 8, 0)), R(epoll_wait(ep, (void *)(page + 4096 - 24), 8, 0));
	done(4);

	// What is ready, and is not any more.
	make(2);
	while (write(w[0], b, 4096) > 0)
		;
	got("full", 8), hot(), got("full still", 8);
	R(read(r[0], b, 100)), got("less than a page", 8), R(read(r[0], b, 8192)), got("room", 8);
	hot(), R(fcntl(r[0], F_SETPIPE_SZ, 4096)), R(read(r[0], b, 1 << 17)), R(fcntl(r[0], F_SETPIPE_SZ, 4096)), got("small", 8), R(write(w[0], b, 4096)), got("small and full", 8), hot(), R(fcntl(w[0], F_SETPIPE_SZ, 65536)), got("large", 8);
	ctl(EPOLL_CTL_ADD, r[0], EPOLLIN, 5), got("in", 8), hot(), R(read(r[0], b, 100000)), got("empty", 8), hot(), R(write(w[0], b, 1)), got("in", 8);
	hot(), close(w[0]), got("hup", 8), hot(), got("hup still", 8), R(read(r[0], b, 9)), got("hup", 8);
	hot(), close(r[1]), got("err", 8), hot(), got("err", 8);
	done(2);

	// Nothing ready, then something, by others.
	ep = epoll_create1(0);
	int p[2], ev = eventfd(0, 0), tf = timerfd_create(CLOCK_MONOTONIC, 0);
	pipe(p);
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1), ctl(EPOLL_CTL_ADD, ev, EPOLLIN | EPOLLET, 2), ctl(EPOLL_CTL_ADD, tf, EPOLLIN, 3);
	hot(), got("nothing", 8);
	uint64_t one = 1;
	R(write(ev, &one, 8)), got("edge", 8), got("no edge", 8), hot(), R(write(ev, &one, 8)), got("edge", 8);
	for (int i = 0; i < 3; i++) {
		hot();
		pid_t c = fork();
		if (c == 0) {
			if (i == 2)
				ctl(EPOLL_CTL_MOD, p[0], EPOLLIN, 11);
			_exit(write(p[1], b, 1) != 1);
		}
		R(epoll_wait(ep, (void *)b, 8, -1)), wait(0), got("from a child", 8), hot();
		c = fork();
		if (c == 0) {
			got("in the child", 8), fflush(stdout);
			_exit(read(p[0], b, 1) != 1);
		}
		wait(0), got("taken by a child", 8);
	}
	hot();
	pid_t c = vfork();
	if (c == 0)
		_exit(epoll_wait(ep, (void *)b, 8, 0) + 10 + write(p[1], b, 1));
	int st;
	waitpid(c, &st, 0), printf("vfork %d\n", WEXITSTATUS(st)), got("by a vfork child", 8), R(read(p[0], b, 1));
	struct itimerspec its = {{0, 0}, {0, 1000000}};
	R(timerfd_settime(tf, 0, &its, 0)), R(epoll_wait(ep, (void *)b, 8, -1)), hot(), got("timer", 8), R(read(tf, &one, 8)), got("timer read", 8);
	hot();
	struct sigaction sa = {.sa_handler = on};
	struct itimerval it = {{0, 0}, {0, 20000}};
	sigaction(SIGALRM, &sa, 0), setitimer(ITIMER_REAL, &it, 0), R(epoll_wait(ep, (void *)b, 8, -1));
	// Descriptors of the set.
	write(p[1], b, 1), hot();
	int d = dup(ep), o = epoll_create1(0);
	R(epoll_wait(d, (void *)b, 8, 0)), dup2(o, ep), got("another", 8), hot(), dup2(d, ep), got("back", 8), hot(), close(ep), R(epoll_wait(ep, (void *)b, 8, 0)), R(epoll_wait(d, (void *)b, 8, 0)), dup2(d, ep);
	for (int i = 0; i < HOT; i++)
		epoll_wait(d, (void *)b, 1, 0), epoll_wait(ep, (void *)b, 1, 0);
	got("by two", 8), close(d), got("by one", 8), hot(), dup2(p[0], ep), got("a pipe", 8);
	close(ep), close(o), close(ev), close(tf), close(p[0]), close(p[1]);

	// Connections, and those to come.
	struct sockaddr_un a = {AF_UNIX, "sock"};
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), x, y;
	bind(l, (void *)&a, sizeof a), listen(l, 5), ep = epoll_create1(0), ctl(EPOLL_CTL_ADD, l, EPOLLIN, 1);
	hot(), x = socket(AF_UNIX, SOCK_STREAM, 0), R(connect(x, (void *)&a, sizeof a)), got("to come", 8), hot(), y = accept(l, 0, 0), got("accepted", 8);
	ctl(EPOLL_CTL_ADD, y, EPOLLIN | EPOLLOUT | EPOLLRDHUP, 2), got("writable", 8), hot(), R(write(x, b, 5)), got("sent", 8), hot(), R(recv(y, b, 2, MSG_PEEK)), got("seen", 8), R(recv(y, b, 9, 0)), got("received", 8);
	hot(), R(shutdown(x, SHUT_WR)), got("shut", 8), hot(), close(x), got("closed", 8), hot(), R(read(y, b, 9)), got("read", 8), close(y), got("gone", 8), close(l), close(ep);

	// Threads that ask at the same time, while one changes what is asked.
	make(3);
	pthread_t t[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], 0, asker, 0);
	for (int i = 0; i < 300; i++)
		ctl(EPOLL_CTL_MOD, w[i % 3], EPOLLOUT, 0xabcdef0100000000 + i);
	for (int i = 0; i < 2; i++) {
		void *v;
		pthread_join(t[i], &v), puts(v);
	}
	done(3);
	// And a set of more than one round of copies.
	make(3);
	for (int i = 0; i < 200; i++)
		ctl(EPOLL_CTL_ADD, dup(w[0]), EPOLLOUT, 0xabcdef0100001000 + i);
	hot();
	for (int k = 0; k < 5; k++) {
		struct epoll_event *e = (void *)b;
		int n = epoll_wait(ep, e, k < 2 ? 300 : 90, 0);
		uint64_t h = 0;
		for (int i = 0; i < n; i++)
			h = h * 31 + e[i].data.u64;
		printf("many: %d %llx\n", n, (long long)h), hot();
	}
	return 0;
}
