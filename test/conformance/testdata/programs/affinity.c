// On which processors threads run: what is answered, and where they are then. What the
// host has is not printed: it is one processor of it, and all.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static cpu_set_t all, one, rest;
static int last; // number of the one

#define SAY(what, x) do { long r = (x); printf("%s: %ld%s%s\n", what, r, r < 0 ? " " : "", r < 0 ? strerrorname_np(errno) : ""); fflush(stdout); } while (0)

// where says if this thread has a set, and runs in it.
static const char *where(cpu_set_t *want)
{
	cpu_set_t s;
	int out = 0;
	if (sched_getaffinity(0, sizeof s, &s) || !CPU_EQUAL(&s, want))
		return "another set";
	for (int i = 0; i < 3000; i++) {
		for (volatile int j = 0; j < 300; j++)
			;
		if (i % 16 == 0)
			sched_yield();
		out += !CPU_ISSET(sched_getcpu(), want);
	}
	return out ? "not there" : "there";
}

static void *thread(void *want) { return (void *)where(want); }

static void threads(const char *what, cpu_set_t *attr, cpu_set_t *want)
{
	pthread_attr_t a;
	pthread_t t;
	void *r = 0;
	pthread_attr_init(&a);
	if (attr)
		pthread_attr_setaffinity_np(&a, sizeof *attr, attr);
	int e = pthread_create(&t, &a, thread, want);
	if (!e)
		pthread_join(t, &r);
	printf("%s: %d %s\n", what, e, (char *)r);
}

static int stop[2];
static void *still(void *x)
{
	char b;
	*(int *)x = syscall(SYS_gettid);
	write(stop[1], "x", 1);
	while (read(stop[0], &b, 1) == 1 && b != 'y')
		write(stop[1], &b, 1);
	return (void *)where(&one);
}

static void status(void)
{
	char line[4096], want[64];
	FILE *f = fopen("/proc/thread-self/status", "r");
	snprintf(want, sizeof want, "Cpus_allowed_list:\t%d\n", last);
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "Cpus_allowed_list", 17))
			printf("status: %d\n", !strcmp(line, want));
}

int main(int argc, char **argv)
{
	unsigned char raw[1024] = {0};
	sched_getaffinity(0, sizeof all, &all);
	if (argc > 1) { // executed: the set is the one of before
		printf("%s: %s, %d\n", argv[1], where(&all), CPU_COUNT(&all));
		return 0;
	}
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all))
			last = i;
	CPU_SET(last, &one);
	rest = all;
	CPU_CLR(last, &rest);
	printf("all: %s\n", where(&all));
	SAY("get 0 bytes", syscall(SYS_sched_getaffinity, 0, 0, raw));
	SAY("get 7 bytes", syscall(SYS_sched_getaffinity, 0, 7, raw));
	SAY("get 12 bytes", syscall(SYS_sched_getaffinity, 0, 12, raw));
	SAY("get of -1", syscall(SYS_sched_getaffinity, -1, 128, raw));
	SAY("get of nobody", syscall(SYS_sched_getaffinity, 4194303, 128, raw));
	SAY("get to nowhere", syscall(SYS_sched_getaffinity, 0, 128, 8));
	SAY("set none", sched_setaffinity(0, 128, (cpu_set_t *)raw));
	SAY("set 0 bytes", syscall(SYS_sched_setaffinity, 0, 0, raw));
	SAY("set from nowhere", syscall(SYS_sched_setaffinity, 0, 128, 8));
	SAY("set of nobody", syscall(SYS_sched_setaffinity, 4194303, 128, &all));
	SAY("set of -1", syscall(SYS_sched_setaffinity, -1, 128, &all));
	raw[1000 / 8] = 1;
	SAY("set one that is not there", syscall(SYS_sched_setaffinity, 0, 128, raw));
	memcpy(raw, &one, sizeof one);
	memset(raw + 128, 0xff, sizeof raw - 128);
	SAY("set more than there are", syscall(SYS_sched_setaffinity, 0, 1024, raw));
	printf("one: %s\n", where(&one));
	status();
	threads("a thread of the one", 0, &one);
	threads("a thread of its own set", &all, &all);
	SAY("set all", sched_setaffinity(0, sizeof all, &all));
	threads("a thread that begins in one", &one, &one);
	printf("all: %s\n", where(&all));

	// Of a thread that waits, by its number, and of a process.
	pthread_t t;
	int tid = 0;
	void *r;
	char b;
	int in[2], out[2];
	pipe(in);
	pipe(out);
	stop[0] = in[0];
	stop[1] = out[1];
	pthread_create(&t, 0, still, &tid);
	read(out[0], &b, 1);
	SAY("set another thread", sched_setaffinity(tid, sizeof one, &one));
	write(in[1], "y", 1);
	pthread_join(t, &r);
	printf("another thread: %s\n", (char *)r);
	printf("this one: %s\n", where(&all));
	SAY("set a thread that is over", sched_setaffinity(tid, sizeof one, &one));

	pid_t p = fork();
	if (!p) {
		read(in[0], &b, 1);
		printf("a child: %s\n", where(&one));
		fflush(stdout);
		_exit(0);
	}
	SAY("set a child", sched_setaffinity(p, sizeof one, &one));
	write(in[1], "y", 1);
	waitpid(p, 0, 0);

	SAY("set one", sched_setaffinity(0, sizeof one, &one));
	if (!(p = fork())) {
		printf("a child of the one: %s\n", where(&one));
		fflush(stdout);
		execl("/proc/self/exe", "affinity", "executed", (char *)0);
		_exit(1);
	}
	waitpid(p, 0, 0);
	char *args[] = {"affinity", "spawned", 0};
	if (!posix_spawn(&p, "/proc/self/exe", 0, 0, args, environ))
		waitpid(p, 0, 0);
	if (!(p = vfork())) {
		sched_setaffinity(0, sizeof all, &all);
		execl("/proc/self/exe", "affinity", "set in a vfork child", (char *)0);
		_exit(1);
	}
	waitpid(p, 0, 0);
	printf("its parent: %s\n", where(&one));
	return 0;
}
