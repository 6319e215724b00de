// Limits of memory and processor time, and the timers that count that time.
#include "try.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t seen[65];
static void on(int s) { seen[s]++; }

static void set(int what, rlim_t cur, rlim_t max) {
	struct rlimit l = {cur, max};
	T(setrlimit(what, &l));
}

static void *map(size_t mb, int prot) {
	void *p = mmap(0, mb << 20, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		printf("map %zu: %s\n", mb, strerrorname_np(errno));
	else
		printf("map %zu\n", mb);
	return p;
}

static long cpu(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void memory(void) {
	set(RLIMIT_AS, 400 << 20, RLIM_INFINITY);
	void *p = map(300, PROT_NONE);
	map(200, PROT_READ);
	T(mremap(p, 300 << 20, 500 << 20, MREMAP_MAYMOVE) == MAP_FAILED);
	T(mremap(p, 300 << 20, 350 << 20, MREMAP_MAYMOVE) != MAP_FAILED);
	set(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
	map(500, PROT_NONE);
	set(RLIMIT_DATA, 100 << 20, RLIM_INFINITY);
	map(200, PROT_READ | PROT_WRITE);
	map(200, PROT_READ);
	p = map(80, PROT_READ | PROT_WRITE);
	T(sbrk(90 << 20) == (void *)-1);
	T(malloc(90 << 20) == 0);
	T(munmap(p, 80 << 20));
	T(sbrk(60 << 20) != (void *)-1);
	map(80, PROT_READ | PROT_WRITE);
	set(RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY);
	map(200, PROT_READ | PROT_WRITE);
	// Through fork, and execve in a child.
	set(RLIMIT_AS, 900 << 20, RLIM_INFINITY);
	fflush(stdout);
	if (fork() == 0) {
		set(RLIMIT_AS, 3000L << 20, RLIM_INFINITY);
		map(1000, PROT_NONE);
		set(RLIMIT_AS, 500 << 20, 600 << 20);
		map(500, PROT_NONE);
		fflush(stdout);
		execl("/bin/bash", "bash", "-c", "ulimit -v; ulimit -v 204800; exec perl -e '$x = eval { \"x\" x (400<<20) }; print \"out\\n\"' 2>&1", NULL);
		_exit(1);
	}
	int st;
	T(wait(&st) > 0);
	printf("%x\n", st);
}

static void timers(void) {
	struct itimerval t = {{0, 0}, {0, 30000}}, o;
	signal(SIGPROF, on);
	signal(SIGVTALRM, on);
	T(setitimer(ITIMER_PROF, &t, 0));
	usleep(100000); // takes none of it
	printf("%d\n", seen[SIGPROF]);
	T(getitimer(ITIMER_PROF, &o));
	printf("%d\n", o.it_value.tv_usec > 0 && o.it_value.tv_usec <= 34000);
	long from = cpu();
	while (!seen[SIGPROF])
		;
	printf("%d\n", cpu() - from > 5000000);
	t.it_interval.tv_usec = 10000;
	T(setitimer(ITIMER_VIRTUAL, &t, &o));
	while (seen[SIGVTALRM] < 4)
		;
	t.it_interval.tv_usec = t.it_value.tv_usec = 0;
	T(setitimer(ITIMER_VIRTUAL, &t, &o));
	printf("%ld\n", (long)o.it_interval.tv_usec);
	T(getitimer(ITIMER_VIRTUAL, &o));
	printf("%ld\n", (long)o.it_value.tv_usec);
	T(syscall(SYS_setitimer, ITIMER_PROF, 8, 0));
	T(syscall(SYS_setitimer, ITIMER_PROF, &t, 8));
	T(syscall(SYS_getitimer, ITIMER_PROF, 8));
	T(syscall(SYS_getitimer, ITIMER_PROF, 0));
	t.it_value.tv_usec = 1000000;
	T(setitimer(ITIMER_PROF, &t, 0));
	T(setitimer(7, &t, 0));
}

static void time_limit(void) {
	int p[2], st;
	pipe(p);
	if (fork() == 0) {
		signal(SIGXCPU, on);
		struct rlimit l = {1, 2};
		setrlimit(RLIMIT_CPU, &l);
		while (!seen[SIGXCPU])
			;
		write(p[1], "soft", 4);
		for (;;)
			;
	}
	close(p[1]);
	char b[10];
	T(read(p[0], b, 10));
	T(read(p[0], b, 10));
	T(wait(&st) > 0);
	printf("%x\n", st);
	if (fork() == 0) {
		struct rlimit l = {1, RLIM_INFINITY};
		setrlimit(RLIMIT_CPU, &l);
		execl("/bin/sh", "sh", "-c", "while :; do :; done", NULL);
	}
	T(wait(&st) > 0);
	printf("%x\n", st & 0x7f);
}

// Limits of another process: it looks when it is told to, runs or sleeps.
static volatile int *shared;
static void other(int what, int runs) {
	int p[2], st;
	struct rlimit old, one = {what == RLIMIT_CPU ? 1 : what == RLIMIT_NOFILE ? 5 : what == RLIMIT_FSIZE ? 100 : 100 << 20, RLIM_INFINITY};
	if (what == RLIMIT_NOFILE) one.rlim_max = 1024;
	pipe(p);
	*shared = 0;
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		char b[1000] = {0};
		if (what == RLIMIT_NOFILE) { // its limits are its parent's, which vary
			struct rlimit n = {1024, 1024};
			setrlimit(what, &n);
		}
		*shared = 1;
		if (runs)
			while (*shared != 2)
				;
		else
			read(p[0], b, 1);
		signal(SIGXFSZ, SIG_IGN);
		int f;
		switch (what) {
		case RLIMIT_AS: case RLIMIT_DATA:
			for (void *m; runs && (m = mmap(0, 200 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED;)
				munmap(m, 200 << 20);
			map(200, PROT_READ | PROT_WRITE);
			map(20, PROT_READ | PROT_WRITE);
			T(sbrk(200 << 20) == (void *)-1);
			break;
		case RLIMIT_NOFILE:
			for (int i = 3; i < 20; i++) close(i);
			T(dup(0)); T(dup(0)); T(dup(0));
			break;
		case RLIMIT_FSIZE:
			f = open("limited", O_CREAT | O_RDWR | O_TRUNC, 0600);
			T(write(f, b, 60)); T(write(f, b, 60)); T(write(f, b, 60)); T(ftruncate(f, 200));
			break;
		case RLIMIT_CPU:
			signal(SIGXCPU, on);
			while (!seen[SIGXCPU])
				;
			puts("over");
			break;
		}
		fflush(stdout);
		_exit(0);
	}
	while (!*shared)
		usleep(1000);
	if (!runs) asleep(c);
	T(prlimit(c, what, &one, &old));
	T(prlimit(c, what, 0, &old));
	printf("now %ld\n", (long)old.rlim_cur);
	fflush(stdout);
	*shared = 2;
	write(p[1], "x", 1);
	T(waitpid(c, &st, 0) == c);
	printf("%d runs %d: %x\n", what, runs, st);
	close(p[0]), close(p[1]);
}

static __attribute__((noinline)) long deep(long mb) { // uses so much of the stack
	volatile char b[1 << 20];
	for (int i = 0; i < sizeof b; i += 4096)
		b[i] = 1;
	return mb > 1 ? deep(mb - 1) + b[4096] : b[0];
}
static void small_stack(void) { set(RLIMIT_CORE, 0, 0); deep(20); puts("lives"); }
static void more_stack(void) { set(RLIMIT_STACK, 64 << 20, RLIM_INFINITY); T(deep(50)); }
static void stack_and_space(void) {
	set(RLIMIT_AS, 300 << 20, RLIM_INFINITY);
	set(RLIMIT_STACK, 64 << 20, RLIM_INFINITY);
	T(deep(50));
	map(400, PROT_READ);
	map(100, PROT_READ);
}
static void less_and_more(void) {
	set(RLIMIT_STACK, 1 << 20, RLIM_INFINITY);
	set(RLIMIT_STACK, 32 << 20, RLIM_INFINITY);
	T(deep(20));
}
static void other_stack(void) {
	int p[2];
	char b;
	struct rlimit l = {64 << 20, RLIM_INFINITY};
	pipe(p);
	fflush(stdout);
	pid_t c = fork();
	if (c == 0) {
		read(p[0], &b, 1);
		T(deep(50));
		fflush(stdout);
		_exit(0);
	}
	asleep(c);
	T(prlimit(c, RLIMIT_STACK, &l, 0));
	fflush(stdout);
	write(p[1], "x", 1);
	int st;
	T(waitpid(c, &st, 0) == c);
	printf("%x\n", st);
}
static void stacks(void) {
	set(RLIMIT_STACK, 8 << 20, RLIM_INFINITY);
	child("small stack", small_stack);
	child("more stack", more_stack);
	child("stack and space", stack_and_space);
	child("less and more", less_and_more);
	other_stack();
}

static void others(void) {
	shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int runs = 0; runs < 2; runs++) {
		other(RLIMIT_AS, runs), other(RLIMIT_DATA, runs), other(RLIMIT_NOFILE, runs);
		other(RLIMIT_FSIZE, runs), other(RLIMIT_CPU, runs);
	}
	struct rlimit l = {1, 1};
	T(prlimit(0x3fffff, RLIMIT_AS, 0, &l));
	T(prlimit(getpid(), 99, 0, &l));
	T(prlimit(0, RLIMIT_AS, 0, (void *)8));
}

int main(void) {
	begin();
	others();
	stacks();
	memory();
	timers();
	time_limit();
	return 0;
}
