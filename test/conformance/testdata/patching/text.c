// What a program can notice of patched call sites: jumps to the old instruction,
// text that is read, protected, mapped anew or shared, threads that run a site while it
// is patched, signals at it, and the registers that it leaves.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

typedef long (*fn)(void);
enum { HOT = 100 };
#ifndef STATIC
#define STATIC 0
#endif

// One call site as libraries have them: the number, SYSCALL, a return.
static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};

static void check(const char *what, int ok) { printf("%s: %s\n", what, ok ? "yes" : "no"); }

static int file(const char *name, unsigned char nr) {
	unsigned char page[8192];
	memset(page, 0x90, sizeof page);
	memcpy(page, code, sizeof code);
	page[1] = nr;
	memcpy(page + 4096 - 3, page, sizeof code); // across two pages
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0755);
	if (fd < 0 || write(fd, page, sizeof page) != sizeof page)
		perror("file"), exit(1);
	return fd;
}

static unsigned char *map(int fd, int prot, int flags) {
	void *p = mmap(0, 8192, prot, flags, fd, 0);
	if (p == MAP_FAILED)
		perror("mmap"), exit(1);
	return p;
}

static int hot(void *p, long want) {
	int bad = 0;
	for (int i = 0; i < HOT; i++)
		bad += ((fn)p)() != want;
	return !bad;
}

// at calls a with number nr in EAX.
static long at(void *a, long nr) {
	long r;
	__asm__ volatile("call *%1" : "=a"(r) : "r"(a), "0"(nr) : "rcx", "r11", "memory");
	return r;
}

static void jumps(void) {
	unsigned char *g = (unsigned char *)getppid;
	for (int i = 0; i < HOT; i++)
		getppid();
	check("the old instruction, same number", at(g + 5, SYS_getppid) == getppid());
	check("the old instruction, another number", at(g + 5, SYS_getpid) == getpid());
	check("the old instruction, no number", at(g + 5, -1) == -ENOSYS);
	check("the function", syscall(SYS_getppid) == getppid());
	int bad = 0;
	for (int i = 0; i < HOT; i++)
		bad += syscall(SYS_getpid) != getpid() || syscall(-1) != -1 || errno != ENOSYS || syscall(SYS_getuid) != getuid();
	check("syscall()", !bad);
	bad = 0;
	for (int i = 0; i < HOT; i++) {
		char *p = (char *)syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0x1000L * (i & 1));
		bad += p == MAP_FAILED || *p != 0;
		munmap(p, 4096);
	}
	check("syscall() with an argument on the stack", !bad);
}

__attribute__((noinline)) static long own(void) {
	long r;
	__asm__ volatile("mov $39, %%eax\n syscall" : "=a"(r)::"rcx", "r11", "memory");
	return r;
}

static void readers(void) {
	extern char __executable_start, etext;
	unsigned sum[2];
	for (int k = 0; k < 2; k++) {
		sum[k] = 0;
		for (char *p = &__executable_start; p < &etext; p++)
			sum[k] = sum[k] * 31 + (unsigned char)*p;
		for (int i = 0; i < HOT; i++)
			own();
	}
	// Of a program without libraries the text may change.
	check("the program's own text is as it was", sum[0] == sum[1] || STATIC);
	check("its call site works", own() == getpid());
}

static void mappings(void) {
	int fd = file("site", 39);
	unsigned char buf[8];
	unsigned char *sh = map(fd, PROT_READ | PROT_EXEC, MAP_SHARED), *look = map(fd, PROT_READ, MAP_SHARED);
	check("shared text", hot(sh, getpid()) && !memcmp(sh, code, 8));
	unsigned char *pr = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE), *other = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	check("private text", hot(pr, getpid()));
	check("across two pages", hot(pr + 4096 - 3, getpid()) && at(pr + 4096 - 3 + 5, SYS_getuid) == getuid());
	check("the file is as it was", pread(fd, buf, 8, 0) == 8 && !memcmp(buf, code, 8) && !memcmp(look, code, 8) && !memcmp(other, code, 8));
	check("writable", mprotect(pr, 8192, PROT_READ | PROT_WRITE) == 0);
	check("text that is written is its own", !memcmp(pr, code, 8) && !memcmp(pr + 4096 - 3, code, 8));
	pr[1] = SYS_getuid;
	check("executable", mprotect(pr, 8192, PROT_READ | PROT_EXEC) == 0);
	check("changed text", hot(pr, getuid()) && pr[1] == SYS_getuid);
	int fd2 = file("site2", SYS_getppid);
	for (int i = 0; i < 4; i++) {
		int f = i & 1 ? fd : fd2;
		if (mmap(other, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, f, 0) != other)
			perror("mmap fixed");
		check("mapped over", hot(other, i & 1 ? getpid() : getppid()));
	}
	check("forgotten and read again", madvise(other, 8192, MADV_DONTNEED) == 0 && !memcmp(other, code, 8) && hot(other, getpid()));
	unsigned char *moved = mremap(other, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, look);
	check("moved", moved == look && hot(moved, getpid()));
	munmap(moved, 8192);
	unsigned char *again = mmap(other, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd2, 0);
	check("unmapped and mapped", again == other && hot(again, getppid()));
	munmap(sh, 8192);
	munmap(pr, 8192);
	munmap(again, 8192);
	close(fd);
	close(fd2);
}

static void jit(void) {
	unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int bad = 0;
	for (int i = 0; i < HOT; i++) {
		memcpy(p, code, 8);
		p[1] = i & 1 ? SYS_getuid : SYS_getpid;
		bad += ((fn)p)() != (i & 1 ? getuid() : getpid());
	}
	for (int i = 0; i < HOT; i++) {
		mprotect(p, 4096, PROT_READ | PROT_WRITE);
		p[1] = i & 1 ? SYS_getuid : SYS_getpid;
		mprotect(p, 4096, PROT_READ | PROT_EXEC);
		bad += ((fn)p)() != (i & 1 ? getuid() : getpid());
	}
	check("code that is made", !bad);
}

static unsigned char *page;
static pthread_barrier_t start;
static void *runner(void *x) {
	long bad = 0, want = (long)x;
	pthread_barrier_wait(&start);
	for (int i = 0; i < 300; i++)
		bad += ((fn)page)() != want;
	return (void *)bad;
}

static void threads(void) {
	int fd = file("site", 39);
	long bad = 0;
	for (int round = 0; round < 30; round++) {
		pthread_t t[4];
		void *r;
		page = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
		pthread_barrier_init(&start, 0, 4);
		for (int i = 0; i < 4; i++)
			pthread_create(&t[i], 0, runner, (void *)(long)getpid());
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], &r), bad += (long)r;
		munmap(page, 8192);
	}
	check("threads at a site that is patched", !bad);
	close(fd);
}

static void forks(void) {
	int fd = file("site", 39), st;
	page = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	hot(page, getpid());
	pid_t me = getpid(), p = fork();
	if (p == 0) {
		int ok = getpid() != me && hot(page, getpid()) && getppid() == me && syscall(SYS_gettid) == getpid();
		pid_t q = fork();
		if (q == 0)
			_exit(!hot(page, getpid()));
		ok &= waitpid(q, &st, 0) == q && st == 0;
		_exit(!ok);
	}
	check("a child", waitpid(p, &st, 0) == p && st == 0);
	check("its parent", hot(page, me));
	int bad = 0;
	for (int i = 0; i < 20; i++) {
		p = vfork();
		if (p == 0) {
			execl("/bin/true", "true", (char *)0);
			_exit(127);
		}
		bad += waitpid(p, &st, 0) != p || st != 0;
	}
	check("vfork and exec", !bad);
	munmap(page, 8192);
	close(fd);
}

static volatile int hits, odd;
static unsigned long text[64][2];
static int ntext;
static pid_t boss;
static int inpage; // the page holds a comparison

static int object(struct dl_phdr_info *o, size_t n, void *x) {
	for (int i = 0; i < o->dlpi_phnum && ntext < 64; i++) {
		const ElfW(Phdr) *p = &o->dlpi_phdr[i];
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		text[ntext][0] = o->dlpi_addr + p->p_vaddr;
		text[ntext++][1] = o->dlpi_addr + p->p_vaddr + p->p_memsz;
	}
	return 0;
}

static void on(int s, siginfo_t *i, void *v) {
	ucontext_t *u = v;
	unsigned long ip = u->uc_mcontext.gregs[REG_RIP], d = ip - (unsigned long)page;
	hits++;
	if (!inpage && d < 4096 && d != 0 && d != 5 && d != 7)
		odd++;
	if (inpage && d < 4096 && d != 0 && d != 2 && d != 4 && (d < 10 || d > 12))
		odd++;
	int in = d < 4096;
	for (int k = 0; k < ntext; k++)
		in |= ip >= text[k][0] && ip < text[k][1];
	odd += !in;
	if (u->uc_mcontext.gregs[REG_CSGSFS] << 48 >> 48 != 0x33)
		odd++;
	getppid();
}

static volatile int over;
static void *storm(void *x) {
	pthread_t *t = x;
	while (!over)
		pthread_kill(*t, SIGUSR1), sched_yield();
	return 0;
}

// all calls the site with a value in every register and answers whether they stay.
static int all(void *p, long want) {
	static uint64_t in[32], out[32];
	long r;
	for (int k = 0; k < 32; k++)
		in[k] = 0x0101010101010101ul * (k + 1);
	uint64_t *i = in, *o = out;
	__asm__ volatile(
		"push %%rbp\n push %%rbx\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
		"mov %%rdi, %%rbp\n mov %%rsi, %%rbx\n mov %%rdx, %%r12\n"
		"movups 0(%%rbx), %%xmm0\n movups 16(%%rbx), %%xmm1\n movups 32(%%rbx), %%xmm2\n movups 48(%%rbx), %%xmm3\n"
		"movups 64(%%rbx), %%xmm7\n movups 80(%%rbx), %%xmm8\n movups 96(%%rbx), %%xmm14\n movups 112(%%rbx), %%xmm15\n"
		"mov 128(%%rbx), %%rdi\n mov 136(%%rbx), %%rsi\n mov 144(%%rbx), %%rdx\n mov 152(%%rbx), %%r8\n mov 160(%%rbx), %%r9\n"
		"mov 168(%%rbx), %%r10\n mov 176(%%rbx), %%r13\n mov 184(%%rbx), %%r14\n mov 192(%%rbx), %%r15\n"
		"std\n stc\n call *%%rbp\n pushf\n cld\n pop %%rcx\n"
		"movups %%xmm0, 0(%%r12)\n movups %%xmm1, 16(%%r12)\n movups %%xmm2, 32(%%r12)\n movups %%xmm3, 48(%%r12)\n"
		"movups %%xmm7, 64(%%r12)\n movups %%xmm8, 80(%%r12)\n movups %%xmm14, 96(%%r12)\n movups %%xmm15, 112(%%r12)\n"
		"mov %%rdi, 128(%%r12)\n mov %%rsi, 136(%%r12)\n mov %%rdx, 144(%%r12)\n mov %%r8, 152(%%r12)\n mov %%r9, 160(%%r12)\n"
		"mov %%r10, 168(%%r12)\n mov %%r13, 176(%%r12)\n mov %%r14, 184(%%r12)\n mov %%r15, 192(%%r12)\n mov %%rcx, 200(%%r12)\n"
		"pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbx\n pop %%rbp\n"
		: "=a"(r), "+D"(p), "+S"(i), "+d"(o)
		:
		: "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm7", "xmm8", "xmm14", "xmm15");
	return r == want && !memcmp(in, out, 200) && (out[25] & 0x401) == 0x401;
}

static void signals(void) {
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_RESTART};
	int fd = file("site", 39), bad = 0;
	pthread_t me = pthread_self(), t;
	page = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	for (int i = 0; i < HOT; i++)
		bad += !all(page, getpid());
	check("registers", !bad);
	boss = getppid();
	dl_iterate_phdr(object, 0);
	sigaction(SIGUSR1, &sa, 0);
	over = 0;
	pthread_create(&t, 0, storm, &me);
	long n = 0;
	while (hits < 500 || n < 20000) {
		bad += ((fn)page)() != getpid();
		n++;
		if (n % 16 == 0)
			bad += !all(page, getpid()) + (getppid() != boss);
	}
	over = 1;
	pthread_join(t, 0);
	check("calls among signals", !bad);
	check("what handlers see", !odd);
	munmap(page, 8192);
	close(fd);
}

// A call site whose number is in a register, and a comparison behind it: the number to
// EAX, SYSCALL, CMP, the flags to RDX, a return.
static const unsigned char compares[3][16] = {
	{0x89, 0xf8, 0x0f, 0x05, 0x48, 0x3d, 0, 0, 0, 0, 0x9c, 0x5a, 0xc3},
	{0x89, 0xf8, 0x0f, 0x05, 0x48, 0x83, 0xf8, 0, 0x9c, 0x5a, 0xc3},
	{0x89, 0xf8, 0x0f, 0x05, 0x3d, 0, 0, 0, 0, 0x9c, 0x5a, 0xc3},
};
static const int operand[3] = {6, 7, 5}, size[3] = {4, 1, 4}, after[3] = {10, 8, 9};
enum { FLAGS = 0x8d5 };

static long flagged(void *a, long nr, long di, long si, long dx, unsigned long *flags) {
	long r;
	__asm__ volatile("call *%[a]" : "=a"(r), "+d"(dx) : [a] "r"(a), "0"(nr), "D"(di), "S"(si) : "rcx", "r11", "memory", "cc");
	*flags = dx & FLAGS;
	return r;
}

static unsigned long wanted(long a, int k, int32_t b) {
	unsigned long f;
	if (k == 2)
		__asm__("cmpl %2, %1\n pushf\n pop %0" : "=r"(f) : "r"((int32_t)a), "r"(b) : "cc");
	else
		__asm__("cmpq %2, %1\n pushf\n pop %0" : "=r"(f) : "r"(a), "r"((int64_t)b) : "cc");
	return f & FLAGS;
}

static int site(const char *name, int k, int32_t b, int at) {
	unsigned char p[8192];
	memset(p, 0x90, sizeof p);
	memcpy(p + at, compares[k], sizeof compares[k]);
	memcpy(p + at + operand[k], &b, size[k]);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0755);
	if (fd < 0 || write(fd, p, sizeof p) != sizeof p)
		perror("site"), exit(1);
	return fd;
}

static void flags(void) {
	static const int32_t with[] = {-4096, -4095, -4, 0, 1, -38, 38, 127, -128, INT32_MAX, INT32_MIN, 0x1000, -1};
	static const long numbers[] = {SYS_getpid, -1, SYS_lseek, SYS_getuid, SYS_getpgrp, SYS_sched_yield};
	int bad = 0, badflags = 0, jumped = 0, text = 0;
	unsigned long f;
	for (int k = 0; k < 3; k++)
		for (int w = 0; w < sizeof with / sizeof *with; w++)
			for (int at = 0; at < 4096; at += 4091) { // the jump lies across two pages
				int32_t b = size[k] == 1 ? (int8_t)with[w] : with[w];
				int fd = site("flags", k, b, at);
				unsigned char *p = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE) + at;
				for (int i = 0; i < HOT; i++) {
					long nr = numbers[i % 6], want = syscall(nr, nr);
					if (want == -1)
						want = -errno;
					long r = flagged(p, 0, nr, 0, 0, &f); // the number goes by EDI
					bad += r != want;
					badflags += f != wanted(r, k, b);
					r = flagged(p + 2, SYS_close, -1, 0, 0, &f);
					bad += r != -EBADF;
					badflags += f != wanted(r, k, b);
				}
				// The comparison as the target of a jump.
				for (long v = -3; v < 4; v++) {
					long r = flagged(p + 4, v * 0x40000000, 0, 0, 0, &f);
					jumped += r != v * 0x40000000 || f != wanted(r, k, b);
				}
				p -= at;
				mprotect(p, 8192, PROT_READ);
				text += memcmp(p + at, compares[k], operand[k]) || memcmp(p + at + operand[k], &b, size[k]);
				mprotect(p, 8192, PROT_READ | PROT_EXEC);
				bad += flagged(p + at, 0, SYS_getpid, 0, 0, &f) != getpid();
				munmap(p, 8192);
				close(fd);
			}
	check("results before a comparison", !bad);
	check("its flags", !badflags);
	check("a jump to it", !jumped);
	check("its text is put back", !text);
}

static unsigned char *pair;
static void *crowd(void *x) {
	long bad = 0;
	unsigned long f;
	pthread_barrier_wait(&start);
	for (int i = 0; i < 300; i++) {
		bad += flagged(pair, 0, SYS_getpid, 0, 0, &f) != (long)x || f != wanted((long)x, 0, -4096);
		bad += flagged(pair + 4, (long)x, 0, 0, 0, &f) != (long)x || f != wanted((long)x, 0, -4096);
	}
	return (void *)bad;
}

static int ends[2];
static void *feeder(void *x) {
	pthread_t *t = x;
	for (int i = 0; !over; i++) {
		int n = 0; // in the pipe: a reader who always finds something never waits
		pthread_kill(*t, SIGUSR1);
		if (i % 4 == 0 && (ioctl(ends[1], FIONREAD, &n) || n == 0 && write(ends[1], "x", 1) != 1))
			break;
		sched_yield();
	}
	return 0;
}

static void comparisons(void) {
	int fd = site("pair", 0, -4096, 0), st;
	long bad = 0;
	unsigned long f;
	flags();
	for (int round = 0; round < 20; round++) {
		pthread_t t[4];
		void *r;
		pair = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
		pthread_barrier_init(&start, 0, 4);
		for (int i = 0; i < 4; i++)
			pthread_create(&t[i], 0, crowd, (void *)(long)getpid());
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], &r), bad += (long)r;
		munmap(pair, 8192);
	}
	check("threads at a comparison", !bad);

	// Calls that end elsewhere than they began: fork, a signal handler, a read that is cut.
	pair = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	for (int i = 0; i < HOT; i++)
		bad += flagged(pair, 0, SYS_getpid, 0, 0, &f) != getpid();
	for (int i = 0; i < 10; i++) {
		long p = flagged(pair, 0, SYS_fork, 0, 0, &f);
		bad += f != wanted(p, 0, -4096);
		if (p == 0)
			_exit(bad || flagged(pair, 0, SYS_getpid, 0, 0, &f) != getpid() || f != wanted(getpid(), 0, -4096));
		bad += waitpid(p, &st, 0) != p || st != 0;
	}
	check("fork before a comparison", !bad);
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	page = pair;
	inpage = 1;
	hits = 0;
	for (int i = 0; i < HOT; i++)
		bad += flagged(pair + 2, SYS_kill, getpid(), SIGUSR1, 0, &f) != 0 || f != wanted(0, 0, -4096);
	check("a handler at a comparison", !bad && hits >= HOT);
	pthread_t me = pthread_self(), t;
	char c;
	if (pipe(ends))
		exit(1);
	over = 0;
	pthread_create(&t, 0, feeder, &me);
	for (int i = 0; i < 500; i++)
		bad += flagged(pair + 2, SYS_read, ends[0], (long)&c, 1, &f) != 1 || f != wanted(1, 0, -4096);
	over = 1;
	pthread_join(t, 0);
	check("reads among signals", !bad && !odd);
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &sa, 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	while (read(ends[0], &c, 1) == 1)
		;
	fcntl(ends[0], F_SETFL, 0);
	over = 0;
	pthread_create(&t, 0, feeder, &me);
	int cut = 0, got = 0;
	while (cut < 20 || got < 20) {
		long r = flagged(pair + 2, SYS_read, ends[0], (long)&c, 1, &f);
		bad += r != 1 && r != -EINTR || f != wanted(r, 0, -4096);
		cut += r == -EINTR;
		got += r == 1;
	}
	over = 1;
	pthread_join(t, 0);
	check("reads that are cut", !bad && !odd);
	inpage = 0;
	close(ends[0]);
	close(ends[1]);
	close(fd);
	munmap(pair, 8192);
}

static int pipes[2];
static void *waiter(void *x) {
	char c;
	for (;;)
		if (write(pipes[1], "x", 1) != 1 || pread(open("/dev/null", O_RDONLY | O_CLOEXEC), &c, 1, 0) < 0 || usleep(10))
			break;
	return 0;
}

static void cancellation(void) {
	void *r;
	int bad = 0;
	for (int i = 0; i < 10; i++) {
		pthread_t t;
		char c;
		if (pipe(pipes))
			exit(1);
		pthread_create(&t, 0, waiter, 0);
		for (int k = 0; k < 20; k++)
			if (read(pipes[0], &c, 1) != 1)
				bad++;
		pthread_cancel(t);
		pthread_join(t, &r);
		bad += r != PTHREAD_CANCELED;
		close(pipes[0]);
		close(pipes[1]);
	}
	check("cancelled", !bad);
}

static void bases(void) {
	static uint64_t mine[1024];
	unsigned long got = 1;
	int fd = file("site", 39);
	page = map(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	hot(page, getpid());
	syscall(SYS_arch_prctl, 0x1004, &got);
	check("no GS", got == 0);
	mine[1] = 77;
	syscall(SYS_arch_prctl, 0x1001, mine);
	uint64_t v;
	int bad = 0;
	for (int i = 0; i < HOT; i++) {
		bad += ((fn)page)() != getpid();
		__asm__ volatile("mov %%gs:8, %0" : "=r"(v));
		bad += v != 77;
	}
	syscall(SYS_arch_prctl, 0x1004, &got);
	check("a GS of one's own", !bad && got == (unsigned long)mine && at(page + 5, SYS_getuid) == getuid());
	__asm__ volatile("mov %0, %%gs" ::"r"(0));
	check("a null selector", hot(page, getpid()));
	syscall(SYS_arch_prctl, 0x1001, 0);
	check("none again", hot(page, getpid()));
	unsigned char *low = mmap((void *)0x60000, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	check("the low page", low == (void *)0x60000);
	if (low == (void *)0x60000)
		memset(low, 0xff, 8192);
	check("text is as it was", hot(page, getpid()) && !memcmp(page, code, 8) && getppid() == boss);
	close(fd);
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	jumps();
	readers();
	mappings();
	jit();
	threads();
	forks();
	signals();
	comparisons();
	cancellation();
	bases();
	return 0;
}
