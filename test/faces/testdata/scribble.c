// A guest that is lent all that there is to be lent, and writes over the words by which it and the servers
// speak of that, while it goes on using it: scribble SEED [ADDRESS PORT], of an echo server outside. It ends as it may.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef uint64_t u64;

enum {
	AREA = 0x80000000u,
	CLOSE = 208, // abi.BindHeader.Close
	LENT = 1088,
	LENT_SET = LENT + 72 * 48,
	HEADER = 6112,
	RINGS = 8192,
	SETS = RINGS + 8 * (16 << 10),
	SLOTS = SETS + 4 * (8 << 10),
	SLOT = 256 << 10,
	STREAM = 2 << 20,
};
#define STREAMS (0xa0000000ull + 16 * (32ull << 20))

static u64 seed, window, before[64];
static __thread sigjmp_buf back;
static int seq[2], ends[2], pipes[2], own[2], net[2], out = -1, set = -1, event, count, other;
static char b[1 << 16];
static pid_t peer;

static u64 rnd(void) {
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed;
}
static int below(int n) { return rnd() % n; }
static void fault(int s) { siglongjmp(back, 1); }

static int touched(volatile char *p) {
	if (sigsetjmp(back, 1))
		return 0;
	*p;
	return 1;
}

// word answers one that the servers look at, too.
static u64 *word(void) {
	u64 area = window + AREA;
	switch (below(16)) {
	case 0:
		return (u64 *)(area + (below(RINGS) & -8));
	case 1 ... 6: // descriptors that are in use, mostly
		return (u64 *)(area + LENT + (below(rnd() & 1 ? 24 * 48 : LENT_SET - LENT) & -8));
	case 7 ... 8:
		return (u64 *)(area + (below(LENT) & -8));
	case 9:
		return (u64 *)(area + LENT_SET + (below(HEADER - LENT_SET) & -8));
	case 10:
		return (u64 *)(area + RINGS + (below(SETS - RINGS) & -8));
	case 11 ... 12:
		return (u64 *)(area + SETS + below(4) * 8192 + (below(rnd() & 1 ? 256 : 8192) & -8));
	case 13 ... 14:
		return (u64 *)(window + STREAMS + below(8) * (u64)STREAM + (below(256) & -8));
	default:
		return (u64 *)(area + SLOTS + below(2) * SLOT + (below(rnd() & 1 ? 256 : 4096) & -8));
	}
}
static void scribble(int n) {
	if (sigsetjmp(back, 1))
		return;
	while (n-- > 0) {
		volatile u64 *w = word(), was = *w, v = was;
		switch (below(9)) {
		case 0: v = rnd(); break;
		case 1: v = 0; break;
		case 2: v = -1; break;
		case 3: v = was + 1; break;
		case 4: v = was - 1; break;
		case 5: v = before[below(64)]; break;
		case 6: v = *word(); break;
		default: v = was ^ 1ull << below(64); break;
		}
		before[below(64)] = was;
		*w = v;
	}
}
// shown says which kinds of things it has been lent.
static void shown(void) {
	static const char kinds[] = "occrwsup"; // an offset, a counter, a ring to read and to write, a stream, one of units, a pipe
	u64 *lent = (u64 *)(window + AREA + LENT), *sets = (u64 *)(window + AREA + LENT_SET), *closes = (u64 *)(window + AREA + CLOSE);
	for (int i = 0; i < 64; i++, lent += 6) {
		u64 pos = lent[1], kind = pos >> 44 & 7;
		if (lent[0] & 1)
			putchar('f'); // a file
		if (pos >> 63)
			putchar(kind == 5 && (pos >> 7 & 15) == 15 ? 'h' : kinds[kind]); // h: one to the outside
		if (closes[i] >> 62)
			putchar('C'); // may be closed, or is
	}
	for (int i = 0; i < 4; i++, sets += 33)
		if (sets[0] & 1)
			putchar(sets[4] ? 'H' : 'E'); // a set; with one of the host's
	puts("+");
	fflush(stdout);
}
static void *scribbles(void *n) {
	for (long i = 0; i < (long)n; i++)
		scribble(4);
	return 0;
}

static void nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static int tcp(const char *host, int port, int server) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(host)};
	socklen_t n = sizeof a;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (!server)
		return connect(s, (struct sockaddr *)&a, sizeof a) ? (close(s), -1) : s;
	bind(s, (struct sockaddr *)&a, sizeof a);
	listen(s, 8);
	getsockname(s, (struct sockaddr *)&a, &n);
	net[0] = tcp(host, ntohs(a.sin_port), 0);
	net[1] = accept(s, 0, 0);
	close(s);
	return s;
}
static void watch(int fd, int events) {
	struct epoll_event e = {.events = events, .data.u64 = fd};
	if (fd >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) && errno == EEXIST)
		epoll_ctl(set, EPOLL_CTL_MOD, fd, &e);
}
// echoes is the other process: what it is sent it sends back.
static void echoes(void) {
	static const int waits = 3000;
	struct epoll_event e[8];
	int in[] = {ends[1], net[1], pipes[0]};
	set = epoll_create1(0);
	close(ends[0]), close(net[0]), close(pipes[1]), close(own[0]), close(own[1]), close(event), close(count);
	for (int i = 0; i < 3; i++)
		nonblock(in[i]), watch(in[i], EPOLLIN);
	for (int n; (n = epoll_wait(set, e, 8, waits)) > 0;)
		while (n-- > 0) {
			int m = read(e[n].data.u64, b, 4096);
			if (m <= 0 && errno != EAGAIN)
				_exit(0);
			if (m > 0 && (int)e[n].data.u64 != pipes[0])
				write(e[n].data.u64, b, m);
		}
	_exit(0);
}
static void pass(int fd) {
	union {
		struct cmsghdr h;
		char c[CMSG_SPACE(sizeof fd)];
	} u = {.h = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};
	memcpy(CMSG_DATA(&u.h), &fd, sizeof fd);
	sendmsg(seq[0], &m, MSG_DONTWAIT);
	m.msg_controllen = sizeof u;
	if (rnd() & 1 && recvmsg(seq[1], &m, MSG_DONTWAIT) == 1 && m.msg_controllen >= CMSG_LEN(sizeof fd)) {
		memcpy(&fd, CMSG_DATA(&u.h), sizeof fd);
		if (rnd() & 1)
			close(fd);
	}
}
static void setup(char **argv) {
	char name[32];
	snprintf(name, sizeof name, "/tmp/s%d", getpid());
	mkdir(name, 0777), chdir(name);
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "f%d", i);
		int f = open(name, O_RDWR | O_CREAT, 0644);
		write(f, b, 100 + 3000 * i);
		close(f);
	}
	socketpair(AF_UNIX, SOCK_DGRAM, 0, seq);
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	pipe(pipes), pipe(own);
	tcp("127.0.0.1", 0, 1);
	event = eventfd(0, EFD_NONBLOCK), count = eventfd(0, EFD_NONBLOCK);
	if ((peer = fork()) == 0)
		echoes();
	close(ends[1]), close(net[1]), close(pipes[0]);
	nonblock(ends[0]), nonblock(net[0]), nonblock(pipes[1]), nonblock(own[0]), nonblock(own[1]);
	if (argv[2] && argv[3] && (out = tcp(argv[2], atoi(argv[3]), 0)) >= 0)
		nonblock(out);
	set = epoll_create1(0);
	watch(ends[0], EPOLLIN), watch(net[0], EPOLLIN), watch(out, EPOLLIN | EPOLLET), watch(event, EPOLLIN);
	other = open("f1", O_RDWR);
}
static int any(void) {
	int l[] = {ends[0], net[0], pipes[1], own[0], own[1], out, set, event, count, other, 3 + below(24)};
	return l[below(11)];
}
// uses does what it does often enough to be lent what that takes; every now and then it writes over something.
static void uses(int what, int times, int scribbles) {
	char name[32];
	struct epoll_event e[16];
	struct stat st;
	int n = below(4) ? 1 + below(64) : below(9000), f;
	snprintf(name, sizeof name, "f%d", below(8));
	while (times-- > 0) {
		if (scribbles && below(8) == 0)
			scribble(1 + below(3));
		if (sigsetjmp(back, 1))
			continue;
		switch (what) {
		case 0: // to be opened again
			f = open("f1", O_RDONLY);
			lseek(f, 0, SEEK_CUR), fcntl(f, F_GETFL), close(f);
			break;
		case 1:
			f = open(name, O_RDONLY);
			read(f, b, n), pread(f, b, n, 5), fstat(f, &st), close(f);
			break;
		case 2:
			pwrite(other, b, n, 5000), lseek(other, 0, SEEK_SET), read(other, b, 20), write(other, b, 1 + n / 2);
			break;
		case 3:
			write(ends[0], b, n), epoll_wait(set, e, 16, 1), read(ends[0], b, sizeof b);
			break;
		case 4:
			send(net[0], b, n, MSG_NOSIGNAL), epoll_wait(set, e, 16, 1), recv(net[0], b, sizeof b, 0);
			break;
		case 5 ... 6:
			send(out, b, n, MSG_NOSIGNAL), epoll_wait(set, e, 16, 5), recv(out, b, sizeof b, 0);
			break;
		case 7:
			write(pipes[1], b, n);
			break;
		case 8:
			write(own[1], b, n), read(own[0], b, n);
			break;
		case 9:
			f = below(4) ? count : event;
			eventfd_write(f, 1 + below(9)), eventfd_read(f, (eventfd_t *)b);
			break;
		case 10:
			epoll_wait(set, e, 16, 0);
			break;
		case 11:
			epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &(struct epoll_event){.events = below(2) ? EPOLLIN : EPOLLIN | EPOLLOUT, .data.u64 = ends[0]});
			epoll_wait(set, e, 16, 0);
			break;
		case 12:
			stat(name, &st), access(name, R_OK), lstat("f1", &st);
			break;
		}
	}
}
// disturbs does one thing by which something may have to be taken back.
static void disturbs(void) {
	char name[32], to[32];
	struct epoll_event e[16];
	int f, fd, n = 1 + below(64);
	pid_t p;
	snprintf(name, sizeof name, "f%d", below(8));
	snprintf(to, sizeof to, "f%d", below(8));
	switch (below(14)) {
	case 0:
		fd = any();
		epoll_ctl(set, 1 + below(3), fd, &(struct epoll_event){.events = rnd() & 0xe000201f, .data.u64 = below(4) ? fd : rnd()});
		break;
	case 1:
		watch(ends[0], EPOLLIN), watch(net[0], EPOLLIN), watch(out, EPOLLIN), watch(event, EPOLLIN);
		break;
	case 2:
		if ((p = fork()) == 0) {
			alarm(1);
			read(any(), b, n), write(any(), b, n), scribble(below(9)), close(any()), epoll_wait(set, e, 16, 0);
			_exit(0);
		}
		break;
	case 3:
		f = dup(any());
		if (below(3))
			close(f);
		break;
	case 4:
		fd = any();
		f = dup(fd);
		if (fd > 2 && below(2))
			dup2(any(), fd), dup2(f, fd);
		close(f);
		break;
	case 5:
		pass(any());
		break;
	case 6:
		chmod(name, below(2) ? 0644 : 0600), truncate(name, below(9000));
		break;
	case 7:
		below(2) ? rename(name, to) : link(name, to);
		break;
	case 8:
		unlink(name);
		f = open(name, O_RDWR | O_CREAT, 0644);
		write(f, b, 2000), close(f);
		break;
	case 9:
		fcntl(any(), F_SETFL, below(2) ? O_NONBLOCK : O_NONBLOCK | O_APPEND);
		break;
	case 10:
		ioctl(any(), FIONREAD, &n), shutdown(below(8) ? -1 : any(), below(3));
		break;
	case 11:
		if (below(8) == 0)
			close(3 + below(24));
		break;
	case 12:
		if ((p = vfork()) == 0)
			_exit(read(own[0], b, 1));
		break;
	case 13:
		f = epoll_create1(0);
		epoll_ctl(f, EPOLL_CTL_ADD, below(2) ? set : any(), &(struct epoll_event){.events = EPOLLIN});
		epoll_wait(f, e, 16, 0);
		if (below(4))
			close(f);
		break;
	}
}

int main(int argc, char **argv) {
	static char stack[2][65536];
	seed = strtoul(argv[1], 0, 10) * 0x9e3779b97f4a7c15ull | 1;
	int threads = strtoul(argv[1], 0, 10) % 8 == 7;
	sigaltstack(&(stack_t){.ss_sp = stack[0], .ss_size = sizeof stack[0]}, 0);
	struct sigaction sa = {.sa_handler = fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
	sigaction(SIGSEGV, &sa, 0), sigaction(SIGBUS, &sa, 0), signal(SIGPIPE, SIG_IGN), signal(SIGCHLD, SIG_IGN);
	for (u64 n = 0xb0; n < 0xf0 && !window; n++)
		if (touched((char *)((0x7e00 + n) << 32 | 0x400000)))
			window = (0x7e00 + n) << 32;
	if (!window || !touched((char *)window + AREA)) {
		puts("no library found");
		return 1;
	}
	setup(argv);
	for (int i = 0; i < 26; i++)
		uses(i % 13, 10, 0);
	shown();
	pthread_t t;
	if (threads)
		pthread_create(&t, 0, scribbles, (void *)20000L);
	for (int i = 0; i < 200; i++) {
		uses(below(13), 1 + below(20), !threads);
		if (!sigsetjmp(back, 1) && below(2))
			disturbs();
	}
	_exit(0);
}
