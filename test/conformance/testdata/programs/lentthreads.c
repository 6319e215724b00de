// Pipes and connections between two processes of many threads, which their libraries serve between themselves:
// records are whole and none is lost or there twice, whoever waits in an epoll set, closes an end, or ends a
// process beside it.
#include "try.h"
#include <sys/epoll.h>
#include <sys/socket.h>

enum { REC = 64, EACH = 1500, MANY = 4, HOT = 200 };
static int p[2], gate[2];
static char *self;
static _Atomic long seen, torn, sum, again_;

static void record(char *b, unsigned who, unsigned n) {
	memset(b, 'a' + n % 26, REC);
	memcpy(b, &who, 4), memcpy(b + 4, &n, 4);
}
static int whole(const char *b) {
	unsigned n;
	memcpy(&n, b + 4, 4);
	for (int i = 8; i < REC; i++)
		if (b[i] != 'a' + n % 26)
			return 0;
	return 1;
}
static void count(const char *b, long n) {
	if (n != REC || !whole(b)) {
		torn++;
		return;
	}
	unsigned v[2];
	memcpy(v, b, 8);
	seen++, sum += v[0] * 100003L + v[1];
}
static void *puts_(void *a) {
	char b[REC];
	for (unsigned i = 0; i < EACH; i++) {
		record(b, (long)a, i);
		if (write(p[1], b, REC) != REC)
			torn++;
	}
	return 0;
}
static void *forever(void *a) {
	char b[REC];
	for (unsigned i = 0;; i++) {
		record(b, (long)a, i);
		if (write(p[1], b, REC) != REC)
			return 0;
	}
}
static void *gets_(void *a) {
	char b[REC];
	long n;
	while ((n = read(p[0], b, REC)) > 0)
		count(b, n);
	return 0;
}
static void threads(int n, void *(*f)(void *)) {
	pthread_t t[MANY];
	for (long i = 0; i < n; i++)
		pthread_create(&t[i], 0, f, (void *)i);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], 0);
}
static void fresh(void) { seen = torn = sum = again_ = 0; }
static void end(const char *what, pid_t k) {
	int st = 0;
	if (k)
		waitpid(k, &st, 0);
	printf("%s: %ld records, sum %ld, %ld torn, status %x\n", what, (long)seen, (long)sum, (long)torn, st);
}

// Many threads write, many read.
static void crowd(const char *what, int writers, int readers) {
	fresh(), pipe(p);
	pid_t k = fork();
	if (k == 0) {
		close(p[0]);
		threads(writers, puts_);
		_exit(torn != 0);
	}
	close(p[1]);
	threads(readers, gets_);
	end(what, k), close(p[0]);
}

// Many threads read by a descriptor that does not wait, of which one waits in an epoll set.
static int ep, sock[2];
static void *takes(void *a) {
	char b[4096];
	for (;;) {
		long n = read(sock[0], b, sizeof b);
		if (n > 0) {
			seen += n;
			for (long i = 0; i < n; i++)
				sum += (unsigned char)b[i];
		} else if (n == 0)
			return 0;
		else if (errno != EAGAIN) {
			torn++;
			return 0;
		} else {
			struct epoll_event e;
			again_++;
			if (epoll_wait(ep, &e, 1, -1) != 1)
				torn++;
		}
	}
}
static void *beside(void *a) { // changes the table under the others
	for (int i = 0; i < 300; i++) {
		int d = dup(sock[0]), o = open("/dev/null", O_RDONLY);
		dup2(d, o), close(d), close(o);
		sched_yield();
	}
	return 0;
}
static void polled(const char *what, int readers, int table) {
	fresh(), socketpair(AF_UNIX, SOCK_STREAM, 0, sock);
	pid_t k = fork();
	if (k == 0) {
		close(sock[0]);
		char b[1000];
		for (int i = 0; i < 3000; i++) {
			int n = 1 + i * 7 % 900;
			memset(b, i, n);
			for (int at = 0, w; at < n; at += w)
				if ((w = write(sock[1], b + at, n - at)) <= 0)
					_exit(1);
		}
		_exit(0);
	}
	close(sock[1]);
	fcntl(sock[0], F_SETFL, O_NONBLOCK);
	ep = epoll_create1(0);
	struct epoll_event e = {EPOLLIN};
	epoll_ctl(ep, EPOLL_CTL_ADD, sock[0], &e);
	pthread_t t;
	if (table)
		pthread_create(&t, 0, beside, 0);
	threads(readers, takes);
	if (table)
		pthread_join(t, 0);
	end(what, k), close(sock[0]), close(ep);
}

// A process of many threads ends, in one way or another, while they write.
static void ends(const char *what, int how) {
	fresh(), pipe(p), pipe(gate);
	pid_t k = fork();
	if (k == 0) {
		char c;
		pthread_t t;
		close(p[0]), close(gate[1]);
		for (long i = 0; i < MANY; i++)
			pthread_create(&t, 0, forever, (void *)i);
		read(gate[0], &c, 1);
		char fd[12];
		sprintf(fd, "%d", p[1]);
		switch (how) {
		case 0: _exit(3);
		case 1: *(volatile int *)8 = 0;
		case 2: execl(self, self, "more", fd, (char *)0); _exit(4);
		case 3: if (fork() == 0) { close(gate[0]); execl(self, self, "more", fd, (char *)0); } _exit(5);
		case 4: if (fork() == 0) { puts_((void *)9); _exit(0); } _exit(6);
		}
		for (;;)
			pause();
	}
	close(p[1]), close(gate[0]);
	char b[REC];
	long n, all = 0, last = 0;
	while ((n = read(p[0], b, REC)) > 0) {
		unsigned v[2];
		memcpy(v, b, 8);
		if (n != REC || !whole(b))
			torn++;
		else if (v[0] == 9)
			last++;
		if (++all == HOT) {
			if (how == 5)
				kill(k, SIGKILL);
			else
				write(gate[1], "g", 1);
		}
	}
	int st;
	waitpid(k, &st, 0);
	printf("%s: %s, %ld of the last, %ld torn, end %ld, status %x\n", what, all >= HOT ? "hot" : "few", last, (long)torn, n, st & 0xff7f);
	close(p[0]), close(gate[1]);
}

int main(int argc, char **argv) {
	if (argc > 2) {
		p[1] = atoi(argv[2]);
		puts_((void *)9);
		return 0;
	}
	begin();
	self = argv[0];
	for (int i = 0; i < 3; i++) {
		crowd("one and one", 1, 1), crowd("many write", MANY, 1), crowd("many read", 1, MANY), crowd("many and many", MANY, MANY);
		polled("one polls", 1, 0), polled("many poll", MANY, 0), polled("many poll, beside others", MANY, 1);
	}
	for (int i = 0; i < 5; i++) {
		ends("exit_group", 0), ends("a fault", 1), ends("exec", 2), ends("fork and exec", 3), ends("fork", 4), ends("killed", 5);
	}
	return 0;
}
