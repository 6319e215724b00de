// Calls that a patched site answers with a word at once: what SYSCALL leaves in the registers, with
// flags of all kinds, and signals that come at any moment of them.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void check(const char *what, int ok) { printf("%s: %s\n", what, ok ? "yes" : "no"); }

struct state {
	unsigned long ax, cx, dx, bx, bp, si, di, r8, r9, r10, r11, r12, r13, r14, r15, flags, pad[2];
	double x[16] __attribute__((aligned(16)));
};

// CALLER fills the registers, makes call nr by the site of this place, and stores what is in them: those that
// SYSCALL keeps have their own number, the flags are those that are asked for.
#define CALLER(name, nr)                                                                                                     \
	static unsigned long name(struct state *s, unsigned long flags) {                                                        \
		unsigned long ret;                                                                                                   \
		__asm__ volatile("push %%rbp\n push %%rbx\n push %[s]\n push %[f]\n"                                                 \
						 "mov $2, %%edx\n mov $3, %%ebx\n mov $4, %%ebp\n mov $5, %%esi\n mov $6, %%edi\n mov $8, %%r8d\n"      \
						 "mov $9, %%r9d\n mov $10, %%r10d\n mov $12, %%r12d\n mov $13, %%r13d\n mov $14, %%r14d\n mov $15, %%r15d\n" \
						 "pcmpeqb %%xmm0, %%xmm0\n movdqa %%xmm0, %%xmm7\n movdqa %%xmm0, %%xmm15\n"                           \
						 "popfq\n"                                                                                           \
						 "mov $" #nr ", %%eax\n syscall\n"                                                                   \
						 "1: xchg %%rax, (%%rsp)\n"                                                                          \
						 "mov %%rcx, 8(%%rax)\n mov %%rdx, 16(%%rax)\n mov %%rbx, 24(%%rax)\n mov %%rbp, 32(%%rax)\n"           \
						 "mov %%rsi, 40(%%rax)\n mov %%rdi, 48(%%rax)\n mov %%r8, 56(%%rax)\n mov %%r9, 64(%%rax)\n"            \
						 "mov %%r10, 72(%%rax)\n mov %%r11, 80(%%rax)\n mov %%r12, 88(%%rax)\n mov %%r13, 96(%%rax)\n"          \
						 "mov %%r14, 104(%%rax)\n mov %%r15, 112(%%rax)\n movdqa %%xmm0, 144(%%rax)\n"                         \
						 "movdqa %%xmm7, 160(%%rax)\n movdqa %%xmm15, 176(%%rax)\n"                                            \
						 "pop %%rcx\n mov %%rcx, (%%rax)\n"                                                                  \
						 "pushfq\n pop %%rcx\n mov %%rcx, 120(%%rax)\n cld\n"                                                 \
						 "pop %%rbx\n pop %%rbp\n lea 1b(%%rip), %[ret]\n"                                                     \
						 : [ret] "=a"(ret)                                                                                   \
						 : [s] "r"(s), [f] "r"(flags)                                                                        \
						 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm7", \
						   "xmm15", "memory", "cc");                                                                         \
		return ret;                                                                                                          \
	}
CALLER(uid, 102)
CALLER(gid, 104)
CALLER(parent, 110)

#define KNOWN 0xcd5 // CF PF AF ZF SF OF DF

static void registers(const char *name, unsigned long (*f)(struct state *, unsigned long), unsigned long want) {
	static const unsigned long flags[] = {0x2, 0x3, 0x6, 0x12, 0x42, 0x82, 0x802, 0x402, 0x8d7, 0xcd7};
	static const unsigned long kept[] = {2, 3, 4, 5, 6, 8, 9, 10};
	int value = 0, back = 0, eleven = 0, same = 0, over = 0, vectors = 0;
	for (int i = 0; i < 200; i++) {
		struct state s;
		memset(&s, 0, sizeof s);
		unsigned long is = flags[i % 10], ret = f(&s, is | 0x200);
		value += s.ax != want;
		back += s.cx != ret;
		eleven += (s.r11 & KNOWN) != (is & KNOWN);
		same += (s.flags & KNOWN) != (is & KNOWN);
		unsigned long *got[] = {&s.dx, &s.bx, &s.bp, &s.si, &s.di, &s.r8, &s.r9, &s.r10};
		for (int k = 0; k < 8; k++)
			over += *got[k] != kept[k];
		over += s.r12 != 12 || s.r13 != 13 || s.r14 != 14 || s.r15 != 15;
		for (int k = 0; k < 48; k++)
			vectors += ((unsigned char *)&s)[144 + k] != 0xff;
	}
	printf("%s\n", name);
	check(" its value", !value);
	check(" RCX is where it goes on", !back);
	check(" R11 has the flags", !eleven);
	check(" the flags", !same);
	check(" other registers", !over);
	check(" vectors", !vectors);
}

static volatile int hits, stop;
static void on(int sig) { hits++; }

static void *teller(void *x) {
	pthread_t to = *(pthread_t *)x;
	for (int i = 1; i <= 2000; i++) {
		pthread_kill(to, SIGUSR1);
		while (hits < i) // it makes no other calls: it has to hear of this in one of them
			sched_yield();
	}
	stop = 1;
	return 0;
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	registers("getuid", uid, getuid());
	registers("getgid", gid, getgid());
	registers("getppid", parent, getppid());
	signal(SIGUSR1, on);
	pthread_t me = pthread_self(), t;
	pthread_create(&t, 0, teller, &me);
	struct state s;
	uid_t u = getuid();
	long bad = 0;
	while (!stop) {
		uid(&s, 0x202 | 0x401);
		bad += s.ax != u || s.r15 != 15 || s.di != 6 || (s.flags & 0x401) != 0x401;
	}
	pthread_join(t, 0);
	check("signals, each one", hits == 2000);
	check("nothing else was wrong meanwhile", !bad);
	return 0;
}
