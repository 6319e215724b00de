// Futexes with an owner: bare, and as the C library's mutexes use them.
#include "try.h"
#include <linux/futex.h>

static long fx(uint32_t *w, int op, uint32_t val, void *timeout, uint32_t *w2, uint32_t val3) {
	return syscall(SYS_futex, w, op, val, timeout, w2, val3);
}
static uint32_t self(void) { return syscall(SYS_gettid); }
static void word(const char *s, uint32_t w) {
	printf("%s:%s%s%s\n", s, w & FUTEX_WAITERS ? " waiters" : "", w & FUTEX_OWNER_DIED ? " died" : "",
		(w & FUTEX_TID_MASK) == self() ? " mine" : w & FUTEX_TID_MASK ? " another's" : " nobody's");
}

static uint32_t w, q;
static int ready[2];
static volatile sig_atomic_t seen;
static void on(int s) { seen++; }

static void *holds(void *x) {
	long r = fx(&w, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0);
	write(ready[1], "x", 1);
	// Until somebody waits.
	while (!(__atomic_load_n(&w, __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
		sched_yield();
	return (void *)(r | fx(&w, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0));
}

static void bare(void) {
	char c;
	pthread_t t;
	T(fx(&w, FUTEX_LOCK_PI, 0, 0, 0, 0));
	word("locked", w);
	T(fx(&w, FUTEX_LOCK_PI, 0, 0, 0, 0));
	T(fx(&w, FUTEX_TRYLOCK_PI, 0, 0, 0, 0));
	T(fx(&w, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
	word("unlocked", w);
	T(fx(&w, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
	T(fx(&w, FUTEX_TRYLOCK_PI_PRIVATE, 0, 0, 0, 0));
	T(fx(&w, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0));
	w = FUTEX_OWNER_DIED;
	T(fx(&w, FUTEX_LOCK_PI, 0, 0, 0, 0));
	word("dead owner's", w);
	T(fx(&w, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
	word("unlocked", w);
	w = 0x3ffffff0;
	T(fx(&w, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0));
	T(fx(&w, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0));
	w = 0;
	T(fx((void *)8, FUTEX_LOCK_PI, 0, 0, 0, 0));
	T(fx((void *)((char *)&w + 1), FUTEX_LOCK_PI, 0, 0, 0, 0));
	T(fx((void *)8, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
	T(fx(&w, FUTEX_LOCK_PI, 0, (void *)8, 0, 0));
	T(fx(&w, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0));
	T(fx(&w, FUTEX_UNLOCK_PI | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0));
	uint32_t *ro = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T(fx(ro, FUTEX_LOCK_PI, 0, 0, 0, 0));

	pipe(ready);
	pthread_create(&t, 0, holds, 0);
	read(ready[0], &c, 1);
	word("held", w);
	OK(fx(&w, FUTEX_TRYLOCK_PI_PRIVATE, 0, 0, 0, 0));
	T(fx(&w, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0));
	T(fx(&w, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0));
	printf("%d\n", (w & FUTEX_TID_MASK) == self());
	void *both;
	pthread_join(t, &both);
	T(both);
	T(fx(&w, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0));
	printf("%x\n", w);
	// A limit of time, on both clocks, while another holds it for good.
	if (fork() == 0) { // its copy
		w = 1; // the first process lives
		struct timespec ts;
		clock_gettime(CLOCK_REALTIME, &ts);
		if ((ts.tv_nsec += 20000000) >= 1000000000)
			ts.tv_sec++, ts.tv_nsec -= 1000000000;
		w = getppid();
		T(fx(&w, FUTEX_LOCK_PI, 0, &ts, 0, 0));
		clock_gettime(CLOCK_MONOTONIC, &ts);
		if ((ts.tv_nsec += 20000000) >= 1000000000)
			ts.tv_sec++, ts.tv_nsec -= 1000000000;
		T(fx(&w, FUTEX_LOCK_PI2, 0, &ts, 0, 0));
		ts.tv_nsec = -1;
		T(fx(&w, FUTEX_LOCK_PI, 0, &ts, 0, 0));
		fflush(stdout);
		_exit(0);
	}
	wait(0);
	T(fx(&w, FUTEX_CMP_REQUEUE_PI, 2, (void *)1, &q, 0));
	T(fx(&w, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &w, 0));
	T(fx(&w, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &q, 5));
	T(fx(&w, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &q, 0));
	T(fx(&w, FUTEX_WAIT_REQUEUE_PI, 5, 0, &q, 0));
	T(fx(&w, FUTEX_WAIT_REQUEUE_PI, 0, 0, &w, 0));
}

static pthread_mutex_t m;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long count;

static void *counts(void *x) {
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&m);
		count++;
		if (i % 100 == 0)
			sched_yield();
		pthread_mutex_unlock(&m);
	}
	return 0;
}

static void *consumes(void *x) {
	pthread_mutex_lock(&m);
	while (count < 10)
		pthread_cond_wait(&cond, &m);
	pthread_mutex_unlock(&m);
	return x;
}

static void *waits(void *x) {
	write(ready[1], "x", 1);
	int r = pthread_mutex_lock(&m);
	printf("lock after signals: %d\n", r);
	pthread_mutex_unlock(&m);
	return 0;
}

static void *dies(void *x) {
	pthread_mutex_lock(&m);
	return 0;
}

static void init(pthread_mutex_t *m, int shared, int robust) {
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	T(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT));
	if (shared)
		pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	T(pthread_mutex_init(m, &a));
}

static void mutexes(void) {
	pthread_t t[4];
	struct timespec ts;
	char c;
	init(&m, 0, 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], 0, counts, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], 0);
	printf("%ld\n", count);
	count = 0;
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], 0, consumes, 0);
	for (int i = 0; i < 10; i++) {
		pthread_mutex_lock(&m);
		count++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&m);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], 0);

	// Handlers without SA_RESTART do not end a wait for a lock.
	struct sigaction sa = {.sa_handler = on};
	sigaction(SIGUSR1, &sa, 0);
	pthread_mutex_lock(&m);
	pthread_create(&t[0], 0, waits, 0);
	read(ready[0], &c, 1);
	for (int i = 1; i <= 3; i++) {
		pthread_kill(t[0], SIGUSR1);
		while (seen < i)
			sched_yield();
	}
	T(pthread_mutex_trylock(&m) != 0);
	pthread_mutex_unlock(&m);
	pthread_join(t[0], 0);

	pthread_mutex_destroy(&m);
	init(&m, 0, 1);
	pthread_create(&t[0], 0, dies, 0);
	pthread_join(t[0], 0);
	T(pthread_mutex_lock(&m) == EOWNERDEAD);
	T(pthread_mutex_consistent(&m));
	T(pthread_mutex_unlock(&m));
	T(pthread_mutex_lock(&m));
	T(pthread_mutex_unlock(&m));

	// Between processes, one of which dies with it while another waits.
	pthread_mutex_t *s = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	init(s, 1, 1);
	pid_t p = fork();
	if (p == 0) {
		pthread_mutex_lock(s);
		write(ready[1], "x", 1);
		pause();
	}
	read(ready[0], &c, 1);
	T(pthread_mutex_trylock(s) == EBUSY);
	clock_gettime(CLOCK_REALTIME, &ts);
	if ((ts.tv_nsec += 10000000) >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	T(pthread_mutex_timedlock(s, &ts) == ETIMEDOUT);
	pid_t k = fork();
	if (k == 0) {
		int r = pthread_mutex_lock(s);
		printf("the waiter: %d\n", r == EOWNERDEAD);
		pthread_mutex_consistent(s);
		pthread_mutex_unlock(s);
		fflush(stdout);
		_exit(0);
	}
	fflush(stdout);
	while (!(*(volatile uint32_t *)s & FUTEX_WAITERS))
		sched_yield();
	kill(p, SIGKILL);
	waitpid(p, 0, 0);
	waitpid(k, 0, 0);
	T(pthread_mutex_lock(s));
	T(pthread_mutex_unlock(s));
}

int main(void) {
	begin();
	bare();
	mutexes();
	return 0;
}
