#include "try.h"
#include <linux/futex.h>
static int *w; static pthread_mutex_t *m; static pthread_barrier_t *bar;
#define F(...) syscall(SYS_futex, __VA_ARGS__)
static void *waker(void *x) { msleep(20); *w = 1; while (F(w, FUTEX_WAKE, 100, 0, 0, 0) == 0) sched_yield(); return 0; }
static void *waits(void *x) { F(x, FUTEX_WAIT, 0, 0, 0, 0); return 0; }
static void on(int s) {}
static int wp; static void spin(void), threads_spin(void);
static void take(void) { pthread_mutex_lock(m); write(wp, "x", 1); }
static void robust(const char *what, void (*end)(void), int self) {
	pthread_mutexattr_t a; pthread_mutexattr_init(&a); pthread_mutexattr_setpshared(&a, 1); pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST); pthread_mutex_init(m, &a);
	int p[2]; pipe(p); pid_t c = fork(); wp = p[1]; if (!c) { if (self) take(); end(); _exit(0); } char ch; read(p[0], &ch, 1);
	if (end == (void *)pause || end == spin || end == threads_spin) kill(c, SIGKILL);
	printf("%s: ", what); T(pthread_mutex_lock(m)); T(pthread_mutex_consistent(m)); T(pthread_mutex_unlock(m)); T(pthread_mutex_lock(m)); T(pthread_mutex_unlock(m)); kill(c, SIGKILL); waitpid(c, 0, 0); close(p[0]); close(p[1]);
}
static void quit(void) { _exit(0); }
static void exec_(void) { execl("/bin/sleep", "sleep", "100", (char *)0); }
static void crash(void) { *(volatile int *)0 = 0; }
static void *holds(void *x) { take(); return 0; }
static void *hold_spin(void *x) { take(); for (;;) ; }
static void spin(void) { for (;;) ; }
static void threads_spin(void) { pthread_t t; pthread_create(&t, 0, hold_spin, 0); pause(); }
static void thread(void) { pthread_t t; pthread_create(&t, 0, holds, 0); pthread_join(t, 0); pause(); }
static void thread_holds_group(void) { pthread_t t; pthread_create(&t, 0, holds, 0); pthread_join(t, 0); _exit(0); }
int main(void) {
	begin(); w = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); m = (void *)(w + 100); struct timespec z = {0, 1000000}, bad = {0, 1000000000}, abs; pthread_t t; int word = 0;
	T(F(w, FUTEX_WAIT, 1, 0, 0, 0)); T(F(w, FUTEX_WAIT, 0, &z, 0, 0)); T(F(w, FUTEX_WAIT, 0, &bad, 0, 0)); bad.tv_sec = -1; bad.tv_nsec = 0; T(F(w, FUTEX_WAIT, 0, &bad, 0, 0)); T(F((char *)w + 1, FUTEX_WAIT, 0, &z, 0, 0)); T(F(8, FUTEX_WAIT, 0, &z, 0, 0)); T(F(w, FUTEX_WAIT, 0, 8, 0, 0)); T(F(w, FUTEX_WAKE, 1, 0, 0, 0)); T(F(8, FUTEX_WAKE, 1, 0, 0, 0)); T(F(0, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0)); T(F((char *)w + 2, FUTEX_WAKE, 1, 0, 0, 0)); T(F(w, 99, 0, 0, 0, 0)); T(F(w, FUTEX_FD, 0, 0, 0, 0)); T(F(w, FUTEX_WAIT_BITSET, 0, &z, 0, 0)); T(F(w, FUTEX_WAKE_BITSET, 1, 0, 0, 0)); clock_gettime(CLOCK_MONOTONIC, &abs); T(F(w, FUTEX_WAIT_BITSET, 0, &abs, 0, -1)); clock_gettime(CLOCK_REALTIME, &abs); T(F(w, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &abs, 0, -1)); T(F(w, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0));
	pthread_create(&t, 0, waker, 0); T(F(w, FUTEX_WAIT, 0, 0, 0, 0)); pthread_join(t, 0); *w = 0; if (!fork()) { waker(0); _exit(0); } T(F(w, FUTEX_WAIT, 0, 0, 0, 0)); wait(0); *w = 0;
	int f = open("f", O_RDWR | O_CREAT, 0600); ftruncate(f, 4096); int *a = mmap(0, 4096, 3, MAP_SHARED, f, 0); if (!fork()) { int *b = mmap(0, 4096, 3, MAP_SHARED, open("f", O_RDWR), 0); msleep(20); while (F(b, FUTEX_WAKE, 1, 0, 0, 0) == 0) sched_yield(); _exit(0); } T(F(a, FUTEX_WAIT, 0, 0, 0, 0)); wait(0);
	pthread_t ts[4]; for (int i = 0; i < 4; i++) pthread_create(&ts[i], 0, waits, &word); int other = 0, k = 0; while (F(&word, FUTEX_WAKE, 1, 0, 0, 0) == 0) sched_yield(); T(F(&word, FUTEX_CMP_REQUEUE, 1, 2, &other, 5)); while (k < 2) k += F(&word, FUTEX_CMP_REQUEUE, 0, 2 - k, &other, 0); printf("requeued %d\n", k); T(F(&other, FUTEX_WAKE, 100, 0, 0, 0)); while (F(&word, FUTEX_WAKE, 100, 0, 0, 0) == 0) sched_yield(); for (int i = 0; i < 4; i++) pthread_join(ts[i], 0);
	T(F(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_ADD, 7, FUTEX_OP_CMP_EQ, 0))); printf("%d\n", other); T(F(&word, FUTEX_WAKE_OP, 1, 1, 8, 0)); T(F(&word, FUTEX_REQUEUE, -1, 1, &other, 0)); T(F(&word, FUTEX_WAKE_OP, 1, 1, &other, 9 << 28));
	signal(SIGALRM, on); struct sigaction sa = {.sa_handler = on}; sigaction(SIGALRM, &sa, 0); struct itimerval it = {{0, 20000}, {0, 20000}}, none = {0}; setitimer(ITIMER_REAL, &it, 0); T(F(w, FUTEX_WAIT, 0, 0, 0, 0)); setitimer(ITIMER_REAL, &it, 0); z.tv_sec = 10; T(F(w, FUTEX_WAIT, 0, &z, 0, 0)); sa.sa_flags = SA_RESTART; sigaction(SIGALRM, &sa, 0); setitimer(ITIMER_REAL, &it, 0); z.tv_sec = 10; T(F(w, FUTEX_WAIT, 0, &z, 0, 0)); setitimer(ITIMER_REAL, &none, 0);
	struct robust_list_head *h, mine = {{&mine.list}, 0, 0}; size_t len; T(syscall(SYS_get_robust_list, 0, &h, &len)); printf("%d\n", (int)len); T(syscall(SYS_get_robust_list, 0x3ffffff, &h, &len)); T(syscall(SYS_get_robust_list, 0, 8, &len)); T(syscall(SYS_set_robust_list, h, 12)); T(syscall(SYS_get_robust_list, -1, &h, &len));
	robust("exit", quit, 1); robust("exec", exec_, 1); robust("killed", (void *)pause, 1); robust("killed running", spin, 1); robust("thread killed running", threads_spin, 0); robust("crash", crash, 1); robust("thread", thread, 0); robust("group", thread_holds_group, 0);
	// A list by hand: the word, the offset, waiters, a list that does not end.
	struct { struct robust_list l; int word, pad; } *e = (void *)(w + 300); struct robust_list_head *hd = (void *)(w + 400); for (int way = 0; way < 5; way++) { pid_t c = fork(); if (!c) { int tid = syscall(SYS_gettid); hd->list.next = &e->l; hd->futex_offset = 8; hd->list_op_pending = 0; e->l.next = &hd->list; e->word = tid; if (way == 1) e->word |= FUTEX_WAITERS; if (way == 2) e->word = 12345; if (way == 3) { hd->list.next = &hd->list; hd->list_op_pending = &e->l; } if (way == 4) e->l.next = &e->l; syscall(SYS_set_robust_list, hd, sizeof *hd); if (way & 1) kill(getpid(), SIGKILL); _exit(0); } waitpid(c, 0, 0); printf("way %d: %x\n", way, (e->word & ~FUTEX_TID_MASK) | (way == 2 ? e->word & FUTEX_TID_MASK : 0)); }
	pid_t c = fork(); if (!c) { int *ct = w + 500; *ct = 77; syscall(SYS_set_tid_address, ct); _exit(0); } waitpid(c, 0, 0); printf("clear tid %d\n", w[500]); pthread_barrierattr_t ba; pthread_barrierattr_init(&ba); pthread_barrierattr_setpshared(&ba, 1); bar = (void *)(w + 600); pthread_barrier_init(bar, &ba, 3); for (int i = 0; i < 2; i++) if (!fork()) { pthread_barrier_wait(bar); _exit(0); } int r = pthread_barrier_wait(bar); printf("barrier %d\n", r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD); wait(0); wait(0);
	return 0;
}
