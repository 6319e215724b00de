// What the programs have in common: each prints what calls answer, so that the
// same binary's two outputs can be compared.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long r, int e) {
	if (r == -1 && e != 0)
		printf("%s: %s\n", what, strerrorname_np(e));
	else
		printf("%s: %ld\n", what, r);
}
// T prints a call and its result, OK only whether it failed: for descriptors,
// addresses and ids, which may differ.
#define T(e) do { errno = 0; long r_ = (long)(e); int e_ = errno; say(#e, r_, e_); } while (0)
#define OK(e) do { errno = 0; long r_ = (long)(e); int e_ = errno; say(#e, r_ == -1 ? -1 : 0, e_); } while (0)

// begin gives both sides the same state: who runs the tests may ignore or block
// signals, and has a mask and limits of their own.
static void begin(void) {
	sigset_t none;
	sigemptyset(&none);
	for (int s = 1; s < 65; s++)
		signal(s, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, 0);
	umask(022);
	setvbuf(stdout, 0, _IOLBF, 0);
}

// child runs f in a child and prints how it ended.
static void child(const char *what, void (*f)(void)) {
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		f();
		fflush(stdout);
		_exit(0);
	}
	int st = 0;
	while (waitpid(p, &st, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(st))
		printf("%s: signal %d\n", what, WTERMSIG(st));
	else
		printf("%s: exit %d\n", what, WEXITSTATUS(st));
}

// msleep lets others go on; nothing may depend on how long it takes.
static void msleep(int ms) {
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

// asleep waits until a process sleeps in a call.
__attribute__((unused)) static void asleep(pid_t p) {
	char name[40], state = 0;
	snprintf(name, sizeof name, "/proc/%d/stat", p);
	while (state != 'S') {
		FILE *f = fopen(name, "r");
		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			return;
		fclose(f);
		sched_yield();
	}
}
