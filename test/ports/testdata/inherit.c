/* What forked children have of memory objects. Prints a line for each surprise and ends
   with the number of them. */
#define _GNU_SOURCE
#include "guest.h"

enum { SIZE = 8 * HYTHE_PAGE };

static char *object(int kind)
{
	int e;
	want("create", hythe_call4(&d, OBJECT_CREATE, SIZE, kind, 0, 0), 0);
	char *p = hythe_map_object(&d, d.call.a[0], SIZE, 0, &e);
	if (!p) {
		want("map", e, 0);
		exit(1);
	}
	memset(p, 'p', SIZE);
	return p;
}

/* child runs f in a forked child. */
static void child(void (*f)(void))
{
	fflush(stdout);
	int status, before = bad;
	pid_t pid = fork();
	if (pid == 0) {
		bad = 0;
		f();
		fflush(stdout);
		_exit(bad);
	}
	waitpid(pid, &status, 0);
	want("child", status, 0);
	(void)before;
}

static char *share, *copy, *none, *part;
static int pipes[2];

static void grand(void)
{
	want("a grandchild's share", share[0], 'c');
	want("its copy of a copy", copy[0], 'c');
	share[1] = 'g', copy[1] = 'g';
	want("nothing", touched(none), SIGSEGV);
}

static void son(void)
{
	char b;
	read(pipes[0], &b, 1); /* the parent has written to all of them after the fork */
	want("share", share[0], 'q');
	want("copy", copy[0], 'p');
	want("none", touched(none), SIGSEGV);
	want("the first part", part[0], 'q');
	want("the copied part", part[2 * HYTHE_PAGE], 'p');
	want("the end of it", part[4 * HYTHE_PAGE - 1], 'p');
	want("the part that is missing", touched(part + 4 * HYTHE_PAGE), SIGSEGV);
	want("the last part", part[5 * HYTHE_PAGE], 'q');
	want("a copy is the task's own", inherit(copy, SIZE, INHERIT_SHARE), EINVAL);
	want("share is share", inherit(share, SIZE, INHERIT_SHARE), 0);
	share[0] = 'c', copy[0] = 'c';
	child(grand);
	want("what a grandchild shares", share[1], 'g');
	want("what it does not", copy[1], 'p');
}

static void readonly(void)
{
	want("a copy to read", copy[0], 'r');
	want("cannot be written", mprotect(copy, SIZE, PROT_READ), 0);
}

int main(void)
{
	struct sigaction sa = {.sa_handler = jump};
	sigaction(SIGSEGV, &sa, NULL);
	want("open", syscall(HYTHE_OPEN) > 0, 1);
	share = object(0), copy = object(OBJECT_PLACED), none = object(0), part = object(0);
	want("copy", inherit(copy, SIZE, INHERIT_COPY), 0);
	want("none", inherit(none, SIZE, INHERIT_NONE), 0);
	want("a part", inherit(part + 2 * HYTHE_PAGE, 3 * HYTHE_PAGE, INHERIT_COPY), 0);
	want("a part of that", inherit(part + 4 * HYTHE_PAGE, HYTHE_PAGE, INHERIT_NONE), 0);
	want("not whole pages", inherit(share, 100, INHERIT_COPY), EINVAL);
	want("nor there", inherit(share + 1, HYTHE_PAGE, INHERIT_COPY), EINVAL);
	want("nothing", inherit(share, 0, INHERIT_COPY), EINVAL);
	want("no such word", inherit(share, SIZE, 3), EINVAL);
	want("more than there is", inherit(share, 2 * SIZE, INHERIT_COPY), EINVAL);
	char *own = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	want("no object", inherit(own, SIZE, INHERIT_SHARE), EINVAL);
	want("not a guest's", inherit((void *)0x7ec000000000, SIZE, INHERIT_NONE), EINVAL);
	want("pipe", pipe(pipes), 0);
	fflush(stdout);
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		son();
		fflush(stdout);
		_exit(bad);
	}
	memset(share, 'q', SIZE), memset(copy, 'q', SIZE), memset(none, 'q', SIZE), memset(part, 'q', SIZE);
	write(pipes[1], "x", 1);
	waitpid(pid, &status, 0);
	want("child", status, 0);
	want("the child's share", share[0], 'c');
	want("the child's copy", copy[0], 'q');
	/* What is mapped anew is what it is. */
	copy[0] = 'r';
	want("unmap", munmap(none, SIZE), 0);
	want("none of it", inherit(none, SIZE, INHERIT_SHARE), EINVAL);
	want("anew", (long)mmap(part, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), (long)part);
	want("another", inherit(part, HYTHE_PAGE, INHERIT_NONE), EINVAL);
	child(readonly);
	/* Again and again: nothing is left of the copies. */
	for (int i = 0; i < 50; i++)
		child(readonly);
	want("back", inherit(copy, SIZE, INHERIT_SHARE), 0);
	if ((pid = fork()) == 0) {
		copy[0] = 's';
		_exit(0);
	}
	waitpid(pid, &status, 0);
	want("shared again", copy[0], 's');
	/* As many parts as there can be: none is lost. */
	int e = 0;
	char *last = NULL;
	for (int i = 0; i < 40 && !e; i++) {
		last = object(0);
		for (int k = 0; k < 8 && !e; k++)
			e = inherit(last + k * HYTHE_PAGE, HYTHE_PAGE, INHERIT_NONE);
	}
	want("too many parts", e, ENOMEM);
	want("what there is room for", inherit(last, HYTHE_PAGE, INHERIT_SHARE), 0);
	printf("%d surprises\n", bad);
	return bad != 0;
}
