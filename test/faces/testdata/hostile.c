// A guest that is hostile, and one beside it.
//
// hostile SEED finds the emulation library in its own memory and makes host calls
// through it, from the library's own SYSCALL and from code that it maps over the
// library: all that the guest filter lets through but clone, with arguments that
// are anything. It ends as it may.
//
// hostile bystander holds memory, a file and a pipe, and says at the end of its
// input whether they are what they were.
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t u64;

static u64 seed;
static u64 rnd(void) {
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed;
}

static sigjmp_buf back;
static void fault(int s) { siglongjmp(back, 1); }

// look reads a byte that may not be there: -1.
static int look(u64 a) {
	if (sigsetjmp(back, 1)) return -1;
	return *(volatile unsigned char *)a;
}

static u64 window, gate, own;

// host makes a host call at one of the gates.
static u64 host(u64 g, u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
	u64 r;
	register u64 r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
	asm volatile("sub $128, %%rsp\n\tcall *%%rbx\n\tadd $128, %%rsp"
		     : "=a"(r), "+r"(r10), "+r"(r8), "+r"(r9)
		     : "a"(nr), "D"(a), "S"(b), "d"(c), "b"(g)
		     : "rcx", "r11", "memory");
	return r;
}

static char junk[1 << 16], zero[4096];

static u64 address(void) {
	static const u64 offs[] = {0, 0x400000, 0x500000, 0x40000000, 0x40010000, 0x60000000, 0x61000000, 0x70000000, 0x80000000, 0x80002000, 0xc0000000, 0xfffff000};
	switch (rnd() % 12) {
	case 0: return 0;
	case 1: return rnd();
	case 2: return -(rnd() % 8192);
	case 3: return 1ull << (rnd() % 64);
	case 4: return (u64)junk + rnd() % sizeof junk;
	case 5: return ((u64)junk + rnd() % sizeof junk) & -4096;
	case 6: return (u64)&seed;
	case 7: return 0x20000000 + (rnd() % 64) * 4096;
	default: return window + offs[rnd() % (sizeof offs / sizeof *offs)] + (rnd() % 4 ? 0 : rnd() % 65536);
	}
}

static u64 size(void) {
	switch (rnd() % 8) {
	case 0: return 0;
	case 1: return rnd();
	case 2: return -1;
	case 3: return 1ull << (rnd() % 48);
	case 4: return rnd() % 4096;
	default: return 4096 << rnd() % 6;
	}
}

static u64 any(void) { return rnd() & 1 ? address() : size(); }
static u64 small(void) { return rnd() % 64; }

static void attack(void) {
	u64 g = own && rnd() & 1 ? own : gate;
	static const int advice[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
	static const int ops[] = {0, 1, 3, 4, 5, 9, 10};
	switch (rnd() % 24) {
	case 0: case 1: {
		u64 op = ops[rnd() % 7] | (rnd() & 1 ? 128 : 0) | (rnd() & 1 ? 256 : 0);
		int waits = (op & 127) == 0 || (op & 127) == 9;
		host(g, 202, address(), op, any(), waits ? (u64)zero : any(), address(), any());
		break;
	}
	case 2: case 3: case 4: host(g, 1, 3 + rnd() % 2, address(), rnd() & 1 ? size() : 1 + rnd() % 512, 0, 0, 0); break;
	case 5: if (rnd() % 8 == 0) host(g, 15, any(), any(), any(), any(), any(), any()); break;
	case 6: if (rnd() % 4 == 0) host(g, 14, rnd() % 4, address(), address(), 8, 0, 0); break;
	case 7: case 8: case 9: host(g, 9, address(), size(), rnd() % 8, (rnd() & 0x1f) | (rnd() & 1 ? 0x20 : 0) | (rnd() & 1 ? 0x10 : 0) | (rnd() % 4 ? 0 : 0x8000), rnd() & 1 ? -1 : rnd() % 24, rnd() & 1 ? 0 : any()); break;
	case 10: host(g, 11, address(), size(), 0, 0, 0, 0); break;
	case 11: case 12: host(g, 10, address(), size(), rnd() % 16, 0, 0, 0); break;
	case 13: host(g, 25, address(), size(), size(), rnd() % 8, address(), 0); break;
	case 14: host(g, 28, address(), size(), advice[rnd() % 19], 0, 0, 0); break;
	case 15: host(g, 47, 3, rnd() & 1 ? rnd() : -rnd() % 4096, 0, 0, 0, 0); break; // no good header: it could wait for ever
	case 16: host(g, 33, 16 + rnd() % 8, 3 + rnd() % 2, 0, 0, 0, 0); break;
	case 17: host(g, 3, 16 + small(), 0, 0, 0, 0, 0); break;
	case 18: host(g, 131, address(), address(), 0, 0, 0, 0); break;
	case 19: host(g, 158, 0x1001 + rnd() % 4, rnd() & 1 ? address() : 0, 0, 0, 0, 0); break;
	case 20: host(g, 228, rnd() % 16, address(), 0, 0, 0, 0), host(g, 309, address(), address(), address(), 0, 0, 0); break;
	case 21: host(g, 27, address(), size(), address(), 0, 0, 0), host(g, 26, address(), size(), rnd() % 8, 0, 0, 0); break;
	case 22: host(g, 324, (u64[]){0, 8, 16, 32, 64}[rnd() % 5], 0, any(), 0, 0, 0), host(g, 24, any(), any(), 0, 0, 0, 0); break;
	case 23: // and the memory itself: message area, control blocks, task block
		if (rnd() & 1 && !sigsetjmp(back, 1)) {
			u64 a = window + (u64[]){0x40000000, 0x60000000, 0x80000000, 0x80002000, 0x80100000}[rnd() % 5] + rnd() % 4096;
			for (int i = rnd() % 256; i > 0; i--) *(volatile char *)a++ = rnd();
		}
		break;
	}
}

static int bystander(void) {
	enum { N = 1 << 20 };
	signal(SIGCHLD, SIG_IGN); // what is left behind ends up here
	char *m = mmap(0, N, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *s, c;
	int fd = open("/tmp/bystander", O_RDWR | O_CREAT, 0600), p[2];
	ftruncate(fd, N);
	s = mmap(0, N, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (int i = 0; i < N; i++) m[i] = s[i] = i * 7 + i / 4096;
	pipe(p);
	write(p[1], "in the pipe", 11);
	puts("up");
	fflush(stdout);
	while (read(0, &c, 1) > 0) ;
	int bad = 0;
	char b[12] = "";
	for (int i = 0; i < N; i++) bad += m[i] != (char)(i * 7 + i / 4096), bad += s[i] != (char)(i * 7 + i / 4096);
	read(p[0], b, 11);
	puts(bad || strcmp(b, "in the pipe") ? "CHANGED" : "intact");
	return 3;
}

int main(int argc, char **argv) {
	if (!strcmp(argv[1], "bystander")) return bystander();
	seed = atoi(argv[1]) * 0x9e3779b97f4a7c15ull | 1;
	static char stack[65536];
	sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, 0);
	struct sigaction sa = {.sa_handler = fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
	sigaction(SIGSEGV, &sa, 0), sigaction(SIGBUS, &sa, 0);
	// The stack of a guest lies lower (0x7ead).
	for (u64 n = 0xb0; n < 0xf0 && !window; n++)
		if (look((0x7e00 + n) << 32 | 0x400000) >= 0) window = (0x7e00 + n) << 32;
	for (u64 a = window + 0x400000; window && !gate && look(a) >= 0; a += 4096)
		for (u64 i = 0; i < 4094 && !gate; i++)
			if (*(unsigned char *)(a + i) == 0x0f && *(unsigned char *)(a + i + 1) == 0x05 && *(unsigned char *)(a + i + 2) == 0xc3) gate = a + i;
	if (!gate) {
		puts("no library found");
		return 1;
	}
	for (int i = 0; i < sizeof junk; i++) junk[i] = rnd();
	if (atoi(argv[1]) % 2) {
		own = window + 0x70000000;
		if (host(gate, 9, own, 4096, 7, 0x32, -1, 0) != own) {
			puts("no page over the library");
			return 1;
		}
		memcpy((void *)own, "\x0f\x05\xc3", 3);
	}
	if (host(gate, 186, 0, 0, 0, 0, 0, 0) > 1 << 22) {
		puts("no host call");
		return 1;
	}
	write(1, "+", 1);
	for (int i = 0; i < 400; i++)
		if (!sigsetjmp(back, 1)) attack();
	_exit(0);
}
