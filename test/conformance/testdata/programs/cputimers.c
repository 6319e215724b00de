#include "try.h"
static volatile int hits, code, val, stop;
static void on(int s, siginfo_t *i, void *c) { hits++; code = i->si_code; val = i->si_value.sival_int; }
static void burn(void) { for (volatile long i = 0; i < 300000; i++) ; }
static int64_t now(clockid_t c) { struct timespec t = {0, 0}; clock_gettime(c, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
static struct itimerspec in(int64_t ns, int64_t every) { struct itimerspec s = {{every / 1000000000, every % 1000000000}, {ns / 1000000000, ns % 1000000000}}; return s; }
static void *burner(void *p) { while (!stop) burn(); return 0; }
static clockid_t otherclock; static volatile int ready;
static void *idler(void *p) { pthread_getcpuclockid(pthread_self(), &otherclock); ready = 1; while (!stop) { if (ready == 2) burn(); else usleep(1000); } return 0; }
#define MS 1000000L
int main(void) {
	begin();
	struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO}; sigaction(SIGUSR1, &a, 0); sigaction(SIGALRM, &a, 0); sigset_t usr; sigemptyset(&usr); sigaddset(&usr, SIGUSR1);
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {.sival_int = 5}}; timer_t t; struct itimerspec s, o; clockid_t c; pthread_t th; struct timespec ts;
	clockid_t own[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
	for (int k = 0; k < 2; k++) {
		printf("own %d\n", k); T(timer_create(own[k], &e, &t)); hits = 0; s = in(30 * MS, 0); int64_t from = now(own[k]); T(timer_settime(t, 0, &s, 0));
		msleep(100); printf("asleep: %d\n", hits); T(timer_gettime(t, &o)); printf("left %d\n", o.it_value.tv_sec == 0 && o.it_value.tv_nsec > 1 * MS && o.it_value.tv_nsec <= 30 * MS);
		while (!hits) burn(); printf("in time %d code %d val %d\n", now(own[k]) - from >= 30 * MS, code, val); T(timer_gettime(t, &o)); printf("%ld %ld\n", o.it_value.tv_sec, o.it_value.tv_nsec);
		hits = 0; from = now(own[k]); s = in(from + 20 * MS, 0); T(timer_settime(t, TIMER_ABSTIME, &s, 0)); while (!hits) burn(); printf("absolute %d\n", now(own[k]) - from >= 20 * MS);
		hits = 0; s = in(1, 0); T(timer_settime(t, TIMER_ABSTIME, &s, 0)); printf("past: %d\n", hits); timer_gettime(t, &o); printf("%ld %ld\n", o.it_value.tv_sec, o.it_value.tv_nsec);
		hits = 0; from = now(own[k]); s = in(10 * MS, 10 * MS); T(timer_settime(t, 0, &s, 0)); while (hits < 4) burn(); printf("four times %d\n", now(own[k]) - from >= 40 * MS); s = in(0, 0); T(timer_settime(t, 0, &s, &o)); printf("interval %ld\n", o.it_interval.tv_nsec);
		sigprocmask(SIG_BLOCK, &usr, 0); s = in(5 * MS, 5 * MS); timer_settime(t, 0, &s, 0); from = now(own[k]); while (now(own[k]) - from < 100 * MS) burn(); siginfo_t si; T(sigwaitinfo(&usr, &si)); printf("overrun %d\n", si.si_overrun >= 5 && si.si_overrun < 40); s = in(0, 0); timer_settime(t, 0, &s, 0); signal(SIGUSR1, SIG_IGN); sigaction(SIGUSR1, &a, 0); sigprocmask(SIG_UNBLOCK, &usr, 0); T(timer_delete(t));
	}
	sigset_t all; sigfillset(&all); sigprocmask(SIG_BLOCK, &all, 0); pthread_create(&th, 0, burner, 0); sigprocmask(SIG_UNBLOCK, &all, 0);
	hits = 0; timer_create(CLOCK_THREAD_CPUTIME_ID, &e, &t); s = in(20 * MS, 0); timer_settime(t, 0, &s, 0); msleep(100); printf("another thread burns, the thread's own: %d\n", hits); while (!hits) burn(); timer_delete(t);
	hits = 0; int64_t from = now(CLOCK_PROCESS_CPUTIME_ID); timer_create(CLOCK_PROCESS_CPUTIME_ID, &e, &t); timer_settime(t, 0, &s, 0); while (!hits) msleep(1); printf("another thread burns, the process's: %d\n", now(CLOCK_PROCESS_CPUTIME_ID) - from >= 20 * MS); timer_delete(t);
	ts = (struct timespec){0, 20 * MS}; from = now(CLOCK_PROCESS_CPUTIME_ID); T(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &ts, 0)); printf("slept %d\n", now(CLOCK_PROCESS_CPUTIME_ID) - from >= 20 * MS);
	from = now(CLOCK_PROCESS_CPUTIME_ID) + 20 * MS; ts = (struct timespec){from / 1000000000, from % 1000000000}; T(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &ts, 0)); printf("slept %d\n", now(CLOCK_PROCESS_CPUTIME_ID) >= from); T(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &ts, 0));
	stop = 1; pthread_join(th, 0);
	struct timespec rem = {0, 0}; struct itimerval real = {{0, 0}, {0, 50000}}; ts = (struct timespec){100, 0}; setitimer(ITIMER_REAL, &real, 0); T(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, &ts, &rem)); printf("left %d\n", rem.tv_sec == 99 || rem.tv_sec == 100);
	T(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ts, 0)); pthread_getcpuclockid(pthread_self(), &c); T(syscall(SYS_clock_nanosleep, c, 0, &ts, 0)); T(syscall(SYS_clock_nanosleep, -1, 0, &ts, 0)); T(syscall(SYS_clock_nanosleep, ~0x3ffffff << 3 | 2, 0, &ts, 0));
	stop = 0; sigprocmask(SIG_BLOCK, &all, 0); pthread_create(&th, 0, idler, 0); sigprocmask(SIG_UNBLOCK, &all, 0); while (!ready) msleep(1);
	hits = 0; T(timer_create(otherclock, &e, &t)); s = in(30 * MS, 0); T(timer_settime(t, 0, &s, 0)); int64_t own0 = now(CLOCK_THREAD_CPUTIME_ID); while (now(CLOCK_THREAD_CPUTIME_ID) - own0 < 60 * MS) burn(); printf("this thread burns: %d\n", hits); ready = 2; while (!hits) msleep(1); printf("that one does: %d\n", now(otherclock) >= 30 * MS); T(timer_delete(t)); stop = 1; pthread_join(th, 0);
	T(timer_create(otherclock, &e, &t) == -1 || timer_delete(t) == 0); while (!clock_gettime(otherclock, &ts)) ; /* joined, and not gone at once */ T(clock_gettime(otherclock, &ts));
	fflush(stdout); int go[2]; pipe(go); pid_t p = fork(); if (!p) { char b; read(go[0], &b, 1); for (;;) burn(); }
	T(clock_getcpuclockid(p, &c)); hits = 0; T(timer_create(c, &e, &t)); s = in(20 * MS, 0); T(timer_settime(t, 0, &s, 0)); own0 = now(CLOCK_PROCESS_CPUTIME_ID); while (now(CLOCK_PROCESS_CPUTIME_ID) - own0 < 40 * MS) burn(); printf("this process burns: %d\n", hits); write(go[1], "x", 1); while (!hits) msleep(1); printf("that one does: %d\n", now(c) >= 20 * MS); kill(p, SIGKILL); waitpid(p, 0, 0); T(timer_gettime(t, &o)); T(timer_delete(t)); T(timer_create(c, &e, &t));
	T(clock_gettime(~p << 3 | 6, &ts)); T(timer_create(~getpid() << 3 | 2, &e, &t) == 0 && timer_delete(t) == 0); T(timer_create(~getpid() << 3 | 6, &e, &t) == 0 && timer_delete(t) == 0); T(timer_create(~getpid() << 3 | 3, &e, &t));
	return 0;
}
