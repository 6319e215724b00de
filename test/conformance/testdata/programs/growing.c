// Files that grow by one write after the other, which the library then does by itself: how long they
// are and what is in them is seen by all, whatever happens to them.
#include "try.h"
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

enum { P = 4096, MANY = 100 };
static char page[P], back[P];
static long next; // of the byte that is written next

static void fill(char *b, long from, long n) {
	for (long i = 0; i < n; i++)
		b[i] = (from + i) / 7 % 251;
}
// grow writes so many pages behind the end, of several sizes, by the offset or at it.
static int grow(int f, int pages) {
	struct stat s;
	fstat(f, &s);
	next = s.st_size;
	lseek(f, 0, SEEK_END);
	for (int i = 0; i < pages; i++) {
		long n = i % 5 == 0 ? P - 13 : P;
		fill(page, next, n);
		long r = i / 10 % 2 ? pwrite(f, page, n, next) : (lseek(f, next, SEEK_SET), write(f, page, n));
		if (r != n)
			printf("grow: %ld %m\n", r);
		next += n;
	}
	return f;
}
static int make(const char *name, int flags) { return grow(open(name, flags | O_CREAT | O_TRUNC, 0644), MANY); }
// check says how long the file is, and where it begins to be otherwise than grow has written it.
static void check(const char *what, const char *name) {
	int f = open(name, O_RDONLY);
	struct stat s;
	long at = 0, n, bad = -1;
	stat(name, &s);
	while ((n = read(f, back, sizeof back)) > 0) {
		fill(page, at, n);
		for (long i = 0; i < n && bad < 0; i++)
			if (back[i] != page[i])
				bad = at + i;
		at += n;
	}
	// Where a file system's own blocks are counted too there are a few more.
	printf("%s: size %ld, read %ld, otherwise from %ld, blocks as many as that: %d\n", what, (long)s.st_size, at, bad, s.st_blocks * 512 - s.st_size < 65536 && s.st_blocks * 512 >= s.st_size);
	close(f);
}

static void plain(void) {
	int f = make("plain", O_RDWR);
	check("made", "plain");
	for (int i = 0; i < 5; i++) {
		grow(f, 37 << i);
		check("more", "plain");
	}
	T(lseek(f, 0, SEEK_END));
	T(lseek(f, 0, SEEK_HOLE));
	T(lseek(f, next, SEEK_DATA));
	T(pread(f, back, 100, next - 10));
	T(pread(f, back, 100, next));
	grow(f, 20);
	T(read(f, back, 10));
	close(f);
	check("closed", "plain");
	struct stat s;
	stat("plain", &s);
	f = open("plain", O_WRONLY);
	grow(f, 3);
	check("opened again", "plain");
	close(f);
	f = make("only", O_WRONLY);
	grow(f, 300);
	T(read(f, back, 1));
	T(pread(f, back, 1, 0));
	check("write only", "only");
	close(f);
}
static void gaps(void) {
	int f = make("gaps", O_RDWR), g = open("gaps", O_RDWR);
	T(pwrite(f, "x", 1, next + 10000));
	T(pread(g, back, 100, next + 9990));
	printf("%d %d %c\n", back[0], back[9], back[10]);
	T(ftruncate(g, next));
	check("cut", "gaps");
	grow(f, 60);
	T(ftruncate(f, next + 5000));
	T(pread(g, back, 100, next + 4990));
	T(ftruncate(g, 300000));
	next = 300000;
	check("cut again", "gaps");
	grow(f, 60);
	check("and grown", "gaps");
	T(ftruncate(g, 0));
	T(pwrite(f, "x", 1, next));
	struct stat s;
	fstat(g, &s);
	printf("%ld\n", (long)s.st_size - next);
	T(ftruncate(g, 0));
	grow(f, 200);
	check("from nothing", "gaps");
	T(fallocate(g, FALLOC_FL_KEEP_SIZE, next, 100000));
	grow(f, 50);
	check("allocated", "gaps");
	T(fallocate(g, 0, next, 1000));
	T(pread(f, back, P, next));
	T(ftruncate(g, next));
	grow(f, 20);
	int t;
	OK(t = open("gaps", O_WRONLY | O_TRUNC));
	T(write(f, "xyz", 3));
	fstat(t, &s);
	printf("%ld\n", (long)s.st_size - next);
	close(f), close(g), close(t);
}
static void others(void) {
	int f = make("others", O_RDWR), g = open("others", O_RDWR), a = open("others", O_WRONLY | O_APPEND);
	for (int i = 0; i < 40; i++) {
		struct stat s;
		int h = i % 4 == 0 ? f : i % 4 == 1 ? g : a;
		fill(page, next, P);
		T(h == a ? write(a, page, 1000) : pwrite(h, page, 1000, next));
		next += 1000;
		grow(f, i % 7);
		fstat(g, &s);
		if (s.st_size != next)
			printf("%d: %ld, not %ld\n", i, (long)s.st_size, next);
	}
	check("three", "others");
	int p[2];
	pipe(p);
	grow(f, 30);
	lseek(g, next - 100, SEEK_SET);
	T(splice(g, 0, p[1], 0, 4000, 0));
	int c = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
	off_t o = 0;
	while (sendfile(c, g, &o, 1 << 20) > 0)
		;
	T(o == next);
	check("sent", "copy");
	grow(f, 30);
	fflush(stdout);
	pid_t q = fork();
	if (q == 0) {
		check("child", "others");
		grow(f, 30);
		grow(g, 30);
		fflush(stdout);
		_exit(0);
	}
	waitpid(q, 0, 0);
	check("by a child", "others");
	grow(f, 30);
	check("and after it", "others");
	close(f), close(g), close(a), close(c);
}
static void mapped(void) {
	int f = make("mapped", O_RDWR), g = open("mapped", O_RDONLY);
	grow(f, 50);
	long size = next;
	char *m = mmap(0, size + P, PROT_READ, MAP_SHARED, g, 0);
	fill(page, size - 100, 100);
	T(memcmp(m + size - 100, page, 100));
	int rest = 0;
	for (long i = size; i % P; i++)
		rest |= m[i];
	printf("behind the end: %d\n", rest);
	fflush(stdout);
	pid_t q = fork();
	if (q == 0) {
		volatile char c = m[(size + P) & -P];
		_exit(c);
	}
	int st;
	waitpid(q, &st, 0);
	printf("signal %d\n", WTERMSIG(st));
	grow(f, 50);
	long far = next + P & -P;
	char *all = mmap(0, far + 10 * P, PROT_READ, MAP_SHARED, g, 0);
	for (int i = 0; i < 2; i++) {
		grow(f, 100);
		fflush(stdout);
		q = fork();
		if (q == 0) {
			volatile char c = all[far];
			c = ((volatile char *)mmap(0, next + 10 * P, PROT_READ, MAP_SHARED, g, 0))[(next + P) & -P];
			_exit(0);
		}
		waitpid(q, &st, 0);
		printf("signal %d\n", WTERMSIG(st));
	}
	T(memcmp(m + size, (fill(back, size, 100), back), 1));
	check("mapped", "mapped");
	char *w = mmap(0, P, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
	w[0] = 0;
	grow(f, 50);
	check("mapped to write", "mapped");
	munmap(w, P), munmap(m, size + P);
	close(f), close(g);
}
static void executes(void) { execl("./prog", "true", (char *)0), _exit(9); }
static void names(void) {
	int f = make("names", O_RDWR);
	struct stat s, t;
	T(rename("names", "named"));
	grow(f, 20);
	check("renamed", "named");
	T(link("named", "linked"));
	grow(f, 20);
	stat("linked", &s);
	stat("named", &t);
	printf("%d %d\n", s.st_size == next, t.st_size == next);
	T(chmod("linked", 0600));
	T(stat("named", &s));
	printf("%o %d\n", s.st_mode, s.st_size == next);
	grow(f, 20);
	T(unlink("linked"));
	T(unlink("named"));
	grow(f, 20);
	fstat(f, &s);
	printf("unlinked: %d\n", s.st_size == next);
	T(pread(f, back, 100, next - 50));
	close(f);
	f = make("over", O_RDWR);
	int g = make("other", O_RDWR);
	grow(f, 50);
	T(rename("other", "over"));
	grow(f, 20), grow(g, 20);
	check("replaced", "over");
	close(f), close(g);
	// Programs that were just written.
	char buf[1000];
	int tr = open("/bin/true", O_RDONLY), n;
	f = open("prog", O_WRONLY | O_CREAT | O_TRUNC, 0755);
	grow(f, 200);
	ftruncate(f, 0);
	lseek(f, 0, SEEK_SET);
	while ((n = read(tr, buf, sizeof buf)) > 0)
		write(f, buf, n);
	close(f), close(tr);
	child("run", executes);
}
static void times(void) {
	int f = make("times", O_RDWR), g = open("times", O_RDONLY), p[2], st;
	struct stat s, t;
	grow(f, 50);
	fstat(g, &s);
	msleep(30);
	fstat(g, &t);
	printf("as it was: %d\n", s.st_mtim.tv_nsec == t.st_mtim.tv_nsec);
	grow(f, 1);
	fstat(g, &t);
	printf("later: %d\n", s.st_mtim.tv_nsec != t.st_mtim.tv_nsec && s.st_ctim.tv_nsec != t.st_ctim.tv_nsec);
	close(f);
	fstat(g, &s);
	printf("closed: %d\n", s.st_mtim.tv_nsec == t.st_mtim.tv_nsec);
	msleep(30);
	fstat(g, &s);
	check("closed", "times");
	fstat(g, &t);
	printf("still: %d\n", s.st_mtim.tv_nsec == t.st_mtim.tv_nsec && s.st_ctim.tv_nsec == t.st_ctim.tv_nsec);
	// A process that is killed has written what it has written.
	pipe(p);
	fflush(stdout);
	pid_t q = fork();
	if (q == 0) {
		grow(open("times", O_RDWR), 123);
		write(p[1], &next, sizeof next);
		for (;;)
			pause();
	}
	read(p[0], &next, sizeof next);
	kill(q, SIGKILL);
	waitpid(q, &st, 0);
	fstat(g, &s);
	printf("killed: %d\n", s.st_size == next);
	check("killed", "times");
	close(g);
}
static void bad(void) {
	int f = make("bad", O_RDWR);
	grow(f, 50);
	char *m = mmap(0, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fill(m, next, P);
	munmap(m + P, P);
	T(pwrite(f, m + P, 10, next));
	T(pwrite(f, 0, 10, next));
	long size = next;
	lseek(f, size, SEEK_SET);
	T(write(f, m, 2 * P) == P);
	next = size + P;
	check("half", "bad");
	grow(f, 30);
	T(pwrite(f, m + 10, 2 * P, next) >= 0);
	T(ftruncate(f, next));
	T(ftruncate(f, next + 2 * P));
	pread(f, back, P, next);
	int rest = 0;
	for (int i = 0; i < P; i++)
		rest |= back[i];
	printf("behind the end: %d\n", rest);
	T(ftruncate(f, next));
	grow(f, 30);
	struct rlimit l = {next + 5000, RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	T(setrlimit(RLIMIT_FSIZE, &l));
	fill(page, next, P);
	T(pwrite(f, page, P, next));
	next += P;
	T(pwrite(f, page, P, next));
	T(pwrite(f, page, P, next + 904));
	close(f);
	T(pwrite(f, page, P, next));
}
static void large(void) {
	int f = make("large", O_RDWR);
	static char big[300000];
	for (int i = 0; i < 150; i++) {
		fill(big, next, sizeof big);
		if (write(f, big, sizeof big) != sizeof big)
			printf("large: %m\n");
		next += sizeof big;
	}
	check("large", "large");
	close(f);
	check("closed", "large");
	unlink("large");
}
static void *thread(void *x) {
	int f = *(int *)x;
	for (int i = 0; i < 2000; i++)
		if (write(f, "0123456789", 10) != 10)
			printf("thread: %m\n");
	return 0;
}
static void threads(void) {
	int f = make("threads", O_RDWR);
	long size = next;
	pthread_t t[3];
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], 0, thread, &f);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], 0);
	printf("%ld\n", (long)lseek(f, 0, SEEK_END) - size);
	int wrong = 0;
	for (long at = size; pread(f, back, 10, at) == 10; at += 10)
		wrong += memcmp(back, "0123456789", 10) != 0;
	printf("wrong: %d\n", wrong);
	// At places of their own.
	for (int i = 0; i < 200; i++)
		pwrite(f, page, P, lseek(f, 0, SEEK_END));
	struct stat s;
	fstat(f, &s);
	printf("%ld\n", (long)s.st_size - size);
	close(f);
}
static void watched(void) {
	int f = make("watched", O_RDWR), w = inotify_init1(IN_NONBLOCK);
	struct inotify_event e;
	inotify_add_watch(w, "watched", IN_MODIFY);
	grow(f, 1);
	T(read(w, &e, sizeof e));
	T(read(w, &e, sizeof e));
	grow(f, 20);
	T(read(w, &e, sizeof e));
	close(w);
	grow(f, 20);
	check("watched", "watched");
	close(f);
}
static void shm(void) {
	int f = make("/dev/shm/growing", O_RDWR);
	grow(f, 300);
	check("shm", "/dev/shm/growing");
	close(f);
	check("shm", "/dev/shm/growing");
	unlink("/dev/shm/growing");
}

int main(void) {
	begin();
	child("plain", plain);
	child("gaps", gaps);
	child("others", others);
	child("mapped", mapped);
	child("names", names);
	child("times", times);
	child("bad", bad);
	child("large", large);
	child("threads", threads);
	child("watched", watched);
	child("shm", shm);
	return 0;
}
