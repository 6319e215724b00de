// Short sleeps, which the library serves, and those near them that it does not.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000LL
#define BAD ((void *)8)

static long long now(int clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static long raw(int clock, int flags, const void *req, void *rem) { return syscall(SYS_clock_nanosleep, clock, flags, req, rem); }

static void say(const char *what, long r) { printf("%s %ld %s\n", what, r, r < 0 ? strerrorname_np(errno) : "-"); }

static void handler(int sig) { (void)sig; }

static void alarm_in(int us) {
	struct itimerval it = {{0, 0}, {0, us}};
	setitimer(ITIMER_REAL, &it, 0);
}

static void *sleeper(void *p) {
	long failed = 0;
	for (int i = 0; i < 50; i++) {
		struct timespec ts = {0, i % 2 ? 20000 : 200000};
		failed += nanosleep(&ts, 0) != 0;
	}
	return (void *)(failed + (p != 0));
}

int main(void) {
	static const long ns[] = {0, 1, 999, 20000, 99999, 100000, MS, 9999999, 10000000, 10000001, 20000000, 999999999, 1000000000, -1, -1000000000};
	for (unsigned i = 0; i < sizeof ns / sizeof *ns; i++) {
		if (ns[i] == 999999999) // valid, and too long to wait for
			continue;
		struct timespec ts = {0, ns[i]}, rem = {7, 7};
		long long from = now(CLOCK_MONOTONIC);
		long r = syscall(SYS_nanosleep, &ts, &rem);
		say("nanosleep", r);
		printf("%ld: long enough %d, rem %d\n", ns[i], r < 0 || now(CLOCK_MONOTONIC) - from >= ns[i], rem.tv_sec == 7 && rem.tv_nsec == 7);
	}
	struct timespec neg = {-1, 0}, ts = {0, MS};
	say("negative", syscall(SYS_nanosleep, &neg, 0));
	say("null", syscall(SYS_nanosleep, 0, 0));
	say("bad", syscall(SYS_nanosleep, BAD, 0));
	say("rem not needed", syscall(SYS_nanosleep, &ts, BAD));

	static const int clocks[] = {0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 100, -1};
	for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++)
		for (int flags = 0; flags < 4; flags++) {
			int c = clocks[i];
			if (c == 8 || c == 9)
				continue; // alarms: the host's root may have them
			ts = (struct timespec){0, MS};
			printf("clock %d flags %d: ", c, flags);
			say("", raw(c, flags, &ts, BAD));
		}
	for (int c = 0; c < 2; c++) {
		long long to = now(c) + 3 * MS;
		ts = (struct timespec){to / (1000 * MS), to % (1000 * MS)};
		say("until", raw(c, TIMER_ABSTIME, &ts, BAD));
		printf("there %d\n", now(c) >= to);
		say("until then again", raw(c, TIMER_ABSTIME, &ts, 0));
		ts.tv_nsec = 1000 * MS;
		say("no time", raw(c, TIMER_ABSTIME, &ts, 0));
	}

	// A handler ends a sleep, however it was installed, and rem has what is left.
	for (int flags = 0; flags < 2; flags++) {
		struct sigaction sa = {.sa_handler = handler, .sa_flags = flags ? SA_RESTART : 0};
		sigaction(SIGALRM, &sa, 0);
		int cut = 0, ok = 1;
		for (int i = 0; i < 20; i++) { // the alarm may come before the sleep has begun
			struct timespec rem = {7, 7};
			ts = (struct timespec){0, 9 * MS};
			alarm_in(2000);
			long long from = now(CLOCK_MONOTONIC);
			if (syscall(SYS_nanosleep, &ts, &rem) < 0) {
				cut += errno == EINTR;
				ok &= rem.tv_sec == 0 && rem.tv_nsec > 0 && rem.tv_nsec < 9 * MS;
				ok &= now(CLOCK_MONOTONIC) - from + rem.tv_nsec >= 9 * MS - MS / 2;
			}
		}
		printf("cut by a handler %d, rem %d\n", cut > 0, ok);
		cut = ok = 0;
		for (int i = 0; i < 50 && !cut; i++) {
			ts = (struct timespec){0, 9 * MS};
			alarm_in(2000);
			if (syscall(SYS_nanosleep, &ts, BAD) < 0)
				cut = 1, ok = errno;
		}
		printf("with a bad rem %s\n", strerrorname_np(ok));
		cut = 0, ok = 1;
		for (int i = 0; i < 20; i++) {
			struct timespec rem = {7, 7};
			long long to = now(CLOCK_MONOTONIC) + 9 * MS;
			ts = (struct timespec){to / (1000 * MS), to % (1000 * MS)};
			alarm_in(2000);
			cut += raw(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, &rem) < 0 && errno == EINTR;
			ok &= rem.tv_sec == 7;
		}
		printf("cut until %d, rem as it was %d\n", cut > 0, ok);
	}
	// One that is ignored does not.
	signal(SIGALRM, SIG_IGN);
	ts = (struct timespec){0, 9 * MS};
	alarm_in(2000);
	long long from = now(CLOCK_MONOTONIC);
	say("ignored", syscall(SYS_nanosleep, &ts, 0));
	printf("long enough %d\n", now(CLOCK_MONOTONIC) - from >= 9 * MS);

	// Nor do stops and their ends.
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		long failed = 0;
		for (int i = 0; i < 10; i++) {
			struct timespec nap = {0, 9 * MS};
			long long began = now(CLOCK_MONOTONIC);
			failed += syscall(SYS_nanosleep, &nap, &nap) != 0 || now(CLOCK_MONOTONIC) - began < 9 * MS;
		}
		_exit(failed);
	}
	int status;
	for (int i = 0; i < 10; i++) {
		kill(p, SIGSTOP);
		if (waitpid(p, &status, WUNTRACED) != p || !WIFSTOPPED(status))
			break;
		kill(p, SIGCONT);
		ts = (struct timespec){0, 5 * MS};
		nanosleep(&ts, 0);
	}
	if (!WIFEXITED(status))
		waitpid(p, &status, 0);
	printf("stopped: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);

	// A killed sleeper is gone.
	p = fork();
	if (p == 0)
		for (;;) {
			struct timespec nap = {0, 9 * MS};
			nanosleep(&nap, 0);
		}
	kill(p, SIGTERM);
	waitpid(p, &status, 0);
	printf("killed by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);

	pthread_t t[8];
	long sum = 0;
	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], 0, sleeper, 0);
	for (int i = 0; i < 8; i++) {
		void *r;
		pthread_join(t[i], &r);
		sum += (long)r;
	}
	printf("threads %ld\n", sum);
	return 0;
}
