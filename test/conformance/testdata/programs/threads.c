// Threads that begin and end, and what others see of it: signals for one that has just begun, what one
// leaves behind, whose process ends or executes a program meanwhile.
#include "try.h"
#include <dirent.h>
static volatile sig_atomic_t hits;
static volatile pid_t who;
static void on(int s) { hits++; who = syscall(SYS_gettid); }
static void *nothing(void *x) { return x; }
// spins makes no call until it is told to end.
static volatile int end;
static void *spins(void *x) {
	while (!end)
		;
	return 0;
}
static void *masked(void *x) {
	sigset_t m;
	pthread_sigmask(SIG_SETMASK, 0, &m);
	return (void *)(long)(sigismember(&m, SIGUSR1) * 2 + sigismember(&m, SIGUSR2));
}
static void *count(void *x) { __sync_add_and_fetch((int *)x, 1); return 0; }
static pthread_mutex_t robust;
static void *holds(void *x) { pthread_mutex_lock(&robust); return 0; }
// bare are threads that the C library does not make.
struct bare { int flags; int word; int tid; int done; int exits; char stack[16384] __attribute__((aligned(16))); };
static int bare(void *x) {
	struct bare *b = x;
	b->done = 1;
	syscall(SYS_exit, b->exits);
	return 0;
}
static pid_t make(struct bare *b, int more) {
	return clone(bare, b->stack + sizeof b->stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | more, b, &b->tid, 0, &b->word);
}
static void until(volatile int *w, int v) {
	while (*w != v)
		sched_yield();
}
static int threads(void) {
	int n = 0;
	DIR *d = opendir("/proc/self/task");
	for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
	if (d) closedir(d);
	return n;
}
static volatile int first = 1; // it is there
static void *leaves(void *x) {
	until(&first, 0);
	syscall(SYS_exit, 7);
	return 0;
}
static void *ends(void *x) { // again and again, while the process ends
	pthread_t t;
	for (;;)
		if (!pthread_create(&t, 0, nothing, 0)) pthread_join(t, 0);
	return 0;
}
static int status(pid_t p) {
	int st = -1;
	waitpid(p, &st, 0);
	return st;
}
int main(int n, char **a) {
	if (n > 1) {
		printf("program: %d threads\n", threads());
		return 0;
	}
	begin();
	signal(SIGUSR1, on);
	pthread_t t;
	// A signal for one that has just begun, and makes no call.
	int told = 0;
	for (int i = 0; i < 200; i++) {
		end = hits = 0;
		pthread_create(&t, 0, spins, 0);
		pthread_kill(t, SIGUSR1);
		while (!hits)
			;
		told += who != getpid();
		end = 1;
		pthread_join(t, 0);
	}
	printf("%d told\n", told);
	// One of the process's: whoever has not blocked it.
	sigset_t s, none;
	sigemptyset(&none);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	told = 0;
	for (int i = 0; i < 100; i++) {
		end = hits = 0;
		pthread_create(&t, 0, spins, 0);
		pthread_sigmask(SIG_BLOCK, &s, 0);
		kill(getpid(), SIGUSR1);
		while (!hits)
			;
		told += who != getpid();
		end = 1;
		pthread_join(t, 0);
		pthread_sigmask(SIG_UNBLOCK, &s, 0);
	}
	printf("%d of the process's\n", told);
	// What it blocks is what its maker does.
	pthread_sigmask(SIG_BLOCK, &s, 0);
	void *r;
	pthread_create(&t, 0, masked, 0);
	pthread_join(t, &r);
	printf("blocks %ld\n", (long)r);
	pthread_sigmask(SIG_SETMASK, &none, 0);
	// Many at a time, and how many there are.
	int c = 0;
	pthread_t many[40];
	for (int k = 0; k < 5; k++) {
		for (int i = 0; i < 40; i++) pthread_create(&many[i], 0, count, &c);
		for (int i = 0; i < 40; i++) pthread_join(many[i], 0);
	}
	for (int i = 0; i < 1000 && threads() != 1; i++) sched_yield();
	printf("%d, %d threads\n", c, threads());
	// A lock that its holder has taken along.
	pthread_mutexattr_t at;
	pthread_mutexattr_init(&at);
	pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &at);
	pthread_create(&t, 0, holds, 0);
	printf("lock %d\n", ({ int e; while ((e = pthread_mutex_trylock(&robust)) == EBUSY || (e == 0 && (pthread_mutex_unlock(&robust), 1))) sched_yield(); e; }));
	pthread_mutex_consistent(&robust);
	pthread_mutex_unlock(&robust);
	pthread_join(t, 0);
	// Where zero is stored: as clone said, as set_tid_address said, nowhere, and where nothing can be.
	static struct bare b[4];
	b[0].word = b[1].word = 1;
	pid_t p = make(&b[0], CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID);
	until(&b[0].word, 0);
	printf("cleared: %d, its parent has %d\n", b[0].word, b[0].tid == p);
	make(&b[1], CLONE_PARENT_SETTID);
	until(&b[1].done, 1);
	for (int i = 0; i < 1000 && threads() != 1; i++) sched_yield();
	printf("kept: %d, %d threads\n", b[1].word, threads());
	T(syscall(SYS_tgkill, getpid(), p, 0));
	clone(bare, b[2].stack + sizeof b[2].stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID, &b[2], 0, 0, (void *)8);
	until(&b[2].done, 1);
	for (int i = 0; i < 1000 && threads() != 1; i++) sched_yield();
	printf("%d threads\n", threads());
	// The first one leaves before the others.
	if (!(p = fork())) {
		pthread_create(&t, 0, leaves, 0);
		syscall(SYS_set_tid_address, &first);
		syscall(SYS_exit, 3);
	}
	printf("the last one's: %x\n", status(p));
	// The process ends, is killed or executes a program while threads begin and end.
	for (int i = 0; i < 20; i++) {
		if (!(p = fork())) {
			for (int k = 0; k < 3; k++) pthread_create(&t, 0, ends, 0);
			for (int k = 0; k < i * 50; k++) sched_yield();
			if (i % 3 == 0) _exit(i);
			if (i % 3 == 1) raise(SIGKILL);
			execl("/proc/self/exe", "threads", "again", (char *)0);
			_exit(99);
		}
		printf("%d: %x\n", i, status(p));
	}
	// A child of a thread, which makes threads and ends.
	if (!(p = fork())) {
		pthread_create(&t, 0, nothing, 0);
		pthread_join(t, 0);
		pid_t q = fork();
		if (!q) {
			pthread_create(&t, 0, nothing, 0);
			pthread_join(t, 0);
			pthread_exit(0);
		}
		_exit(status(q) ? 1 : 5);
	}
	printf("children: %x\n", status(p));
	puts("done");
	return 0;
}
