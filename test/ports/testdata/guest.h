/* What the test programs have in common: each prints a line for each surprise and ends with
   the number of them. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "../../../examples/c/hythe.h"

static struct hythe_datagram d;
static int bad;

static void want(const char *what, long got, long expect)
{
	if (got == expect)
		return;
	printf("%s: %ld, want %ld\n", what, got, expect);
	bad++;
}

static sigjmp_buf out;
static inline void jump(int sig) { siglongjmp(out, sig); }

/* touched is 0, or the signal that a touch brought, if jump handles it. */
static inline int touched(volatile char *p)
{
	int sig = sigsetjmp(out, 1);
	if (!sig)
		(void)*p;
	return sig;
}

static inline int inherit(void *p, long n, long how)
{
	return syscall(HYTHE_INHERIT, p, n, how) < 0 ? errno : 0;
}

/* mem is an object, of whole pages. */
static char *mem;
static inline char *page(int i) { return mem + i * HYTHE_PAGE; }
