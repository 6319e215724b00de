// Event counters that are read and written again and again, which the library then does by
// itself: whoever else comes to one finds what is in it, and whoever sleeps is woken.
#include "fds.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { HOT = 20 };

static long put(int f, uint64_t v) { return write(f, &v, 8); }
static uint64_t get(int f) {
	uint64_t v = 0;
	long n = read(f, &v, 8);
	if (n != 8)
		printf("get: %ld %m\n", n);
	return v;
}
// hot uses a counter until it is surely lent, and leaves n in it.
static int hot(int f, int n) {
	for (int i = 0; i < HOT; i++)
		if (put(f, 1) != 8 || get(f) != 1)
			printf("hot: %m\n");
	if (n)
		T(put(f, n));
	return f;
}
static int counter(int flags, int n) { return hot(eventfd(0, flags | EFD_NONBLOCK), n); }

static void values(void) {
	int f = counter(0, 3);
	uint64_t v[4] = {5, 6, 7, 8};
	T(put(f, 0));
	T(write(f, v, 7));
	T(write(f, v, 0));
	T(put(f, -1));
	T(put(f, -2));
	T(read(f, v, 7));
	T(read(f, v, 0));
	T(read(f, (char *)8, 8));
	put(f, 3);
	T(write(f, (char *)8, 8));
	v[1] = 77;
	T(read(f, v, 32));
	printf("%ld %ld\n", v[0], v[1]);
	T(read(f, v, 8));
	hot(f, 1);
	// More than the library counts by itself.
	T(put(f, 1L << 43));
	T(put(f, 1L << 43));
	T(put(f, 1L << 50));
	printf("%lx\n", get(f));
	hot(f, 1);
	T(put(f, -4));
	T(put(f, 1));
	printf("%lx\n", get(f));
	T(lseek(f, 3, SEEK_SET));
	T(pread(f, v, 8, 0));
	T(pwrite(f, v, 8, 0));
	hot(f, 9);
	struct iovec io[2] = {{v, 8}, {v, 4}};
	v[0] = 4;
	T(writev(f, io, 1));
	io[0].iov_len = 4, io[1].iov_base = (char *)v + 4;
	T(readv(f, io, 2));
	T((long)v[0]);
	// Memory of which a part is there.
	char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(m + 4096, 4096);
	T(write(f, m + 4092, 8));
	T(put(f, 2));
	mprotect(m, 4096, PROT_READ);
	T(read(f, m, 8));
	close(f);
	T(read(f, v, 8));
	T(put(f, 1));
}

static void semaphore(void) {
	int f = counter(EFD_SEMAPHORE, 3);
	T(get(f)); T(get(f)); T(put(f, 5)); T(get(f));
	ready("semaphore", f);
	int d = dup(f);
	T(get(d)); T(get(f)); T(get(d)); T(get(f)); T(get(d));
	uint64_t v;
	T(read(f, &v, 8));
	close(d);
	hot(f, 0);
	T(read(f, &v, 8));
	close(f);
}

// Others come to it.
static void others(char *self) {
	int f = counter(0, 3), s[2], st;
	ready("3", f);
	T(get(f));
	ready("0", f);
	hot(f, 4);
	int d = dup(f);
	T(get(d));
	T(put(d, 1));
	T(get(f));
	close(d);
	hot(f, 5);
	T(dup2(f, f) == f);
	d = fcntl(f, F_DUPFD_CLOEXEC, 50);
	T(get(d));
	close(f);
	f = d;
	hot(f, 6);
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		T(get(f));
		T(put(f, 7));
		_exit(0);
	}
	waitpid(p, &st, 0);
	T(get(f));
	hot(f, 8);
	p = vfork();
	if (p == 0) {
		uint64_t v = 1;
		write(f, &v, 8);
		_exit(0);
	}
	waitpid(p, &st, 0);
	T(get(f));
	hot(f, 9);
	fcntl(f, F_SETFD, 0);
	char arg[12];
	sprintf(arg, "%d", f);
	p = fork();
	if (p == 0) {
		hot(f, 0);
		execl(self, self, arg, NULL);
		_exit(1);
	}
	waitpid(p, &st, 0);
	T(get(f));
	// By a message.
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	hot(f, 10);
	T(sendfd(s[0], f));
	T(put(f, 1));
	T(recvfd(s[1], &d));
	T(get(d));
	close(d);
	// Another file in its place.
	hot(f, 11);
	int g = counter(0, 12);
	T(dup2(g, f) == f);
	T(get(f));
	close(g);
	hot(f, 0);
	int pp[2];
	pipe(pp);
	T(dup2(pp[0], f) == f);
	write(pp[1], "a pipe now", 10);
	char text[11] = "";
	T(read(f, text, 10));
	printf("%s\n", text);
	T(put(f, 1));
	close(f);
	// A table that two processes share.
	f = counter(0, 2);
	T(syscall(SYS_unshare, 0x400));
	T(get(f));
	close(f);
}

// Who waits is woken.
static int ev, back;
static void *sleeper(void *x) {
	for (int i = 0; i < 300; i++) {
		uint64_t v = get(ev);
		put(back, v + 1);
	}
	return x;
}
static void *poller(void *x) {
	for (int i = 0; i < 50; i++) {
		struct pollfd p = {ev, POLLIN, 0};
		if (poll(&p, 1, 20000) != 1)
			printf("poller: %x %m\n", p.revents);
		put(back, get(ev));
	}
	return x;
}
static void *selecter(void *x) {
	for (int i = 0; i < 50; i++) {
		fd_set r;
		FD_ZERO(&r);
		FD_SET(ev, &r);
		struct timeval t = {20, 0};
		if (select(ev + 1, &r, 0, 0, &t) != 1)
			printf("selecter: %m\n");
		put(back, get(ev));
	}
	return x;
}
static void *adder(void *x) {
	for (int i = 0; i < 20000; i++)
		if (put(ev, 3) != 8)
			printf("adder: %m\n");
	return x;
}
static void *taker(void *x) {
	uint64_t sum = 0, v;
	while (read(ev, &v, 8) == 8 && v < 1 << 30)
		sum += v;
	if (v >= 1 << 30)
		put(ev, 1 << 30), sum += v - (1 << 30);
	*(uint64_t *)x = sum;
	return x;
}
static void *filler(void *x) {
	T(put(ev, 1L << 62));
	T(put(ev, -2)); // sleeps
	return x;
}
static void rounds(const char *what, void *(*f)(void *), int n) {
	pthread_t t;
	long sum = 0;
	ev = hot(eventfd(0, 0), 0), back = hot(eventfd(0, 0), 0);
	pthread_create(&t, 0, f, 0);
	for (int i = 1; i <= n; i++) {
		put(ev, i);
		sum += get(back);
	}
	pthread_join(t, 0);
	printf("%s: %ld\n", what, sum);
	close(ev), close(back);
}
static volatile int caught;
static void on(int s) { caught++; }

static void waiting(void) {
	pthread_t t[4];
	rounds("sleeper", sleeper, 300);
	rounds("poller", poller, 50);
	rounds("selecter", selecter, 50);
	// Many, of which one at a time gets each.
	uint64_t sums[2];
	ev = hot(eventfd(0, 0), 0);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], 0, adder, 0), pthread_create(&t[2 + i], 0, taker, &sums[i]);
	pthread_join(t[0], 0), pthread_join(t[1], 0);
	put(ev, 1 << 30);
	pthread_join(t[2], 0);
	pthread_join(t[3], 0);
	printf("many: %ld\n", (long)(sums[0] + sums[1]));
	T(get(ev));
	// Full.
	hot(ev, 0);
	pthread_create(t, 0, filler, 0);
	while (get(ev) < 1L << 62)
		;
	pthread_join(*t, 0);
	printf("%lx\n", get(ev));
	// A signal.
	hot(ev, 0);
	struct sigaction a = {.sa_handler = on};
	sigaction(SIGALRM, &a, 0);
	struct itimerval it = {{0, 0}, {0, 20000}};
	setitimer(ITIMER_REAL, &it, 0);
	uint64_t v;
	T(read(ev, &v, 8));
	T(caught);
	close(ev);
}

static void sets(void) {
	int f = counter(0, 0), ep = epoll_create1(0), outer = epoll_create1(0);
	struct epoll_event e = {EPOLLIN | EPOLLET, {.fd = 1}}, o = {EPOLLIN, {.fd = 2}};
	T(epoll_ctl(ep, EPOLL_CTL_ADD, f, &e));
	T(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &o));
	for (int i = 0; i < HOT; i++) {
		put(f, 1);
		if (epoll_wait(outer, &e, 1, 1000) != 1 || epoll_wait(ep, &e, 1, 1000) != 1 || epoll_wait(ep, &e, 1, 0) != 0)
			printf("round %d: %m\n", i);
		if (i % 3 == 0)
			get(f);
	}
	T(get(f));
	T(epoll_ctl(ep, EPOLL_CTL_DEL, f, 0));
	hot(f, 1);
	e.events = EPOLLIN | EPOLLONESHOT;
	T(epoll_ctl(ep, EPOLL_CTL_ADD, f, &e));
	T(epoll_wait(ep, &e, 1, 0));
	hot(f, 0);
	T(epoll_wait(ep, &e, 1, 0));
	close(ep);
	close(outer);
	hot(f, 13);
	char name[60];
	snprintf(name, sizeof name, "/proc/self/fd/%d", f);
	T(open(name, O_RDWR));
	T(get(f));
}

int main(int argc, char **argv) {
	begin();
	if (argc > 1) {
		T(get(atoi(argv[1])));
		hot(atoi(argv[1]), 14);
		return 0;
	}
	values();
	semaphore();
	others("/proc/self/exe");
	waiting();
	sets();
	return 0;
}
