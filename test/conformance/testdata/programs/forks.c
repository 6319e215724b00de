// Children that make no call, or few: what they know of themselves, and what others do to them before
// they have said anything. Each thing is done again and again, so that it meets them wherever they are.
#include "try.h"

struct shared {
	volatile unsigned long turns;
	volatile int at, ready;
	pthread_mutex_t lock;
};
static struct shared *sh;

static int ends(pid_t p) {
	int st = -1;
	if (waitpid(p, &st, 0) != p) return -1;
	return st;
}

// self answers what a child finds about itself.
static int self(pid_t parent, volatile pid_t *slot) {
	return syscall(SYS_getpid) == *slot && getpid() == *slot && syscall(SYS_gettid) == *slot && getppid() == parent &&
		getuid() == geteuid() && getpgrp() == getpgid(parent);
}

static void knows(void) {
	volatile pid_t *ids = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), me = getpid();
	int right = 0;
	for (int i = 0; i < 60; i++) {
		ids[0] = 0;
		pid_t p = fork();
		if (p == 0) {
			while (ids[0] == 0) ; // the parent says who it is
			_exit(self(me, ids) ? 7 : 1);
		}
		ids[0] = p;
		right += ends(p) == 7 << 8;
	}
	printf("60 children, %d know who they are\n", right);
	// Chains of them, each of which forks before it has asked for anything.
	int st;
	for (int i = 0; i < 5; i++) {
		pid_t p = fork();
		if (p == 0) {
			int depth = 0;
			while (depth < 6 && (p = fork()) == 0) depth++;
			if (depth == 6) _exit(1);
			if (waitpid(p, &st, 0) != p || !WIFEXITED(st)) _exit(99);
			_exit(WEXITSTATUS(st) + 1);
		}
		printf("chain %d\n", WEXITSTATUS(ends(p)));
	}
}

static void spin(void) {
	for (;;) sh->turns++;
}

static void handled(int s) { _exit(40 + (s == SIGUSR1)); }

static void signals(void) {
	static const int sigs[] = {SIGTERM, SIGKILL, SIGUSR1, SIGHUP};
	int right = 0;
	signal(SIGUSR1, handled);
	for (int i = 0; i < 80; i++) {
		int s = sigs[i % 4];
		pid_t p = fork();
		if (p == 0) spin();
		for (volatile int d = 0; d < i * 200; d++) ;
		kill(p, s);
		right += ends(p) == (s == SIGUSR1 ? 41 << 8 : s);
	}
	signal(SIGUSR1, SIG_DFL);
	printf("80 signals to who spins, %d right\n", right);
	// What is blocked at the fork stays so, and what comes meanwhile is there when it is not any more.
	sigset_t set, old;
	sigemptyset(&set), sigaddset(&set, SIGUSR2);
	right = 0;
	for (int i = 0; i < 20; i++) {
		sigprocmask(SIG_BLOCK, &set, &old);
		sh->ready = 0;
		pid_t p = fork();
		if (p == 0) {
			while (!sh->ready) ;
			sigset_t pend;
			sigpending(&pend);
			if (!sigismember(&pend, SIGUSR2)) _exit(1);
			sigprocmask(SIG_SETMASK, &old, 0);
			_exit(2);
		}
		kill(p, SIGUSR2);
		sh->ready = 1;
		sigprocmask(SIG_SETMASK, &old, 0);
		right += ends(p) == SIGUSR2;
	}
	printf("20 blocked, %d right\n", right);
}

static void stops(void) {
	int right = 0;
	for (int i = 0; i < 20; i++) {
		int st;
		sh->turns = 0;
		pid_t p = fork();
		if (p == 0) spin();
		if (i % 2) while (sh->turns == 0) ;
		kill(p, SIGSTOP);
		right += waitpid(p, &st, WUNTRACED) == p && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP;
		kill(p, SIGCONT);
		right += waitpid(p, &st, WCONTINUED) == p && WIFCONTINUED(st);
		unsigned long n = sh->turns;
		while (sh->turns == n) ; // it goes on
		kill(p, SIGKILL);
		right += ends(p) == SIGKILL;
	}
	printf("20 stopped and continued, %d right\n", right);
}

// Locks of who is killed and has never made a call: the C library has told of their list.
static void locks(void) {
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	int right = 0;
	for (int i = 0; i < 20; i++) {
		pthread_mutex_init(&sh->lock, &a);
		sh->ready = 0;
		pid_t p = fork();
		if (p == 0) {
			pthread_mutex_lock(&sh->lock);
			sh->ready = 1;
			spin();
		}
		while (!sh->ready) ;
		kill(p, SIGKILL);
		right += pthread_mutex_lock(&sh->lock) == EOWNERDEAD;
		pthread_mutex_consistent(&sh->lock);
		pthread_mutex_unlock(&sh->lock);
		right += ends(p) == SIGKILL;
	}
	printf("20 owners died, %d right\n", right);
}

// Where who has never made a call runs, as soon as it was said.
static void places(void) {
	cpu_set_t all, one;
	sched_getaffinity(0, sizeof all, &all);
	int right = 0;
	for (int i = 0; i < 10; i++) {
		int cpu = -1;
		for (int j = 0, k = 0; j < CPU_SETSIZE; j++)
			if (CPU_ISSET(j, &all) && k++ == i % CPU_COUNT(&all)) cpu = j;
		sh->at = -1;
		pid_t p = fork();
		if (p == 0)
			for (;;) {
				unsigned aux;
				__builtin_ia32_rdtscp(&aux);
				sh->at = aux & 0xfff;
			}
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(p, sizeof one, &one)) perror("sched_setaffinity");
		for (int n = 0; n < 100; n++) { // it is there, and stays
			sh->at = -1;
			while (sh->at < 0) sched_yield();
			if (sh->at == cpu) continue;
			if (n > 0) right -= 100;
			n = -1;
		}
		right++;
		CPU_ZERO(&one);
		right += sched_getaffinity(p, sizeof one, &one) == 0 && CPU_COUNT(&one) == 1 && CPU_ISSET(cpu, &one);
		kill(p, SIGKILL);
		ends(p);
	}
	printf("10 placed, %d right\n", right);
}

static void *forking(void *x) {
	long right = 0;
	for (int i = 0; i < 25; i++) {
		pid_t p = fork();
		if (p == 0) _exit(i);
		right += ends(p) == i << 8;
	}
	return (void *)right;
}

static void threads(void) {
	pthread_t t[4];
	long sum = 0;
	for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, forking, 0);
	for (int i = 0; i < 4; i++) {
		void *r;
		pthread_join(t[i], &r);
		sum += (long)r;
	}
	printf("four threads fork, %ld right\n", sum);
}

// Many at once, who all are there before the first ends.
static void many(void) {
	pid_t p[150];
	int go[2], right = 0;
	pipe(go);
	for (int i = 0; i < 150; i++)
		if ((p[i] = fork()) == 0) {
			char c;
			close(go[1]);
			_exit(read(go[0], &c, 1) == 0 ? i % 100 : 255);
		}
	close(go[1]), close(go[0]);
	for (int i = 0; i < 150; i++) right += ends(p[i]) == i % 100 << 8;
	printf("150 at once, %d right\n", right);
}

int main(void) {
	setvbuf(stdout, 0, _IONBF, 0);
	sh = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	knows();
	signals();
	stops();
	locks();
	places();
	threads();
	many();
	return 0;
}
