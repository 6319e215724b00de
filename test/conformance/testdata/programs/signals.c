#include "try.h"
static volatile int hits, last, code, value, nested, depth, maxdepth;
static void on(int s) { hits++; last = s; }
static void info(int s, siginfo_t *i, void *c) { hits++; last = s; code = i->si_code; value = i->si_value.sival_int; }
static void deep(int s) { if (++depth > maxdepth) maxdepth = depth; if (hits++ < 3) raise(s); depth--; }
static char order[64]; static int norder;
static void note(int s, siginfo_t *i, void *c) { norder += sprintf(order + norder, "%d:%d ", s, i->si_value.sival_int); }
static void act(int s, void *h, int flags, int block) {
	struct sigaction a = {0};
	a.sa_handler = h; a.sa_flags = flags; sigemptyset(&a.sa_mask);
	if (block) sigaddset(&a.sa_mask, block);
	OK(sigaction(s, &a, 0));
}
static void show(const char *w) { printf("%s: hits %d last %d code %d value %d\n", w, hits, last, code, value); hits = last = code = value = 0; }
static void altfault(int s, siginfo_t *i, void *c) {
	stack_t o; sigaltstack(0, &o);
	printf("fault %d code %d addr %lx onstack %d\n", s, i->si_code, (long)i->si_addr, o.ss_flags);
	stack_t n = {.ss_flags = SS_DISABLE}; T(sigaltstack(&n, 0));
	_exit(7);
}
static void segv(void) {
	static char st[65536]; stack_t n = {st, 0, sizeof st}; T(sigaltstack(&n, 0));
	act(SIGSEGV, altfault, SA_SIGINFO | SA_ONSTACK, 0); *(volatile int *)16 = 1;
}
static void segv_ro(void) { char *p = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); p[0] = 1; }
static void segv_blocked(void) { sigset_t s; sigfillset(&s); sigprocmask(SIG_SETMASK, &s, 0); *(volatile int *)0 = 1; }
static void segv_ignored(void) { signal(SIGSEGV, SIG_IGN); *(volatile int *)0 = 1; }
static void fpe(int s, siginfo_t *i, void *c) { printf("fpe %d code %d\n", s, i->si_code); _exit(0); }
static void divide(void) { act(SIGFPE, fpe, SA_SIGINFO, 0); volatile int a = 1, b = 0; a = a / b; }
static void ill(int s, siginfo_t *i, void *c) { printf("ill %d code %d\n", s, i->si_code); _exit(0); }
static void illegal(void) { act(SIGILL, ill, SA_SIGINFO, 0); __asm__ volatile("ud2"); }
static void trap(int s, siginfo_t *i, void *c) { printf("trap %d code %d\n", s, i->si_code); _exit(0); }
static void int3(void) { act(SIGTRAP, trap, SA_SIGINFO, 0); __asm__ volatile("int3"); }
static void ab(void) { signal(SIGABRT, SIG_IGN); abort(); }
static void *waiter(void *x) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); int n = 0; *(int *)x = sigwait(&s, &n) ? -1 : n; return 0; }
int main(void) {
	begin();
	sigset_t s, o; struct sigaction a, b; siginfo_t i; struct timespec z = {0, 0}, ms = {0, 20000000};
	T(sigaction(0, 0, &a)); T(sigaction(65, 0, &a)); T(sigaction(SIGKILL, 0, &a)); a.sa_handler = on; T(sigaction(SIGKILL, &a, 0)); T(sigaction(SIGSTOP, &a, 0));
	T(syscall(SYS_rt_sigaction, 10, 0, 0, 4)); T(syscall(SYS_rt_sigprocmask, 3, &s, 0, 8)); T(syscall(SYS_rt_sigprocmask, 3, 0, 0, 8)); T(syscall(SYS_rt_sigprocmask, 0, 0, 0, 16)); T(syscall(SYS_rt_sigaction, 10, 8, 0, 8)); T(syscall(SYS_rt_sigprocmask, 0, 8, 0, 8));
	T(syscall(SYS_rt_sigpending, 8, 8)); T(syscall(SYS_rt_sigpending, &s, 16)); T(syscall(SYS_rt_sigsuspend, 8, 8)); T(syscall(SYS_rt_sigsuspend, &s, 4));
	act(SIGUSR1, on, 0, 0); T(raise(SIGUSR1)); show("plain");
	act(SIGUSR1, info, SA_SIGINFO, 0); T(kill(getpid(), SIGUSR1)); show("kill"); T(raise(SIGUSR1)); show("tkill");
	union sigval v = {.sival_int = 77}; T(sigqueue(getpid(), SIGUSR1, v)); show("queue");
	act(SIGUSR1, deep, SA_NODEFER, 0); raise(SIGUSR1); printf("nodefer %d\n", maxdepth); maxdepth = 0; hits = 0;
	act(SIGUSR1, deep, 0, 0); raise(SIGUSR1); printf("defer %d\n", maxdepth); hits = 0;
	act(SIGUSR1, on, SA_RESETHAND, 0); raise(SIGUSR1); sigaction(SIGUSR1, 0, &b); printf("reset %d\n", b.sa_handler == SIG_DFL); show("reset");
	act(SIGUSR1, info, SA_SIGINFO | SA_RESTART | SA_ONSTACK, SIGUSR2); sigaction(SIGUSR1, 0, &b); printf("flags %x mask %d %d\n", b.sa_flags & ~0x04000000, sigismember(&b.sa_mask, SIGUSR2), sigismember(&b.sa_mask, SIGUSR1));
	sigemptyset(&s); sigaddset(&s, SIGUSR1); sigaddset(&s, SIGKILL); sigaddset(&s, SIGSTOP); T(sigprocmask(SIG_BLOCK, &s, 0)); sigprocmask(SIG_BLOCK, 0, &o); printf("mask %d %d %d\n", sigismember(&o, SIGUSR1), sigismember(&o, SIGKILL), sigismember(&o, SIGSTOP));
	kill(getpid(), SIGUSR1); kill(getpid(), SIGUSR1); sigpending(&o); printf("pending %d %d\n", sigismember(&o, SIGUSR1), sigismember(&o, SIGUSR2));
	T(sigprocmask(SIG_UNBLOCK, &s, 0)); show("once");
	for (int k = SIGRTMIN; k < SIGRTMIN + 3; k++) act(k, note, SA_SIGINFO, 0);
	sigfillset(&s); sigprocmask(SIG_BLOCK, &s, &o);
	for (int k = 0; k < 3; k++) { v.sival_int = k; sigqueue(getpid(), SIGRTMIN + 2 - k, v); v.sival_int = 10 + k; sigqueue(getpid(), SIGRTMIN + 2 - k, v); }
	T(sigtimedwait(&s, &i, &z) - SIGRTMIN); printf("code %d value %d pid %d\n", i.si_code, i.si_value.sival_int, i.si_pid == getpid());
	sigprocmask(SIG_SETMASK, &o, 0); for (char *p = order; *p; ) { int n, val, l; sscanf(p, "%d:%d %n", &n, &val, &l); printf("%d:%d ", n - SIGRTMIN, val); p += l; } puts("order");
	sigemptyset(&s); sigaddset(&s, SIGUSR2); sigprocmask(SIG_BLOCK, &s, 0);
	T(sigtimedwait(&s, &i, &z)); T(sigtimedwait(&s, &i, &ms)); ms.tv_nsec = 1000000000; T(sigtimedwait(&s, &i, &ms)); ms.tv_nsec = 20000000; T(syscall(SYS_rt_sigtimedwait, &s, &i, 8, 8)); T(syscall(SYS_rt_sigtimedwait, &s, 8, &z, 8)); T(syscall(SYS_rt_sigtimedwait, 8, 0, &z, 8)); T(syscall(SYS_rt_sigtimedwait, &s, 0, &z, 4));
	raise(SIGUSR2); T(sigwaitinfo(&s, 0)); kill(getpid(), SIGUSR2); T(sigwaitinfo(&s, &i)); printf("code %d\n", i.si_code);
	kill(getpid(), SIGUSR2); T(syscall(SYS_rt_sigtimedwait, &s, 8, &z, 8)); T(sigtimedwait(&s, &i, &z));
	// A signal that is ignored by default stays pending while it is blocked.
	sigemptyset(&s); sigaddset(&s, SIGCHLD); sigaddset(&s, SIGWINCH); sigprocmask(SIG_BLOCK, &s, 0); raise(SIGCHLD); raise(SIGWINCH); sigpending(&o); printf("default-ignored %d %d\n", sigismember(&o, SIGCHLD), sigismember(&o, SIGWINCH)); signal(SIGCHLD, SIG_IGN); sigpending(&o); printf("ignored %d\n", sigismember(&o, SIGCHLD)); signal(SIGCHLD, SIG_DFL); sigprocmask(SIG_UNBLOCK, &s, 0);
	// EINTR and SA_RESTART.
	int p[2]; pipe(p); char c; struct itimerval it = {{0, 0}, {0, 30000}};
	act(SIGALRM, on, 0, 0); setitimer(ITIMER_REAL, &it, 0); T(read(p[0], &c, 1)); show("eintr");
	act(SIGALRM, on, SA_RESTART, 0); setitimer(ITIMER_REAL, &it, 0); if (fork() == 0) { msleep(120); write(p[1], "x", 1); _exit(0); } T(read(p[0], &c, 1)); wait(0); show("restart");
	setitimer(ITIMER_REAL, &it, 0); struct pollfd pf = {p[0], POLLIN, 0}; T(poll(&pf, 1, 1000)); setitimer(ITIMER_REAL, &it, 0); T(pause()); setitimer(ITIMER_REAL, &it, 0); struct timespec sl = {1, 0}, rem = {0}; T(nanosleep(&sl, &rem)); printf("rest %d\n", rem.tv_sec == 0 && rem.tv_nsec > 0);
	setitimer(ITIMER_REAL, &it, 0); T(clock_nanosleep(CLOCK_MONOTONIC, 0, &sl, &rem)); setitimer(ITIMER_REAL, &it, 0); sigemptyset(&s); T(sigsuspend(&s)); setitimer(ITIMER_REAL, &it, 0); sigaddset(&s, SIGUSR2); T(sigtimedwait(&s, 0, &sl)); setitimer(ITIMER_REAL, &it, 0); fd_set fs; FD_ZERO(&fs); FD_SET(p[0], &fs); T(select(p[0] + 1, &fs, 0, 0, 0)); setitimer(ITIMER_REAL, &it, 0); T(waitpid(-1, 0, 0)); show("interrupts");
	// kill and its relatives.
	T(kill(getpid(), 0)); T(kill(getpid(), 65)); T(kill(getpid(), -1)); T(kill(0x3ffffff, 0)); T(kill(-0x3ffffff, 0)); T(syscall(SYS_tkill, 0, 0)); T(syscall(SYS_tkill, -1, 0)); T(syscall(SYS_tgkill, getpid(), 0x3ffffff, 0)); T(syscall(SYS_tgkill, -1, getpid(), 0)); T(syscall(SYS_tkill, getpid(), 65)); T(kill(0, 0)); T(kill(INT_MIN, 0));
	memset(&i, 0, sizeof i); i.si_code = SI_USER; T(syscall(SYS_rt_sigqueueinfo, getppid(), 0, &i)); i.si_code = -6; T(syscall(SYS_rt_sigqueueinfo, getppid(), 0, &i)); T(syscall(SYS_rt_sigqueueinfo, getpid(), 0, 8)); i.si_code = -1; T(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), 0, &i)); T(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, 0, &i));
	// The alternate stack.
	static char st[8192]; stack_t n = {st, 0, 100}, q; T(sigaltstack(&n, 0)); n.ss_size = sizeof st; n.ss_flags = 7; T(sigaltstack(&n, 0)); n.ss_flags = 0; T(sigaltstack(&n, &q)); printf("old %d\n", q.ss_flags); T(sigaltstack(0, &q)); printf("now %d %ld %d\n", q.ss_flags, (long)q.ss_size, q.ss_sp == st); T(syscall(SYS_sigaltstack, 8, 0)); T(syscall(SYS_sigaltstack, 0, 8)); n.ss_flags = 1 << 31; T(sigaltstack(&n, 0)); sigaltstack(0, &q); printf("auto %x\n", q.ss_flags); n.ss_flags = SS_DISABLE; T(sigaltstack(&n, 0));
	// Threads.
	pthread_t t; int got = 0; sigemptyset(&s); sigaddset(&s, SIGUSR2); sigprocmask(SIG_BLOCK, &s, 0); pthread_create(&t, 0, waiter, &got); kill(getpid(), SIGUSR2); pthread_join(t, 0); printf("sigwait %d\n", got); T(pthread_sigqueue(pthread_self(), SIGUSR2, v)); T(sigwaitinfo(&s, &i)); printf("%d\n", i.si_code);
	// Limits.
	struct rlimit rl = {0, 0}; T(setrlimit(RLIMIT_SIGPENDING, &rl)); sigemptyset(&s); sigaddset(&s, SIGRTMIN); sigprocmask(SIG_BLOCK, &s, 0); for (int k = 0; k < 5; k++) T(sigqueue(getpid(), SIGRTMIN, v)); T(kill(getpid(), SIGRTMIN)); int cnt = 0; while (sigtimedwait(&s, &i, &z) > 0) cnt++; printf("queued %d\n", cnt);
	child("segv", segv); child("segv_ro", segv_ro); child("segv_blocked", segv_blocked); child("segv_ignored", segv_ignored); child("divide", divide); child("illegal", illegal); child("int3", int3); child("abort", ab);
	return 0;
}
