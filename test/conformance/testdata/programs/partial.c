// What calls answer that move bytes to or from memory of which a part is not
// there, and what is left afterwards. Where Linux counts whole pages or chunks only
// (pipes, streams, terminals) nothing may be lost (of a terminal, a chunk), but it
// may count more finely (writes are compared closely in halfwrite.c).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/sendfile.h>
#include <termios.h>
#include <unistd.h>

enum { PAGE = 4096, GOOD = 64 * PAGE };
static char *mem;   // GOOD bytes, then nothing
static char data[GOOD + PAGE];

static char *edge(long n) { return mem + GOOD - n; } // n bytes are there

static void say(const char *what, long r) {
	if (r < 0) printf("%s: %s\n", what, strerrorname_np(errno));
	else printf("%s: %ld\n", what, r);
}

static unsigned sum(const char *p, long n) {
	unsigned h = 5381;
	for (long i = 0; i < n; i++) h = h * 33 + (unsigned char)p[i];
	return h;
}

// left reads what fd still has, without waiting.
static void left(const char *what, int fd) {
	static char b[2 * GOOD];
	long n = 0, r, got = 0;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	while ((r = read(fd, b + n, sizeof b - n)) > 0) n += r, got++;
	printf("%s: left %ld %08x (%s)\n", what, n, sum(b, n), r < 0 ? strerrorname_np(errno) : "end");
}

// kept says whether what a read put at p and what fd still has is the data.
static void kept(const char *what, int fd, const char *p, long r, long n, long slack) {
	static char b[2 * GOOD];
	long got = r > 0 ? r : 0, m;
	int first = memcmp(p, data, got) == 0;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	long had = got;
	for (got = 0; (m = read(fd, b + got, sizeof b - got)) > 0;) got += m;
	int rest = got <= n && memcmp(b, data + n - got, got) == 0 && had + got <= n && had + got >= n - slack;
	printf("%s: %s %s\n", what, first ? "first" : "FIRST", rest ? "rest" : "REST");
	if (!rest) printf("%ld and %ld of %ld\n", had, got, n);
}

static const long fits[] = {0, 1, 10, 100, PAGE - 1, PAGE, PAGE + 1, 9000, 40000, 70000};
#define FITS (sizeof fits / sizeof *fits)

// fill makes a new readable source with data in it.
static int fill(int kind) {
	int p[2], m, s;
	struct termios t;
	switch (kind) {
	case 0:
		p[0] = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);
		write(p[0], data, 50000);
		lseek(p[0], 0, SEEK_SET);
		return p[0];
	case 1:
		pipe(p);
		write(p[1], data, 50000);
		close(p[1]);
		return p[0];
	case 2: case 3: case 4:
		socketpair(AF_UNIX, kind == 2 ? SOCK_STREAM : kind == 3 ? SOCK_DGRAM : SOCK_SEQPACKET, 0, p);
		write(p[1], data, 3000), write(p[1], data + 3000, 9000), write(p[1], data + 12000, 500);
		if (kind == 2) close(p[1]);
		return p[0];
	case 5:
		openpty(&m, &s, 0, 0, 0);
		tcgetattr(s, &t), cfmakeraw(&t), tcsetattr(s, TCSANOW, &t);
		for (int i = 0; i < 3000; i += 100) write(m, data + i, 100);
		return s;
	case 6:
		openpty(&m, &s, 0, 0, 0);
		write(m, "one line\nand another that is longer\nx", 37);
		return s;
	case 7:
		openpty(&m, &s, 0, 0, 0);
		tcgetattr(s, &t), cfmakeraw(&t), tcsetattr(s, TCSANOW, &t);
		write(s, data, 1000);
		return m;
	case 8:
		return open("/dev/zero", O_RDONLY);
	case 9:
		m = eventfd(5, 0);
		return m;
	case 10:
		m = timerfd_create(CLOCK_MONOTONIC, 0);
		timerfd_settime(m, 0, &(struct itimerspec){{0, 0}, {0, 1}}, 0);
		poll(&(struct pollfd){m, POLLIN}, 1, -1);
		return m;
	case 11:
		m = inotify_init();
		mkdir("d", 0700);
		inotify_add_watch(m, "d", IN_CREATE);
		close(open("d/a", O_CREAT, 0600)), close(open("d/bcdefghijklmnopqrstuvw", O_CREAT, 0600)), close(open("d/c", O_CREAT, 0600));
		unlink("d/a"), unlink("d/bcdefghijklmnopqrstuvw"), unlink("d/c"), rmdir("d");
		return m;
	case 12: {
		sigset_t set;
		sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2);
		sigprocmask(SIG_BLOCK, &set, 0);
		kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR2);
		return signalfd(-1, &set, 0);
	}
	case 13:
		return open("/proc/self/comm", O_RDONLY);
	case 14:
		m = memfd_create("m", 0);
		write(m, data, 50000), lseek(m, 0, SEEK_SET);
		return m;
	}
	return -1;
}

static const char *const kinds[] = {"file", "pipe", "stream", "dgram", "seqpacket", "tty", "line", "ptmx", "zero", "eventfd", "timerfd", "inotify", "signalfd", "proc", "memfd"};

static void reads(void) {
	char what[100];
	for (int k = 0; k < 15; k++)
		for (int i = 0; i < FITS; i++)
			for (int how = 0; how < 4; how++) {
				long n = fits[i];
				int fd = fill(k);
				fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
				memset(mem, 0, GOOD);
				sprintf(what, "%s %ld %s", kinds[k], n, (char *[]){"read", "readv", "readv2", "recvmsg"}[how]);
				struct iovec v[3] = {{edge(n), 80000}, {mem, 7}};
				long r;
				if (how == 0) r = read(fd, edge(n), 80000);
				else if (how == 1) r = readv(fd, v, 1);
				else if (how == 2) v[0] = (struct iovec){mem, 5}, v[1] = (struct iovec){edge(n), 80000}, v[2] = (struct iovec){mem + 10, 5}, r = readv(fd, v, 3);
				else if (k < 2 || k > 4) { close(fd); continue; }
				else { struct msghdr h = {.msg_iov = v, .msg_iovlen = 1}; r = recvmsg(fd, &h, 0); }
				if (k == 1 || k == 2 || k == 5 || k == 7) {
					char *all = edge(n);
					static char whole[GOOD + 80020];
					long h = how == 2 && r > 0 ? r < 5 ? r : 5 : 0, rest = r - h > n ? n : r - h;
					memcpy(whole, mem, h), memcpy(whole + h, all, rest > 0 ? rest : 0);
					if (how == 2 && r > 5 + n) memcpy(whole + 5 + n, mem + 10, 5);
					long total = (long[]){0, 50000, 12500, 0, 0, 3000, 0, 1000}[k];
					if (r > 5 + n + 5) r = total;
					else kept(what, fd, whole, r, total, k > 4 ? 64 : 0);
					close(fd);
					continue;
				}
				if (k == 11 && how == 2) { close(fd); continue; }
				say(what, r);
				if (k == 11 || k == 12) { close(fd); continue; }
				if (k != 8 && k != 9 && k != 10) printf("%08x ", sum(edge(n), n < r ? n : r > 0 ? r : 0));
				if (k == 8) printf("\n");
				else left(what, fd);
				if (k == 0) printf("at %ld\n", (long)lseek(fd, 0, SEEK_CUR));
				close(fd);
			}
}

static void writes(void) {
	char what[100];
	for (int k = 0; k < 9; k++)
		for (int i = 0; i < FITS; i++)
			for (int how = 0; how < 4; how++) {
				long n = fits[i], r;
				int p[2] = {-1, -1};
				struct termios t;
				switch (k) {
				case 0: case 8:
					p[1] = open("w", O_RDWR | O_CREAT | O_TRUNC | (k == 8 ? O_APPEND : 0), 0600), p[0] = open("w", O_RDONLY);
					break;
				case 1: pipe(p); break;
				case 2: case 3: case 4: socketpair(AF_UNIX, k == 2 ? SOCK_STREAM : k == 3 ? SOCK_DGRAM : SOCK_SEQPACKET, 0, p); break;
				case 5: openpty(&p[0], &p[1], 0, 0, 0); tcgetattr(p[1], &t), cfmakeraw(&t), tcsetattr(p[1], TCSANOW, &t); break;
				case 6: p[1] = open("/dev/null", O_WRONLY), p[0] = open("/dev/null", O_RDONLY); break;
				case 7: p[0] = memfd_create("x", 0); sprintf(what, "/proc/self/fd/%d", p[0]); p[1] = open(what, O_RDWR); break;
				}
				fcntl(p[1], F_SETFL, fcntl(p[1], F_GETFL) | O_NONBLOCK);
				memcpy(mem, data, GOOD);
				sprintf(what, "to %s %ld %s", (char *[]){"file", "pipe", "stream", "dgram", "seqpacket", "tty", "null", "memfd", "append"}[k], n, (char *[]){"write", "writev", "writev2", "sendmsg"}[how]);
				struct iovec v[3] = {{edge(n), n + 1000}, {mem, 7}};
				if (how == 0) r = write(p[1], edge(n), n + 1000);
				else if (how == 1) r = writev(p[1], v, 1);
				else if (how == 2) v[0] = (struct iovec){mem, 5}, v[1] = (struct iovec){edge(n), n + 1000}, v[2] = (struct iovec){mem + 10, 5}, r = writev(p[1], v, 3);
				else if (k < 2 || k > 4) { close(p[0]), close(p[1]); continue; }
				else { struct msghdr h = {.msg_iov = v, .msg_iovlen = 1}; r = sendmsg(p[1], &h, 0); }
				if (k == 1 || k == 2 || k == 5) {
					// As many as it says have come, and no others.
					static char b[2 * GOOD];
					long got = 0, m, want = n + (how == 2 ? 5 : 0);
					fcntl(p[0], F_SETFL, fcntl(p[0], F_GETFL) | O_NONBLOCK);
					while ((m = read(p[0], b + got, sizeof b - got)) > 0) got += m;
					int same = got == (r > 0 ? r : 0) && got <= want;
					if (how == 2) same = same && memcmp(b, mem, got < 5 ? got : 5) == 0 && (got < 5 || memcmp(b + 5, edge(n), got - 5) == 0);
					else same = same && memcmp(b, edge(n), got) == 0;
					printf("%s: %s\n", what, same ? "same" : "NOT SAME");
					close(p[0]), close(p[1]);
					continue;
				}
				say(what, r);
				left(what, p[0]);
				close(p[0]), close(p[1]);
			}
}

static void others(void) {
	long r;
	int fd;
	char what[100];
	for (int i = 0; i < FITS; i++) {
		long n = fits[i];
		fd = fill(0);
		r = pread(fd, edge(n), 80000, 100), sprintf(what, "pread %ld", n), say(what, r);
		struct iovec v = {edge(n), 80000};
		r = preadv(fd, &v, 1, 100), sprintf(what, "preadv %ld", n), say(what, r);
		memcpy(mem, data, GOOD);
		r = pwrite(fd, edge(n), n + 1000, 100), sprintf(what, "pwrite %ld", n), say(what, r);
		if (n > 0) r = pwritev(fd, &v, 1, 60000), sprintf(what, "pwritev %ld", n), say(what, r);
		r = lseek(fd, 0, SEEK_END), sprintf(what, "size %ld", n), say(what, r);
		close(fd);
		r = getrandom(edge(n), 1000, 0), sprintf(what, "getrandom %ld", n), say(what, r);
		symlink("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ln");
		r = readlink("ln", edge(n), 4096), sprintf(what, "readlink %ld", n), say(what, r);
		r = (long)syscall(SYS_getcwd, edge(n), 4096), sprintf(what, "getcwd %ld", n), printf("%s: %s\n", what, r < 0 ? "bad" : "good");
		int p[2];
		pipe(p);
		fcntl(p[1], F_SETFL, O_NONBLOCK);
		v = (struct iovec){edge(n), n + 1000};
		r = vmsplice(p[1], &v, 1, 0), sprintf(what, "vmsplice %ld", n), printf("%s: %s\n", what, r < 0 ? "bad" : r > n ? "much" : "good");
		close(p[0]), close(p[1]);
	}
	int low = dup(0);
	close(low);
	// Results behind memory that is not there.
	pid_t c = fork();
	if (c == 0) _exit(3);
	say("wait4", wait4(c, (int *)edge(0), 0, 0) == c ? 1 : -1);
	say("wait4 again", wait4(c, 0, 0, 0) == c ? 1 : -1);
	say("pipe", syscall(SYS_pipe2, edge(4), 0));
	fd = dup(0), say("lowest", fd - low), close(fd);
	say("socketpair", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, edge(4)));
	fd = dup(0), say("lowest", fd - low), close(fd);
	// Messages with descriptors into bad control memory.
	for (int i = 0; i < 3; i++) {
		int s[2];
		socketpair(AF_UNIX, SOCK_STREAM, 0, s);
		low = dup(0), close(low);
		char cb[CMSG_SPACE(sizeof(int))] = {0}, b[10];
		struct iovec v = {"hello", 5};
		struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = cb, .msg_controllen = sizeof cb};
		struct cmsghdr *m = CMSG_FIRSTHDR(&h);
		m->cmsg_level = SOL_SOCKET, m->cmsg_type = SCM_RIGHTS, m->cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)CMSG_DATA(m) = 1;
		sendmsg(s[0], &h, 0);
		v = (struct iovec){b, 10};
		struct msghdr g = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = edge((int[]){0, 8, 16}[i]), .msg_controllen = sizeof cb};
		r = recvmsg(s[1], &g, 0), sprintf(what, "bad control %d", i), say(what, r);
		printf("flags %x controllen %ld\n", g.msg_flags, (long)g.msg_controllen);
		fd = dup(0), say("lowest", fd - low), close(fd);
		left("after", s[1]);
		close(s[0]), close(s[1]);
	}
	{
		int s[2];
		socklen_t l = 100;
		socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
		write(s[0], "hello", 5);
		r = recvfrom(s[1], mem, 10, 0, (void *)edge(0), &l), say("recvfrom bad address", r);
		left("after", s[1]);
	}
	say("sigaction", syscall(SYS_rt_sigaction, SIGUSR1, 0, edge(0), 8));

}

// many reads into many pieces, of which one from the middle on is not there.
static void many(void) {
	static char whole[4096];
	char what[100];
	for (int k = 0; k < 15; k++) {
		if (k > 4 && k != 14) continue;
		for (int bad = 5; bad < 90; bad += 21)
			for (int how = 0; how < 3; how++) {
				struct iovec v[90];
				for (int i = 0; i < 90; i++) v[i] = (struct iovec){mem + 30 * i, 30};
				v[bad].iov_base = edge(11);
				int fd = fill(k);
				struct msghdr h = {.msg_iov = v, .msg_iovlen = 90};
				fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
				if (how > 0 && (k < 2 || k > 4)) { close(fd); continue; }
				memset(mem, 0, GOOD);
				sprintf(what, "%s %d of many %d", kinds[k], bad, how);
				long r = how == 0 ? readv(fd, v, 90) : recvmsg(fd, &h, how == 2 ? MSG_WAITALL : 0);
				memcpy(whole, mem, 30 * bad), memcpy(whole + 30 * bad, edge(11), 11);
				if (k == 1 || k == 2) { kept(what, fd, whole, r, k == 1 ? 50000 : 12500, 0); close(fd); continue; }
				say(what, r);
				printf("%08x ", r > 0 ? sum(whole, r) : 0);
				left(what, fd);
				close(fd);
			}
	}
	// All of a stream, more than comes at once.
	for (long n = 1000; n < 150000; n += 37000) {
		int s[2];
		struct iovec v[2] = {{edge(n), n}, {mem + GOOD, 1000}};
		struct msghdr h = {.msg_iov = v, .msg_iovlen = 2};
		socketpair(AF_UNIX, SOCK_STREAM, 0, s);
		write(s[0], data, 150000);
		long r = recvmsg(s[1], &h, MSG_WAITALL);
		sprintf(what, "all of a stream, %ld there", n);
		kept(what, s[1], edge(n), r, 150000, 0);
		close(s[0]), close(s[1]);
	}
	// A long message.
	int s[2];
	struct iovec v[2] = {{mem, 150000}, {mem + GOOD, 50000}};
	struct msghdr h = {.msg_iov = v, .msg_iovlen = 2};
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s);
	for (int i = 0; i < 2; i++) {
		write(s[0], data, 160000 - 20000 * i), write(s[0], "next", 4);
		say("a long message", recvmsg(s[1], &h, 0));
		printf("%08x ", sum(mem, 150000));
		left("after it", s[1]);
	}
	close(s[0]), close(s[1]);
}

int main(void) {
	for (int i = 0; i < sizeof data; i++) data[i] = 'a' + (i * 7 + i / 256) % 26;
	mem = mmap(0, GOOD + 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(mem + GOOD, 32 * PAGE);
	mprotect(mem + GOOD, 0, 0);
	reads();
	writes();
	others();
	many();
	return 0;
}
