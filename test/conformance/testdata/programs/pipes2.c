// Pipes of which two processes have one end each, which their libraries then serve between themselves:
// whoever else comes to one, and whatever happens to an end, finds what was written, once and in order.
#include "flows.h"
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { HOT = 150 };
static int r, w, back, forth; // the pipe, and one by which the child is told
static pid_t kid;
static char b[1 << 20];

static int size(void) {
	int n = -1;
	ioctl(r, FIONREAD, &n);
	return n;
}
static void tell(void) { must(write(back, "t", 1) == 1); }
static void told(void) {
	char c;
	must(read(forth, &c, 1) == 1);
}

static void lasts(void) {
	char c;
	must(read(forth, &c, 1) == 0);
}

// reading makes a pipe that is surely lent, of which the caller reads and a child writes, and runs f there;
// writing one of which the caller writes.
static void make(void) {
	int p[2], q[2];
	must(pipe(p) == 0 && pipe(q) == 0);
	r = p[0], w = p[1], forth = q[0], back = q[1];
	fflush(stdout);
}
static void gets_(void) {
	char c;
	for (int i = 0; i < HOT; i++)
		must(read(r, &c, 1) == 1 && c == 'h');
}
static void puts_(void) {
	for (int i = 0; i < HOT; i++)
		must(write(w, "h", 1) == 1);
}
static void reading(void (*f)(void)) {
	make();
	if ((kid = fork()) == 0) {
		close(r), close(back);
		puts_(), f();
		_exit(0);
	}
	close(w), close(forth);
	gets_();
}
static void writing(void (*f)(void)) {
	make();
	if ((kid = fork()) == 0) {
		close(w), close(back);
		gets_(), f();
		_exit(0);
	}
	close(r), close(forth);
	puts_();
}
static void over(int fd) {
	int st;
	close(fd), close(back);
	waitpid(kid, &st, 0);
	printf("child: %x\n", st);
}

// Bytes come as they went, whatever the pieces.
enum { MANY = 9000000 };
static unsigned bad;
static void source(void) {
	seed = 7;
	for (unsigned at = 0, n; at < MANY; at += n) {
		n = piece();
		if (n > MANY - at)
			n = MANY - at;
		for (unsigned i = 0; i < n; i++)
			b[i] = byte(at + i);
		if (write(w, b, n) != (long)n)
			_exit(1);
	}
}
static void pieces(void) {
	unsigned at = 0;
	seed = 1;
	reading(source);
	for (long n; (n = read(r, b, piece())) > 0; at += n)
		for (long i = 0; i < n; i++)
			bad += b[i] != byte(at + i);
	T(at);
	T(bad);
	over(r);
}

// A few bytes come as a whole: a reader never finds a part of them, in whatever way it looks.
static void wholes(void) {
	told();
	seed = 3;
	for (int i = 0; i < 3000; i++) {
		int n = i % 3 ? 4096 : 1 + piece() % 4096;
		memset(b, i, n);
		memcpy(b, &n, sizeof n);
		must(n < 4 || write(w, b, n) == n);
	}
}
static void atomic_(void) {
	static const int sizes[] = {4096, 8192, 65536, 1 << 17};
	for (int s = 0; s < 4; s++) {
		int n, got = 0;
		reading(wholes);
		T(fcntl(r, F_SETPIPE_SZ, sizes[s]));
		T(fcntl(r, F_GETPIPE_SZ));
		tell();
		while (read(r, &n, 4) == 4) {
			if (size() < n - 4 || read(r, b, n - 4) != n - 4)
				got -= 10000;
			got++;
		}
		printf("%d\n", got > 0);
		over(r);
	}
}

// What is in a full pipe, and who waits for room in it.
static void fills(void) {
	must(write(w, b, 65536) == 65536);
	told();
	must(write(w, b, 1) == 1);
	must(write(w, b, 3 * 65536) == 3 * 65536);
	fcntl(w, F_SETFL, O_NONBLOCK);
	long n = write(w, b, 1 << 20);
	fcntl(w, F_SETFL, 0);
	_exit(n < 0 && errno != EAGAIN);
}
static void room(void) {
	reading(fills);
	while (size() < 65536)
		sched_yield();
	T(size());
	ready("full", r);
	T(full(r, b, 65536));
	tell();
	T(full(r, b, 1));
	T(full(r, b, 3 * 65536));
	while (read(r, b, sizeof b) > 0)
		;
	over(r);
	// A page of room is enough, though the reader reads no more of it until that is used.
	int step[2];
	must(pipe(step) == 0);
	make();
	if ((kid = fork()) == 0) {
		close(r), close(back), close(step[0]);
		puts_();
		for (int i = 0; i < 40; i++)
			must(write(w, b, 4096) == 4096 && write(step[1], "s", 1) == 1);
		_exit(0);
	}
	close(w), close(forth), close(step[1]);
	gets_();
	T(full(step[0], b, 16));
	for (int i = 16; i < 40; i++)
		must(full(r, b, 4096) == 4096 && full(step[0], b, 1) == 1);
	T(full(r, b, 1 << 20));
	close(step[0]);
	over(r);
}

// The end of the file comes behind what was written, however the writer ends.
static void says(void) {
	write(w, "some", 4);
	write(w, " more", 5);
}
static void dies(void) { says(), kill(getpid(), SIGKILL); }
static void closes(void) { says(), close(w), lasts(); }
static void replaces(void) {
	says();
	dup2(forth, w);
	lasts();
}
static void executes(void) {
	says();
	dup2(w, 1);
	close(w);
	execl("/proc/self/exe", "pipes2", "echo", (char *)0);
}
static void lastwords(void) {
	void (*how[])(void) = {says, dies, closes, replaces, executes};
	for (int i = 0; i < 5; i++) {
		reading(how[i]);
		show(r);
		T(read(r, b, 5));
		ready("the end", r);
		over(r);
	}
	reading(says);
	waitpid(kid, 0, 0);
	T(size());
	ready("left", r);
	show(r);
	close(r), close(back);
}

// Who sleeps hears of the end that goes, and no reader is a signal.
static void lets(void) { asleep(getppid()), close(r), lasts(); }
static void killed(void) { asleep(getppid()), kill(getpid(), SIGKILL); }
static void letw(void) { asleep(getppid()), close(w), lasts(); }
static void broken(void) {
	void (*how[])(void) = {lets, killed};
	for (int i = 0; i < 2; i++) {
		handle(SIGPIPE, SA_RESTART);
		writing(how[i]);
		long n = write(w, b, sizeof b);
		printf("a part: %d\n", n > 0 && n < (long)sizeof b);
		T(rang);
		T(write(w, b, 1));
		ready("no reader", w);
		over(w);
		signal(SIGPIPE, SIG_IGN);
		writing(how[i]);
		while (write(w, b, 4000) > 0)
			;
		int e = errno;
		T(e == EPIPE);
		over(w);
	}
	signal(SIGPIPE, SIG_DFL);
	reading(letw);
	T(read(r, b, 10));
	over(r);
	reading(killed);
	T(read(r, b, 10));
	over(r);
	// By the signal's default.
	reading(wholes);
	close(r);
	tell();
	over(r);
}

// Signals cut a read that waits, and a write in its middle.
static void rings(void) {
	asleep(getppid());
	kill(getppid(), SIGUSR1);
	msleep(20);
	write(w, "x", 1);
}
static void stops(void) {
	asleep(getppid());
	kill(getppid(), SIGUSR1);
	msleep(20);
	long n = 0, m;
	while ((m = read(r, b, sizeof b)) > 0)
		n += m;
	_exit(n < 2000);
}
static void pauses(void) {
	asleep(getppid());
	kill(getppid(), SIGSTOP);
	msleep(20);
	kill(getppid(), SIGCONT);
	msleep(20);
	if (r >= 0 && fcntl(r, F_GETFD) >= 0)
		stops();
	write(w, "y", 1);
}
static void cut(void) {
	static char large[8 << 20];
	for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
		handle(SIGUSR1, flags);
		reading(rings);
		T(read(r, b, 10));
		T(rang);
		if (!flags)
			T(read(r, b, 10));
		over(r);
		handle(SIGUSR1, flags);
		writing(stops);
		long n = write(w, large, sizeof large);
		T(n > 0 && n < (long)sizeof large);
		T(rang);
		over(w);
	}
	signal(SIGUSR1, SIG_IGN);
	reading(rings);
	T(read(r, b, 10));
	over(r);
	reading(pauses);
	T(read(r, b, 10));
	over(r);
}

// Others that come to it.
static void waits(void) {
	says();
	told();
	puts_();
	write(w, "def", 3);
	told();
}
static void looks(void) {
	int q[2];
	reading(waits);
	struct pollfd f = {r, POLLIN, 0};
	T(poll(&f, 1, -1));
	while (size() < 9)
		sched_yield();
	ready("some", r);
	fd_set set;
	FD_ZERO(&set);
	FD_SET(r, &set);
	T(select(r + 1, &set, 0, 0, 0));
	char c[10] = "";
	struct iovec v[2] = {{c, 1}, {c + 1, 2}};
	T(full(r, c, 1));
	T(readv(r, v, 2));
	must(pipe(q) == 0);
	T(tee(r, q[1], 3, 0));
	T(splice(r, 0, q[1], 0, 2, 0));
	close(q[1]);
	show(q[0]);
	T(size());
	tell();
	T(full(r, b, 3));
	gets_();
	int e = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};
	T(epoll_ctl(e, EPOLL_CTL_ADD, r, &ev));
	T(epoll_wait(e, &ev, 1, -1));
	T(full(r, c, 3));
	T(epoll_wait(e, &ev, 1, 0));
	T(fcntl(r, F_SETFL, O_NONBLOCK));
	T(read(r, c, 1));
	T(lseek(r, 0, SEEK_CUR));
	T(write(r, c, 1));
	T(pread(r, c, 1, 0));
	close(e), close(q[0]);
	tell();
	over(r);
}
static void vectors(void) {
	struct iovec v[2] = {{"vec", 3}, {"tor", 3}};
	write(w, "a", 1);
	writev(w, v, 2);
	vmsplice(w, v, 2, 0);
	write(w, "z", 1);
	int q[2];
	must(pipe(q) == 0 && write(q[1], "spliced", 7) == 7);
	splice(q[0], 0, w, 0, 5, 0);
	int d = dup(w);
	write(d, "dup", 3);
	if (fork() == 0) {
		write(w, "child", 5);
		_exit(0);
	}
	wait(0);
	puts_();
	write(d, "end", 3);
}
static void writers(void) {
	reading(vectors);
	T(full(r, b, 27));
	printf("%.27s\n", b);
	T(full(r, b, HOT));
	show(r);
	over(r);
}
// Who wants a signal gets one.
static void late(void) {
	told();
	write(w, "x", 1);
	told();
}
static void async(void) {
	handle(SIGIO, 0);
	reading(late);
	T(fcntl(r, F_SETOWN, getpid()));
	T(fcntl(r, F_SETFL, O_ASYNC));
	tell();
	T(full(r, b, 1));
	while (rang == 0)
		msleep(1);
	T(rang == SIGIO);
	T(fcntl(r, F_SETFL, 0));
	tell();
	over(r);
	signal(SIGIO, SIG_DFL);
}
static void describes(void) {
	char name[60], line[200];
	reading(late);
	snprintf(name, sizeof name, "/proc/self/fdinfo/%d", r);
	FILE *f = fopen(name, "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "pos", 3) == 0 || strncmp(line, "flags", 5) == 0)
			printf("%s", line);
	if (f)
		fclose(f);
	snprintf(name, sizeof name, "/proc/self/fd/%d", r);
	int d = open(name, O_RDONLY | O_NONBLOCK);
	some(d);
	tell();
	T(full(r, b, 1));
	some(d);
	close(d);
	tell();
	over(r);
}

// Several readers, and one that gets its end by a message.
static void pours(void) {
	for (int i = 0; i < 3000; i++)
		must(write(w, "12345678", 8) == 8);
}
static void readers(void) {
	reading(pours);
	long n = full(r, b, 4000), st;
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		long m = full(r, b, 1 << 20);
		_exit(m % 251);
	}
	n += full(r, b, 1 << 20);
	waitpid(p, (int *)&st, 0);
	T((n + WEXITSTATUS((int)st)) % 251 == 24000 % 251);
	over(r);
	int s[2];
	reading(pours);
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	T(full(r, b, 4000));
	T(sendfd(s[0], r));
	close(r);
	T(recvfd(s[1], &r));
	T(full(r, b, 1 << 20));
	close(s[0]), close(s[1]);
	over(r);
}

// Many threads at either end: each message is one of those that were written, whole, and each comes once.
enum { THREADS = 4, EACH = 4000 };
static void *writes(void *x) {
	for (int i = 0; i < EACH; i++) {
		int v[2] = {(int)(long)x, i};
		must(write(w, v, sizeof v) == sizeof v);
	}
	return x;
}
static void manyw(void) {
	pthread_t t[THREADS];
	for (long i = 0; i < THREADS; i++)
		pthread_create(&t[i], 0, writes, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], 0);
}
static unsigned char seen[THREADS][EACH];
static void *collects(void *x) {
	int v[2], last[THREADS] = {-1, -1, -1, -1};
	while (read(r, v, sizeof v) == sizeof v) {
		if (v[0] < 0 || v[0] >= THREADS || v[1] <= last[v[0]] || v[1] >= EACH)
			printf("bad: %d %d\n", v[0], v[1]);
		else
			__atomic_add_fetch(&seen[v[0]][last[v[0]] = v[1]], 1, __ATOMIC_RELAXED);
	}
	return x;
}
static void many(void) {
	pthread_t t[THREADS];
	memset(seen, 0, sizeof seen);
	reading(manyw);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], 0, collects, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], 0);
	int once = 0;
	for (int i = 0; i < THREADS; i++)
		for (int j = 0; j < EACH; j++)
			once += seen[i][j] == 1;
	T(once);
	over(r);
}

// Memory that is not there, or not all of it.
static void takes(void) {
	kill(getppid(), SIGUSR1); // it is empty
	for (;;) {
		told();
		long n = size(), m = full(r, b, n);
		printf("%ld %ld\n", n, m);
		fflush(stdout);
		kill(getppid(), SIGUSR1);
		if (n == 0)
			_exit(0);
	}
}
static void memory(void) {
	char *m = mmap(0, 1 << 15, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(m + (1 << 14), 1 << 14);
	memset(m, 'm', 1 << 14);
	sigset_t usr1;
	int s;
	sigemptyset(&usr1), sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, 0);
	static const int before[] = {0, 10, 4096, 4100};
	for (int i = 0; i < 4; i++) {
		writing(takes);
		sigwait(&usr1, &s);
		if (before[i])
			T(write(w, b, before[i]));
		T(write(w, m + (1 << 14) - 100, 200));
		T(write(w, m + 11288, 5200));
		T(write(w, m, 4000));
		T(write(w, m + 12288, 8192));
		T(write(w, (char *)8, 10));
		T(write(w, m, 0));
		tell(), sigwait(&usr1, &s);
		tell(), sigwait(&usr1, &s);
		over(w);
	}
	reading(waits);
	while (size() < 9)
		sched_yield();
	T(read(r, (char *)8, 9));
	T(read(r, m, 0));
	some(r);
	tell();
	gets_();
	T(full(r, b, 3));
	tell();
	over(r);
}

int main(int argc, char **argv) {
	if (argc > 1)
		return write(1, " after exec", 11) != 11;
	begin();
	alarm(100);
	pieces(), atomic_(), room(), lastwords(), broken(), cut(), looks(), writers(), async(), describes(), readers(), many(), memory();
	return 0;
}
