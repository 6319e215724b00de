// A server of a process for each connection, whose sockets wait, and what they do with one by which much has passed: each
// line is a command. The same on the host and in a machine.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int sock;
static char buf[1 << 16];
static int have;
static char big[1 << 24];
static volatile int *flags;      // all processes'
static volatile int *flag, *go; // of this connection
static int id;
static volatile int signals;

static void say(const char *f, ...) {
	char s[256];
	va_list a;
	va_start(a, f);
	int n = vsnprintf(s, sizeof s - 1, f, a);
	va_end(a);
	s[n++] = '\n';
	for (int at = 0; at < n;) {
		int r = write(sock, s + at, n - at);
		if (r > 0)
			at += r;
		else if (errno != EINTR)
			exit(1);
	}
}

// more reads more of what the client says, but not what comes behind a line; at the end of that the process ends.
static void more(void) {
	int n = read(sock, buf + have, 1);
	if (n == 0 || n < 0 && errno != EINTR) {
		*flag = n == 0 ? 1000 : errno;
		exit(0);
	}
	have += n > 0 ? n : 0;
}

static void used(int n) {
	have -= n;
	memmove(buf, buf + n, have);
}

static const char *err(int n) { return n < 0 ? strerrorname_np(errno) : "ok"; }

static void handle(int sig, int flags, void (*f)(int)) {
	struct sigaction a = {.sa_handler = f, .sa_flags = flags};
	sigaction(sig, &a, NULL);
}

static void timer(int ms, int again) {
	struct itimerval v = {{0, again * 1000}, {0, ms * 1000}};
	setitimer(ITIMER_REAL, &v, NULL);
}

static void counts(int sig) { signals++; }

static void tells(int sig) {
	signals++;
	if (write(sock, "signal\n", 7) != 7)
		abort();
}

static void pattern(void) {
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = i * 7 + (i >> 8) * 3 + (i >> 16);
}

static void *reads(void *p) {
	int n = recv(sock, p, 4, MSG_WAITALL);
	say("thread %.*s", n, (char *)p);
	return NULL;
}

// beside does something to the process while that waits.
static void beside(const char *what, pid_t p) {
	close(sock);
	while (!*go)
		usleep(100);
	if (!strcmp(what, "stop"))
		for (int i = 0; i < 20; i++) {
			kill(p, SIGSTOP);
			kill(p, SIGCONT);
		}
	if (!strcmp(what, "signals"))
		for (int i = 0; i < 50; i++)
			kill(p, SIGUSR1);
	if (!strcmp(what, "proc")) {
		char dir[64], link[256];
		snprintf(dir, sizeof dir, "/proc/%d/fd", p);
		DIR *d = opendir(dir);
		for (struct dirent *e; d && (e = readdir(d));)
			if (readlinkat(dirfd(d), e->d_name, link, sizeof link) < 0 && errno != EINVAL)
				perror("readlinkat");
	}
	if (!strcmp(what, "raw"))
		close(socket(AF_INET, SOCK_RAW, IPPROTO_TCP)); // of an ordinary user on the host there is none
	*flag = 1;
	_exit(0);
}

static void command(char *line) {
	char *arg = strchr(line, ' ');
	if (arg)
		*arg++ = 0;
	else
		arg = "";
	int n = atoi(arg);
#define IS(s) !strcmp(line, s)
	if (IS("echo")) {
		say("%s", arg);
	} else if (IS("restart")) {
		handle(SIGALRM, SA_RESTART, tells);
		timer(10, 0);
		n = recv(sock, buf, 100, 0);
		say("%s %.*s, %d", err(n), n > 0 ? n : 0, buf, signals);
	} else if (IS("cut")) {
		handle(SIGALRM, 0, counts);
		timer(10, 0);
		n = arg[0] ? read(sock, buf, 100) : recv(sock, buf, 100, 0);
		say("%s, %d", err(n), signals);
	} else if (IS("fill")) { // until it is cut with nothing sent
		handle(SIGALRM, n, counts);
		timer(10, 10);
		size_t at = 0;
		int shorter = 0, r;
		for (;;) {
			int m = signals;
			r = send(sock, big + at, sizeof big - at, 0);
			if (r < 0 && errno == EINTR || at == sizeof big)
				break;
			if (r < 0)
				say("%s", err(r));
			shorter += r < sizeof big - at && signals > m;
			at += r;
		}
		timer(0, 0);
		*flag = 1;
		if ((r = send(sock, big + at, sizeof big - at, 0)) != sizeof big - at)
			say("%s %d", err(r), r);
		say("short %d, signals %d", shorter > 0, signals > 1);
	} else if (IS("stop") || IS("signals") || IS("proc") || IS("raw")) {
		*go = *flag = 0;
		handle(SIGUSR1, SA_RESTART, counts);
		pid_t p = getpid();
		if (!fork())
			beside(line, p);
		say("beside");
	} else if (IS("begin")) {
		*go = 1;
		n = recv(sock, buf, 100, 0);
		say("%s %.*s", err(n), n, buf);
		wait(NULL);
	} else if (IS("flag")) {
		say("%d", flags[2 * n]);
	} else if (IS("id")) {
		say("%d", id);
	} else if (IS("timeout")) {
		struct timeval v = {0, 30000}, zero = {0, 0};
		struct timespec a, b;
		setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v);
		clock_gettime(CLOCK_MONOTONIC, &a);
		n = recv(sock, buf, 100, 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		double ms = (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
		say("%s, %s", err(n), ms < 29 ? "too soon" : "in time");
		setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &zero, sizeof zero);
	} else if (IS("waitall")) {
		n = recv(sock, buf, n, MSG_WAITALL);
		say("%.*s", n, buf);
	} else if (IS("peek")) {
		int r;
		while ((r = recv(sock, buf, n, MSG_PEEK)) != n)
			;
		n = recv(sock, buf + r, n, 0);
		say("%.*s %.*s", r, buf, n, buf + r);
	} else if (IS("readv")) {
		for (int at = 0; at < n;) {
			struct iovec v[2] = {{buf + at, 1}, {buf + at + 1, n - at - 1}};
			at += readv(sock, v, at + 1 < n ? 2 : 1);
		}
		say("%.*s", n, buf);
	} else if (IS("recvmsg")) {
		for (int at = 0; at < n;) {
			struct iovec v = {buf + at, n - at};
			struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
			at += recvmsg(sock, &m, 0);
		}
		say("%.*s", n, buf);
	} else if (IS("waiting")) {
		int w = 0;
		struct pollfd p = {sock, POLLIN, 0};
		while (w < n) {
			poll(&p, 1, -1);
			ioctl(sock, FIONREAD, &w);
		}
		n = read(sock, buf, n);
		say("%d %.*s %#x", w, n, buf, p.revents);
	} else if (IS("nonblock")) {
		int fl = fcntl(sock, F_GETFL);
		fcntl(sock, F_SETFL, fl | O_NONBLOCK);
		n = recv(sock, buf, 100, 0);
		const char *e = err(n);
		fcntl(sock, F_SETFL, fl);
		say("%s", e);
	} else if (IS("dontwait")) {
		n = recv(sock, buf, 100, MSG_DONTWAIT);
		say("%s", err(n));
	} else if (IS("fault")) {
		n = recv(sock, (void *)8, 100, 0);
		const char *e = err(n);
		n = send(sock, (void *)8, 100, 0);
		const char *f = err(n);
		say("%s %s", e, f);
	} else if (IS("dup")) {
		int fd = dup(sock);
		close(sock);
		sock = fd;
		say("by another descriptor");
	} else if (IS("fork")) {
		if (!fork()) {
			say("the child");
			n = recv(sock, buf, 4, MSG_WAITALL);
			say("%.*s", n, buf);
			_exit(0);
		}
		wait(NULL);
		say("the parent");
	} else if (IS("thread")) {
		pthread_t t;
		char b[4];
		pthread_create(&t, NULL, reads, b);
		pthread_join(t, NULL);
		say("joined");
	} else if (IS("sendmsg")) {
		for (int at = 0; at < n;) {
			struct iovec v = {big + at, n - at};
			struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
			at += sendmsg(sock, &m, 0);
		}
		say("sent");
	} else if (IS("send")) {
		n = send(sock, big, n, 0);
		say("sent %d", n);
	} else if (IS("writev")) {
		struct iovec v[3] = {{big, n}, {big + n, 1000}, {big + n + 1000, n}};
		int r = writev(sock, v, 3);
		say("sent %d", r);
	} else if (IS("sink")) {
		unsigned long long h = 14695981039346656037ull;
		for (int at = 0; at < n;) {
			int m = recv(sock, buf, at % 7 == 0 ? 1000 : n - at < sizeof buf ? n - at : sizeof buf, 0);
			for (int i = 0; i < m; i++)
				h = (h ^ (unsigned char)buf[i]) * 1099511628211ull;
			if (m <= 0)
				break;
			at += m;
		}
		say("%llx", h);
	} else if (IS("half")) {
		shutdown(sock, SHUT_WR);
		handle(SIGPIPE, 0, counts);
		int r = send(sock, "x", 1, 0);
		int e = errno, got = 0;
		while ((n = recv(sock, buf, 100, 0)) > 0)
			got += n;
		*flag = r < 0 && e == EPIPE && signals == 1 ? 2000 + got : -1;
		exit(0);
	} else if (IS("pipe")) { // the client is gone
		handle(SIGPIPE, 0, counts);
		n = recv(sock, buf, 100, 0);
		int e = errno, r;
		int m = recv(sock, buf, 100, 0);
		while ((r = send(sock, "x", 1, 0)) == 1)
			;
		*flag = n < 0 && e == ECONNRESET && m == 0 && r < 0 && errno == EPIPE && signals == 1 ? 3000 : -1;
		exit(0);
	} else if (IS("close")) {
		exit(0);
	} else if (IS("unread")) {
		struct pollfd p = {sock, POLLIN, 0};
		poll(&p, 1, -1);
		exit(0);
	} else if (IS("linger")) {
		struct linger l = {1, 0};
		setsockopt(sock, SOL_SOCKET, SO_LINGER, &l, sizeof l);
		exit(0);
	} else {
		say("what?");
	}
}

int main(int argc, char **argv) {
	struct sockaddr_in a = {AF_INET, htons(atoi(argv[1]))};
	int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (void *)&a, sizeof a) || listen(l, 64)) {
		perror("bind");
		return 1;
	}
	flags = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pattern();
	signal(SIGCHLD, SIG_IGN);
	printf("up\n");
	fflush(stdout);
	for (;;) {
		struct pollfd p[2] = {{0, POLLIN, 0}, {l, POLLIN, 0}}; // the machine's input: its end is ours
		poll(p, 2, -1);
		if (p[0].revents)
			return 0;
		if ((sock = accept(l, NULL, NULL)) < 0)
			continue;
		id = (id + 1) % (1 << 12);
		flag = flags + 2 * id;
		go = flag + 1;
		*flag = 0;
		if (fork()) {
			close(sock);
			continue;
		}
		close(l);
		signal(SIGCHLD, SIG_DFL);
		for (;;) {
			char *end = memchr(buf, '\n', have), line[256];
			if (!end) {
				more();
				continue;
			}
			int n = end - buf;
			memcpy(line, buf, n);
			line[n] = 0;
			used(n + 1);
			command(line);
		}
	}
}
