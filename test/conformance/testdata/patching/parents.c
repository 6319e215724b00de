// Calls that the library answers from what the server told it: they change when others
// act, and while a vfork child has the task.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(const char *what, int ok) { printf("%s: %s\n", what, ok ? "yes" : "no"); }

static int same(pid_t (*f)(void), pid_t want) {
	int bad = 0;
	for (int i = 0; i < 100; i++)
		bad += f() != want;
	return !bad;
}

static void *other(void *x) {
	pid_t p = vfork();
	if (p == 0)
		_exit(0);
	return 0;
}

int main(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	int go[2], end[2], back[2], st;
	char c;
	pid_t me = getpid(), p, boss = getppid(), group;
	check("a parent", same(getppid, boss));
	if (getpgrp() != me)
		setpgid(0, 0);
	check("a group", same(getpgrp, me));
	pipe(go);
	pipe(end);
	pipe(back);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	p = fork();
	if (p == 0) {
		if (fork() == 0) {
			pid_t dad = getppid();
			int ok = same(getppid, dad) && dad != me;
			write(back[1], ok ? "y" : "n", 1);
			read(go[0], &c, 1); // the father is gone and waited for
			ok = same(getppid, me);
			write(back[1], ok ? "y" : "n", 1);
			_exit(0);
		}
		read(end[0], &c, 1);
		_exit(0);
	}
	read(back[0], &c, 1);
	check("a grandchild's parent", c == 'y');
	write(end[1], "x", 1);
	waitpid(p, &st, 0);
	write(go[1], "x", 1);
	read(back[0], &c, 1);
	check("its parent died", c == 'y');
	wait(&st);

	p = fork();
	if (p == 0) {
		int ok = same(getpgrp, me);
		write(back[1], ok ? "y" : "n", 1);
		read(go[0], &c, 1); // moved into a group of its own
		ok = same(getpgrp, getpid());
		write(back[1], ok ? "y" : "n", 1);
		_exit(0);
	}
	read(back[0], &c, 1);
	check("a child's group", c == 'y');
	check("moved", setpgid(p, p) == 0);
	write(go[1], "x", 1);
	read(back[0], &c, 1);
	check("its new group", c == 'y');
	wait(&st);

	int bad = 0;
	for (int i = 0; i < 20; i++) {
		bad += !same(getppid, boss) + !same(getpgrp, me);
		volatile int in = 0;
		p = vfork();
		if (p == 0) {
			in = same(getppid, me) && getpgrp() == me && setpgid(0, 0) == 0 && same(getpgrp, getpid());
			_exit(0);
		}
		waitpid(p, &st, 0);
		bad += !in + !same(getppid, boss) + !same(getpgrp, me);
	}
	check("vfork", !bad);
	pthread_t t;
	pthread_create(&t, 0, other, 0);
	bad = !same(getppid, boss);
	pthread_join(t, 0);
	check("threads", !bad && same(getppid, boss) && same(getpgrp, me));
	return 0;
}
