// Files that are read again and again, which the library then reads by itself: whatever
// happens to such a file, to its descriptor or to its offset is seen by the next read.
#include "fds.h"
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { P = 4096, N = 16, HOT = 40 };
static char page[P], big[1 << 17];

// make makes a file of N pages: 'a's, 'b's and so on.
static int make(const char *name) {
	int f = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	for (int i = 0; i < N; i++)
		memset(page, 'a' + i, P), write(f, page, P);
	lseek(f, 0, SEEK_SET);
	return f;
}
// hot reads a file by its own offset until it is surely lent, and goes back to the start.
static int hot(int f) {
	for (int i = 0; i < HOT; i++)
		if (read(f, page, 100) != 100)
			printf("hot: %m\n");
	lseek(f, 0, SEEK_SET);
	for (int i = 0; i < 3; i++)
		if (read(f, page, 10) != 10)
			printf("hot: %m\n");
	return f;
}
static void show(const char *what, int f) {
	char c[5] = {0};
	long at = lseek(f, 0, SEEK_CUR), n = read(f, c, 4);
	printf("%s: at %ld, %ld bytes, %02x %02x\n", what, at, n, (unsigned char)c[0], (unsigned char)c[3]);
}
static long pos(int pid, int f) {
	char name[60];
	long v = -1;
	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", pid, f);
	FILE *p = fopen(name, "r");
	if (p) {
		fscanf(p, "pos: %ld", &v);
		fclose(p);
	}
	return v;
}

static void offsets(void) {
	int f = hot(make("offsets"));
	show("after hot", f);
	T(lseek(f, 5000, SEEK_SET));
	show("set", f);
	T(lseek(f, -10, SEEK_CUR));
	show("back", f);
	T(lseek(f, -10, SEEK_SET));
	T(lseek(f, -60000, SEEK_CUR));
	T(lseek(f, LLONG_MAX, SEEK_CUR));
	show("far", f);
	T(lseek(f, 1L << 43, SEEK_SET));
	T(lseek(f, 1, SEEK_CUR));
	T(lseek(f, -5, SEEK_END));
	show("near the end", f);
	show("at the end", f);
	T(lseek(f, 0, SEEK_HOLE));
	T(lseek(f, 0, SEEK_DATA));
	T(lseek(f, 0, 77));
	show("after data", f);
	T(pread(f, page, 10, 100000));
	T(pread(f, page, 10, -1));
	T(pread(f, page, 10, N * P - 4));
	T(pread(f, page, 0, 0));
	T(read(f, page, -1));
	T(read(f, big, sizeof big));
	T(read(f, big, sizeof big));
	close(f);
	// One that is only sought in.
	f = make("sought");
	for (int i = 0; i < HOT; i++)
		lseek(f, 100 * i, SEEK_SET), lseek(f, 1, SEEK_CUR);
	int g = dup(f);
	show("sought", g);
	close(g);
	for (int i = 0; i < HOT; i++)
		lseek(f, 10, SEEK_CUR);
	show("sought again", f);
	close(f);
}
static void bad_memory(void) {
	int f = hot(make("memory"));
	char *m = mmap(0, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(m + P, P);
	T(read(f, 0, 10));
	T(read(f, m + P - 10, 10));
	T(read(f, m + P - 10, 100));
	show("after part", f);
	T(read(f, (void *)0x7fffffffffffff, 10));
	T(read(f, (void *)-1000, 10));
	T(pread(f, m + P - 1, 2, 3));
	mprotect(m, P, PROT_READ);
	T(read(f, m, 10));
	show("after fault", f);
	close(f);
}
static void shared(void) {
	int f = hot(make("shared")), g = dup(f);
	show("f", f);
	show("dup", g);
	show("f again", f);
	hot(g);
	show("f", f);
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		for (int i = 0; i < HOT; i++)
			read(f, page, 7);
		show("child", f);
		_exit(0);
	}
	waitpid(p, 0, 0);
	show("parent", g);
	close(g);
	for (int i = 0; i < HOT; i++)
		read(f, page, 7);
	printf("fdinfo %ld\n", pos(getpid(), f));
	show("after fdinfo", f);
	p = fork();
	if (p == 0) {
		printf("fdinfo of the parent %ld\n", pos(getppid(), f));
		_exit(0);
	}
	waitpid(p, 0, 0);
	p = vfork();
	if (p == 0) {
		// A child in the parent's memory: the descriptor is its own, the offset is not.
		int h = open("other", O_RDWR | O_CREAT | O_TRUNC, 0644);
		write(h, "0123456789", 10);
		dup2(h, f);
		pread(f, page, 10, 0);
		read(f, page + 10, 4);
		_exit(page[0] == '0' && page[10] == 'i' ? 0 : 1);
	}
	int st;
	waitpid(p, &st, 0);
	printf("vfork: %d\n", WEXITSTATUS(st));
	show("after vfork", f);
	p = vfork();
	if (p == 0) {
		lseek(f, 9000, SEEK_SET);
		read(f, page, 1000);
		_exit(0);
	}
	waitpid(p, &st, 0);
	show("moved by vfork", f);
	int s[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	hot(f);
	T(sendfd(s[0], f));
	for (int i = 0; i < HOT; i++)
		read(f, page, 7);
	T(recvfd(s[1], &g));
	show("passed", g);
	show("and here", f);
	close(g);
	close(f);
}
// An offset that two processes have: each goes on where the other one was, also when that was killed.
static void two(void) {
	int f = make("two"), to[2], from[2], st;
	char c = 0;
	long at = 0;
	pipe(to), pipe(from);
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		for (int i = 0;; i++) {
			read(to[0], &c, 1);
			for (int j = 0; j < c; j++)
				at += read(f, page, 17);
			if (i % 3 == 1)
				lseek(f, -5, SEEK_CUR), at -= 5;
			if (i % 5 == 2)
				at += write(f, "child", 5);
			write(from[1], &at, sizeof at);
		}
	}
	for (int i = 0; i < 30; i++) {
		long v;
		c = i % 10 * 5;
		write(to[1], &c, 1);
		read(from[0], &v, sizeof v);
		printf("%ld: at %ld\n", v, (long)lseek(f, 0, SEEK_CUR));
		for (int j = 0; j < i; j++)
			read(f, page, 11);
		if (i % 7 == 3)
			T(write(f, "parent", 6));
		show("parent", f);
	}
	c = 100;
	write(to[1], &c, 1);
	read(from[0], &at, sizeof at);
	kill(p, SIGKILL);
	waitpid(p, &st, 0);
	show("killed", f);
	fflush(stdout);
	// As a shell does it that waits for what it has started.
	lseek(f, 0, SEEK_SET);
	p = vfork();
	if (p == 0) {
		dup2(f, 0);
		execlp("head", "head", "-c", "50", (char *)0);
		_exit(1);
	}
	waitpid(p, &st, 0);
	printf("\nit has read from the start: %d\n", lseek(f, 0, SEEK_CUR) >= 50);
	close(f);
}
static void others(void) {
	int f = hot(make("calls")), g = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
	char a[10], b[10];
	struct iovec v[2] = {{a, 10}, {b, 10}};
	show("start", f);
	T(sendfile(g, f, 0, 1000));
	show("sendfile", f);
	T(readv(f, v, 2));
	show("readv", f);
	T(copy_file_range(f, 0, g, 0, 500, 0));
	show("copy", f);
	T(write(f, "XYZ", 3));
	show("write", f);
	T(pread(f, a, 6, 1551));
	printf("%.6s\n", a);
	int p[2];
	pipe(p);
	T(splice(f, 0, p[1], 0, 600, 0));
	show("splice", f);
	struct pollfd q = {f, POLLIN};
	T(poll(&q, 1, 0));
	show("poll", f);
	hot(f);
	fcntl(f, F_SETFL, O_APPEND);
	T(write(f, "END", 3));
	show("append", f);
	T(pread(f, a, 10, N * P - 2));
	printf("%.5s\n", a);
	close(f);
	f = open("calls", O_WRONLY);
	T(read(f, a, 1));
	T(pread(f, a, 1, 0));
	close(f);
	T(read(f, a, 1));
}
static void changes(void) {
	int f = hot(make("changes")), g = open("changes", O_RDWR);
	T(pwrite(g, "WRITTEN", 7, 30));
	show("written", f);
	T(ftruncate(g, 32));
	show("cut", f);
	T(pread(f, big, 100, 20));
	T(pread(f, big, 100, 32));
	T(ftruncate(g, 10000));
	T(pread(f, big, 100, 20));
	printf("%02x %02x\n", big[11], big[12]);
	for (int i = 0; i < HOT; i++)
		pread(f, big, 10, 0);
	T(pread(f, big, sizeof big, 9990));
	lseek(g, 0, SEEK_END);
	T(write(g, page, 100));
	T(pread(f, big, sizeof big, 9990));
	for (int i = 0; i < HOT; i++)
		pread(f, big, 10, 0);
	char *m = mmap(0, P, PROT_READ | PROT_WRITE, MAP_SHARED, g, 0);
	m[3] = '!';
	pread(f, big, 10, 0);
	printf("mapped: %c\n", big[3]);
	lseek(f, 0, SEEK_SET);
	hot(f);
	T(unlink("changes"));
	lseek(f, 0, SEEK_SET);
	show("unlinked", f);
	int h = make("changes");
	show("the old one", f);
	for (int i = 0; i < HOT; i++)
		pread(f, big, 10, 0);
	T(dup2(h, f));
	lseek(f, P, SEEK_SET);
	show("another by dup2", f);
	for (int i = 0; i < HOT; i++)
		pread(f, big, 10, 0);
	close(f);
	int e = open("other2", O_RDWR | O_CREAT | O_TRUNC, 0644);
	printf("same number: %d\n", e == f);
	T(pread(e, big, 10, 0));
	write(e, "other", 5);
	T(pread(e, big, 10, 0));
	close(e);
	T(fallocate(h, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, P));
	hot(h);
	lseek(h, 0, SEEK_SET);
	show("hole", h);
	T(rename("other2", "changes"));
	show("replaced", h);
	int k = hot(make("emptied")), t;
	OK(t = open("emptied", O_WRONLY | O_TRUNC));
	show("emptied", k);
	T(lseek(k, 0, SEEK_SET));
	T(read(k, big, 100));
	T(write(t, "new", 3));
	T(read(k, big, 100));
	for (int i = 0; i < HOT; i++)
		pread(k, big, 3, 0);
	T(truncate("emptied", 1));
	T(pread(k, big, 3, 0));
	close(k);
	close(t);
	close(h);
	close(g);
}
static void attributes(void) {
	int f = make("attributes"), g = open("attributes", O_RDWR);
	struct stat s, old;
	struct timespec ts[2] = {{1000, 1}, {2000, 2}};
#define HOTSTAT() for (int i = 0; i < HOT; i++) fstat(f, &s)
#define SHOW(what) fstat(f, &s), printf("%s: size %ld mode %o links %ld mtime %d atime %d\n", what, (long)s.st_size, s.st_mode, (long)s.st_nlink, (int)s.st_mtime == 2000, (int)s.st_atime == 1000)
	HOTSTAT();
	old = s;
	T(futimens(g, ts));
	SHOW("times");
	HOTSTAT();
	T(fchmod(g, 0600));
	SHOW("chmod");
	HOTSTAT();
	T(pwrite(g, "over", 4, 10));
	SHOW("written");
	for (int i = 0; i < HOT; i++)
		pwrite(g, "over", 4, 10 + i), fstat(f, &s);
	T(futimens(f, ts));
	HOTSTAT();
	SHOW("times");
	T(pwrite(g, "over", 4, 10));
	SHOW("filled");
	HOTSTAT();
	T(link("attributes", "attributes2"));
	SHOW("linked");
	HOTSTAT();
	T(unlink("attributes"));
	SHOW("unlinked");
	HOTSTAT();
	T(rename("attributes2", "attributes3"));
	SHOW("renamed");
	HOTSTAT();
	T(unlink("attributes3"));
	SHOW("gone");
	HOTSTAT();
	T(ftruncate(g, 77));
	SHOW("cut");
	HOTSTAT();
	T(fallocate(g, 0, 0, 5000));
	SHOW("allocated");
	HOTSTAT();
	char *m = mmap(0, P, PROT_READ | PROT_WRITE, MAP_SHARED, g, 0);
	m[0] = 'm';
	fstat(f, &s);
	printf("mapped: size %ld links %ld\n", (long)s.st_size, (long)s.st_nlink);
	T(fstat(f, (void *)8));
	T(fstat(f, (void *)-8));
	T(syscall(SYS_newfstatat, f, "", &s, AT_EMPTY_PATH));
	T(syscall(SYS_newfstatat, f, "", &s, 0));
	T(syscall(SYS_newfstatat, f, "x", &s, AT_EMPTY_PATH));
	T(syscall(SYS_newfstatat, f, 8, &s, AT_EMPTY_PATH));
	T(syscall(SYS_newfstatat, f, 0, &s, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
	HOTSTAT();
	int d = open("/", O_RDONLY | O_DIRECTORY);
	T(dup2(d, f));
	fstat(f, &s);
	printf("a directory: %o\n", s.st_mode & S_IFMT);
	for (int i = 0; i < HOT; i++)
		fstat(f, &s);
	close(f);
	T(fstat(f, &s));
	int p[2];
	pipe(p);
	printf("same number %d\n", p[0] == f);
	T(fstat(p[0], &s));
	printf("a pipe: %o\n", s.st_mode & S_IFMT);
	close(p[0]), close(p[1]), close(d), close(g);
}
// opened asks for the attributes of what it has just opened, again and again, and of what
// happens in between.
static void opened(void) {
	static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY | O_APPEND, O_PATH, O_RDONLY | O_NOFOLLOW};
	struct stat s;
	int g = make("opened"), d;
	T(mkdir("dir", 0700));
	T(symlink("opened", "link"));
	T(mkfifo("fifo", 0600));
	d = open("dir", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 4 * HOT; i++) {
		int f = open(i % 3 == 0 ? "link" : "opened", flags[i % 4]), r;
		pid_t p;
		switch (i % 11) {
		case 1: ftruncate(g, 100 * i); break;
		case 2: fchmod(g, 0600 + i % 8); break;
		case 3: link("opened", "opened2"); break;
		case 4: unlink("opened2"); break;
		case 5:
			fflush(stdout);
			if ((p = fork()) == 0)
				_exit(ftruncate(g, 10 * i));
			waitpid(p, 0, 0);
			break;
		case 6: dup2(d, f); break;
		case 7: close(f), f = open("dir", O_RDONLY | O_DIRECTORY); break;
		case 8: close(f), f = open("fifo", O_RDWR); break;
		case 9: close(f), f = open("made", O_RDWR | O_CREAT | O_TRUNC, 0640), write(f, page, i); break;
		case 10: close(f), f = open("link", O_PATH | O_NOFOLLOW); break;
		}
		memset(&s, 0, sizeof s);
		r = i % 2 ? fstat(f, &s) : syscall(SYS_newfstatat, f, "", &s, AT_EMPTY_PATH);
		printf("opened %d: %d mode %o size %ld links %ld\n", i, r, s.st_mode, S_ISDIR(s.st_mode) ? 0 : (long)s.st_size, S_ISDIR(s.st_mode) ? 0 : (long)s.st_nlink);
		close(f);
	}
	for (int i = 0; i < HOT; i++)
		close(open("opened", O_RDONLY));
	T(fstat(open("fifo", O_RDWR), (void *)8));
	T(fstat(open("opened", O_RDWR), (void *)8));
	close(g), close(d);
}
static void watched(void) {
	int f = hot(make("watched")), w = inotify_init1(IN_NONBLOCK);
	struct inotify_event e;
	inotify_add_watch(w, "watched", IN_ACCESS | IN_MODIFY);
	read(f, page, 10);
	T(read(w, &e, sizeof e));
	T(read(w, &e, sizeof e));
	for (int i = 0; i < HOT; i++)
		read(f, page, 10);
	T(read(w, &e, sizeof e));
	close(w);
	hot(f);
	show("watched", f);
	close(f);
}
static void kinds(void) {
	int f = memfd_create("m", MFD_ALLOW_SEALING);
	memset(page, 'm', P);
	for (int i = 0; i < 4; i++)
		write(f, page, P);
	lseek(f, 0, SEEK_SET);
	hot(f);
	show("memfd", f);
	T(ftruncate(f, 50));
	show("memfd, cut", f);
	close(f);
	f = open("/dev/shm/lent", O_RDWR | O_CREAT | O_TRUNC, 0600);
	memset(page, 's', P);
	for (int i = 0; i < 4; i++)
		write(f, page, P);
	lseek(f, 0, SEEK_SET);
	show("shm", hot(f));
	unlink("/dev/shm/lent");
	show("shm, unlinked", f);
	close(f);
	// More than a mapping shows.
	f = open("large", O_RDWR | O_CREAT | O_TRUNC, 0600);
	ftruncate(f, 40 << 20);
	pwrite(f, "LARGE", 5, (32 << 20) - 2);
	pwrite(f, "FIRST", 5, 0);
	hot(f);
	lseek(f, (32 << 20) - 3, SEEK_SET);
	T(read(f, page, 10));
	printf("%.5s\n", page + 1);
	for (int i = 0; i < HOT; i++)
		pread(f, page, 10, 33 << 20);
	T(pread(f, page, 5, 32 << 20));
	printf("%.3s\n", page);
	lseek(f, 0, SEEK_SET);
	long n = 0, k;
	while ((k = read(f, big, sizeof big)) > 0)
		n += k;
	printf("all: %ld\n", n);
	close(f);
	unlink("large");
	// More files than there are places.
	int fs[24];
	for (int r = 0; r < 3; r++)
		for (int i = 0; i < 24; i++) {
			char name[20], b[8] = {0};
			snprintf(name, sizeof name, "many%d", i);
			if (r == 0) {
				fs[i] = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
				for (int j = 0; j < 200; j++)
					dprintf(fs[i], "%06d\n", i);
				lseek(fs[i], 0, SEEK_SET);
			}
			for (int j = 0; j < 30; j++) {
				read(fs[i], b, 7);
				if (atoi(b) != i)
					printf("file %d says %s\n", i, b);
			}
		}
	for (int i = 0; i < 24; i++)
		close(fs[i]);
	struct rlimit l = {1 << 30, RLIM_INFINITY};
	setrlimit(RLIMIT_AS, &l);
	f = hot(make("limited"));
	show("limited", f);
	l.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_AS, &l);
	close(f);
}

static int counted, taken[1 << 16];
static void *taker(void *x) {
	unsigned short v;
	while (read(counted, &v, 2) == 2)
		__atomic_add_fetch(&taken[v], 1, __ATOMIC_RELAXED);
	return 0;
}
// Threads, and a child, that read by one offset: each byte is read once.
static void threads(void) {
	counted = open("counted", O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (int i = 0; i < 1 << 16; i += 1 << 11) {
		unsigned short v[1 << 11];
		for (int j = 0; j < 1 << 11; j++)
			v[j] = i + j;
		write(counted, v, sizeof v);
	}
	lseek(counted, 0, SEEK_SET);
	pthread_t t[3];
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], 0, taker, 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], 0);
	int bad = 0;
	for (int i = 0; i < 1 << 16; i++)
		bad += taken[i] != 1;
	printf("threads: %d not once\n", bad);
	close(counted);
}
static volatile int stop;
static void *closer(void *x) {
	while (!stop) {
		int f = open("one", O_RDONLY);
		if (f != *(int *)x)
			break;
		msleep(0);
		close(f);
		f = open("two", O_RDONLY);
		msleep(0);
		close(f);
	}
	return 0;
}
// A descriptor that another thread has stand for one file and for another: no read mixes them.
static void reused(void) {
	for (int i = 0; i < 2; i++) {
		int f = open(i ? "two" : "one", O_RDWR | O_CREAT | O_TRUNC, 0600);
		memset(page, i ? '2' : '1', P);
		write(f, page, P);
		close(f);
	}
	int f = open("one", O_RDONLY), bad = 0;
	close(f);
	pthread_t t;
	pthread_create(&t, 0, closer, &f);
	for (int i = 0; i < 20000; i++) {
		char b[64];
		long n = pread(f, b, sizeof b, i % 1000);
		if (n < 0 && errno == EBADF)
			continue;
		if (n != sizeof b)
			bad++;
		for (int j = 1; j < n; j++)
			bad += b[j] != b[0];
	}
	stop = 1;
	pthread_join(t, 0);
	printf("reused: %d bad\n", bad);
}
static int with_files(void *x) {
	// The table is shared, the memory is not.
	int f = *(int *)x;
	lseek(f, 100, SEEK_SET);
	for (int i = 0; i < HOT; i++)
		read(f, page, 10);
	int g = open("other3", O_RDWR | O_CREAT | O_TRUNC, 0600);
	write(g, "third", 5);
	dup2(g, f);
	close(g);
	lseek(f, 0, SEEK_SET);
	for (int i = 0; i < HOT; i++)
		pread(f, page, 5, 0);
	return 0;
}
static void tables(void) {
	static char stack[1 << 16];
	int f = hot(make("tables"));
	for (int i = 0; i < HOT; i++)
		pread(f, page, 10, 0);
	fflush(stdout);
	pid_t p = clone(with_files, stack + sizeof stack, CLONE_FILES | SIGCHLD, &f);
	waitpid(p, 0, 0);
	show("the child's file", f);
	T(pread(f, page, 10, 0));
	close(f);
}

int main(int argc, char **argv) {
	begin();
	if (argc > 1) {
		int f = atoi(argv[1]);
		show("executed", f);
		for (int i = 0; i < HOT; i++)
			read(f, page, 10);
		show("executed, hot", f);
		return 0;
	}
	offsets();
	bad_memory();
	shared();
	two();
	others();
	changes();
	attributes();
	opened();
	watched();
	kinds();
	threads();
	reused();
	tables();
	int f = hot(make("executed"));
	char n[10];
	snprintf(n, sizeof n, "%d", f);
	fflush(stdout);
	execl("/proc/self/exe", argv[0], n, NULL);
}
