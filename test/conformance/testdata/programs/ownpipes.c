// Pipes of which one process has both ends, and which its library then serves by itself: whoever
// else comes to one, and whatever happens to an end, finds what was written, once and in order.
#include "flows.h"
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { HOT = 60 };
static int p[2];
static char b[1 << 17];

// hot uses a pipe until it is surely lent.
static void hot(int r, int w) {
	char c = 'h';
	for (int i = 0; i < HOT; i++)
		if (write(w, &c, 1) != 1 || read(r, &c, 1) != 1 || c != 'h')
			printf("hot: %m\n");
}
static void make(int flags, const char *in) {
	if (pipe2(p, flags) < 0)
		printf("pipe2: %m\n");
	hot(p[0], p[1]);
	if (*in && write(p[1], in, strlen(in)) != (long)strlen(in))
		printf("make: %m\n");
}
static void done(void) { close(p[0]), close(p[1]); }

// Bytes have to come as they went, whatever the pieces.
static void pieces(void) {
	unsigned seed = 1, in = 0, out = 0, bad = 0;
	make(O_NONBLOCK, "");
	for (int i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		int n = 1 + (seed >> 8) % (i % 50 ? 700 : 9000);
		if (seed >> 31 && in - out + n < 20000) {
			for (int j = 0; j < n; j++)
				b[j] = (in + j) * 7 >> 3;
			long m = write(p[1], b, n);
			if (m > 0)
				in += m;
		} else {
			long m = read(p[0], b, n * 3);
			for (int j = 0; j < m; j++)
				bad += b[j] != (char)((out + j) * 7 >> 3);
			if (m > 0)
				out += m;
		}
	}
	T(in);
	T(out);
	T(bad);
	int left;
	T(ioctl(p[0], FIONREAD, &left));
	T(left == (int)(in - out));
	done();
}

static void sizes(void) {
	make(O_NONBLOCK, "");
	T(write(p[1], b, 0));
	T(read(p[0], b, 0));
	T(read(p[0], b, 10));
	T(write(p[1], b, 16384));
	T(write(p[1], b, 1));
	T(write(p[1], b, 65536 - 16385));
	T(write(p[1], b, 1));
	ready("full", p[1]);
	T(read(p[0], b, 4095));
	ready("less than a page", p[1]);
	T(read(p[0], b, 1 << 17));
	hot(p[0], p[1]);
	T(write(p[1], b, 100000));
	T(read(p[0], b, 1 << 17));
	hot(p[0], p[1]);
	int n = 0;
	while (write(p[1], b, 4096) == 4096)
		n++;
	T(n);
	while (read(p[0], b, 4096) == 4096)
		n--;
	T(n);
	hot(p[0], p[1]);
	T(write(p[1], "some", 4));
	T(fcntl(p[1], F_SETPIPE_SZ, 4096));
	T(write(p[1], b, 4096));
	T(write(p[1], b, 4093));
	T(write(p[1], b, 4092));
	T(read(p[0], b, 1 << 17));
	hot(p[0], p[1]);
	T(write(p[1], b, 4096));
	T(write(p[1], b, 1));
	T(fcntl(p[0], F_SETPIPE_SZ, 1 << 17));
	T(read(p[0], b, 1 << 17));
	hot(p[0], p[1]);
	T(write(p[1], " more", 5));
	T(fcntl(p[0], F_GETPIPE_SZ));
	T(write(p[0], b, 5));
	T(read(p[1], b, 5));
	T(pread(p[0], b, 5, 0));
	T(pwrite(p[1], b, 5, 0));
	T(lseek(p[0], 0, SEEK_CUR));
	struct stat st;
	T(fstat(p[0], &st));
	T(st.st_size);
	some(p[0]);
	done();
}

// Memory of which a part is there.
static void memory(void) {
	char *m = mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(m + 8192, 8192);
	memset(m, 'm', 8192);
	make(O_NONBLOCK, "abc");
	T(write(p[1], (char *)8, 5));
	T(read(p[0], (char *)8, 5));
	some(p[0]);
	for (int i = 0; i < 4; i++) {
		static const int before[] = {0, 10, 4096, 4100};
		hot(p[0], p[1]);
		if (before[i])
			T(write(p[1], b, before[i]));
		if (i == 1)
			T(write(p[1], b, 4100));
		T(write(p[1], m + 8092, 200));
		T(write(p[1], m + 3096, 5200));
		T(write(p[1], m, 4000));
		T(write(p[1], m + 4096, 8192));
		T(read(p[0], b, 1 << 17));
	}
	hot(p[0], p[1]);
	T(write(p[1], b, 100));
	mprotect(m, 8192, PROT_READ);
	T(read(p[0], m, 10));
	T(write(p[1], m, 10));
	T(read(p[0], b, 200));
	done();
	// What a read cannot store stays, also of that with which the pipe is lent.
	for (int i = 0; i < 8; i++) {
		if (pipe2(p, O_NONBLOCK) < 0)
			printf("pipe2: %m\n");
		for (int j = 0; j < i; j++)
			if (write(p[1], b, 1) != 1 || read(p[0], b, 1) != 1)
				printf("used: %m\n");
		T(write(p[1], "stay", 4));
		T(read(p[0], (char *)8, 4));
		some(p[0]);
		done();
	}
}

static void *reads(void *x) {
	some(p[0]);
	return x;
}
static volatile int caught;
static void on(int s) { caught++; }

// An end goes.
static void ends(void) {
	signal(SIGPIPE, on);
	make(0, "left");
	close(p[1]);
	ready("no writer", p[0]);
	some(p[0]);
	some(p[0]);
	close(p[0]);
	make(0, "lost");
	close(p[0]);
	ready("no reader", p[1]);
	T(write(p[1], "x", 1));
	T(caught);
	close(p[1]);
	make(0, "kept");
	int d = dup(p[0]);
	close(p[0]);
	some(d);
	hot(d, p[1]);
	T(write(p[1], "again", 5));
	close(p[1]);
	some(d);
	some(d);
	close(d);
	// Other files in their places.
	make(0, "first");
	int r = p[0], w = p[1], q[2];
	pipe(q);
	hot(q[0], q[1]);
	T(write(q[1], "second", 6));
	T(dup2(q[0], r) == r);
	T(write(w, "nobody", 6));
	some(r);
	T(dup2(q[1], w) == w);
	T(write(w, "third", 5));
	some(q[0]);
	close(r), close(w);
	hot(q[0], q[1]);
	int f = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	write(f, "a file's bytes", 14);
	T(dup2(f, q[0]) == q[0]);
	lseek(f, 0, SEEK_SET);
	some(q[0]);
	close(f), close(q[0]), close(q[1]);
	unlink("file");
	signal(SIGPIPE, SIG_DFL);
}

// Others have an end, too.
static void others(char *self) {
	int st, s[2], d;
	make(0, "one");
	d = dup(p[0]);
	some(d);
	T(write(p[1], "two", 3));
	some(p[0]);
	close(d);
	hot(p[0], p[1]);
	T(write(p[1], "three", 5));
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		some(p[0]);
		hot(p[0], p[1]);
		T(write(p[1], "child", 5));
		_exit(0);
	}
	waitpid(c, &st, 0);
	some(p[0]);
	hot(p[0], p[1]);
	T(write(p[1], "vfork", 5));
	c = vfork();
	if (c == 0) {
		char x[3];
		read(p[0], x, 2);
		write(p[1], x, 2);
		_exit(0);
	}
	waitpid(c, &st, 0);
	some(p[0]);
	hot(p[0], p[1]);
	T(write(p[1], "exec", 4));
	char arg[2][12];
	sprintf(arg[0], "%d", p[0]), sprintf(arg[1], "%d", p[1]);
	fflush(stdout);
	c = fork();
	if (c == 0) {
		some(p[0]);
		close(p[0]), close(p[1]);
		make(0, "over exec");
		sprintf(arg[0], "%d", p[0]), sprintf(arg[1], "%d", p[1]);
		execl(self, self, arg[0], arg[1], NULL);
		_exit(1);
	}
	waitpid(c, &st, 0);
	T(st);
	hot(p[0], p[1]);
	// A child that ends with its pipe.
	c = fork();
	if (c == 0) {
		close(p[0]);
		make(0, "dies");
		kill(getpid(), SIGKILL);
	}
	waitpid(c, &st, 0);
	// By a message.
	hot(p[0], p[1]);
	T(write(p[1], "sent", 4));
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	T(sendfd(s[0], p[0]));
	close(p[0]);
	T(write(p[1], " and more", 9));
	T(recvfd(s[1], &p[0]));
	some(p[0]);
	// By its name.
	hot(p[0], p[1]);
	T(write(p[1], "named", 5));
	char name[60];
	snprintf(name, sizeof name, "/proc/self/fd/%d", p[1]);
	d = open(name, O_RDONLY);
	some(d);
	snprintf(name, sizeof name, "/proc/self/fd/%d", p[0]);
	int e = open(name, O_WRONLY);
	T(write(e, "by its name", 11));
	some(p[0]);
	close(d), close(e), close(s[0]), close(s[1]);
	done();
}

// Calls that are not read and write.
static void calls(void) {
	int q[2], n;
	make(0, "spliced");
	pipe(q);
	hot(q[0], q[1]);
	T(write(q[1], "before ", 7));
	T(splice(p[0], 0, q[1], 0, 5, 0));
	T(tee(p[0], q[1], 1, 0));
	some(q[0]);
	some(p[0]);
	hot(p[0], p[1]), hot(q[0], q[1]);
	struct iovec v[2] = {{"vec", 3}, {"tor", 3}}, r[2] = {{b, 2}, {b + 100, 10}};
	T(writev(p[1], v, 2));
	T(vmsplice(p[1], v, 2, 0));
	T(readv(p[0], r, 2));
	printf("%.2s %.10s\n", b, b + 100);
	hot(p[0], p[1]);
	T(write(p[1], "counted", 7));
	T(ioctl(p[0], FIONREAD, &n));
	T(n);
	some(p[0]);
	// Packets.
	hot(p[0], p[1]);
	T(fcntl(p[1], F_SETFL, O_DIRECT));
	T(write(p[1], "ab", 2));
	T(write(p[1], "cd", 2));
	some(p[0]);
	some(p[0]);
	for (int i = 0; i < HOT; i++)
		write(p[1], "ab", 2), write(p[1], "cd", 2), read(p[0], b, 100), read(p[0], b, 100);
	T(fcntl(p[1], F_SETFL, O_NONBLOCK));
	hot(p[0], p[1]);
	T(write(p[1], "ab", 2));
	T(write(p[1], "cd", 2));
	some(p[0]);
	// Not to wait.
	T(fcntl(p[0], F_SETFL, O_NONBLOCK));
	some(p[0]);
	hot(p[0], p[1]);
	some(p[0]);
	// Signals.
	struct sigaction a = {.sa_handler = on};
	sigaction(SIGIO, &a, 0);
	caught = 0;
	hot(p[0], p[1]);
	T(fcntl(p[0], F_SETOWN, getpid()));
	T(fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK));
	for (int i = 0; i < HOT; i++) {
		write(p[1], "!", 1);
		read(p[0], b, 1);
	}
	T(caught == HOT);
	T(fcntl(p[0], F_SETFL, 0));
	hot(p[0], p[1]);
	done();
	close(q[0]), close(q[1]);
}

// Sets and those who sleep.
static void *pollers(void *x) {
	for (int i = 0; i < 50; i++) {
		struct pollfd f = {p[0], POLLIN, 0};
		char c;
		if (poll(&f, 1, 20000) != 1 || read(p[0], &c, 1) != 1)
			printf("poller: %x %m\n", f.revents);
		write(*(int *)x, &c, 1);
	}
	return x;
}
static void *echoes(void *x) {
	char c;
	for (int i = 0; i < 300; i++)
		if (read(p[0], &c, 1) != 1 || write(*(int *)x, &c, 1) != 1)
			printf("echo: %m\n");
	return x;
}
static void *fills(void *x) {
	static char z[200000];
	memset(z, 'z', sizeof z);
	long n = write(p[1], z, sizeof z);
	T(n);
	return x;
}
struct message {
	int from, n;
	char rest[56];
};
static void *sends(void *x) {
	struct message m = {.from = (long)x};
	for (m.n = 0; m.n < 5000; m.n++) {
		memset(m.rest, m.from * 31 + m.n, sizeof m.rest);
		if (write(p[1], &m, sizeof m) != sizeof m)
			printf("send: %m\n");
	}
	return 0;
}
static long got[2], torn;
static void *receives(void *x) {
	struct message m;
	while (read(p[0], &m, sizeof m) == sizeof m && m.n >= 0) {
		for (unsigned i = 0; i < sizeof m.rest; i++)
			__sync_fetch_and_add(&torn, m.rest[i] != (char)(m.from * 31 + m.n));
		__sync_fetch_and_add(&got[m.from], m.n);
	}
	return x;
}
static void threads(void) {
	int q[2], sum = 0;
	pthread_t t[4];
	char c;
	pipe(q);
	hot(q[0], q[1]);
	make(0, "");
	pthread_create(t, 0, echoes, &q[1]);
	for (int i = 0; i < 300; i++)
		c = i, write(p[1], &c, 1), read(q[0], &c, 1), sum += (unsigned char)c;
	pthread_join(*t, 0);
	T(sum);
	sum = 0;
	pthread_create(t, 0, pollers, &q[1]);
	for (int i = 0; i < 50; i++)
		c = i, write(p[1], &c, 1), read(q[0], &c, 1), sum += (unsigned char)c;
	pthread_join(*t, 0);
	T(sum);
	hot(p[0], p[1]);
	pthread_create(t, 0, fills, 0);
	for (sum = 0; sum < 200000;) {
		long n = read(p[0], b, 7000);
		if (n <= 0)
			break;
		sum += n;
	}
	pthread_join(*t, 0);
	T(sum);
	hot(p[0], p[1]);
	for (long i = 0; i < 2; i++)
		pthread_create(&t[i], 0, sends, (void *)i), pthread_create(&t[2 + i], 0, receives, 0);
	pthread_join(t[0], 0), pthread_join(t[1], 0);
	struct message end[2] = {{0, -1}, {0, -1}};
	write(p[1], end, sizeof end);
	pthread_join(t[2], 0), pthread_join(t[3], 0);
	printf("%ld %ld torn %ld\n", got[0], got[1], torn);
	hot(p[0], p[1]);
	pthread_create(t, 0, reads, 0);
	long wrote = write(p[1], "for the thread", 14); // the thread prints meanwhile
	pthread_join(*t, 0);
	T(wrote);
	// A signal.
	hot(p[0], p[1]);
	struct sigaction a = {.sa_handler = on};
	sigaction(SIGALRM, &a, 0);
	struct itimerval it = {{0, 0}, {0, 20000}};
	setitimer(ITIMER_REAL, &it, 0);
	some(p[0]);
	done();
	// Sets.
	make(O_NONBLOCK, "");
	int ep = epoll_create1(0);
	struct epoll_event e = {EPOLLIN | EPOLLET, {.fd = 1}};
	T(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
	e.events = EPOLLOUT | EPOLLONESHOT;
	T(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &e));
	T(epoll_wait(ep, &e, 1, 0));
	for (int i = 0; i < HOT; i++) {
		write(p[1], "e", 1);
		if (epoll_wait(ep, &e, 1, 1000) != 1 || epoll_wait(ep, &e, 1, 0) != 0)
			printf("round %d: %m\n", i);
		read(p[0], b, 1);
	}
	close(ep);
	hot(p[0], p[1]);
	T(write(p[1], "x", 1));
	fd_set s;
	FD_ZERO(&s);
	FD_SET(p[0], &s);
	struct timeval tv = {0, 0};
	T(select(p[0] + 1, &s, 0, 0, &tv));
	some(p[0]);
	done();
	close(q[0]), close(q[1]);
}

// More than there are rings for.
static void many(void) {
	int q[12][2], bad = 0;
	for (int i = 0; i < 12; i++)
		pipe(q[i]), hot(q[i][0], q[i][1]);
	for (int n = 0; n < 200; n++)
		for (int i = 0; i < 12; i++) {
			// Each is written to, and read some rounds later.
			char c = i * 16 + n % 16, d = 0;
			bad += write(q[i][1], &c, 1) != 1;
			if (n >= i)
				bad += read(q[i][0], &d, 1) != 1 || d != (char)(i * 16 + (n - i) % 16);
		}
	T(bad);
}

int main(int argc, char **argv) {
	begin();
	if (argc > 2) {
		p[0] = atoi(argv[1]), p[1] = atoi(argv[2]);
		some(p[0]);
		hot(p[0], p[1]);
		return 0;
	}
	pieces();
	sizes();
	memory();
	ends();
	others("/proc/self/exe");
	calls();
	threads();
	many();
	return 0;
}
