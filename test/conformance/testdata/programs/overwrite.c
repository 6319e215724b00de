// Files whose bytes are written over and over: what they hold, their sizes, holes and
// times.
#include "try.h"
#include <sys/uio.h>

enum { P = 4096, N = 16 };
static char page[P];

static unsigned sum(int f) {
	static char b[1 << 20];
	unsigned h = 2166136261u;
	ssize_t n = pread(f, b, sizeof b, 0);
	for (ssize_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)b[i]) * 16777619u;
	return h;
}
static void show(const char *what, int f) {
	struct stat s;
	fstat(f, &s);
	// Blocks may be the file system's own, too: where the file's memory ends is not.
	off_t at = lseek(f, 0, SEEK_CUR);
	printf("%s: size %ld, first hole %ld, sum %08x\n", what, (long)s.st_size, (long)lseek(f, 0, SEEK_HOLE), sum(f));
	lseek(f, at, SEEK_SET);
}
static void over(int f, int rounds, char c) {
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < N; i++) {
			memset(page, c + (r + i) % 20, P);
			if (pwrite(f, page, P - i, i * P + i) != P - i)
				printf("pwrite: %m\n");
		}
}
static int fresh(const char *name) {
	int f = name ? open(name, O_RDWR | O_CREAT | O_TRUNC, 0644) : memfd_create("m", MFD_ALLOW_SEALING);
	for (int i = 0; i < N; i++)
		memset(page, 'a' + i, P), write(f, page, P);
	return f;
}
static double at(struct timespec t) { return t.tv_sec + t.tv_nsec / 1e9; }
static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return at(t);
}
// times says whether the file was written just now, as far as its times tell: the host's
// are those of the last tick.
static void times(const char *what, int f, double since) {
	struct stat s;
	fstat(f, &s);
	printf("%s: written %s, changed %s\n", what, at(s.st_mtim) > since - 1 && at(s.st_mtim) <= now() ? "now" : at(s.st_mtim) > now() ? "later" : "before",
		at(s.st_ctim) > since - 1 && at(s.st_ctim) <= now() ? "now" : "at another time");
}

static void contents(const char *name) {
	int f = fresh(name);
	over(f, 8, 'A');
	show("over", f);
	lseek(f, 100, SEEK_SET);
	for (int i = 0; i < 20; i++)
		write(f, "twenty-one characters", 21);
	T(lseek(f, 0, SEEK_CUR));
	show("from the offset", f);
	// Up to the end, over the end.
	for (int i = 0; i < 6; i++)
		T(pwrite(f, page, 100, N * P - 100 + i * 10));
	show("over the end", f);
	T(ftruncate(f, 3 * P + 5));
	for (int i = 0; i < 6; i++)
		T(pwrite(f, page, 10, 3 * P - i)); // the last ones end before the end
	show("shorter", f);
	T(ftruncate(f, N * P));
	for (int i = 0; i < 6; i++)
		T(pwrite(f, "hole", 4, 10 * P + i));
	show("with holes", f);
	T(fallocate(f, 0, 0, N * P));
	over(f, 4, 'B');
	T(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * P, 2 * P));
	for (int i = 0; i < 8; i++)
		T(pwrite(f, "again", 5, 2 * P));
	show("punched", f);
	for (int i = 0; i < 8; i++)
		T(pwrite(f, "again", 5, 4 * P));
	show("one filled", f);
	// A mapping shows what is written, and the other way.
	over(f, 2, 'C');
	volatile char *m = mmap(0, N * P, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
	over(f, 4, 'D');
	printf("mapped: %c %c\n", m[5], m[15 * P + 100]);
	m[7] = '!';
	char c = 0;
	pread(f, &c, 1, 7);
	printf("read: %c\n", c);
	over(f, 4, 'E');
	munmap((void *)m, N * P);
	show("unmapped", f);
	close(f);
}

static void two(void) {
	int f = fresh("two"), g = open("two", O_RDWR), h = open("two", O_WRONLY | O_APPEND);
	for (int i = 0; i < 10; i++) {
		pwrite(f, "first", 5, i);
		pwrite(g, "second", 6, i + 3);
		write(h, "appended", 8);
	}
	show("two and one that appends", f);
	pid_t p = fork();
	for (int i = 0; i < 200; i++)
		pwrite(p ? f : g, p ? "parent" : "child!", 6, (p ? 0 : 8 * P) + i * 6);
	if (p == 0)
		_exit(0);
	waitpid(p, 0, 0);
	show("two processes", f);
	// The same description: one offset.
	lseek(f, 0, SEEK_SET);
	p = fork();
	for (int i = 0; i < 100; i++)
		write(f, "same", 4);
	if (p == 0)
		_exit(0);
	waitpid(p, 0, 0);
	T(lseek(f, 0, SEEK_CUR));
	show("one offset", f);
	struct iovec v[3] = {{"one", 3}, {"", 0}, {"three", 5}};
	for (int i = 0; i < 6; i++)
		T(pwritev(f, v, 3, 10 * i));
	show("vectors", f);
	int r = open("two", O_RDONLY);
	T(pwrite(r, "x", 1, 0));
	T(pwrite(f, (void *)8, 10, 0));
	show("bad", f);
	unlink("two");
	for (int i = 0; i < 6; i++)
		T(pwrite(f, "unlinked", 8, i));
	show("unlinked", f);
}

static void clocks(void) {
	double since = now();
	int f = fresh("clocks");
	over(f, 4, 'A');
	times("over", f, since);
	struct timespec old[2] = {{1000, 5}, {1000, 7}}, later[2] = {{0, UTIME_OMIT}, {now() + 100000, 0}};
	T(futimens(f, old));
	struct stat s, t;
	fstat(f, &s);
	printf("%ld.%ld\n", (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
	T(fchmod(f, 0600));
	times("set", f, since);
	over(f, 2, 'B');
	times("over", f, since);
	T(futimens(f, later));
	times("set", f, since);
	over(f, 2, 'C');
	times("over", f, since);
	fstat(f, &s);
	T(fchmod(f, 0640)); // does not touch when it was written
	fstat(f, &t);
	T(s.st_mtim.tv_sec == t.st_mtim.tv_sec && s.st_mtim.tv_nsec == t.st_mtim.tv_nsec);
	over(f, 2, 'D');
	fstat(f, &s);
	close(f);
	// Nobody has it open any more, nor is it among those that were open last.
	char name[20];
	for (int i = 0; i < 600; i++)
		sprintf(name, "other%d", i), close(open(name, O_RDWR | O_CREAT, 0600));
	for (int i = 0; i < 600; i++)
		sprintf(name, "other%d", i), unlink(name);
	T(stat("clocks", &t));
	T(s.st_mtim.tv_sec == t.st_mtim.tv_sec && s.st_mtim.tv_nsec == t.st_mtim.tv_nsec);
	T(s.st_ctim.tv_sec == t.st_ctim.tv_sec && s.st_ctim.tv_nsec == t.st_ctim.tv_nsec);
	f = open("clocks", O_RDWR);
	T(fstat(f, &t));
	T(s.st_mtim.tv_sec == t.st_mtim.tv_sec && s.st_mtim.tv_nsec == t.st_mtim.tv_nsec);
	over(f, 2, 'E');
	times("over", f, since);
	show("at last", f);
	unlink("clocks");
}

static void refused(void) {
	int f = fresh(0);
	over(f, 4, 'A');
	T(fcntl(f, F_ADD_SEALS, F_SEAL_GROW));
	over(f, 2, 'B');
	T(pwrite(f, "x", 1, N * P));
	T(pwrite(f, "xyz", 3, N * P - 2));
	show("cannot grow", f);
	T(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE));
	for (int i = 0; i < 5; i++)
		T(pwrite(f, "x", 1, 0));
	show("cannot be written", f);
	f = fresh("limited");
	over(f, 4, 'A');
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit l = {8 * P, 8 * P};
	T(setrlimit(RLIMIT_FSIZE, &l));
	for (int i = 0; i < 5; i++) {
		T(pwrite(f, page, 100, 8 * P - 50));
		T(pwrite(f, page, 100, 8 * P));
		T(pwrite(f, page, 100, 0));
	}
	show("limited", f);
	unlink("limited");
}

int main(void) {
	begin();
	contents("file");
	unlink("file");
	contents(0);
	child("two", two);
	child("clocks", clocks);
	child("refused", refused);
	return 0;
}
