// The set of signals that a thread blocks, and what others see of it: changed again and again while
// nothing is pending, and while something comes.
#include "try.h"
static volatile sig_atomic_t hits;
static volatile pid_t who;
static void on(int s) { hits++; who = syscall(SYS_gettid); }
static void seen(int s) {
	sigset_t m;
	sigprocmask(SIG_BLOCK, 0, &m);
	printf("in the handler %d %d\n", sigismember(&m, SIGUSR1), sigismember(&m, SIGUSR2));
}
static sigset_t set(int a, int b) {
	sigset_t s;
	sigemptyset(&s);
	if (a) sigaddset(&s, a);
	if (b) sigaddset(&s, b);
	return s;
}
// blocked prints what the host's view of a thread says that it blocks.
static void blocked(const char *what, const char *path) {
	char line[200];
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "SigBlk:", 7)) printf("%s %s", what, line);
	if (f) fclose(f);
}
static volatile int step;
static pid_t tid;
// spins changes its mask and makes no call that anybody need see afterwards.
static void *spins(void *x) {
	sigset_t s = set(SIGUSR2, SIGRTMAX);
	for (int i = 0; i < 50; i++) { pthread_sigmask(SIG_BLOCK, &s, 0); pthread_sigmask(SIG_UNBLOCK, &s, 0); }
	pthread_sigmask(SIG_SETMASK, &s, 0);
	tid = syscall(SYS_gettid);
	step = 1;
	while (step != 2)
		;
	sigset_t none = set(0, 0);
	pthread_sigmask(SIG_SETMASK, &none, 0); // SIGUSR1 of the process comes to this one
	while (!hits)
		;
	return 0;
}
static void *toggles(void *x) {
	sigset_t s = set(SIGUSR1, 0);
	while (step != 9) {
		pthread_sigmask(SIG_BLOCK, &s, 0);
		int h = hits;
		for (int i = 0; i < 20; i++)
			if (hits != h) puts("while it was blocked");
		pthread_sigmask(SIG_UNBLOCK, &s, 0);
	}
	return 0;
}
static void inherits(void) { blocked("child", "/proc/self/status"); }
int main(int n, char **a) {
	if (n > 1) {
		blocked("program", "/proc/self/status");
		struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } q[65];
		memset(q, 7, sizeof q);
		for (int s = 1; s < 65; s++) {
			if (syscall(SYS_rt_sigaction, s, 0, &q[s], 8)) printf("%d: %s\n", s, strerrorname_np(errno));
			if (q[s].handler || q[s].flags || q[s].restorer || q[s].mask) printf("%d: %d %lx %lx\n", s, q[s].handler == (void *)1, q[s].flags, q[s].mask);
		}
		return 0;
	}
	begin();
	for (int s = 1; s < 65; s++) { // what somebody on the host ignores, and had us inherit, no guest does
		unsigned long q[4];
		if (syscall(SYS_rt_sigaction, s, 0, q, 8) == 0 && q[0] == 1) {
			memset(q, 0, sizeof q);
			syscall(SYS_rt_sigaction, s, q, 0, 8);
		}
	}
	signal(SIGUSR1, on);
	signal(SIGUSR2, seen);
	sigset_t s = set(SIGUSR1, SIGKILL), o, none = set(0, 0), some = set(SIGHUP, SIGRTMIN + 3);
	for (int i = 0; i < 30; i++) {
		sigprocmask(SIG_BLOCK, &s, &o);
		if (sigismember(&o, SIGUSR1)) puts("was blocked");
		raise(SIGUSR1);
		if (hits != i) puts("too early");
		sigpending(&o);
		if (!sigismember(&o, SIGUSR1)) puts("not pending");
		sigprocmask(SIG_UNBLOCK, &s, &o);
		if (hits != i + 1) puts("too late");
		if (!sigismember(&o, SIGUSR1) || sigismember(&o, SIGKILL)) puts("other mask");
	}
	for (int i = 0; i < 5; i++) {
		T(sigprocmask(SIG_SETMASK, &some, 0));
		T(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &s, 8, 8)); // it is changed all the same
		T(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, &o, 8));
		T(syscall(SYS_rt_sigprocmask, 3, &s, &o, 8));
		T(syscall(SYS_rt_sigprocmask, 3, 0, &o, 8));
		T(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &s, 0, 4));
		sigprocmask(SIG_BLOCK, 0, &o);
		printf("%d %d %d %d\n", sigismember(&o, SIGUSR1), sigismember(&o, SIGKILL), sigismember(&o, SIGHUP), sigismember(&o, SIGRTMIN + 3));
		blocked("own", "/proc/self/status");
		T(sigprocmask(SIG_SETMASK, &none, 0));
	}
	// A handler's mask, and what it goes back to; a call that has one of its own.
	sigprocmask(SIG_BLOCK, &s, 0);
	raise(SIGUSR2);
	blocked("behind the handler", "/proc/self/status");
	raise(SIGUSR1);
	hits = 0;
	T(sigsuspend(&none)); printf("hits %d\n", hits);
	T(ppoll(0, 0, &(struct timespec){0, 1000}, &some));
	blocked("behind them", "/proc/self/status");
	// Children and programs have it, and make what they like of theirs.
	sigprocmask(SIG_SETMASK, &some, 0);
	signal(SIGTTOU, SIG_IGN);
	child("fork", inherits);
	for (int i = 0; i < 3; i++) {
		int st;
		pid_t c = vfork();
		if (c == 0) {
			sigprocmask(SIG_BLOCK, &s, 0);
			if (i == 1) { execl("/proc/self/exe", "masks", "x", (char *)0); }
			_exit(0);
		}
		waitpid(c, &st, 0);
		T(WEXITSTATUS(st));
		sigprocmask(SIG_BLOCK, 0, &o);
		printf("parent %d %d\n", sigismember(&o, SIGUSR1), sigismember(&o, SIGHUP));
		blocked("parent", "/proc/self/status");
	}
	sigprocmask(SIG_SETMASK, &none, 0);
	hits = 0;
	// Another thread's, while it makes no call.
	pthread_t t;
	pthread_create(&t, 0, spins, 0);
	while (step != 1)
		;
	char path[60];
	snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
	blocked("other thread", path);
	sigprocmask(SIG_BLOCK, &s, 0);
	step = 2;
	kill(getpid(), SIGUSR1);
	pthread_join(t, 0);
	printf("hits %d, of the other %d\n", hits, who == tid);
	sigprocmask(SIG_SETMASK, &none, 0);
	// One comes just when it is blocked, or just when it is not any more: none is lost, none too early.
	hits = 0;
	pthread_create(&t, 0, toggles, 0);
	sigprocmask(SIG_BLOCK, &s, 0);
	for (int i = 0; i < 2000; i++) {
		if (i & 1) pthread_kill(t, SIGUSR1); else kill(getpid(), SIGUSR1);
		while (hits != i + 1)
			;
	}
	step = 9;
	pthread_join(t, 0);
	printf("hits %d\n", hits);
	// Actions that are asked for only.
	struct sigaction q, w = {.sa_handler = SIG_DFL, .sa_flags = SA_NODEFER};
	memset(&q, 7, sizeof q);
	T(sigaction(SIGWINCH, 0, &q));
	printf("%d %x %d\n", q.sa_handler == SIG_DFL, q.sa_flags & ~0x04000000, sigismember(&q.sa_mask, 1));
	T(sigaction(SIGWINCH, &w, 0)); T(sigaction(SIGWINCH, 0, &q)); printf("%d %x\n", q.sa_handler == SIG_DFL, q.sa_flags & ~0x04000000);
	T(syscall(SYS_rt_sigaction, SIGIO, 0, 8, 8)); T(syscall(SYS_rt_sigaction, SIGIO, 0, 0, 8)); T(syscall(SYS_rt_sigaction, 65, 0, 0, 8)); T(syscall(SYS_rt_sigaction, 0, 0, &q, 8)); T(syscall(SYS_rt_sigaction, SIGIO, 0, &q, 4)); T(syscall(SYS_rt_sigaction, SIGKILL, 0, &q, 8));
	pid_t c = vfork();
	if (c == 0) { signal(SIGIO, SIG_IGN); _exit(0); }
	waitpid(c, 0, 0);
	T(sigaction(SIGIO, 0, &q)); printf("%d\n", q.sa_handler == SIG_DFL);
	signal(SIGIO, SIG_IGN);
	T(sigaction(SIGIO, 0, &q)); printf("%d\n", q.sa_handler == SIG_IGN);
	return 0;
}
