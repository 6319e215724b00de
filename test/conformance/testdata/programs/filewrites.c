// Files that are written over again and again, which the library then does by itself: whatever
// happens to such a file, to its descriptor or to its offset is seen by all, and so is what was
// written.
#include "fds.h"
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { P = 4096, N = 16, HOT = 40 };
static char page[P], back[N * P + P];

static int make(const char *name, int flags) {
	int f = open(name, flags | O_CREAT | O_TRUNC, 0644);
	for (int i = 0; i < N; i++)
		memset(page, 'a' + i, P), write(f, page, P);
	return f;
}
// over writes over the file's bytes by an offset, and by its own, until it is surely lent.
static int over(int f, char c) {
	for (int i = 0; i < HOT; i++) {
		memset(page, c + i % 10, P);
		if (pwrite(f, page, P - i, (i % N) * P + i) != P - i)
			printf("over: %m\n");
	}
	for (int i = 0; i < 2 * HOT; i++) {
		lseek(f, 100 * i, SEEK_SET);
		if (write(f, page, 50 + i) != 50 + i)
			printf("over: %m\n");
	}
	return f;
}
static void show(const char *what, const char *name) {
	unsigned h = 2166136261u;
	int f = open(name, O_RDONLY);
	ssize_t n = read(f, back, sizeof back);
	for (ssize_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)back[i]) * 16777619u;
	printf("%s: %zd bytes, %08x\n", what, n, h);
	close(f);
}
static void at(const char *what, int f) { printf("%s: at %ld\n", what, (long)lseek(f, 0, SEEK_CUR)); }
static int64_t mtime(int f) {
	struct stat s;
	fstat(f, &s);
	return s.st_mtim.tv_sec * 1000000000LL + s.st_mtim.tv_nsec;
}

static void contents(int flags) {
	int f = over(make("contents", flags), 'A');
	show("over", "contents");
	at("over", f);
	T(pwrite(f, "end", 3, N * P - 3));
	T(pwrite(f, "beyond", 6, N * P - 3));
	show("beyond", "contents");
	over(f, 'B');
	T(pwrite(f, "far", 3, (N + 1) * P - 3));
	show("far", "contents");
	over(f, 'C');
	T(pwrite(f, page, 0, 0));
	T(pwrite(f, page, 10, -1));
	T(pwrite(f, page, -1, 0));
	T(pwrite(f, "x", 1, LLONG_MAX));
	T(lseek(f, -2, SEEK_END));
	T(write(f, "across", 6));
	at("across", f);
	struct iovec v[2] = {{"one", 3}, {"two", 3}};
	lseek(f, 5, SEEK_SET);
	T(writev(f, v, 2));
	T(pwritev(f, v, 2, 777));
	at("vectors", f);
	show("vectors", "contents");
	close(f);
	T(write(f, "x", 1));
	T(pwrite(f, "x", 1, 0));
}
static void read_write(void) { contents(O_RDWR); }
static void write_only(void) {
	contents(O_WRONLY);
	int f = over(make("only", O_WRONLY), 'A');
	T(read(f, page, 10));
	T(pread(f, page, 10, 0));
	close(f);
	f = open("only", O_RDONLY);
	T(write(f, page, 10));
	T(pwrite(f, page, 10, 0));
	close(f);
}
static void memory(void) {
	int f = over(make("memory", O_RDWR), 'A');
	char *m = mmap(0, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(m, 'm', 2 * P);
	munmap(m + P, P);
	T(pwrite(f, 0, 10, 0));
	T(pwrite(f, m + P - 10, 10, 0));
	T(pwrite(f, m + P - 10, 100, 100));
	T(pwrite(f, m + P, 100, 200));
	T(pwrite(f, (void *)-1000, 100, 200));
	lseek(f, 300, SEEK_SET);
	T(write(f, m + P - 10, 100));
	at("part", f);
	T(write(f, m + P, 100));
	at("none", f);
	show("memory", "memory");
	// From where it is written to.
	char *s = mmap(0, N * P, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
	over(f, 'M');
	T(pwrite(f, s, P, P));
	T(memcmp(s, s + P, P));
	s[3] = '!';
	T(pread(f, back, 10, 0));
	printf("%.10s\n", back);
	show("mapped", "memory");
	close(f);
}
static void times(void) {
	struct timespec ts[2] = {{1000, 1}, {2000, 2}};
	struct stat s;
	int f = over(make("times", O_RDWR), 'A'), g = open("times", O_RDONLY);
	for (int i = 0; i < 3; i++) {
		int64_t t = mtime(i == 1 ? g : f);
		msleep(30);
		printf("as it was: %d\n", mtime(g) == t && mtime(f) == t);
		for (int j = 0; j < HOT; j++)
			pwrite(f, page, P, 0);
		int64_t u = mtime(i == 2 ? g : f);
		printf("later: %d %d\n", u > t, mtime(g) == u);
		T(futimens(g, ts));
		printf("set: %d\n", mtime(f) == 2000000000002);
		msleep(20);
		stat("times", &s);
		printf("set: %d\n", s.st_mtim.tv_sec == 2000);
		T(pwrite(f, "x", 1, 0));
		stat("times", &s);
		printf("written: %d, changed with it: %d\n", s.st_mtim.tv_sec > 2000, s.st_ctim.tv_sec == s.st_mtim.tv_sec);
		over(f, 'B');
	}
	// It is known when it is closed, and when it is over.
	pwrite(f, page, P, 0);
	int64_t t = mtime(g);
	msleep(30);
	pwrite(f, page, P, 0);
	close(f);
	int64_t u = mtime(g);
	printf("closed: %d\n", u > t);
	msleep(30);
	printf("as it was: %d\n", mtime(g) == u);
	int p[2];
	char c;
	pipe(p);
	fflush(stdout);
	pid_t q = fork();
	if (q == 0) {
		f = over(open("times", O_RDWR), 'C');
		t = mtime(g);
		msleep(30);
		pwrite(f, "killed", 6, 0);
		write(p[1], &t, sizeof t);
		for (;;)
			pause();
	}
	read(p[0], &t, sizeof t);
	msleep(30);
	kill(q, SIGKILL);
	waitpid(q, 0, 0);
	u = mtime(g);
	printf("killed: %d\n", u > t);
	msleep(30);
	printf("as it was: %d\n", mtime(g) == u);
	T(pread(g, back, 6, 0));
	printf("%.6s\n", back);
	(void)c;
	close(g);
}
static void changes(void) {
	int f = over(make("changes", O_RDWR), 'A'), g = open("changes", O_RDWR);
	struct stat s;
	T(ftruncate(g, 5000));
	T(pwrite(f, "abc", 3, 4998));
	show("cut", "changes");
	T(ftruncate(g, N * P));
	show("and longer", "changes");
	over(f, 'B');
	T(fallocate(g, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, P));
	T(pwrite(f, "hole", 4, 10));
	show("hole", "changes");
	over(f, 'C');
	lseek(g, 0, SEEK_END);
	T(write(g, "more", 4));
	T(pwrite(f, "and", 3, N * P + 3));
	show("more", "changes");
	over(f, 'D');
	T(fcntl(f, F_SETFL, O_APPEND));
	T(write(f, "END", 3));
	at("append", f);
	T(pwrite(f, "APP", 3, 0));
	show("append", "changes");
	T(fcntl(f, F_SETFL, 0));
	over(f, 'E');
	T(chmod("changes", 06755));
	T(pwrite(f, "x", 1, 0));
	stat("changes", &s);
	printf("mode %o\n", s.st_mode);
	over(f, 'F');
	T(rename("changes", "changed"));
	T(pwrite(f, "renamed", 7, 0));
	show("renamed", "changed");
	T(link("changed", "linked"));
	T(pwrite(f, "linked", 6, 0));
	show("linked", "linked");
	T(unlink("changed"));
	T(unlink("linked"));
	T(pwrite(f, "unlinked", 8, 0));
	T(pread(g, back, 8, 0));
	printf("%.8s\n", back);
	over(f, 'G');
	T(dup2(g, f) == f);
	T(pwrite(f, "dup2", 4, 0));
	int h = over(make("other", O_RDWR), 'H');
	T(dup2(h, f) == f);
	T(pwrite(f, "other", 5, 0));
	T(pread(g, back, 8, 0));
	printf("%.8s\n", back);
	show("other", "other");
	close(f), close(g), close(h);
	f = open("fresh", O_RDWR | O_CREAT | O_TRUNC, 0644);
	T(pwrite(f, "fresh", 5, 0));
	show("fresh", "fresh");
	show("other", "other");
	int t;
	close(f);
	f = over(make("emptied", O_RDWR), 'I');
	OK(t = open("emptied", O_WRONLY | O_TRUNC));
	T(pwrite(f, "x", 1, 2));
	show("emptied", "emptied");
	close(f), close(t);
}
static void shared(void) {
	int f = over(make("shared", O_RDWR), 'A'), g = dup(f), st;
	lseek(f, 10, SEEK_SET);
	T(write(g, "dup", 3));
	T(write(f, "orig", 4));
	at("both", g);
	close(g);
	over(f, 'B');
	lseek(f, 100, SEEK_SET);
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		for (int i = 0; i < HOT; i++)
			write(f, "child ", 6);
		pwrite(f, "the child", 9, 5000);
		at("child", f);
		fflush(stdout);
		_exit(0);
	}
	waitpid(p, &st, 0);
	T(write(f, "parent", 6));
	at("parent", f);
	T(pwrite(f, "the parent", 10, 6000));
	show("forked", "shared");
	over(f, 'C');
	p = vfork();
	if (p == 0) {
		pwrite(f, "vfork", 5, 7000);
		write(f, "vfork", 5);
		_exit(0);
	}
	waitpid(p, &st, 0);
	at("vfork", f);
	show("vfork", "shared");
	int s[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	over(f, 'D');
	T(sendfd(s[0], f));
	lseek(f, 50, SEEK_SET);
	T(write(f, "passing", 7));
	T(recvfd(s[1], &g));
	at("passed", g);
	T(write(g, "passed", 6));
	T(write(f, "kept", 4));
	show("passed", "shared");
	close(g);
	char name[40];
	snprintf(name, sizeof name, "/proc/self/fd/%d", f);
	g = open(name, O_RDWR);
	over(f, 'E');
	over(g, 'F');
	T(pwrite(g, "once more", 9, 0));
	T(pread(f, back, 9, 0));
	printf("%.9s\n", back);
	show("opened once more", "shared");
	// Two processes that both write.
	fflush(stdout);
	p = fork();
	if (p == 0) {
		g = open("shared", O_RDWR);
		for (int i = 0; i < 10 * HOT; i++)
			pwrite(g, "even", 4, 8 * i);
		_exit(0);
	}
	for (int i = 0; i < 10 * HOT; i++)
		pwrite(f, "odd!", 4, 8 * i + 4);
	waitpid(p, &st, 0);
	show("both", "shared");
	close(f), close(g);
}
static void limits(void) {
	struct rlimit l = {10000, RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	int f = over(make("limits", O_RDWR), 'A');
	T(setrlimit(RLIMIT_FSIZE, &l));
	T(pwrite(f, "xyz", 3, 9998));
	T(pwrite(f, "xyz", 3, 10000));
	T(pwrite(f, "xyz", 3, 20000));
	show("limits", "limits");
	close(f);
}
static void *thread(void *x) {
	int f = *(int *)x;
	for (int i = 0; i < 20 * HOT; i++)
		if (write(f, "0123456789", 10) != 10 || pwrite(f, "t", 1, 15 * P + i) != 1)
			printf("thread: %m\n");
	return 0;
}
static void threads(void) {
	int f = over(make("threads", O_RDWR), 'A');
	pthread_t t[3];
	lseek(f, 0, SEEK_SET);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], 0, thread, &f);
	// Other files come to where this one was mapped.
	for (int i = 0; i < 20; i++) {
		int g = make("moving", O_RDWR);
		for (int j = 0; j < 20; j++)
			if (pwrite(g, "moving", 6, 10 * j) != 6)
				printf("moving: %m\n");
		for (int j = 0; j < 20; j++)
			if (pread(g, back, 6, 10 * j) != 6 || memcmp(back, "moving", 6) != 0)
				printf("moving: %.6s\n", back);
		pread(g, back, N * P, 0);
		for (int j = 200; j < N * P; j++)
			if (back[j] != 'a' + j / P) {
				printf("moving: %d\n", j);
				break;
			}
		close(g);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], 0);
	at("threads", f);
	show("threads", "threads");
	close(f);
}
static void watched(void) {
	int f = over(make("watched", O_RDWR), 'A'), w = inotify_init1(IN_NONBLOCK);
	struct inotify_event e;
	inotify_add_watch(w, "watched", IN_MODIFY);
	T(pwrite(f, "x", 1, 0));
	T(read(w, &e, sizeof e));
	T(read(w, &e, sizeof e));
	over(f, 'B');
	T(read(w, &e, sizeof e));
	close(w);
	over(f, 'C');
	show("watched", "watched");
	close(f);
}
static void executes(void) { execl("./prog", "true", (char *)0), _exit(9); }
static void program(void) {
	char buf[P];
	int f = open("prog", O_RDWR | O_CREAT | O_TRUNC, 0755), t = open("/bin/true", O_RDONLY), n;
	while ((n = read(t, buf, sizeof buf)) > 0)
		write(f, buf, n);
	lseek(t, 0, SEEK_SET);
	n = read(t, buf, sizeof buf);
	for (int i = 0; i < HOT; i++)
		pwrite(f, buf, n, 0);
	fflush(stdout);
	pid_t p = fork();
	int st;
	if (p == 0) {
		execl("./prog", "true", (char *)0);
		printf("%s\n", strerrorname_np(errno));
		fflush(stdout);
		_exit(9);
	}
	waitpid(p, &st, 0);
	printf("busy: %d\n", WEXITSTATUS(st));
	close(f), close(t);
	child("run", executes);
}
static void synced(void) {
	int f = over(make("synced", O_RDWR), 'A');
	T(fsync(f));
	T(fdatasync(f));
	close(f);
	f = over(make("synced", O_RDWR | O_DSYNC), 'B');
	show("synced", "synced");
	close(f);
	f = open("/dev/shm/filewrites", O_RDWR | O_CREAT | O_TRUNC, 0644);
	for (int i = 0; i < N; i++)
		memset(page, 'a' + i, P), write(f, page, P);
	over(f, 'S');
	show("shm", "/dev/shm/filewrites");
	unlink("/dev/shm/filewrites");
	close(f);
	f = memfd_create("m", MFD_ALLOW_SEALING);
	for (int i = 0; i < N; i++)
		write(f, page, P);
	over(f, 'T');
	T(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE));
	T(pwrite(f, "x", 1, 0));
	close(f);
}

int main(void) {
	begin();
	child("read_write", read_write);
	child("write_only", write_only);
	child("memory", memory);
	child("times", times);
	child("changes", changes);
	child("shared", shared);
	child("limits", limits);
	child("threads", threads);
	child("watched", watched);
	child("program", program);
	child("synced", synced);
	return 0;
}
