// Call sites behind an instruction that computes the second argument, made again and again: the value, with whatever
// base; from the instruction and from the SYSCALL behind it; where the instruction is another one, or the end of one.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static char page[4096] __attribute__((used)) = "0123456789abcdef";
static char got[64];
static int to[2];
// Each writes eight bytes from page + 4 to the pipe, and answers what came and what SI is behind it.
#define SITE(name, before, lea) \
	static long name(void) { \
		long r, si; \
		register long di asm("rdi") = to[1]; \
		register long dx asm("rdx") = 8; \
		asm volatile("push %%rbx\n push %%rbp\n" before "\n mov $1, %%eax\n" lea "\n syscall\n pop %%rbp\n pop %%rbx\n" \
			: "=a"(r), "=S"(si), "+r"(di), "+r"(dx) : : "rcx", "r11", "r8", "r9", "r10", "memory"); \
		return r == 8 && si == (long)page + 4; \
	}
#define BASE(r) "lea page-0x1000(%%rip), %%" r
SITE(ip, "", "lea page+4(%%rip), %%rsi")
SITE(bx, BASE("rbx"), "lea 0x1004(%%rbx), %%rsi")
SITE(bp, BASE("rbp"), "lea 0x1004(%%rbp), %%rsi")
SITE(cx, BASE("rcx"), "lea 0x1004(%%rcx), %%rsi")
SITE(si, BASE("rsi"), "lea 0x1004(%%rsi), %%rsi")
SITE(r8, BASE("r8"), "lea 0x1004(%%r8), %%rsi")
SITE(negative, "lea page+0x1004(%%rip), %%rbx", "lea -0x1000(%%rbx), %%rsi")
SITE(small, "lea page(%%rip), %%rbx", "lea 4(%%rbx), %%rsi")
SITE(scaled, "xor %%ebp, %%ebp\n" BASE("rbx"), "lea 0x1004(%%rbx,%%rbp,2), %%rsi")
SITE(prefix, BASE("rbx"), ".byte 0x3e\n lea 0x1004(%%rbx), %%rsi")
SITE(behind, BASE("rbx"), "lea 0x1004(%%rbx), %%rsi\n jmp 2f\n 1: lea 0x1004(%%rbx), %%rsi\n 2:")
SITE(either, BASE("rbx") "\n mov %%rdi, %%r9\n and $0, %%r9d", "incq calls(%%rip)\n testb $1, calls(%%rip)\n lea page+4(%%rip), %%rsi\n jnz 2f\n mov $0, %%esi\n lea 0x1004(%%rbx), %%rsi\n 2:")
static long calls __attribute__((used));
static volatile int hits;
static void on(int s) { hits++; }
// one thread storms another with signals while that comes by the sites.
static pthread_t main_thread;
static volatile int over;
static void *storm(void *x) {
	while (!over) { pthread_kill(main_thread, SIGUSR1); sched_yield(); }
	return 0;
}
int main(void) {
	static const struct { const char *name; long (*f)(void); } all[] = {
		{"ip", ip}, {"bx", bx}, {"bp", bp}, {"cx", cx}, {"si", si}, {"r8", r8}, {"negative", negative}, {"small", small},
		{"scaled", scaled}, {"prefix", prefix}, {"behind", behind}, {"either", either},
	};
	struct sigaction sa = {.sa_handler = on, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	pipe(to);
	main_thread = pthread_self();
	for (int stormy = 0; stormy < 2; stormy++) {
		pthread_t t;
		if (stormy) pthread_create(&t, 0, storm, 0);
		for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
			int ok = 0;
			for (int k = 0; k < 100; k++) {
				memset(got, 0, sizeof got);
				int good = all[i].f();
				while (read(to[0], got, 8) < 0)
					;
				ok += good && !strcmp(got, "456789ab");
			}
			printf("%s %d\n", all[i].name, ok);
		}
		if (stormy) { over = 1; pthread_join(t, 0); }
	}
	// Masks of threads that begin and end.
	for (int k = 0; k < 100; k++) {
		pthread_t t;
		sigset_t s;
		pthread_create(&t, 0, (void *(*)(void *))getpid, 0);
		pthread_join(t, 0);
		pthread_sigmask(SIG_SETMASK, 0, &s);
		if (sigismember(&s, SIGUSR1) || sigismember(&s, SIGINT)) puts("blocked");
	}
	puts("done");
	return 0;
}
