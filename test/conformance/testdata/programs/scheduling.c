// How an ordinary user's threads are scheduled: what may be asked for, and what it is then.
#include "try.h"
#include <grp.h>
#include <sys/prctl.h>

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t min, max;
};

static long setattr(pid_t p, void *a, unsigned flags) { return syscall(SYS_sched_setattr, p, a, flags); }
static long getattr(pid_t p, void *a, unsigned n, unsigned flags) { return syscall(SYS_sched_getattr, p, a, n, flags); }
static long setprio(int which, int who, int n) { return syscall(SYS_setpriority, which, who, n); }
static long getprio(int which, int who) { return syscall(SYS_getpriority, which, who); }

static void now(const char *what)
{
	struct attr a = {0};
	struct sched_param p = {77};
	char line[1024], *s;
	FILE *f = fopen("/proc/thread-self/stat", "r");
	int pri = 0, nice = 0, rt = 0, pol = 0;
	if (f && fgets(line, sizeof line, f) && (s = strrchr(line, ')')))
		sscanf(s + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %d %d %*d %*d %*u %*u %*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %*d %d %d",
			&pri, &nice, &rt, &pol);
	if (f)
		fclose(f);
	getattr(0, &a, sizeof a, 0);
	sched_getparam(0, &p);
	printf("%s: nice %ld, policy %d, param %d; attr: size %u policy %u flags %d nice %d priority %u; stat %d %d %d %d\n", what, 20 - getprio(0, 0), sched_getscheduler(0),
		p.sched_priority, a.size, a.policy, (int)a.flags, a.nice, a.priority, pri, nice, rt, pol);
	fflush(stdout);
}

static void *thread(void *x)
{
	now("a thread");
	T(setprio(0, 0, 15));
	now("its own");
	return 0;
}

#define ATTR(...) ({ struct attr a_ = {.size = sizeof a_, __VA_ARGS__}; setattr(0, &a_, 0); })
#define SCHED(p, n) ({ struct sched_param x_ = {n}; syscall(SYS_sched_setscheduler, 0, p, &x_); })
#define PARAM(n) ({ struct sched_param x_ = {n}; syscall(SYS_sched_setparam, 0, &x_); })

int main(int argc, char **argv)
{
	pthread_t t;
	pid_t p;
	char big[8192] = {0};
	struct attr a = {.size = sizeof a};
	if (argc > 1) {
		now(argv[1]);
		return 0;
	}
	begin();
	setpriority(PRIO_PROCESS, 0, 0);
	setgroups(0, 0);
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		puts("not an ordinary user");
	prctl(PR_SET_DUMPABLE, 1);
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_NICE, &none);
	setrlimit(RLIMIT_RTPRIO, &none);
	now("begin");

	T(getprio(3, 0));
	T(getprio(0, 4194303));
	T(setprio(-1, 0, 0));
	T(setprio(0, 4194303, 0));
	T(setprio(1, 4194303, 0));
	T(setprio(0, 0, -1));
	T(setprio(0, 0, 0));
	T(setprio(0, 0, 3));
	now("nice 3");
	T(setprio(0, 0, 2));
	pthread_create(&t, 0, thread, 0);
	pthread_join(t, 0);
	now("this thread");

	T(SCHED(-1, 0));
	T(SCHED(4, 0));
	T(SCHED(99, 0));
	T(SCHED(0, 1));
	T(SCHED(1, 0));
	T(SCHED(1, 100));
	T(SCHED(1, 1));
	T(SCHED(2, 99));
	T(SCHED(3, 1));
	T(SCHED(6, 0));
	T(syscall(SYS_sched_setscheduler, 0, 0, 0));
	T(syscall(SYS_sched_setscheduler, 0, 0, 8));
	T(syscall(SYS_sched_setscheduler, -1, 0, &big));
	T(syscall(SYS_sched_setscheduler, 4194303, 0, &big));
	T(syscall(SYS_sched_getscheduler, -1));
	T(syscall(SYS_sched_getscheduler, 4194303));
	T(syscall(SYS_sched_getparam, 0, 0));
	T(syscall(SYS_sched_getparam, -1, &big));
	T(PARAM(1));
	T(PARAM(0));
	T(SCHED(3, 0));
	now("batch");
	if (!(p = fork())) {
		now("a child");
		execl("/proc/self/exe", "x", "executed", (char *)0);
		_exit(1);
	}
	waitpid(p, 0, 0);
	T(SCHED(0x40000000 | 3, 0));
	now("batch, not for children");
	if (!(p = fork())) {
		now("a child");
		_exit(0);
	}
	waitpid(p, 0, 0);
	T(SCHED(3, 0)); // to take that back is privileged
	T(SCHED(0x40000000, 0));

	T(ATTR(.policy = 0, .flags = 1, .nice = 5));
	now("attr nice 5");
	T(ATTR(.policy = 0, .flags = 1, .nice = 4));
	T(ATTR(.policy = 0, .nice = 6));
	T(ATTR(.policy = 0, .flags = 1, .nice = 100));
	now("attr nice 100");
	T(ATTR(.policy = 0, .flags = 1, .nice = 19, .priority = 1));
	T(ATTR(.policy = 1, .flags = 1, .priority = 1));
	T(ATTR(.policy = 1, .flags = 1));
	T(ATTR(.policy = 6, .flags = 1));
	T(ATTR(.policy = 6, .flags = 1, .runtime = 1000, .deadline = 10000000));
	T(ATTR(.policy = 6, .flags = 1, .runtime = 1000000, .deadline = 10000000, .period = 5000000));
	T(ATTR(.policy = 6, .flags = 1, .runtime = 1000000, .deadline = 10000000));
	T(ATTR(.policy = -1u, .flags = 1));
	T(ATTR(.policy = 0, .flags = 0x100));
	T(ATTR(.policy = 3, .flags = 0x1000000001));
	T(ATTR(.policy = 5, .flags = 0x19, .nice = 1));
	now("kept");
	T(setattr(0, 0, 0));
	T(setattr(0, &a, 1));
	T(setattr(-1, &a, 0));
	T(setattr(4194303, &a, 0));
	T(setattr(0, (void *)8, 0));
	a.size = 47;
	T(setattr(0, &a, 0));
	T(a.size);
	a.size = 4097;
	T(setattr(0, &a, 0));
	struct attr *l = (void *)big;
	l->size = 64, l->flags = 1, l->nice = 19;
	T(setattr(0, l, 0));
	big[60] = 1;
	T(setattr(0, l, 0));
	T(l->size);
	T(getattr(0, &a, 47, 0));
	T(getattr(0, &a, 4097, 0));
	T(getattr(0, 0, 48, 0));
	T(getattr(0, (void *)8, 48, 0));
	T(getattr(-1, &a, 48, 0));
	T(getattr(4194303, &a, 48, 0));
	T(getattr(0, &a, 48, 0));
	T(a.size);
	memset(big, 'x', 100);
	T(getattr(0, big, 100, 0));
	T(big[99]);
	T(SCHED(0x40000005, 0));
	now("idle");
	T(SCHED(0x40000000, 0)); // back is privileged
	T(sched_get_priority_max(1));
	T(sched_get_priority_min(2));
	T(sched_get_priority_max(3));
	T(sched_get_priority_max(4));
	T(sched_get_priority_min(6));
	T(sched_get_priority_min(-1));
	return 0;
}
