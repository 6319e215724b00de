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

int main(void) {
	begin();
	memory();
	timers();
	time_limit();
	return 0;
}
