// Timers over execve: those of setitimer go on, those of timer_create end; what is
// pending stays.
#include "try.h"

// spin uses processor time, nearly all of it the program's own: of a virtual timer only
// that counts, and to ask for the time is the system's.
static void spin(long ms) {
	struct timespec a, b;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	do {
		for (volatile int i = 0; i < 100000; i++) {}
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	} while ((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < ms);
}
static volatile sig_atomic_t seen[65];
static void on(int s) { seen[s]++; }
static const int which[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}, sigs[] = {SIGALRM, SIGVTALRM, SIGPROF};

// left prints of a timer only what cannot vary.
static void left(int w) {
	struct itimerval t;
	T(getitimer(w, &t));
	printf("timer %d: value %d of %ld s, interval %ld.%06ld\n", w, t.it_value.tv_sec || t.it_value.tv_usec, (long)(t.it_value.tv_sec + 499) / 500,
		(long)t.it_interval.tv_sec, (long)t.it_interval.tv_usec);
}

static char self[200];
static void again(const char *how) {
	fflush(stdout);
	execl(self, "program", how, NULL);
	perror("execl");
	_exit(1);
}

static void start(int how) {
	struct itimerval t = {{7, 250000}, {500, 0}}, soon = {{0, 0}, {0, 20000}}, every = {{0, 10000}, {0, 20000}};
	timer_t id;
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec now = {{0, 0}, {0, 1}}, later = {{0, 0}, {1, 0}};
	sigset_t s;
	switch (how) {
	case 0: // all set, far away
		for (int i = 0; i < 3; i++) setitimer(which[i], &t, 0);
		again("left");
	case 1: // none
		again("left");
	case 2: // one is set and taken back
		for (int i = 0; i < 3; i++) setitimer(which[i], &t, 0);
		memset(&t, 0, sizeof t);
		setitimer(ITIMER_PROF, &t, 0);
		again("left");
	case 3: // a single expiration of the host's timers, after execve
		setitimer(ITIMER_VIRTUAL, &soon, 0), setitimer(ITIMER_PROF, &soon, 0), setitimer(ITIMER_REAL, &soon, 0);
		sigfillset(&s), sigprocmask(SIG_BLOCK, &s, 0);
		again("wait");
	case 4: // it is over before
		sigfillset(&s), sigprocmask(SIG_BLOCK, &s, 0);
		setitimer(ITIMER_VIRTUAL, &soon, 0), setitimer(ITIMER_PROF, &soon, 0), setitimer(ITIMER_REAL, &soon, 0);
		spin(100);
		again("wait");
	case 5: // again and again
		sigfillset(&s), sigprocmask(SIG_BLOCK, &s, 0);
		setitimer(ITIMER_VIRTUAL, &every, 0), setitimer(ITIMER_PROF, &every, 0), setitimer(ITIMER_REAL, &every, 0);
		again("many");
	case 6: // the default action in the next program
		signal(SIGPROF, on);
		setitimer(ITIMER_PROF, &soon, 0);
		again("spin");
	case 7: // timer_create's are gone
		sigfillset(&s), sigprocmask(SIG_BLOCK, &s, 0);
		T(timer_create(CLOCK_MONOTONIC, &e, &id));
		T(timer_settime(id, 0, &later, 0));
		again("gone");
	case 8: // a signal that waits stays
		sigfillset(&s), sigprocmask(SIG_BLOCK, &s, 0);
		kill(getpid(), SIGUSR2);
		sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42});
		raise(SIGUSR1);
		again("pending");
	case 9: // a child has none, and its parent's stay
		for (int i = 0; i < 3; i++) setitimer(which[i], &t, 0);
		fflush(stdout);
		if (fork() == 0) again("left");
		wait(0);
		if (vfork() == 0) execl(self, "program", "left", NULL);
		wait(0);
		again("left");
	case 10: // and over two of them
		for (int i = 0; i < 3; i++) setitimer(which[i], &t, 0);
		again("twice");
	}
}

int main(int argc, char **argv) {
	snprintf(self, sizeof self, "/proc/%d/exe", getpid());
	if (argc == 1) {
		begin();
		char real[200];
		ssize_t n = readlink(self, real, sizeof real - 1);
		real[n < 0 ? 0 : n] = 0;
		for (int how = 0; how < 11; how++) {
			fflush(stdout);
			pid_t p = fork();
			if (p == 0) {
				strcpy(self, real);
				alarm(0);
				start(how);
			}
			int st;
			waitpid(p, &st, 0);
			printf("%d: %x\n", how, st);
		}
		return 0;
	}
	setvbuf(stdout, 0, _IOLBF, 0);
	struct timespec z = {0, 0};
	siginfo_t i;
	sigset_t s;
	sigfillset(&s);
	if (!strcmp(argv[1], "left"))
		for (int w = 0; w < 3; w++) left(which[w]);
	if (!strcmp(argv[1], "twice")) {
		char real[200];
		ssize_t n = readlink(self, real, sizeof real - 1);
		real[n < 0 ? 0 : n] = 0;
		strcpy(self, real);
		again("left");
	}
	if (!strcmp(argv[1], "wait")) {
		spin(150);
		usleep(50000);
		for (int k = 0; k < 3; k++) {
			sigemptyset(&s), sigaddset(&s, sigs[k]);
			T(sigtimedwait(&s, &i, &z));
			T(sigtimedwait(&s, &i, &z));
			left(which[k]);
		}
	}
	if (!strcmp(argv[1], "many"))
		for (int k = 0; k < 3; k++) {
			sigset_t one;
			sigemptyset(&one), sigaddset(&one, sigs[k]);
			for (int n = 0; n < 3;) {
				spin(1);
				if (sigtimedwait(&one, &i, &z) > 0) n++;
			}
			printf("%d again\n", sigs[k]);
		}
	if (!strcmp(argv[1], "spin")) {
		spin(300);
		puts("lives");
	}
	if (!strcmp(argv[1], "gone")) {
		struct itimerspec t;
		T(syscall(SYS_timer_gettime, 0, &t));
		T(syscall(SYS_timer_delete, 0));
	}
	if (!strcmp(argv[1], "pending"))
		while (sigtimedwait(&s, &i, &z) > 0)
			printf("signal %d code %d value %d\n", i.si_signo, i.si_code, i.si_signo >= 32 ? i.si_value.sival_int : 0);
	return 0;
}
