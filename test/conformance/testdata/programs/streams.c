// Streams between two processes, which their libraries then serve between themselves: whoever else
// comes to one, and whatever happens to an end, finds what was written, once and in order.
#include "flows.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { HOT = 150, FAMILIES = 2 };
static int family; // 0: AF_UNIX, 1: TCP
static int sends;  // 1: by send and recv
#define write(fd, b, n) (sends ? send(fd, b, n, 0) : write(fd, b, n))
#define read(fd, b, n) (sends ? recv(fd, b, n, 0) : read(fd, b, n))
static int mine, theirs;
static pid_t kid;
static char b[1 << 20];

static void ends(void) {
	int s[2];
	if (family == 0) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0)
			printf("socketpair: %m\n");
		mine = s[0], theirs = s[1];
		return;
	}
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	bind(l, (void *)&a, len), listen(l, 1), getsockname(l, (void *)&a, &len);
	mine = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(mine, (void *)&a, len) < 0 || (theirs = accept(l, 0, 0)) < 0)
		printf("connect: %m\n");
	setsockopt(mine, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(theirs, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	close(l);
}

// hot uses the stream until it is surely lent; the other end answers.
static void hot(void) {
	char c = 'h';
	for (int i = 0; i < HOT; i++)
		if (write(mine, &c, 1) != 1 || read(mine, &c, 1) != 1 || c != 'h')
			printf("hot: %m\n");
}
static void answer(void) {
	char c;
	for (int i = 0; i < HOT; i++)
		if (read(theirs, &c, 1) != 1 || write(theirs, &c, 1) != 1)
			_exit(99);
}

// with makes a stream of which a child has the other end, and runs f there.
static void with(void (*f)(void)) {
	ends();
	fflush(stdout);
	if ((kid = fork()) == 0) {
		close(mine);
		answer();
		f();
		_exit(0);
	}
	close(theirs);
	hot();
}
static void over(void) {
	int st;
	close(mine);
	waitpid(kid, &st, 0);
	printf("child: %x\n", st);
}

// Bytes come as they went, whatever the pieces, both ways at once.
enum { MANY = 6000000 };
static unsigned put(int fd, unsigned at, unsigned end) {
	unsigned n = piece();
	if (n > end - at)
		n = end - at;
	for (unsigned i = 0; i < n; i++)
		b[i] = byte(at + i);
	return at + (write(fd, b, n) == (long)n ? n : 1 << 30);
}
static unsigned bad;
static unsigned get(int fd, unsigned at) {
	long n = read(fd, b, piece());
	for (long i = 0; i < n; i++)
		bad += b[i] != byte(at + i);
	return at + (n > 0 ? n : 1 << 30);
}
static void echo(void) {
	seed = 7;
	for (unsigned at = 0; at < MANY;)
		at = get(theirs, at);
	for (unsigned at = 0; at < MANY;)
		at = put(theirs, at, MANY);
	_exit(bad != 0);
}
static void pieces(void) {
	unsigned in = 0, out = 0;
	seed = 1;
	with(echo);
	while (out < MANY)
		out = put(mine, out, MANY);
	while (in < MANY)
		in = get(mine, in);
	T(in);
	T(out);
	T(bad);
	over();
}

// What was written comes before the end does.
static void says(void) {
	write(theirs, "some", 4);
	write(theirs, " more", 5);
}
static void lastwords(void) {
	with(says);
	show(mine);
	T(read(mine, b, 5));
	over();
	with(says);
	waitpid(kid, 0, 0);
	int n = -1;
	T(ioctl(mine, FIONREAD, &n));
	T(n);
	T(recv(mine, b, 3, MSG_PEEK));
	show(mine);
	close(mine);
}
static void shuts(void) {
	write(theirs, "last", 4);
	shutdown(theirs, SHUT_WR);
	_exit(full(theirs, b, 100) != 6);
}
static void half(void) {
	with(shuts);
	show(mine);
	T(write(mine, "answer", 6));
	T(shutdown(mine, SHUT_WR));
	over();
}

// Who is killed, or lets go, does not leave the other one asleep.
static void sleeps(void) { read(theirs, b, 1), pause(); }
static void writes(void) {
	for (;;)
		if (write(theirs, b, sizeof b) < 0)
			_exit(errno == EPIPE || errno == ECONNRESET ? 0 : 1);
}
static void killed(void) {
	with(sleeps);
	asleep(kid);
	kill(kid, SIGKILL);
	T(read(mine, b, 1));
	over();
	with(writes);
	asleep(kid);
	kill(kid, SIGKILL);
	T(full(mine, b, 1000));
	over();
	with(sleeps);
	if (fork() == 0) {
		asleep(getppid());
		kill(kid, SIGKILL);
		_exit(0);
	}
	while (write(mine, b, 300000) > 0)
		;
	int e = errno;
	T(e == EPIPE || e == ECONNRESET);
	wait(0);
	wait(0);
	close(mine);
}
static void dies(void) {
	signal(SIGPIPE, SIG_DFL);
	if (family == 1) // a reset says ECONNRESET first
		write(theirs, b, sizeof b);
	for (;;)
		write(theirs, b, sizeof b);
}
static void lets(void) { asleep(getppid()), close(theirs); }
static void broken(void) {
	with(lets);
	while (write(mine, b, 300000) > 0)
		;
	int e = errno;
	T(e == EPIPE || e == ECONNRESET);
	over();
	with(lets);
	T(read(mine, b, 10));
	over();
	with(dies);
	T(full(mine, b, 1000));
	over();
}

// Signals cut a read that waits, and a write in its middle.
static void rings(void) {
	asleep(getppid());
	kill(getppid(), SIGUSR1);
	msleep(20);
	write(theirs, "x", 1);
	read(theirs, b, 1);
}
static void cut(void) {
	handle(SIGUSR1, 0);
	with(rings);
	T(read(mine, b, 10));
	T(rang);
	T(read(mine, b, 10));
	over();
	handle(SIGUSR1, SA_RESTART);
	with(rings);
	T(read(mine, b, 10));
	T(rang);
	over();
	signal(SIGUSR1, SIG_IGN);
	with(rings);
	T(read(mine, b, 10));
	over();
}
static void stops(void) {
	asleep(getppid());
	kill(getppid(), SIGUSR1);
	msleep(20);
	long n = 0, m;
	while ((m = read(theirs, b, sizeof b)) > 0)
		n += m;
	_exit(n < 2000);
}
static void cutwrite(void) {
	static char large[8 << 20];
	for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
		handle(SIGUSR1, flags);
		with(stops);
		long n = write(mine, large, sizeof large);
		T(n > 0 && n < (long)sizeof large);
		T(rang);
		over();
	}
}

// Others that come to it.
static void waits(void) {
	write(theirs, "abc", 3);
	read(theirs, b, 1);
	answer();
	write(theirs, "def", 3);
	full(theirs, b, 100);
}
static void looks(void) {
	with(waits);
	struct pollfd f = {mine, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
	f.events = POLLIN;
	T(poll(&f, 1, -1));
	T(f.revents);
	f.events = POLLIN | POLLOUT | POLLRDHUP;
	T(poll(&f, 1, 0));
	T(f.revents);
	char c[10] = "";
	struct iovec v[2] = {{c, 1}, {c + 1, 9}};
	T(full(mine, c, 1));
	T(readv(mine, v, 2));
	T(recv(mine, c, 1, MSG_DONTWAIT));
	T(send(mine, "s", 1, 0));
	hot();
	int e = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};
	T(epoll_ctl(e, EPOLL_CTL_ADD, mine, &ev));
	T(epoll_wait(e, &ev, 1, -1));
	T(full(mine, c, 3));
	T(epoll_wait(e, &ev, 1, 0));
	T(fcntl(mine, F_SETFL, O_NONBLOCK));
	T(read(mine, c, 1));
	close(e);
	over();
}
static void slow(void) {
	answer();
	msleep(20);
	write(theirs, "late", 4);
	answer();
	full(theirs, b, 100);
}
static void limits(void) {
	with(slow);
	struct timeval tv = {0, 1000};
	hot();
	T(setsockopt(mine, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	struct pollfd f = {mine, POLLIN, 0};
	poll(&f, 1, -1);
	T(full(mine, b, 4));
	T(read(mine, b, 1));
	tv.tv_usec = 0;
	T(setsockopt(mine, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	hot();
	int two = 2;
	T(setsockopt(mine, SOL_SOCKET, SO_RCVLOWAT, &two, sizeof two));
	over();
}

// Descriptors that become more: all see one stream.
static void counts(void) {
	char c;
	int n = 0;
	while (n < 3 && read(theirs, &c, 1) == 1)
		n++;
	write(theirs, "123456", 6);
	full(theirs, b, 100);
}
static void more(void) {
	with(counts);
	T(write(mine, "1", 1));
	int d = dup(mine);
	T(write(d, "2", 1));
	pid_t p = fork();
	if (p == 0)
		_exit(write(d, "3", 1) != 1 || full(d, b, 2) != 2);
	int st;
	waitpid(p, &st, 0);
	T(st);
	T(full(mine, b, 2));
	T(full(d, b, 2));
	T(b[0]);
	close(d);
	over();

	with(counts);
	int s[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	T(write(mine, "12", 2));
	T(sendfd(s[0], mine));
	close(mine);
	T(recvfd(s[1], &mine));
	T(write(mine, "3", 1));
	T(full(mine, b, 6));
	T(b[5]);
	close(s[0]), close(s[1]);
	over();
}
static void *reads(void *x) {
	*(long *)x = full(mine, b, 6);
	return 0;
}
static void threads(void) {
	with(counts);
	pthread_t t;
	long n = 0;
	T(write(mine, "1", 1));
	pthread_create(&t, 0, reads, &n);
	T(write(mine, "23", 2));
	pthread_join(t, 0);
	T(n);
	over();
}
static void executes(void) {
	write(theirs, "before ", 7);
	char fd[20];
	sprintf(fd, "%d", theirs);
	execl("/proc/self/exe", "streams", fd, (char *)0);
}
static void programs(void) {
	with(executes);
	T(write(mine, "question", 8));
	show(mine);
	over();
}

// Memory that is not there, or not all of it.
static void takes(void) { full(theirs, b, sizeof b); }
static void gives(void) { write(theirs, "0123456789", 10), full(theirs, b, 10); }
static void memory(void) {
	char *m = mmap(0, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(m + (1 << 17), 1 << 17);
	memset(m, 'm', 1 << 17);
	with(takes);
	static const int before[] = {1, 4096, 20000, 36000, 36544, 40000, 80000, 110000};
	for (int i = 0; i < 8; i++) {
		if (family == 0) // TCP's kernel has it as segments happen to be
			T(write(mine, m + (1 << 17) - before[i], 1 << 17));
		T(write(mine, (char *)8, 10));
	}
	T(write(mine, m, 0));
	over();
	with(gives);
	T(read(mine, (char *)8, 10));
	T(read(mine, m, 0));
	show(mine + 0 * shutdown(mine, SHUT_WR));
	over();
}

// Both ends in one process.
static void alone(void) {
	ends();
	for (int i = 0; i < HOT; i++)
		must(write(mine, b, 1000 + i) == 1000 + i && full(theirs, b, 1000 + i) == 1000 + i && write(theirs, b, 1) == 1 && full(mine, b, 1) == 1);
	T(write(mine, "self", 4));
	T(close(mine));
	show(theirs);
	close(theirs);
}

int main(int argc, char **argv) {
	if (argc > 1) {
		int fd = atoi(argv[1]);
		char c[9] = "";
		full(fd, c, 8);
		write(fd, "after ", 6);
		write(fd, c, 8);
		return 0;
	}
	begin();
	alarm(100);
	signal(SIGPIPE, SIG_IGN);
	for (; family < FAMILIES; family++) {
		printf("family %d\n", family);
		pieces(), lastwords(), half(), killed(), broken(), cut(), cutwrite(), looks(), limits(), more(), threads(), programs(), memory(), alone();
		sends = 1;
		pieces(), lastwords(), half(), killed(), broken(), cut(), cutwrite(), looks(), limits(), more(), memory();
		sends = 0;
	}
	return 0;
}
