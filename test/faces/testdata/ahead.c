// A guest that takes what was made ahead for its next child, and does what its argument says with it.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static uint64_t window, gate;

static void jump(int s) { siglongjmp(back, 1); }

static int touched(volatile char *p) {
	if (sigsetjmp(back, 1))
		return 1;
	*p;
	return 0;
}

// host makes a host call by a SYSCALL of the library's.
static long host(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t e, uint64_t f, uint64_t g) {
	long r;
	register uint64_t r10 asm("r10") = e, r8 asm("r8") = f, r9 asm("r9") = g;
	asm volatile("sub $128, %%rsp\n\tcall *%%rbx\n\tadd $128, %%rsp"
		     : "=a"(r), "+r"(r10), "+r"(r8), "+r"(r9)
		     : "a"(nr), "D"(a), "S"(b), "d"(c), "b"(gate)
		     : "rcx", "r11", "memory");
	return r;
}

static void child(void) {
	pid_t p = fork();
	if (p == 0)
		_exit(0);
	waitpid(p, 0, 0);
}

int main(int argc, char **argv) {
	int how = atoi(argv[1]), fds[3];
	signal(SIGSEGV, jump);
	for (uint64_t n = 0xb0; n < 0xf0 && !window; n++)
		if (!touched((char *)((0x7e00 + n) << 32 | 0x400000)))
			window = (0x7e00 + n) << 32;
	for (char *p = (char *)window + 0x400000; window && !gate && !touched(p); p += 4096)
		for (int i = 0; i < 4094 && !gate; i++)
			if (!memcmp(p + i, "\x0f\x05\xc3", 3))
				gate = (uint64_t)p + i;
	if (!gate)
		return 1;
	child();
	child(); // from here on one is made
	uint64_t hdr[9], ctl[8];
	struct iovec v = {hdr, sizeof hdr};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
	if (host(47, 3, (uint64_t)&m, 0, 0, 0, 0) != sizeof hdr || m.msg_controllen < CMSG_LEN(sizeof fds))
		return 2;
	memcpy(fds, CMSG_DATA((struct cmsghdr *)ctl), sizeof fds);
	puts("has it");
	fflush(stdout);
	memset(hdr, 0, sizeof hdr);
	char *area = (char *)host(9, 0, 1 << 20, 3, 1, fds[1], 0);
	switch (how) {
	case 0: // its process is this one, says this one
		hdr[0] = 28;
		host(44, fds[0], (uint64_t)hdr, sizeof hdr, 0x4040, 0, 0);
		break;
	case 1: // no message at all, and many
		memset(hdr, 0xff, sizeof hdr);
		for (int i = 0; i < 300; i++)
			host(44, fds[0], (uint64_t)hdr, 1 + i % sizeof hdr, 0x4040, 0, 0);
		break;
	case 2: // requests of nobody, and a bell that rings
		memset(area + 4096, 1, (1 << 20) - 4096);
		memset(area, 0xff, 4096);
		host(33, fds[2], 4, 0, 0, 0, 0);
		hdr[0] = 1;
		for (int i = 0; i < 100; i++)
			host(1, 4, (uint64_t)hdr, 8, 0, 0, 0);
		break;
	case 3: // it is another task from now on
		host(33, fds[0], 3, 0, 0, 0, 0);
		host(33, fds[2], 4, 0, 0, 0, 0);
		break;
	case 4: // it is given up
		for (int i = 0; i < 3; i++)
			host(3, fds[i], 0, 0, 0, 0, 0);
		break;
	}
	if (argc > 2)
		return 0;
	fork(); // the library waits for it, or has lost its server
	puts("forked");
	return 0;
}
