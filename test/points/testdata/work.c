// Calls whose effect shows whether it took place once: made again, each would
// fail otherwise, or leave another state. Arguments: a directory to work in, and
// which half of the work to do.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long r) {
	printf("%s: %ld %s\n", what, r < 0 ? -1 : r, r < 0 ? strerror(errno) : "");
	fflush(stdout); // each line is a write of its own
}
#define T(e) say(#e, (long)(e))

static volatile sig_atomic_t caught;
static void on(int s) { caught++; }

static void stat_of(const char *name) {
	struct stat st;
	if (stat(name, &st) < 0) {
		say(name, -1);
		return;
	}
	printf("%s: mode %o links %ld size %ld\n", name, st.st_mode, (long)st.st_nlink, (long)st.st_size);
}

static void files(void) {
	char b[64] = "";
	int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
	T(fd >= 0);
	T(write(fd, "hello ", 6));
	T(write(fd, "world\n", 6));
	T(pwrite(fd, "W", 1, 6));
	T(lseek(fd, 2, SEEK_SET));
	T(read(fd, b, 4));
	printf("'%.4s'\n", b);
	T(read(fd, b, 60));
	T(ftruncate(fd, 5000));
	int ap = open("a", O_WRONLY | O_APPEND);
	T(write(ap, "end\n", 4));
	struct iovec v[2] = {{"one,", 4}, {"two\n", 4}};
	T(writev(ap, v, 2));
	T(fallocate(fd, 0, 0, 6000));
	T(fchmod(fd, 0600));
	T(fsetxattr(fd, "user.n", "v", 1, XATTR_CREATE));
	T(fgetxattr(fd, "user.n", b, 60));
	stat_of("a");
	T(mkdir("d", 0755));
	T(rename("a", "d/b"));
	T(link("d/b", "c"));
	T(symlink("d/b", "s"));
	stat_of("s");
	T(unlink("d/b"));
	stat_of("c");
	T(rmdir("d"));
	struct timespec ts[2] = {{1, 0}, {1000000000, 5}};
	T(utimensat(AT_FDCWD, "c", ts, 0));
	T(renameat2(AT_FDCWD, "s", AT_FDCWD, "t", RENAME_NOREPLACE));
	T(mkfifo("f", 0600));
	int e = open("e", O_CREAT | O_EXCL | O_WRONLY, 0600);
	T(renameat2(AT_FDCWD, "c", AT_FDCWD, "e", RENAME_EXCHANGE));
	stat_of("c");
	stat_of("e");
	T(unlink("c")); // open still
	T(write(e, "lives", 5));
	close(e);
	char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(m + 12, "mapped", 6);
	T(pread(fd, b, 8, 11));
	printf("%.7s\n", b + 1);
	munmap(m, 8192);
	lseek(fd, 0, SEEK_SET);
	int out = open("out", O_RDWR | O_CREAT | O_EXCL, 0600);
	T(sendfile(out, fd, 0, 100));
	T(copy_file_range(fd, 0, out, 0, 50, 0));
	T(lseek(out, 0, SEEK_END));
	T(lseek(fd, 0, SEEK_CUR));
	close(out);
	close(ap);
	close(fd);
	DIR *dir = opendir(".");
	int n = 0;
	while (dir && readdir(dir))
		n++;
	closedir(dir);
	T(n);
	// Larger than a small file's block, and than a request.
	static char big[300000];
	memset(big, 'x', sizeof big);
	fd = open("big", O_RDWR | O_CREAT | O_APPEND, 0600);
	T(write(fd, big, sizeof big));
	T(write(fd, "tail", 4));
	T(pread(fd, big, sizeof big, 100));
	T(ftruncate(fd, 100001));
	T(lseek(fd, 0, SEEK_END));
	// Written over again and again, by two descriptions, and read between.
	int over = open("big", O_RDWR);
	for (int i = 0; i < 16; i++) {
		T(pwrite(over, "over and over", 13, 5000 + 7 * i));
		T(write(over, "from the offset", 15));
		T(pread(fd, b, 40, 5000));
		printf("%.40s\n", b);
		if (i == 5)
			T(write(fd, "longer", 6));
	}
	T(lseek(over, 0, SEEK_CUR));
	T(futimens(over, ts));
	T(pwrite(over, "written", 7, 4000));
	struct stat st;
	T(fstat(over, &st));
	T(st.st_mtime > 1000000000);
	close(over);
	close(fd);
}

// Made longer so often that the library does it: what is in it, and how long it is.
static void grown(void) {
	static unsigned v[50000];
	for (int i = 0; i < 50000; i++)
		v[i] = i * 2654435761u;
	int fd = open("grown", O_RDWR | O_CREAT, 0600), g = open("grown", O_RDWR), bad = 0;
	off_t end = 33000 * sizeof v[0];
	struct stat st;
	T(write(fd, v, end) == end);
	for (int i = 0; i < 36; i++) {
		int h = i == 20 ? g : fd;
		bad += pwrite(h, (char *)v + end, 1000, end) != 1000;
		end += 1000;
		if (i == 13 || i == 24 || i == 33)
			bad += fstat(g, &st) != 0 || st.st_size != end;
		if (i == 28)
			end -= 700, bad += ftruncate(g, end) != 0;
	}
	T(bad);
	char *m = mmap(0, end, PROT_READ, MAP_SHARED, g, 0);
	T(memcmp(m, v, end));
	munmap(m, end);
	bad = pwrite(fd, (char *)v + end, 1000, end) != 1000;
	close(fd);
	T(bad);
	T(fstat(g, &st));
	T(st.st_size - end);
	static char b[sizeof v];
	T(pread(g, b, sizeof b, 0) - end);
	T(memcmp(b, v, end + 1000));
	T(unlink("grown"));
	close(g);
}

// Read so often that the library does it: where each read begins shows what was lost.
static void lent(void) {
	static unsigned short v[6000];
	for (int i = 0; i < 6000; i++)
		v[i] = i;
	int fd = open("lent", O_RDWR | O_CREAT, 0600), next = 0, bad = 0;
	T(write(fd, v, sizeof v));
	T(lseek(fd, 0, SEEK_SET));
	for (int i = 0; i < 60; i++) {
		unsigned short got[5] = {0};
		if (read(fd, got, sizeof got) != sizeof got)
			bad++;
		for (int j = 0; j < 5; j++)
			bad += got[j] != next++;
		if (i % 10 == 9) {
			int d = dup(fd);
			T(lseek(d, 0, SEEK_CUR));
			close(d);
		}
		if (i == 45) {
			T(ftruncate(fd, 5000));
			T(pread(fd, got, sizeof got, 4994));
		}
	}
	T(bad);
	T(lseek(fd, -4, SEEK_END));
	T(read(fd, v, sizeof v));
	T(read(fd, v, sizeof v));
	close(fd);
	// And a counter: the sum shows what was lost of it, or counted twice.
	unsigned long n, sum = 0;
	int ev = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < 60; i++) {
		n = i;
		if (write(ev, &n, sizeof n) != sizeof n)
			bad++;
		if (i % 5 == 4) {
			int d = i % 10 == 9 ? dup(ev) : ev;
			if (read(d, &n, sizeof n) != sizeof n)
				bad++;
			sum += n;
			if (d != ev)
				close(d);
		}
	}
	T(sum);
	T(bad);
	close(ev);
	// And a pipe: each byte shows which was lost, or came twice.
	int p[2];
	unsigned char in = 0, out = 0, got[40];
	T(pipe2(p, O_NONBLOCK));
	for (int i = 0; i < 60; i++) {
		for (int j = 0; j < 7; j++)
			got[j] = in++;
		if (write(p[1], got, 7) != 7)
			bad++;
		int r = i % 10 == 9 ? dup(p[0]) : p[0];
		long n = read(r, got, i % 3 ? 5 : 40);
		for (int j = 0; j < n; j++)
			bad += got[j] != out++;
		if (r != p[0])
			close(r);
	}
	struct pollfd f = {p[0], POLLIN, 0};
	T(poll(&f, 1, 0));
	T((unsigned char)(in - out));
	T(bad);
	close(p[0]), close(p[1]);
}

// closes closes what it has opened to read in all orders: each number shows which was lost, or closed twice.
static void closes(void) {
	int bad = 0, base = dup(0), f[3];
	close(base);
	for (int i = 0; i < 12; i++) {
		for (int j = 0; j < 3; j++) {
			f[j] = open("lent", O_RDONLY);
			bad += f[j] != base + j;
		}
		bad += close(f[i % 3]) != 0;
		int g = i % 2 ? open("lent", O_RDONLY) : dup(0);
		bad += g != f[i % 3];
		bad += close(f[(i + 1) % 3]) != 0;
		bad += close(g) != 0;
		bad += fcntl(g, F_GETFD) != -1;
		bad += close(f[(i + 2) % 3]) != 0;
		bad += close(g) != -1;
	}
	for (int i = 0; i < 40; i++) {
		unsigned short v = 1;
		int g = open("lent", O_RDONLY);
		bad += g != base;
		bad += read(g, &v, sizeof v) != sizeof v || v != 0;
		bad += close(g) != 0;
		if (i % 8 == 7)
			bad += fcntl(g, F_GETFD) != -1;
	}
	T(bad);
}

// streams has a stream between two processes, or two pipes, lent and taken back: each byte shows which was lost, or
// came twice.
static void streams(int pipes) {
	int s[2], to[2], bad = 0, st;
	unsigned char in = 0, out = 0, got[40];
	if (pipes) {
		T(pipe(to));
		T(pipe(s));
		st = s[1], s[1] = to[0], to[0] = st; // s: what is read, to: what is written, first the child's
	} else {
		T(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
		to[0] = s[1], to[1] = s[0];
	}
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		long n;
		close(s[0]), close(to[1]);
		while ((n = read(s[1], got, sizeof got)) > 0)
			if (write(to[0], got, n) != n)
				_exit(1);
		_exit(n != 0);
	}
	close(s[1]), close(to[0]);
	for (int i = 0; i < 60; i++) {
		for (int j = 0; j < 7; j++)
			got[j] = in++;
		int w = i % 20 == 19 ? dup(to[1]) : to[1];
		if (write(w, got, 7) != 7)
			bad++;
		for (int m = 0; m < 7;) {
			long n = read(s[0], got, 7 - m);
			if (n <= 0)
				break;
			for (int j = 0; j < n; j++)
				bad += got[j] != out++;
			m += n;
		}
		if (w != to[1])
			close(w);
	}
	T((unsigned char)(in - out));
	T(bad);
	close(s[0]), close(to[1]);
	T(waitpid(p, &st, 0) == p);
	T(st);
}

static void descriptors(void) {
	char b[64];
	int p[2], s[2];
	T(pipe2(p, O_CLOEXEC));
	T(write(p[1], "through", 7));
	T(read(p[0], b, 3));
	T(read(p[0], b, 60));
	T(dup2(p[1], 20));
	T(fcntl(20, F_DUPFD, 30));
	T(close(20));
	T(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	T(send(s[0], "stream", 6, 0));
	struct iovec v = {"r", 1};
	char ctl[CMSG_SPACE(sizeof(int))] = "";
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &p[0], sizeof(int));
	T(sendmsg(s[0], &h, 0));
	T(recv(s[1], b, 6, MSG_WAITALL));
	h.msg_controllen = sizeof ctl;
	v.iov_base = b;
	T(recvmsg(s[1], &h, 0));
	int got;
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof got);
	T(write(p[1], "sent", 4));
	T(read(got, b, 60));
	close(got);
	int l = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un a = {AF_UNIX, "sock"};
	T(bind(l, (void *)&a, sizeof a));
	T(sendto(s[0], "x", 1, 0, 0, 0));
	int d = socket(AF_UNIX, SOCK_DGRAM, 0);
	T(sendto(d, "dgram", 5, 0, (void *)&a, sizeof a));
	T(recv(l, b, 60, 0));
	T(recv(l, b, 60, MSG_DONTWAIT));
	int ev = eventfd(3, EFD_NONBLOCK);
	unsigned long n = 4;
	T(write(ev, &n, 8));
	int ep = epoll_create1(0);
	struct epoll_event ee = {EPOLLIN | EPOLLONESHOT, {.fd = ev}};
	T(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &ee));
	T(epoll_wait(ep, &ee, 1, 0));
	T(epoll_wait(ep, &ee, 1, 0));
	T(read(ev, &n, 8));
	T(n);
	T(read(ev, &n, 8));
	struct epoll_event lt = {EPOLLOUT}; // lent after a while
	int es = epoll_create1(0);
	T(epoll_ctl(es, EPOLL_CTL_ADD, ev, &lt));
	for (int i = 0; i < 8; i++)
		T(epoll_wait(es, &ee, 1, 0));
	T(write(ev, &n, 8));
	lt.events = EPOLLIN;
	T(epoll_ctl(es, EPOLL_CTL_MOD, ev, &lt));
	T(epoll_wait(es, &ee, 1, 0));
	T(read(ev, &n, 8));
	T(epoll_wait(es, &ee, 1, 0));
	close(es);
	int tf = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec it = {{0, 0}, {0, 1000000}};
	T(timerfd_settime(tf, 0, &it, 0));
	T(read(tf, &n, 8));
	T(n);
	int in = inotify_init1(IN_NONBLOCK);
	T(inotify_add_watch(in, ".", IN_CREATE));
	close(open("seen", O_CREAT | O_WRONLY, 0600));
	T(read(in, b, 64));
	T(read(in, b, 64));
	struct flock fl = {F_WRLCK, SEEK_SET, 10, 5};
	int lk = open("out", O_RDWR), fk = open("out", O_RDWR);
	T(fcntl(lk, F_SETLK, &fl));
	T(flock(lk, LOCK_EX));
	T(flock(fk, LOCK_SH | LOCK_NB));
	T(flock(lk, LOCK_UN));
	T(flock(fk, LOCK_SH | LOCK_NB));
	close(fk), close(lk), close(in), close(tf), close(ep), close(ev), close(d), close(l), close(s[0]), close(s[1]);
	close(p[0]), close(p[1]), close(30);
}

static void *nothing(void *x) { return x; }
// threads is how many threads the process has.
static int threads(void) {
	int n = -1;
	char line[200];
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		sscanf(line, "Threads: %d", &n);
	if (f)
		fclose(f);
	return n;
}

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;
static void *other(void *x) {
	for (int i = 0; i < 3; i++) {
		pthread_mutex_lock(&mu);
		while (turn != 1)
			pthread_cond_wait(&cond, &mu);
		turn = 0;
		pthread_cond_signal(&cond);
		pthread_mutex_unlock(&mu);
	}
	return x;
}

static void processes(char *self) {
	int st, p[2];
	struct sigaction sa = {.sa_handler = on};
	sigaction(SIGUSR1, &sa, 0);
	sigaction(SIGALRM, &sa, 0);
	for (int i = 0; i < 2; i++)
		kill(getpid(), SIGUSR1);
	T(caught);
	sigset_t m, old;
	sigemptyset(&m);
	sigaddset(&m, SIGUSR1);
	sigaddset(&m, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &m, &old);
	T(sigqueue(getpid(), SIGRTMIN, (union sigval){7}));
	T(sigqueue(getpid(), SIGRTMIN, (union sigval){8}));
	siginfo_t si;
	T(sigwaitinfo(&m, &si) == SIGRTMIN);
	T(si.si_value.sival_int);
	T(sigtimedwait(&m, &si, &(struct timespec){1}) == SIGRTMIN);
	T(sigtimedwait(&m, &si, &(struct timespec){0}));
	sigprocmask(SIG_SETMASK, &old, 0);
	caught = 0;
	sigaddset(&m, SIGALRM);
	sigprocmask(SIG_BLOCK, &m, 0);
	struct itimerval it = {{0, 0}, {0, 2000}};
	setitimer(ITIMER_REAL, &it, 0);
	sigsuspend(&old);
	sigprocmask(SIG_SETMASK, &old, 0);
	T(caught);
	pipe(p);
	pid_t c = fork();
	if (c == 0) {
		char b[10];
		int n = read(p[0], b, 10);
		_exit(n == 2 ? 7 : 9);
	}
	T(write(p[1], "go", 2));
	T(waitpid(c, &st, 0) == c);
	T(WEXITSTATUS(st));
	T(waitpid(c, &st, 0));
	c = fork();
	if (c == 0) {
		execl(self, self, "again", NULL);
		_exit(127);
	}
	T(waitpid(-1, &st, 0) == c);
	T(WEXITSTATUS(st));
	c = vfork();
	if (c == 0)
		_exit(5);
	T(waitpid(c, &st, 0) == c);
	T(WEXITSTATUS(st));
	c = fork();
	if (c == 0)
		for (;;)
			pause();
	T(kill(c, SIGSTOP));
	T(waitpid(c, &st, WUNTRACED) == c);
	T(WSTOPSIG(st));
	T(kill(c, SIGCONT));
	T(waitpid(c, &st, WCONTINUED) == c);
	T(kill(c, SIGTERM));
	T(waitpid(c, &st, 0) == c);
	T(WTERMSIG(st));
	pthread_t t;
	T(pthread_create(&t, 0, other, 0));
	for (int i = 0; i < 3; i++) {
		pthread_mutex_lock(&mu);
		turn = 1;
		pthread_cond_signal(&cond);
		while (turn != 0)
			pthread_cond_wait(&cond, &mu);
		pthread_mutex_unlock(&mu);
	}
	T(pthread_join(t, 0));
	for (int i = 0; i < 3; i++) { // they begin and end without asking
		T(pthread_create(&t, 0, nothing, 0));
		T(pthread_join(t, 0));
		T(threads());
	}
	close(p[0]), close(p[1]);
	T(prctl(15, "name"));
	T(umask(077));
	T(umask(022));
	T(chdir("/"));
}


static void pieces(void) {
	char b[400];
	struct iovec v[50];
	int p[2], s[2];
	pipe(p);
	for (int i = 0; i < 50; i++)
		v[i] = (struct iovec){b + 8 * i, 1 + i % 3};
	memset(b, 'w', sizeof b);
	T(writev(p[1], v, 50));
	T(write(p[1], "tail", 4));
	T(readv(p[0], v, 50));
	T(read(p[0], b, 100));
	printf("%.4s\n", b);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s);
	struct msghdr h = {.msg_iov = v, .msg_iovlen = 50};
	T(sendmsg(s[0], &h, 0));
	T(send(s[0], "next", 4, 0));
	T(recvmsg(s[1], &h, 0));
	T(recv(s[1], b, 100, 0));
	T(send(s[0], "a", 1, 0));
	T(send(s[0], "bb", 2, 0));
	struct mmsghdr mm[3] = {{{.msg_iov = v, .msg_iovlen = 1}}, {{.msg_iov = v + 1, .msg_iovlen = 1}}, {{.msg_iov = v + 2, .msg_iovlen = 1}}};
	T(recvmmsg(s[1], mm, 3, MSG_DONTWAIT, 0));
	printf("%d %d\n", mm[0].msg_len, mm[1].msg_len);
	T(sendmmsg(s[0], mm, 3, 0));
	for (int i = 0; i < 3; i++)
		T(recv(s[1], b, 100, MSG_DONTWAIT));
	// Much, in both directions at once.
	static char big[200000];
	pid_t c = fork();
	if (c == 0) {
		long n = 0, r;
		close(p[1]);
		while ((r = read(p[0], big, sizeof big)) > 0)
			n += r;
		_exit(n == 3 * sizeof big);
	}
	for (int i = 0; i < 3; i++)
		T(write(p[1], big, sizeof big));
	close(p[1]);
	int st;
	T(waitpid(c, &st, 0) == c);
	T(WEXITSTATUS(st));
	int q[2];
	pipe(p), pipe(q);
	T(write(p[1], "splice me", 9));
	T(tee(p[0], q[1], 6, 0));
	T(splice(p[0], 0, q[1], 0, 7, 0));
	T(read(q[0], b, 100));
	printf("%.13s\n", b);
	T(vmsplice(q[1], &(struct iovec){"vm", 2}, 1, 0));
	T(read(q[0], b, 100));
	T(read(p[0], b, 100));
}

// right says whether memory holds what the bytes from number n on of much are.
static unsigned char much[400000];
static int right(const struct iovec *v, int count, int n) {
	for (int i = 0; i < count; i++)
		for (size_t j = 0; j < v[i].iov_len; j++)
			if (((unsigned char *)v[i].iov_base)[j] != much[n++])
				return 0;
	return 1;
}

// What is read at once is more than one answer holds.
static void parts(void) {
	static char b[400000];
	struct iovec v[100];
	struct mmsghdr mm[3];
	int p[2], s[2], n = 0;
	for (int i = 0; i < sizeof much; i++)
		much[i] = i % 251;
	for (int i = 0; i < 100; i++)
		v[i] = (struct iovec){b + 600 * i, 500 + i % 3};
	pipe(p);
	T(write(p[1], much, 65536));
	T(n = readv(p[0], v, 100));
	T(right(v, 100, 0));
	struct iovec rest = {b, sizeof b};
	T(rest.iov_len = read(p[0], b, sizeof b));
	T(right(&rest, 1, n));
	close(p[0]), close(p[1]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	memset(b, 0, sizeof b);
	T(write(s[0], much, 150000));
	rest.iov_len = 140000;
	T(recv(s[1], b, 140000, MSG_WAITALL));
	T(right(&rest, 1, 0));
	T(rest.iov_len = read(s[1], b, sizeof b));
	T(right(&rest, 1, 140000));
	close(s[0]), close(s[1]);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s);
	memset(b, 0, sizeof b);
	for (int i = 0; i < 45; i++)
		v[i] = (struct iovec){b + 4000 * i, 3500};
	T(send(s[0], much, 45 * 3500, 0));
	struct msghdr h = {.msg_iov = v, .msg_iovlen = 45};
	T(recvmsg(s[1], &h, 0));
	T(right(v, 45, 0));
	close(s[0]), close(s[1]);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
	memset(b, 0, sizeof b);
	for (int i = 0; i < 3; i++) {
		T(send(s[0], much + i, 60000, 0));
		v[i] = (struct iovec){b + 60000 * i, 60000};
		mm[i] = (struct mmsghdr){{.msg_iov = v + i, .msg_iovlen = 1}};
	}
	T(recvmmsg(s[1], mm, 3, MSG_DONTWAIT, 0));
	for (int i = 0; i < 3; i++) {
		T(mm[i].msg_len);
		T(right(v + i, 1, i));
	}
	close(s[0]), close(s[1]);
	int fd = open("parts", O_RDWR | O_CREAT, 0600);
	T(write(fd, much, sizeof much));
	T(lseek(fd, 0, SEEK_SET));
	memset(b, 0, sizeof b);
	for (int i = 0; i < 90; i++)
		v[i] = (struct iovec){b + 4000 * i, 3000};
	T(readv(fd, v, 90));
	T(right(v, 90, 0));
	T(lseek(fd, 0, SEEK_CUR));
	close(fd);
}

static void names(void) {
	char b[300], b2[100];
	struct sockaddr_un a = {AF_UNIX, "listen"};
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	T(bind(l, (void *)&a, sizeof a));
	T(listen(l, 5));
	T(connect(c, (void *)&a, sizeof a));
	int s = accept4(l, 0, 0, SOCK_CLOEXEC);
	T(s >= 0);
	T(fcntl(l, F_SETFL, O_NONBLOCK));
	T(accept(l, 0, 0));
	T(write(c, "hi", 2));
	T(read(s, b, 10));
	T(shutdown(c, SHUT_WR));
	T(read(s, b, 10));
	close(c), close(s), close(l);
	T(unlink("listen"));
	for (int i = 0; i < 40; i++) {
		snprintf(b, sizeof b, "many/file-with-a-name-%d", i);
		if (i == 0)
			T(mkdir("many", 0700));
		close(open(b, O_CREAT | O_EXCL | O_WRONLY, 0600));
	}
	DIR *d = opendir("many");
	int n = 0;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	T(n);
	T(chdir("many"));
	T(getcwd(b, sizeof b) != 0);
	T(chdir(".."));
	T(rename("many", "more"));
	T(open("more/file-with-a-name-7", O_CREAT | O_EXCL, 0600));
	int t = open(".", O_TMPFILE | O_RDWR, 0600);
	T(write(t, "temp", 4));
	snprintf(b, sizeof b, "/proc/self/fd/%d", t);
	T(linkat(AT_FDCWD, b, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
	stat_of("linked");
	T(truncate("linked", 2));
	T(access("linked", X_OK));
	T(chmod("linked", 04711));
	T(chown("linked", 7, 8));
	stat_of("linked");
	T(setxattr("linked", "user.a", "1", 1, XATTR_CREATE));
	T(setxattr("linked", "user.a", "22", 2, XATTR_REPLACE));
	T(listxattr("linked", b, sizeof b));
	T(removexattr("linked", "user.a"));
	T(removexattr("linked", "user.a"));
	T(mknod("node", S_IFSOCK | 0600, 0));
	T(symlink("more/../linked", "far"));
	T(readlink("far", b2, sizeof b2));
	int fd = open("far", O_RDWR | O_TRUNC);
	T(fd >= 0);
	T(pwritev(fd, (struct iovec[]){{"xy", 2}, {"z", 1}}, 2, 3));
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4));
	T(lseek(fd, 0, SEEK_END));
	T(fsync(fd));
	close(fd), close(t);
	// The offset is of the description: both ends move it.
	fd = open("more/file-with-a-name-1", O_RDWR);
	int e = dup(fd);
	if (fork() == 0) {
		write(e, "child", 5);
		_exit(0);
	}
	wait(0);
	T(lseek(fd, 0, SEEK_CUR));
	T(write(fd, "parent", 6));
	T(lseek(e, 0, SEEK_CUR));
	close(fd), close(e);
}

// until reads a terminal's output up to a letter: how it comes in pieces is chance.
static void until(int m, char end) {
	char c = 0;
	while (c != end && read(m, &c, 1) == 1)
		putchar(c);
	putchar('\n');
}

static void terminal(void) {
	char b[100];
	int m = posix_openpt(O_RDWR | O_NOCTTY);
	T(grantpt(m));
	T(unlockpt(m));
	int s = open(ptsname(m), O_RDWR | O_NOCTTY);
	T(s >= 0);
	T(write(m, "line\n", 5));
	T(read(s, b, 100));
	T(write(s, "out\n", 4));
	until(m, 't');
	T(ioctl(m, TIOCSWINSZ, &(struct winsize){24, 80}));
	int st;
	pid_t c = fork();
	if (c == 0) {
		setsid();
		ioctl(s, TIOCSCTTY, 0);
		signal(SIGINT, SIG_DFL);
		write(s, "x", 1);
		pause();
	}
	until(m, 'x');
	T(write(m, "\3", 1));
	T(waitpid(c, &st, 0) == c);
	T(WTERMSIG(st));
	close(s), close(m);
}

static void more_signals(void) {
	sigset_t m;
	sigemptyset(&m);
	sigaddset(&m, SIGUSR2);
	sigaddset(&m, SIGCHLD);
	sigprocmask(SIG_BLOCK, &m, 0);
	int fd = signalfd(-1, &m, 0);
	struct signalfd_siginfo si;
	T(kill(getpid(), SIGUSR2));
	T(read(fd, &si, sizeof si));
	T(si.ssi_signo);
	pid_t c = fork();
	if (c == 0)
		_exit(9);
	T(read(fd, &si, sizeof si));
	T(si.ssi_status);
	siginfo_t w;
	T(waitid(P_ALL, 0, &w, WEXITED | WNOWAIT));
	T(waitid(P_ALL, 0, &w, WEXITED));
	T(w.si_status);
	T(waitid(P_ALL, 0, &w, WEXITED));
	close(fd);
	timer_t t;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value = {5}};
	T(timer_create(CLOCK_MONOTONIC, &ev, &t));
	T(timer_settime(t, 0, &(struct itimerspec){{0, 0}, {0, 1000000}}, 0));
	T(sigwaitinfo(&m, &w) == SIGUSR2);
	T(w.si_value.sival_int);
	T(timer_delete(t));
	T(timer_delete(t) == -1);
	T(poll(0, 0, 2));
	T(nanosleep(&(struct timespec){0, 2000000}, 0));
	// A lock that another gives up.
	int l = open("lock", O_CREAT | O_RDWR, 0600), p[2];
	pipe(p);
	struct flock fl = {F_WRLCK};
	T(fcntl(l, F_SETLK, &fl));
	if ((c = fork()) == 0) {
		write(p[1], "x", 1);
		_exit(fcntl(l, F_SETLKW, &fl) == 0 ? 6 : 7);
	}
	char b;
	T(read(p[0], &b, 1));
	fl.l_type = F_UNLCK;
	T(fcntl(l, F_SETLK, &fl));
	int st;
	T(waitpid(c, &st, 0) == c);
	T(WEXITSTATUS(st));
	sigprocmask(SIG_UNBLOCK, &m, 0);
}

// Message queues and who is told of them, signals of events, System V memory in parts,
// limits and timers that others set.
static void events(const char *self) {
	sigset_t m, old;
	siginfo_t w;
	char b[64];
	int p[2], st;
	sigemptyset(&m), sigaddset(&m, SIGUSR1), sigaddset(&m, SIGRTMIN), sigaddset(&m, SIGIO);
	sigprocmask(SIG_BLOCK, &m, &old);
	struct timespec z = {0, 0};
	struct mq_attr a = {0, 4, 32};
	mqd_t q = mq_open("/points", O_RDWR | O_CREAT | O_EXCL, 0600, &a);
	T(q >= 0);
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {3}};
	T(mq_notify(q, &e));
	T(mq_send(q, "low", 3, 1));
	T(mq_send(q, "high", 4, 2));
	T(sigwaitinfo(&m, &w) == SIGUSR1);
	T(w.si_value.sival_int);
	T(sigtimedwait(&m, &w, &z));
	T(mq_receive(q, b, 32, 0));
	T(mq_receive(q, b, 32, 0));
	int nl = socket(AF_NETLINK, SOCK_RAW, 0);
	e = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_signo = nl, .sigev_value = {.sival_ptr = "thirty-two bytes of a cookie...."}};
	T(syscall(SYS_mq_notify, q, &e));
	T(mq_send(q, "x", 1, 0));
	T(recv(nl, b, 64, 0));
	T(b[31]);
	T(recv(nl, b, 64, MSG_DONTWAIT));
	T(syscall(SYS_mq_notify, q, &e));
	T(mq_notify(q, 0));
	T(recv(nl, b, 64, 0));
	T(b[31]);
	close(nl);
	pid_t c = fork();
	if (c == 0) {
		for (int i = 0; i < 3; i++)
			mq_send(q, "wake", 4, 0);
		_exit(mq_send(q, "and wait", 8, 0) == 0 ? 3 : 4); // there is one, and room for four
	}
	for (int i = 0; i < 5; i++)
		T(mq_receive(q, b, 32, 0));
	T(waitpid(c, &st, 0) == c);
	T(WEXITSTATUS(st));
	T(mq_unlink("/points"));
	T(mq_close(q));

	pipe(p);
	T(fcntl(p[0], F_SETOWN, getpid()));
	T(fcntl(p[0], F_SETSIG, SIGRTMIN));
	T(fcntl(p[0], F_SETFL, O_ASYNC));
	T(write(p[1], "a", 1));
	T(sigwaitinfo(&m, &w) == SIGRTMIN);
	T(w.si_band);
	T(write(p[1], "b", 1));
	T(sigwaitinfo(&m, &w) == SIGRTMIN);
	T(sigtimedwait(&m, &w, &z));
	T(read(p[0], b, 64));
	close(p[0]), close(p[1]);

	int id = shmget(IPC_PRIVATE, 5 * 4096, IPC_CREAT | 0600);
	struct shmid_ds d;
	char *s = shmat(id, 0, 0);
	T(s != (char *)-1);
	strcpy(s + 3 * 4096, "kept");
	T(munmap(s + 4096, 4096));
	T(shmctl(id, IPC_STAT, &d));
	T(d.shm_nattch);
	T(shmdt(s));
	T(shmctl(id, IPC_STAT, &d));
	T(d.shm_nattch);
	T((s = shmat(id, 0, 0)) != (char *)-1);
	T(shmctl(id, IPC_RMID, 0));
	T(strcmp(s + 3 * 4096, "kept"));
	T(munmap(s, 5 * 4096));
	T(shmctl(id, IPC_STAT, &d));

	// Half of what is written is not there.
	s = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(s + 2 * 4096, 4096);
	pipe(p);
	T(write(p[1], s + 100, 3 * 4096));
	T(write(p[1], s + 8000, 1000));
	T(read(p[0], s, 8192));
	close(p[0]), close(p[1]);

	// A signal whose stack is not there.
	if ((c = fork()) == 0) {
		sigprocmask(SIG_SETMASK, &old, 0);
		stack_t alt = {s, 0, 8192};
		struct sigaction act = {.sa_handler = on, .sa_flags = SA_ONSTACK};
		sigaltstack(&alt, 0);
		munmap(s, 8192);
		sigaction(SIGUSR1, &act, 0);
		raise(SIGUSR1);
		_exit(1);
	}
	T(waitpid(c, &st, 0) == c);
	T(WTERMSIG(st));

	// Limits that a child learns while it waits.
	pipe(p);
	if ((c = fork()) == 0) {
		read(p[0], b, 1);
		_exit(mmap(0, 200 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 6 : 7);
	}
	struct rlimit l = {100 << 20, 100 << 20};
	T(prlimit(c, RLIMIT_AS, &l, 0));
	T(write(p[1], "x", 1));
	T(waitpid(c, &st, 0) == c);
	T(WEXITSTATUS(st));
	if ((c = fork()) == 0) {
		struct itimerval it = {{0, 0}, {1000, 0}};
		setitimer(ITIMER_PROF, &it, 0);
		execl(self, self, "timer", NULL);
		_exit(127);
	}
	T(waitpid(c, &st, 0) == c);
	T(WEXITSTATUS(st));
	sigprocmask(SIG_SETMASK, &old, 0);
}

int main(int argc, char **argv) {
	if (argc > 1 && !strcmp(argv[1], "again"))
		return write(1, "again\n", 6) == 6 ? 3 : 4;
	if (argc > 1 && !strcmp(argv[1], "timer")) {
		struct itimerval it;
		return getitimer(ITIMER_PROF, &it) == 0 && it.it_value.tv_sec >= 990 ? 3 : 4;
	}
	if (argc < 3 || chdir(argv[1]))
		return 2;
	if (*argv[2] == '2') {
		pieces();
		parts();
		names();
		terminal();
		more_signals();
		events(argv[0]);
		T(read(0, argv[2], 1));
		fprintf(stderr, "the end\n");
		return 0;
	}
	char line[64] = "";
	T(read(0, line, 4));
	printf("%.4s\n", line);
	T(read(0, line, 3));
	printf("%.3s\n", line);
	files();
	grown();
	lent();
	closes();
	streams(0);
	streams(1);
	descriptors();
	processes(argv[0]);
	T(read(0, line, 60));
	T(read(0, line, 60));
	fprintf(stderr, "the end\n");
	return 0;
}
