// Files that become shorter, and longer again, while they are mapped.
#include "try.h"
#include <linux/futex.h>
#include <setjmp.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/vfs.h>

enum { P = 4096 };
static sigjmp_buf back;
static volatile int sig, code, armed;
static char *volatile addr;
static void on(int s, siginfo_t *i, void *c) {
	if (!armed) {
		static const char no[] = "a fault that was not expected\n";
		write(1, no, sizeof no - 1), _exit(1);
	}
	sig = s, code = i->si_code, addr = i->si_addr;
	siglongjmp(back, 1);
}
// look says what an access answers: the byte, or the signal and how far from p.
static const char *look(volatile char *p, int write) {
	static char r[4][64];
	static int n;
	char *s = r[n++ % 4];
	armed = 1;
	if (sigsetjmp(back, 1))
		sprintf(s, "signal %d.%d %+ld", sig, code, (long)(addr - p));
	else if (write)
		*p = 'W', sprintf(s, "stored");
	else
		sprintf(s, "%d", *p);
	armed = 0;
	return s;
}
// pages shows the first byte of n pages, and the last of each.
static void pages(const char *what, char *p, int n) {
	printf("%s:", what);
	for (int i = 0; i < n; i++)
		printf(" [%s, %s]", look(p + i * P, 0), look(p + i * P + P - 1, 0));
	puts("");
}
static const char *dir;
static char path[300];
static int fresh(void) { // a new file of four pages of 'x'
	int f;
	if (dir)
		snprintf(path, sizeof path, "%s/truncated", dir), f = open(path, O_RDWR | O_CREAT | O_TRUNC, 0700);
	else
		f = memfd_create("truncated", MFD_ALLOW_SEALING), snprintf(path, sizeof path, "/proc/self/fd/%d", f);
	char b[4 * P];
	memset(b, 'x', sizeof b);
	if (write(f, b, sizeof b) != sizeof b)
		printf("write: %m\n");
	return f;
}
static char *map(int f, int n, int prot, int flags) {
	char *p = mmap(0, n * P, prot, flags, f, 0);
	if (p == MAP_FAILED)
		printf("mmap: %m\n"), exit(1);
	return p;
}
static long blocks(int f) {
	struct stat st;
	return fstat(f, &st) ? -1 : st.st_blocks;
}
static void shared(int prot, int flags) {
	int f = fresh();
	char *p = map(f, 6, prot, flags);
	pages("six pages over four", p, 6);
	T(ftruncate(f, P + 10));
	pages("shorter", p, 6);
	printf("the last page: %s %s\n", look(p + P + 9, 0), look(p + P + 10, 0));
	T(ftruncate(f, 3 * P));
	pages("longer", p, 6);
	T(pwrite(f, "new", 3, 3 * P + 5));
	printf("written behind: %.3s %s\n", p + 3 * P + 5, look(p + 4 * P, 0));
	T(ftruncate(f, 0));
	pages("empty", p, 2);
	if (prot & PROT_WRITE)
		printf("store: %s\n", look(p, 1));
	char b[8] = "";
	T(pread(f, b, 5, 0));
	T(ftruncate(f, 2 * P));
	pages("again", p, 3);
	if (prot & PROT_WRITE) {
		printf("store: %s %s\n", look(p + P, 1), look(p + 2 * P, 1));
		T(pread(f, b, 1, P));
		printf("read %c\n", b[0]);
	}
	T(munmap(p + P, P));
	printf("unmapped: %s\n", look(p + P, 0));
	T(ftruncate(f, 1));
	printf("one: %s %s\n", look(p, 0), look(p + 2 * P, 0));
	munmap(p, 6 * P);
	close(f);
}
static void cow(void) {
	int f = fresh();
	char *p = map(f, 5, 3, MAP_PRIVATE);
	memset(p, 'c', 3 * P);
	printf("behind: %s\n", look(p + 4 * P, 1));
	T(ftruncate(f, P + 100));
	pages("copied pages, shorter", p, 5);
	printf("the last page keeps its copy: %c %c\n", p[P + 99], p[P + 100]);
	T(ftruncate(f, 4 * P));
	pages("longer", p, 5);
	pwrite(f, "file", 4, 2 * P);
	printf("%.4s\n", p + 2 * P);
	T(ftruncate(f, 0));
	printf("store: %s\n", look(p, 1));
	munmap(p, 5 * P);
	close(f);
}
static void ways(void) { // other ways to make it shorter
	for (int way = 0; way < 5; way++) {
		int f = fresh(), g = -1;
		char *p = map(f, 4, 3, MAP_SHARED);
		if (way == 0)
			T(truncate(path, P));
		else if (way == 1)
			OK(g = open(path, O_WRONLY | O_TRUNC));
		else if (way == 2)
			OK(g = creat(path, 0600));
		else if (way == 3) {
			OK(g = open(path, O_RDWR | O_TRUNC));
			T(pwrite(g, "tail", 4, 2 * P));
		} else if (fork() == 0) {
			ftruncate(f, P);
			_exit(0);
		} else
			wait(0);
		pages("pages", p, 4);
		struct stat st;
		fstat(f, &st);
		printf("size %ld\n", (long)st.st_size);
		munmap(p, 4 * P);
		close(f);
		close(g);
	}
}
// calls whose arguments lie where the file has ended.
static void arguments(void) {
	int f = fresh(), pi[2], d = open("/dev/null", O_WRONLY);
	char *p = map(f, 4, 3, MAP_SHARED), b[64], *argv[] = {p + P, 0};
	pipe(pi);
	write(pi[1], "abcdefgh", 8);
	ftruncate(f, P);
	T(write(pi[1], p + P, 10));
	T(read(pi[0], p + P, 1));
	T(read(pi[0], p + P - 2, 2));
	T(open(p + P, O_RDONLY));
	T(readlink("/proc/self/exe", p + P, 10));
	T(getcwd(p + P, 100));
	T(stat("/", (struct stat *)(p + P)));
	T(syscall(SYS_clock_gettime, CLOCK_REALTIME, p + P));
	T(syscall(SYS_clock_getres, CLOCK_REALTIME, p + P));
	T(execv(p + P, argv));
	T(execv("/bin/true", argv));
	T(execv("/bin/true", (char **)(p + P)));
	T(pwrite(f, p + P, 10, 0));
	T(pread(f, p + P, 10, 0));
	T(syscall(SYS_futex, p + P, FUTEX_WAKE, 1, 0, 0, 0));
	T(syscall(SYS_futex, p + P, FUTEX_WAIT, 0, 0, 0, 0));
	T(nanosleep((struct timespec *)(p + 2 * P), 0));
	T(poll((struct pollfd *)(p + P), 1, 0));
	T(syscall(SYS_rt_sigaction, SIGUSR1, p + P, 0, 8));
	struct iovec v[2] = {{p + 2 * P, 4}, {b, 4}};
	T(writev(pi[1], v, 2));
	T(sendfile(d, f, 0, 3 * P));
	// They make the file longer and read it into its own mapping.
	T(ftruncate(f, 2 * P));
	T(pread(f, p + P, 100, 0));
	printf("%d\n", p[P]);
	munmap(p, 4 * P);
	close(f);
	close(d);
	close(pi[0]);
	close(pi[1]);
}
static void remaps(void) {
	int f = fresh();
	char *p = map(f, 4, 3, MAP_SHARED), *q;
	ftruncate(f, P);
	T(mprotect(p, 4 * P, PROT_READ));
	printf("%s %s\n", look(p, 1), look(p + P, 1));
	T(mprotect(p, 4 * P, 3));
	T(msync(p, 4 * P, MS_SYNC));
	T(madvise(p, 4 * P, MADV_DONTNEED));
	T(madvise(p, 4 * P, MADV_POPULATE_READ));
	OK(q = mremap(p, 4 * P, 2 * P, 0));
	OK(q = mremap(p, 2 * P, 64 * P, MREMAP_MAYMOVE));
	pages("moved", q, 3);
	ftruncate(f, 63 * P);
	printf("%s %s\n", look(q + 62 * P, 1), look(q + 63 * P, 1));
	ftruncate(f, 2 * P);
	pages("back", q, 3);
	T(mmap(q + P, P, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == q + P);
	ftruncate(f, 0);
	pages("with a hole", q, 3);
	munmap(q, 64 * P);
	// Mapped first, grown later.
	p = map(f, 3, 3, MAP_SHARED), q = mmap(0, P, 1, MAP_PRIVATE, f, 2 * P);
	printf("%s %s\n", look(p, 0), look(q, 0));
	T(pwrite(f, "abc", 3, 2 * P));
	printf("%.3s %.3s %s\n", p + 2 * P, q, look(p + P, 0));
	T(fallocate(f, 0, 0, 3 * P));
	T(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * P, P));
	pages("punched", p, 3);
	munmap(p, 3 * P);
	munmap(q, P);
	close(f);
}
static void dies(void) {
	int f = fresh();
	char *p = map(f, 2, 3, MAP_SHARED);
	signal(SIGBUS, SIG_DFL);
	ftruncate(f, 0);
	*(volatile char *)p = 1;
}
static void blocked(void) { // a fault is not to be blocked
	int f = fresh();
	char *p = map(f, 2, 3, MAP_SHARED);
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGBUS);
	sigprocmask(SIG_BLOCK, &s, 0);
	ftruncate(f, 0);
	*(volatile char *)p = 1;
}
static void ignored(void) {
	int f = fresh();
	char *p = map(f, 2, 3, MAP_SHARED);
	signal(SIGBUS, SIG_IGN);
	ftruncate(f, 0);
	*(volatile char *)p = 1;
}
static void family(void) { // who has it mapped, too
	int f = fresh(), to[2], from[2];
	char *p = map(f, 4, 3, MAP_SHARED), *q = map(f, 4, 3, MAP_PRIVATE), c;
	q[P] = 'q';
	pipe(to), pipe(from);
	fflush(stdout);
	if (fork() == 0) {
		pages("child", p, 4);
		write(from[1], "", 1), read(to[0], &c, 1);
		pages("child, shorter", p, 4);
		pages("child's own", q, 4);
		write(from[1], "", 1), read(to[0], &c, 1);
		pages("child, longer", p, 4);
		fflush(stdout);
		_exit(0);
	}
	read(from[0], &c, 1);
	ftruncate(f, P);
	write(to[1], "", 1), read(from[0], &c, 1);
	pages("parent's own", q, 4);
	ftruncate(f, 2 * P), strcpy(p + P, "news");
	write(to[1], "", 1);
	wait(0);
	munmap(p, 4 * P), munmap(q, 4 * P);
	close(f), close(to[0]), close(to[1]), close(from[0]), close(from[1]);
}
// Code that calls the system, often enough to be looked at closely.
static void text(void) {
	static const unsigned char ppid[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};
	for (int flags = MAP_SHARED; flags <= MAP_PRIVATE; flags++) {
		int f = fresh();
		T(pwrite(f, ppid, sizeof ppid, P));
		char *p = map(f, 2, PROT_READ | PROT_EXEC, flags);
		armed = 1;
		if (sigsetjmp(back, 1)) {
			printf("signal %d code %d at %+ld\n", sig, code, (long)(addr - p));
			T(ftruncate(f, 2 * P));
			T(pwrite(f, ppid, sizeof ppid, P));
			T(((int (*)(void))(p + P))() == getppid());
		} else {
			int n = 0;
			for (int i = 0; i < 5000; i++)
				n += ((int (*)(void))(p + P))() == getppid();
			printf("%d calls\n", n);
			T(ftruncate(f, P));
			((int (*)(void))(p + P))();
			printf("still there\n");
		}
		armed = 0;
		int n = 0;
		for (int i = 0; i < 5000; i++)
			n += ((int (*)(void))(p + P))() == getppid();
		printf("%d calls\n", n);
		munmap(p, 2 * P);
		close(f);
	}
}
static void seals(void) {
	int f = fresh();
	char *p = map(f, 5, 3, MAP_SHARED);
	T(blocks(f));
	T(ftruncate(f, P));
	T(blocks(f));
	T(ftruncate(f, 4 * P));
	T(blocks(f));
	T(fcntl(f, F_ADD_SEALS, F_SEAL_SHRINK));
	T(ftruncate(f, P));
	pages("not shorter", p, 5);
	T(ftruncate(f, 5 * P));
	T(fcntl(f, F_ADD_SEALS, F_SEAL_GROW));
	T(ftruncate(f, 6 * P));
	pages("all", p, 5);
	printf("%x\n", fcntl(f, F_GET_SEALS));
	munmap(p, 5 * P);
	close(f);
	f = fresh();
	p = map(f, 4, 1, MAP_SHARED);
	T(fcntl(f, F_ADD_SEALS, F_SEAL_GROW));
	T(ftruncate(f, 5 * P));
	T(ftruncate(f, 10));
	pages("may shrink", p, 3);
	T(ftruncate(f, 4 * P));
	T(fcntl(f, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK));
	T(ftruncate(f, 0));
	printf("%s\n", look(p, 0));
	close(f);
	// To be written no more.
	for (int way = 0; way < 7; way++) {
		int pi[2];
		f = fresh();
		if (way == 6)
			ftruncate(f, 10);
		p = way == 0 ? 0 : map(f, 4, way == 2 ? 1 : 3, way == 3 ? MAP_PRIVATE : MAP_SHARED);
		printf("way %d\n", way);
		pipe(pi);
		pid_t c = way != 5 ? 0 : fork();
		if (way == 4)
			munmap(p, 3 * P);
		else if (way == 5 && c == 0) {
			char b;
			close(pi[1]), read(pi[0], &b, 1);
			_exit(0);
		} else if (way == 5)
			munmap(p, 4 * P);
		T(fcntl(f, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
		if (p && way < 3)
			printf("%s\n", look(p, way != 2));
		T(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE));
		printf("%x\n", fcntl(f, F_GET_SEALS));
		if (way == 5) {
			T(kill(c, 0));
			kill(c, SIGKILL);
			waitpid(c, 0, 0);
		} else if (p && way != 3) {
			munmap(p, 4 * P);
			T(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE));
			T(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
			printf("%x\n", fcntl(f, F_GET_SEALS));
		}
		T(pwrite(f, "no", 2, 0));
		T(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, P));
		OK(mmap(0, P, 3, MAP_SHARED, f, 0));
		OK(p = mmap(0, P, 1, MAP_SHARED, f, 0));
		T(mprotect(p, P, 3));
		OK(p = mmap(0, P, 3, MAP_PRIVATE, f, 0));
		printf("%s\n", look(p, 1));
		T(ftruncate(f, P));
		char b[3] = "";
		T(pread(f, b, 2, 0));
		puts(b);
		close(pi[0]), close(pi[1]), close(f);
	}
	// Memory is given back, with the mapping still there.
	f = memfd_create("big", 0);
	ftruncate(f, 64 << 20);
	p = map(f, 64 << 8, 3, MAP_SHARED);
	static char b[1 << 20] = {1};
	for (int i = 0; i < 64; i++)
		pwrite(f, b, sizeof b, i << 20);
	T(blocks(f));
	T(p[63 << 20]);
	T(ftruncate(f, 1 << 20));
	T(blocks(f));
	T(ftruncate(f, 0));
	T(blocks(f));
	printf("%s\n", look(p, 0));
	close(f);
}
// Memory that stores through a mapping give a file is seen at once, by a descriptor
// and by name.
static void stored(void) {
	struct stat st;
	int f = fresh();
	T(ftruncate(f, 64 * P));
	T(blocks(f));
	char *p = map(f, 64, 3, MAP_SHARED);
	for (int i = 1; i < 60; i += 20) {
		p[i * P] = 1;
		msync(p, 64 * P, MS_SYNC), fsync(f); // which not all file systems need
		T(blocks(f));
		if (dir) {
			stat(path, &st);
			printf("%ld\n", (long)st.st_blocks);
		}
	}
	T(pwrite(f, "abc", 3, 21 * P));
	T(blocks(f));
	close(f);
	p[P * 50] = 1;
	msync(p, 64 * P, MS_SYNC);
	if (dir && (f = open(path, O_RDWR)) >= 0) {
		fsync(f);
		T(blocks(f));
		p[P * 51] = 1;
		msync(p, 64 * P, MS_SYNC), fsync(f);
		stat(path, &st);
		printf("%ld\n", (long)st.st_blocks);
		close(f);
	}
	munmap(p, 64 * P);
}
static void all(const char *d) {
	dir = d;
	printf("== %s\n", d && *d == '.' ? "a directory" : d ? d : "memfd");
	puts("shared, to write"), shared(3, MAP_SHARED);
	puts("shared, to read"), shared(1, MAP_SHARED);
	puts("private"), shared(1, MAP_PRIVATE);
	cow();
	ways();
	arguments();
	remaps();
	family();
	text();
	stored();
	child("no handler", dies);
	child("blocked", blocked);
	child("ignored", ignored);
	if (d)
		unlink(path);
}
int main(void) {
	begin();
	struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
	sigaction(SIGBUS, &a, 0);
	sigaction(SIGSEGV, &a, 0);
	all(".");
	all("/dev/shm");
	all(0);
	seals();
	return 0;
}
