// A file is made shorter and longer all the time, by two processes, while others
// use it in every way there is. What they see is a matter of chance; that they all
// come to their end, and the file is one like any other then, is not.
#include "try.h"
#include <setjmp.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

enum { P = 4096, Most = 300 << 10, Times = 200 };
static sigjmp_buf back;
static void on(int s, siginfo_t *i, void *c) { siglongjmp(back, 1); }
static int f;
static volatile int *over;
static unsigned seed;
static unsigned some(unsigned n) { return (seed = seed * 1103515245 + 12345) / 65536 % n; }
static char bytes[Most];
static const unsigned char ppid[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};

static void cutter(void) {
	static const int sizes[] = {0, 1, P, P + 1, 5 * P, 70000, Most, 2 * P, 10};
	for (int i = 0; !*over; i++)
		if (ftruncate(f, sizes[i % 9]) || i % 3 == 0 && pwrite(f, bytes, some(Most), some(Most)) < 0)
			printf("cutter: %m\n"), _exit(1);
}
static void opener(void) {
	while (!*over) {
		int g = open("cut", O_RDWR | O_TRUNC);
		if (g < 0 || write(g, bytes, 70000) < 0 || fallocate(g, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, P, P) || truncate("cut", Most / 2))
			printf("opener: %m\n"), _exit(1);
		close(g);
	}
}
static void reader(void) {
	static char b[Most];
	for (int i = 0; i < Times; i++)
		if (pread(f, b, some(Most), some(Most)) < 0)
			printf("pread: %m\n"), _exit(1);
}
static void writer(void) {
	for (int i = 0; i < Times; i++)
		if (pwrite(f, bytes, some(2 * P), some(Most)) < 0)
			printf("pwrite: %m\n"), _exit(1);
}
static void mapped(int flags) {
	for (volatile int i = 0; i < Times; i++) {
		volatile char *p = mmap(0, Most, 3, flags, f, 0);
		if (p == MAP_FAILED)
			printf("mmap: %m\n"), _exit(1);
		for (volatile int k = 0; k < 20; k++)
			if (!sigsetjmp(back, 1)) {
				if (some(2))
					p[some(Most)] = 'y';
				else
					p[some(Most)];
			}
		if (i % 50 == 0 && fork() == 0) {
			signal(SIGBUS, SIG_DFL);
			for (int k = 0; k < 20; k++)
				p[some(Most)] = 'y';
			_exit(0);
		}
		munmap((void *)p, Most);
	}
	while (wait(0) > 0)
		;
}
static void shared(void) { mapped(MAP_SHARED); }
static void private(void) { mapped(MAP_PRIVATE); }
// What the system stores and takes lies in the file.
static void arguments(void) {
	char *p = mmap(0, Most, 3, MAP_SHARED, f, 0), *q = mmap(0, Most, 3, MAP_PRIVATE, f, 0);
	int pi[2];
	pipe2(pi, O_NONBLOCK);
	struct timespec none = {0};
	for (int i = 0; i < Times; i++) {
		char *a = (i & 1 ? p : q) + some(Most - P);
		struct iovec v[2] = {{a, some(2000)}, {p + some(Most - P), some(2000)}};
		write(pi[1], a, some(P));
		read(pi[0], a, some(P));
		pread(f, a, some(P), some(Most));
		writev(pi[1], v, 2), readv(pi[0], v, 2);
		syscall(SYS_stat, ".", a);
		syscall(SYS_getcwd, a, P);
		open(a, O_RDONLY | O_DIRECTORY);
		syscall(SYS_getrandom, a, 0, 0);
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, a, 8);
		syscall(SYS_clock_gettime, CLOCK_REALTIME, a);
		syscall(SYS_futex, (long)a & ~3, 1, 1, 0, 0, 0);
		syscall(SYS_futex, (long)a & ~3, 0, 'x', &none, 0, 0);
		syscall(SYS_poll, a, 1, 0);
		syscall(SYS_execve, a, a, a);
	}
}
static void sender(void) {
	int n = open("/dev/null", O_WRONLY), g = open("copy", O_RDWR | O_CREAT, 0600), pi[2];
	pipe2(pi, O_NONBLOCK);
	static char b[1 << 16];
	for (int i = 0; i < Times; i++) {
		off_t at = some(Most), to = some(Most);
		sendfile(n, f, &at, some(Most));
		at = some(Most);
		copy_file_range(f, &at, g, &to, some(Most), 0);
		at = some(Most);
		splice(f, &at, pi[1], 0, some(1 << 16), SPLICE_F_NONBLOCK);
		read(pi[0], b, sizeof b);
	}
	unlink("copy");
}
// The program's own file is what is cut.
static void copied(void) {
	static char b[1 << 20];
	int s = open("/proc/self/exe", O_RDONLY), n = read(s, b, sizeof b);
	close(s);
	for (int i = 0; i < Times / 20; i++) {
		int g = open("program", O_RDWR | O_CREAT | O_TRUNC, 0700);
		if (g >= 0)
			write(g, b, n), close(g);
		pid_t c = fork();
		if (c == 0) {
			execl("./program", "program", "end", (char *)0);
			_exit(0);
		}
		while (waitpid(c, 0, WNOHANG) == 0)
			truncate("program", some(n));
	}
	unlink("program");
}
// Code that is cut while it runs, with calls in it.
static void caller(void) {
	int g = open("code", O_RDWR | O_CREAT | O_TRUNC, 0700);
	char *p = mmap(0, P, PROT_READ | PROT_EXEC, MAP_PRIVATE, g, 0);
	pid_t c = fork();
	if (c == 0)
		for (;;)
			pwrite(g, ppid, sizeof ppid, 0), usleep(some(500)), ftruncate(g, 0);
	volatile int good = 0, bad = 0;
	while (good < 20 * Times || bad < 20)
		if (!sigsetjmp(back, 1)) {
			long r;
			asm volatile("call *%1" : "=a"(r) : "r"(p), "a"(0) : "rcx", "r11", "memory");
			if (r != getppid())
				_exit(2);
			good++;
		} else
			bad++;
	kill(c, SIGKILL);
	wait(0);
	unlink("code");
}
static struct { const char *name; void (*f)(void); } roles[] = {
	{"reader", reader}, {"writer", writer}, {"shared", shared}, {"private", private}, {"arguments", arguments},
	{"sender", sender}, {"copied", copied}, {"caller", caller}, {"cutter", cutter}, {"opener", opener}};
int main(int argc, char **argv) {
	if (argc > 1)
		return 0;
	begin();
	struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(SIGBUS, &a, 0), sigaction(SIGSEGV, &a, 0);
	over = mmap(0, P, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(bytes, 'x', sizeof bytes);
	f = open("cut", O_RDWR | O_CREAT, 0600);
	enum { N = sizeof roles / sizeof *roles };
	pid_t p[N];
	for (int i = 0; i < N; i++)
		if ((p[i] = fork()) == 0) {
			seed = i + 1;
			roles[i].f();
			_exit(0);
		}
	for (int i = 0, st; i < N; i++) {
		*over = i >= N - 2;
		waitpid(p[i], &st, 0);
		printf("%s: %x\n", roles[i].name, st);
	}
	T(ftruncate(f, 0));
	T(pwrite(f, bytes, Most, 0));
	T(pread(f, bytes, Most, 0));
	struct stat st;
	fstat(f, &st);
	printf("%ld %c\n", (long)st.st_size, bytes[Most - 1]);
	unlink("cut");
	return 0;
}
