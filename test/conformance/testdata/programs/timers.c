#include "try.h"
static volatile int hits, code, over, val;
static void on(int s, siginfo_t *i, void *c) { hits++; code = i->si_code; val = i->si_value.sival_int; over = i->si_overrun; }
static void burn(void) { for (volatile long i = 0; i < 3000000; i++) ; }
static void thr(union sigval v) { __atomic_add_fetch(&hits, v.sival_int, __ATOMIC_SEQ_CST); }
static void alarmed(void) { signal(SIGALRM, SIG_DFL); struct itimerval it = {{0, 0}, {0, 20000}}; setitimer(ITIMER_REAL, &it, 0); for (;;) pause(); }
static void profiled(void) { signal(SIGPROF, SIG_DFL); struct itimerval it = {{0, 0}, {0, 20000}}; setitimer(ITIMER_PROF, &it, 0); for (;;) ; }
static void virtuald(void) { signal(SIGVTALRM, SIG_DFL); struct itimerval it = {{0, 0}, {0, 20000}}; setitimer(ITIMER_VIRTUAL, &it, 0); for (;;) ; }
int main(void) {
	begin();
	struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO}; sigaction(SIGALRM, &a, 0); sigaction(SIGPROF, &a, 0); sigaction(SIGVTALRM, &a, 0); sigaction(SIGUSR1, &a, 0);
	struct itimerval it = {{0, 10000}, {0, 10000}}, old; struct timespec ts = {0, 0}, r;
	T(setitimer(3, &it, 0)); T(getitimer(3, &it)); T(syscall(SYS_getitimer, 0, 8)); T(syscall(SYS_setitimer, 0, 8, 0)); it.it_value.tv_usec = 1000000; T(setitimer(0, &it, 0)); it.it_value.tv_usec = -1; T(setitimer(0, &it, 0)); it.it_value.tv_sec = -1; it.it_value.tv_usec = 0; T(setitimer(0, &it, 0));
	it.it_value.tv_sec = 0; it.it_value.tv_usec = 10000; T(setitimer(ITIMER_REAL, &it, &old)); printf("old %ld %ld\n", old.it_value.tv_sec, old.it_value.tv_usec); while (hits < 3) pause(); getitimer(ITIMER_REAL, &old); printf("interval %ld code %d\n", old.it_interval.tv_usec, code); T(syscall(SYS_setitimer, 0, 0, &old)); getitimer(ITIMER_REAL, &old); printf("off %ld %ld\n", old.it_value.tv_usec, old.it_interval.tv_usec);
	T(alarm(100)); T(alarm(0) > 98); T(alarm(0));
	hits = 0; it.it_interval.tv_usec = 0; T(setitimer(ITIMER_PROF, &it, 0)); while (!hits) burn(); printf("prof code %d\n", code); getitimer(ITIMER_PROF, &old); printf("%ld\n", old.it_value.tv_usec);
	hits = 0; T(setitimer(ITIMER_VIRTUAL, &it, 0)); while (!hits) burn(); printf("virtual code %d\n", code);
	child("alarmed", alarmed); child("profiled", profiled); child("virtual", virtuald);
	timer_t t; struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {.sival_int = 5}}; struct itimerspec s = {{0, 0}, {0, 10000000}}, o;
	T(timer_create(99, &e, &t)); e.sigev_signo = 65; T(timer_create(CLOCK_MONOTONIC, &e, &t)); e.sigev_signo = 0; T(timer_create(CLOCK_MONOTONIC, &e, &t)); e.sigev_signo = SIGUSR1; e.sigev_notify = 9; T(syscall(SYS_timer_create, 1, &e, &t)); e.sigev_notify = SIGEV_THREAD_ID; T(syscall(SYS_timer_create, 1, &e, &t)); e.sigev_notify = SIGEV_SIGNAL; T(syscall(SYS_timer_create, 1, 8, &t)); T(syscall(SYS_timer_create, 1, &e, 8));
	int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_TAI};
	for (int k = 0; k < 8; k++) {
		hits = 0; printf("clock %d ", clocks[k]); int rc = timer_create(clocks[k], &e, &t); if (rc) { puts(strerrorname_np(errno)); continue; }
		T(timer_settime(t, 0, &s, 0)); while (!hits) burn(); printf("code %d val %d over %d\n", code, val, over); T(timer_gettime(t, &o)); printf("%ld %ld\n", o.it_value.tv_sec, o.it_value.tv_nsec); T(timer_getoverrun(t));
		clock_gettime(clocks[k], &ts); hits = 0; s.it_value = ts; s.it_value.tv_nsec += 10000000; if (s.it_value.tv_nsec >= 1000000000) { s.it_value.tv_sec++; s.it_value.tv_nsec -= 1000000000; } T(timer_settime(t, TIMER_ABSTIME, &s, 0)); while (!hits) burn(); s.it_value.tv_sec = 0; s.it_value.tv_nsec = 10000000;
		s.it_interval.tv_nsec = 5000000; hits = 0; timer_settime(t, 0, &s, 0); while (hits < 3) burn(); s.it_interval.tv_nsec = 0; T(timer_delete(t));
	}
	timer_create(CLOCK_MONOTONIC, &e, &t); s.it_value.tv_nsec = 1000000000; T(timer_settime(t, 0, &s, 0)); s.it_value.tv_nsec = -1; T(timer_settime(t, 0, &s, 0)); s.it_value.tv_nsec = 1; s.it_interval.tv_nsec = 1000000000; T(timer_settime(t, 0, &s, 0)); s.it_interval.tv_nsec = 0; T(syscall(SYS_timer_settime, t, 0, 0, 0)); T(syscall(SYS_timer_gettime, t, 8)); T(timer_delete(t)); T(syscall(SYS_timer_delete, 99)); T(syscall(SYS_timer_gettime, 99, &o)); T(syscall(SYS_timer_getoverrun, 99)); T(syscall(SYS_timer_settime, 99, 0, &s, 0));
	sigset_t m; sigemptyset(&m); sigaddset(&m, SIGUSR1); sigprocmask(SIG_BLOCK, &m, 0); timer_create(CLOCK_MONOTONIC, &e, &t); s.it_value.tv_nsec = 1000000; s.it_interval.tv_nsec = 1000000; timer_settime(t, 0, &s, 0); msleep(30); siginfo_t si; T(sigwaitinfo(&m, &si)); printf("overrun %d same %d\n", si.si_overrun >= 5, timer_getoverrun(t) == si.si_overrun); timer_delete(t); sigprocmask(SIG_UNBLOCK, &m, 0);
	e.sigev_notify = SIGEV_NONE; timer_create(CLOCK_MONOTONIC, &e, &t); s.it_value.tv_sec = 1000; s.it_interval.tv_nsec = 0; T(timer_settime(t, 0, &s, &o)); printf("%ld\n", o.it_value.tv_sec); timer_gettime(t, &o); printf("%d\n", o.it_value.tv_sec >= 990); timer_delete(t);
	hits = 0; struct sigevent te = {.sigev_notify = SIGEV_THREAD, .sigev_value = {.sival_int = 3}}; te.sigev_notify_function = thr; T(timer_create(CLOCK_REALTIME, &te, &t)); s.it_value.tv_sec = 0; s.it_value.tv_nsec = 1000000; T(timer_settime(t, 0, &s, 0)); while (!hits) msleep(1); printf("thread %d\n", hits); T(timer_delete(t));
	for (int k = -1; k < 13; k++) { if (k == 8 || k == 9) continue; // depend on the host's hardware
		 printf("clock %d: ", k); T(clock_gettime(k, &ts)); if (clock_getres(k, &ts) < 0) puts("no resolution"); else if (k != 5 && k != 6) printf("res %ld\n", ts.tv_nsec); ts.tv_sec = 0; ts.tv_nsec = 1; if (k != 2) T(syscall(SYS_clock_nanosleep, k, 0, &ts, 0)); }
	T(syscall(SYS_clock_gettime, 1, 8)); T(syscall(SYS_clock_getres, 1, 0)); T(clock_settime(CLOCK_MONOTONIC, &ts)); ts.tv_nsec = 1000000000; T(nanosleep(&ts, 0)); ts.tv_nsec = -1; T(nanosleep(&ts, 0)); ts.tv_nsec = 0; ts.tv_sec = -1; T(nanosleep(&ts, 0)); T(syscall(SYS_nanosleep, 8, 0)); ts.tv_sec = 0; T(syscall(SYS_clock_nanosleep, 1, TIMER_ABSTIME, &ts, 0)); T(syscall(SYS_clock_nanosleep, 1, 2, &ts, 0));
	clockid_t c; T(clock_getcpuclockid(0, &c)); T(clock_gettime(c, &ts)); T(clock_getcpuclockid(0x3ffffff, &c)); T(pthread_getcpuclockid(pthread_self(), &c)); T(clock_gettime(c, &ts)); T(clock_getres(c, &ts)); T(syscall(SYS_times, 8)); T(syscall(SYS_time, 8)); T(syscall(SYS_gettimeofday, 8, 0));
	pid_t p = fork(); if (!p) { pause(); _exit(0); } T(clock_getcpuclockid(p, &c)); T(clock_gettime(c, &ts)); kill(p, SIGKILL); waitpid(p, 0, 0); T(clock_gettime(c, &ts));
	return 0;
}
