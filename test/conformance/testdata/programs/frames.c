// What becomes of a signal whose handler's stack is not there, or may not be
// written: SIGSEGV comes instead, and finds everything as if the signal had not come.
#include "try.h"
enum { PAGE = 4096, SIZE = 16 * PAGE };
static char *mem;
static int how;
static sigset_t during;

static void plain(int s) { printf("handler %d\n", s); fflush(stdout); }
static void segv(int s, siginfo_t *i, void *c) {
	ucontext_t *u = c;
	stack_t o;
	sigprocmask(SIG_SETMASK, 0, &during);
	sigaltstack(0, &o);
	printf("segv code %d addr %lx usr1 blocked %d, before %d; alt %x %d\n", i->si_code, (long)i->si_addr, sigismember(&during, SIGUSR1),
		sigismember(&u->uc_sigmask, SIGUSR1), o.ss_flags, (int)o.ss_size);
	stack_t off = {.ss_flags = SS_DISABLE};
	sigaltstack(&off, 0);
	fflush(stdout);
	if (s == SIGSEGV && how & 64) _exit(9);
}

// bad makes the alternate stack what how says.
static void bad(void) {
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	mem = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t s = {mem, how & 32 ? 1 << 31 : 0, SIZE};
	T(sigaltstack(&s, 0));
	switch (how & 7) {
	case 0: munmap(mem, SIZE); break;
	case 1: mprotect(mem, SIZE, PROT_READ); break;
	case 2: munmap(mem + SIZE - PAGE, PAGE); break;
	case 3: munmap(mem, SIZE - PAGE); break; // half of a frame has room, or all
	case 4: mprotect(mem, SIZE, PROT_NONE); break;
	}
	struct sigaction a = {0};
	a.sa_handler = plain, a.sa_flags = SA_ONSTACK | (how & 16 ? SA_RESETHAND : 0);
	sigaction(SIGUSR1, &a, 0);
	a.sa_flags = 0;
	sigaction(SIGUSR2, &a, 0);
	if (how & 8) {
		a.sa_flags = SA_SIGINFO, a.sa_sigaction = segv;
		sigaction(SIGSEGV, &a, 0);
	}
}
static void after(void) {
	sigset_t now;
	struct sigaction a;
	sigprocmask(SIG_SETMASK, 0, &now);
	sigaction(SIGUSR1, 0, &a);
	printf("goes on: mask %d %d, handler %d\n", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2), a.sa_handler == SIG_DFL);
	T(raise(SIGUSR1));
}
static void raised(void) { bad(); T(raise(SIGUSR1)); after(); }
static void killed(void) { bad(); T(kill(getpid(), SIGUSR1)); after(); }
static void fault(void) {
	bad();
	struct sigaction a = {0};
	a.sa_handler = plain, a.sa_flags = SA_ONSTACK;
	sigaction(SIGSEGV, &a, 0);
	*(volatile int *)16 = 1;
}
static void trap(void) {
	bad();
	struct sigaction a = {0};
	a.sa_handler = plain, a.sa_flags = SA_ONSTACK;
	sigaction(SIGTRAP, &a, 0);
	__asm__ volatile("int3");
	after();
}
// The call's own result cannot be stored, while a signal becomes deliverable.
static void efault(void) {
	sigset_t s, o;
	sigemptyset(&s), sigaddset(&s, SIGUSR1), sigaddset(&s, SIGUSR2);
	bad();
	sigprocmask(SIG_BLOCK, &s, 0);
	raise(SIGUSR2);
	sigdelset(&s, SIGUSR1);
	T(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &s, 8, 8));
	sigaddset(&s, SIGUSR1);
	raise(SIGUSR1);
	T(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &s, 8, 8));
	after();
}
// Two signals at once, of which one has a good stack.
static void both(void) {
	sigset_t s;
	sigemptyset(&s), sigaddset(&s, SIGUSR1), sigaddset(&s, SIGUSR2);
	bad();
	sigprocmask(SIG_BLOCK, &s, 0);
	raise(SIGUSR2), raise(SIGUSR1);
	T(sigprocmask(SIG_UNBLOCK, &s, 0));
	after();
}
static void suspend(void) {
	sigset_t s;
	sigemptyset(&s), sigaddset(&s, SIGUSR1);
	bad();
	sigprocmask(SIG_BLOCK, &s, 0);
	raise(SIGUSR1);
	sigemptyset(&s), sigaddset(&s, SIGUSR2);
	T(sigsuspend(&s));
	after();
}
static void slept(void) {
	int p[2];
	char c;
	bad();
	pipe(p);
	pid_t me = getpid();
	if (fork() == 0) {
		asleep(me);
		kill(me, SIGUSR1);
		_exit(0);
	}
	T(read(p[0], &c, 1));
	wait(0);
	after();
}
static void spun(void) {
	bad();
	pid_t me = getpid();
	volatile int *done = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fork() == 0) {
		kill(me, SIGUSR1);
		*done = 1;
		_exit(0);
	}
	while (!*done)
		;
	wait(0);
	after();
}
static void blocked(void) {
	sigset_t s;
	sigemptyset(&s), sigaddset(&s, SIGSEGV);
	bad();
	sigprocmask(SIG_BLOCK, &s, 0);
	T(raise(SIGUSR1));
	after();
}
// The stack pointer itself points nowhere.
static void nostack(void) {
	bad();
	signal(SIGUSR1, plain);
	stack_t off = {.ss_flags = SS_DISABLE};
	sigaltstack(&off, 0);
	long pid = getpid(), r;
	__asm__ volatile("mov %%rsp, %%rbx; mov $4096, %%rsp; syscall; mov %%rbx, %%rsp" : "=a"(r) : "a"(SYS_kill), "D"(pid), "S"(SIGUSR1) : "rbx", "rcx", "r11", "memory");
	puts("lives");
}

int main(void) {
	begin();
	static struct { const char *name; void (*f)(void); } all[] = {{"raise", raised}, {"kill", killed}, {"fault", fault}, {"trap", trap}, {"efault", efault},
		{"both", both}, {"suspend", suspend}, {"slept", slept}, {"spun", spun}, {"blocked", blocked}, {"nostack", nostack}};
	for (how = 0; how < 64 + 16; how++) {
		if ((how & 7) > 4) continue;
		for (int i = 0; i < sizeof all / sizeof *all; i++) {
			char what[100];
			sprintf(what, "%s %d", all[i].name, how);
			child(what, all[i].f);
		}
	}
	return 0;
}
