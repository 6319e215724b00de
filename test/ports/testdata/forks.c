/* What forked children share of a paged object (that of paged.c, or of examples/pager).
   Prints a line for each surprise and ends with the number of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sys/time.h>
#include "guest.h"

enum { PAGES = 40, ERROR = 30, NEVER = 31 };

static uint64_t size;
static uint32_t object;
static char *self;

/* wrote is as touched. */
static int wrote(volatile char *p)
{
	int sig = sigsetjmp(out, 1);
	if (!sig)
		*p = *p;
	return sig;
}

/* child runs f in a forked child, which ends with the number of its surprises. */
static pid_t child(void (*f)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		bad = 0;
		f();
		fflush(stdout);
		_exit(bad);
	}
	return pid;
}

static void ended(const char *what, pid_t pid, int expect)
{
	int status = -1;
	waitpid(pid, &status, 0);
	want(what, status, expect);
}

static void map(const char *name)
{
	struct hythe_msg *m;
	char *body;
	int e;
	long names = syscall(HYTHE_OPEN);
	if (names < 0 || hythe_call4(&d, PORT_ALLOCATE, RIGHT_RECEIVE, 0, 0, 0)) {
		puts("no guest");
		exit(1);
	}
	uint32_t reply = d.call.a[0];
	want("look-up", hythe_ask(&d, names, reply, 3, name, strlen(name), &m, &body), 0);
	uint32_t to = ((struct hythe_right *)(m + 1))->name;
	want("ask", hythe_ask(&d, to, reply, 0, "", 0, &m, &body), 0);
	struct hythe_object *o = (struct hythe_object *)(m + 1);
	object = o->name, size = o->len;
	mem = hythe_map_object(&d, object, size, 1, &e);
	if (!mem) {
		want("map", e, 0);
		exit(1);
	}
}

static int go[2], back[2];

/* step lets the other one go on, and waits for it. */
static void step(int to, int from)
{
	char b = 0;
	if (to >= 0)
		want("step", write(to, &b, 1), 1);
	if (from >= 0)
		want("step", read(from, &b, 1), 1);
}

static void son(void)
{
	char buf[HYTHE_PAGE];
	int pipes[2], fd;
	want("none is open", (fd = dup(0)) < 64, 1);
	close(fd);
	want("the parent's page", page(0)[0] == 'p' && page(0)[1] == 1, 1);
	want("a page that was missing", page(1)[0] == 2 && page(1)[HYTHE_PAGE - 1] == 2, 1);
	page(1)[0] = 's';
	step(back[1], go[0]); /* the parent has written now */
	want("what the parent has written since", page(1)[1], 'P');
	want("and on another", page(2)[0] == 'P' && page(2)[1] == 3, 1);
	/* System calls. */
	want("pipe", pipe(pipes), 0);
	want("write", write(pipes[1], page(3), HYTHE_PAGE), HYTHE_PAGE);
	want("read", read(pipes[0], buf, HYTHE_PAGE), HYTHE_PAGE);
	want("what was read", buf[0] == 4 && buf[HYTHE_PAGE - 1] == 4, 1);
	memset(buf, 's', 100);
	want("write", write(pipes[1], buf, 100), 100);
	want("read", read(pipes[0], page(4) + 50, 100), 100);
	want("what is there", page(4)[49] == 5 && page(4)[50] == 's' && page(4)[150] == 5, 1);
	want("a futex", syscall(SYS_futex, page(5), 0, 77, NULL, NULL, 0) < 0 ? errno : 0, EAGAIN);
	want("an error", touched(page(ERROR)), SIGBUS);
	struct itimerval tick = {.it_value = {.tv_usec = 50000}};
	setitimer(ITIMER_REAL, &tick, NULL);
	want("a page that never comes", touched(page(NEVER)), SIGALRM);
	want("a look at it", (fd = open("/proc/self/mem", O_RDWR)) >= 0 ? pread(fd, buf, 1, (long)page(NEVER)) : 0, -1);
	/* What the parent may not. */
	want("what can be read alone", touched(page(6)) == 0 && wrote(page(6)) == SIGSEGV, 1);
	want("what has no access", touched(page(7)), SIGSEGV);
	/* What was moved, unmapped, and is mapped anew. */
	want("moved", touched(page(8)), SIGSEGV);
	want("unmapped", touched(page(9)), SIGSEGV);
	want("mapped anew", page(10)[0], 'a');
	/* What is to be copied, and nothing. */
	want("a copy", page(11)[0] == 12 && page(12)[0] == 13, 1);
	page(11)[0] = 's';
	want("none", touched(page(13)), SIGSEGV);
	want("behind it", page(14)[0], 15);
	/* Parts that go here stay there. */
	page(15)[0] = 's';
	want("not needed", madvise(page(15), HYTHE_PAGE, MADV_DONTNEED), 0);
	want("and there again", page(15)[0] == 's' && page(15)[1] == 16, 1);
	want("unmap", munmap(page(16), 2 * HYTHE_PAGE), 0);
	want("unmapped here", touched(page(16)), SIGSEGV);
	want("next to it", page(18)[0], 19);
	want("taken out of the object", madvise(page(18), HYTHE_PAGE, MADV_REMOVE), 0);
	want("and asked for again", page(18)[0], 19);
	char *to = mmap(NULL, HYTHE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	want("move", mremap(page(19), HYTHE_PAGE, HYTHE_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, 1);
	want("a missing page that was moved", to[0], 20);
	to[0] = 's';
	want("the ports are not its own", (int)syscall(HYTHE_SEND, &d, sizeof d.call), -1);
	want("open", (int)syscall(HYTHE_OPEN) > 0, 1);
	want("and nothing is watched there", hythe_call4(&d, 33 /* unwatch */, 0, 0, 0, 0), ESRCH);
}

static void grandson(void)
{
	page(20)[2] = 'g';
	want("a page", page(20)[0], 21);
}

static void middle(void)
{
	page(20)[1] = 'm';
	ended("grandchild", child(grandson), 0);
	want("its word", page(20)[2], 'g');
	/* Once more, of a part, to a child that has all there is. */
	want("not any more", inherit(page(20), HYTHE_PAGE, INHERIT_NONE), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(touched(page(20)) != SIGSEGV || page(21)[0] != 22);
	ended("a grandchild with less", pid, 0);
}


static void *forks(void *arg)
{
	long id = (long)arg;
	for (int i = 0; i < 6; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			page(24)[id * 16 + i] = 't'; /* missing for the first of all */
			_exit(page(25 + i % 3)[0] != 26 + i % 3);
		}
		int status = -1;
		waitpid(pid, &status, 0);
		__atomic_fetch_add(&bad, status != 0, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int stop;

/* maps maps and unmaps the object elsewhere while others fork. */
static void *maps(void *arg)
{
	(void)arg;
	int e;
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		char *p = hythe_map_object(&d, object, 4 * HYTHE_PAGE, 1, &e);
		if (!p || inherit(p, 4 * HYTHE_PAGE, INHERIT_SHARE))
			__atomic_fetch_add(&bad, 1, __ATOMIC_SEQ_CST);
		else
			munmap(p, 4 * HYTHE_PAGE);
	}
	return NULL;
}

static int all(void)
{
	map("test/paged");
	want("pages", size, PAGES * HYTHE_PAGE);
	want("share", inherit(mem, size, INHERIT_SHARE), 0);
	page(0)[0] = 'p';
	want("to read", mprotect(page(6), HYTHE_PAGE, PROT_READ), 0);
	want("no access", mprotect(page(7), HYTHE_PAGE, PROT_NONE), 0);
	char *moved = mmap(NULL, HYTHE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	want("move", mremap(page(8), HYTHE_PAGE, HYTHE_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == moved, 1);
	want("unmap", munmap(page(9), HYTHE_PAGE), 0);
	want("anew", mmap(page(10), HYTHE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page(10), 1);
	page(10)[0] = 'a';
	want("copy", inherit(page(11), 2 * HYTHE_PAGE, INHERIT_COPY), 0);
	want("none", inherit(page(13), HYTHE_PAGE, INHERIT_NONE), 0);
	want("pipe", pipe(go) | pipe(back), 0);
	pid_t pid = child(son);
	step(-1, back[0]);
	want("what the child has written", page(1)[0] == 's' && page(1)[2] == 2, 1);
	page(1)[1] = 'P', page(2)[0] = 'P';
	step(go[1], -1);
	ended("child", pid, 0);
	want("what a call of the child's has stored", page(4)[50], 's');
	want("of what was copied nothing", page(11)[0], 12);
	want("what it had no need of", page(15)[0], 's');
	want("what the child has unmapped", page(16)[0] == 17 && page(17)[0] == 18, 1);
	want("what it has moved", page(19)[0], 's');
	want("what was moved before", moved[0], 9);

	ended("a child that forks", child(middle), 0);
	want("of all three", page(20)[1] == 'm' && page(20)[2] == 'g', 1);

	/* Again and again: nothing is used up, nor left open. */
	int fd0 = dup(0);
	close(fd0);
	for (int i = 0; i < 40; i++) {
		if (!(pid = fork())) {
			page(22)[0] = i;
			_exit(page(23)[0] != 24);
		}
		ended("one of many", pid, 0);
		want("its word", page(22)[0], i);
	}
	int fd1 = dup(0);
	close(fd1);
	want("descriptors", fd1, fd0);
	/* Killed before they have begun, or a little later. */
	for (int i = 0; i < 20; i++) {
		if (!(pid = fork()))
			for (;;)
				page(22)[1]++;
		kill(pid, SIGKILL);
		ended("one that was killed", pid, SIGKILL);
	}
	/* From many threads. */
	pthread_t t[5];
	pthread_create(&t[4], NULL, maps, NULL);
	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, forks, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(t[4], NULL);
	for (int i = 0; i < 4 * 6; i++)
		want("of threads", page(24)[i / 6 * 16 + i % 6], 't');
	/* Programs that are executed have nothing, and go. */
	if (!(pid = fork())) {
		page(25)[0] = 'x';
		execl(self, self, "nothing", NULL);
		_exit(99);
	}
	ended("executed", pid, 0);
	want("before that", page(25)[0], 'x');
	if (!(pid = vfork())) {
		execl(self, self, "nothing", NULL);
		_exit(99);
	}
	ended("executed at once", pid, 0);
	/* In too many parts. */
	for (int i = 0; i < 40; i++)
		inherit(page(i), HYTHE_PAGE, INHERIT_SHARE);
	int e;
	char *more = hythe_map_object(&d, object, 40 * HYTHE_PAGE, 1, &e);
	want("more", more != NULL, 1);
	for (int i = 0; i < 40; i++)
		inherit(more + i * HYTHE_PAGE, HYTHE_PAGE, INHERIT_SHARE);
	pid = fork();
	want("too many", pid < 0 ? errno : 0, EAGAIN);
	if (pid == 0)
		_exit(0);
	want("fewer", munmap(more, 30 * HYTHE_PAGE), 0);
	if (!(pid = fork()))
		_exit(more[35 * HYTHE_PAGE] != 36 || page(29)[0] != 30);
	ended("and they are", pid, 0);
	/* The parent unmaps all, and ends; its children go on. */
	want("two", pipe(go), 0);
	if (!(pid = fork())) {
		pid_t orphan = fork();
		if (orphan > 0)
			_exit(0);
		char b;
		close(go[1]);
		want("the others' end", read(go[0], &b, 1), 0);
		want("a page of an orphan's", page(26)[0], 27);
		want("a missing one", page(32)[0], 33);
		page(32)[1] = 'o';
		if (!fork())
			_exit(page(33)[0] != 34 || page(32)[1] != 'o');
		int status;
		wait(&status);
		want("its child's", status, 0);
		printf("orphan: %d surprises\n", bad);
		fflush(stdout);
		_exit(0);
	}
	close(go[0]);
	ended("the one between", pid, 0);
	want("unmap", munmap(mem, size), 0);
	return bad;
}

/* never waits in a child for a page whose pager is killed. */
static int never(void)
{
	map("test/paged");
	want("share", inherit(mem, size, INHERIT_SHARE), 0);
	signal(SIGBUS, SIG_DFL);
	pid_t pid = fork();
	if (pid == 0) {
		puts("waits");
		fflush(stdout);
		*page(NEVER) = 1;
		_exit(99);
	}
	int status;
	waitpid(pid, &status, 0);
	want("the child", status, SIGBUS);
	/* There is no pager any more; pages that are there still are. */
	if (!(pid = fork()))
		*page(3) = 1;
	waitpid(pid, &status, 0);
	want("another child", status, SIGBUS);
	return bad;
}

/* both has parent and children write all of an object of which its pager leaves few pages
   in memory. */
static int both(void)
{
	enum { KIDS = 3, ROUNDS = 3 };
	map("example/pager");
	want("share", inherit(mem, size, INHERIT_SHARE), 0);
	pid_t pids[KIDS];
	int n = size / HYTHE_PAGE;
	for (int k = 0; k <= KIDS; k++) {
		if (k < KIDS && (pids[k] = fork()))
			continue;
		for (int r = 0; r < ROUNDS; r++)
			for (int i = 0; i < n; i++) {
				int p = k & 1 ? n - 1 - i : (i + k * 5) % n;
				page(p)[k]++;
			}
		if (k < KIDS)
			_exit(0);
	}
	for (int k = 0; k < KIDS; k++)
		ended("one of them", pids[k], 0);
	for (int i = 0; i < n; i++)
		for (int k = 0; k <= KIDS; k++)
			want("a word", page(i)[k], ROUNDS);
	return bad;
}

/* A program that writes into the library's own table of what children are to have
   (emul.Task), by which the child's hello then says all sorts of things. */
struct region {
	uint64_t lo, hi, copy;
	uint32_t paged;
	uint16_t prot;
	uint8_t how, pad;
};

static uint64_t window, gate;
static volatile struct region *table;
static char plain[2 * HYTHE_PAGE] __attribute__((aligned(4096)));

static long host(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t e, uint64_t f, uint64_t g)
{
	long r;
	register uint64_t r10 asm("r10") = e, r8 asm("r8") = f, r9 asm("r9") = g;
	asm volatile("sub $128, %%rsp\n\tcall *%%rbx\n\tadd $128, %%rsp"
		     : "=a"(r), "+r"(r10), "+r"(r8), "+r"(r9)
		     : "a"(nr), "D"(a), "S"(b), "d"(c), "b"(gate)
		     : "rcx", "r11", "memory");
	return r;
}

/* find looks for the library, a SYSCALL of its own, and the region of mem. */
static void find(void)
{
	for (uint64_t n = 0xb0; n < 0xf0 && !window; n++)
		if (!touched((char *)((0x7e00 + n) << 32 | 0x400000)))
			window = (0x7e00 + n) << 32;
	for (char *p = (char *)window + 0x400000; window && !gate && !touched(p); p += 4096)
		for (int i = 0; i < 4094 && !gate; i++)
			if (!memcmp(p + i, "\x0f\x05\xc3", 3))
				gate = (uint64_t)p + i;
	for (uint64_t *p = (uint64_t *)(window + 0x60000000); gate && !table && !touched((char *)p) && !touched((char *)(p + 1)); p++)
		if (p[0] == (uint64_t)mem && p[1] == (uint64_t)mem + size)
			table = (void *)p;
	want("the library, and its table", table != NULL, 1);
	if (!table)
		exit(1);
}

static void attack(int i)
{
	switch (i) {
	case 0:
		table->hi += 10 * HYTHE_PAGE;
		break;
	case 1:
		table->lo -= 16 * HYTHE_PAGE;
		break;
	case 2: /* the library itself */
		table->lo = window + 0x60000000, table->hi = table->lo + HYTHE_PAGE;
		break;
	case 3:
		table->lo = 100, table->hi = ~0ull;
		break;
	case 4: /* memory that is no object's */
		table->lo = (uint64_t)plain, table->hi = table->lo + sizeof plain;
		break;
	case 5: /* and the same in place of the object's */
		want("in its place", host(9, (uint64_t)page(5), HYTHE_PAGE, 3, 0x32, -1, 0), (long)page(5));
		break;
	case 6: /* the same thing many times, and too many times */
	case 7:
		for (int k = 1; k < (i == 6 ? 10 : 65); k++)
			table[k] = *table;
		((volatile uint32_t *)table)[-1] = 65;
		break;
	}
	struct itimerval tick = {.it_value = {.tv_usec = 50000}};
	pid_t pid = fork();
	if (pid < 0)
		want("not forked", i != 4 && i != 5 && i != 6, 1);
	if (pid == 0) {
		bad = 0;
		if (i == 4)
			want("refused", touched(plain), SIGSEGV);
		if (i == 5) {
			setitimer(ITIMER_REAL, &tick, NULL);
			want("it waits for nothing", touched(page(5)), SIGALRM);
			want("others", page(6)[0], 7);
		}
		if (i == 6)
			want("refused", touched(page(5)), SIGSEGV);
		_exit(bad);
	}
	int status = 0;
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (i >= 4)
		want("its child", status, 0);
}

static int hostile(void)
{
	map("test/paged");
	want("share", inherit(mem, size, INHERIT_SHARE), 0);
	want("a page", page(4)[0], 5);
	find();
	for (int i = 0; i < 8; i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			bad = 0;
			attack(i);
			fflush(stdout);
			_exit(bad);
		}
		int status;
		waitpid(pid, &status, 0);
		if (status)
			want("attacker", status, 0), printf("%d\n", i);
	}
	if (!fork())
		_exit(page(5)[0] != 6 || page(7)[0] != 8);
	int status;
	wait(&status);
	want("one who means well", status, 0);
	return bad;
}

int main(int argc, char **argv)
{
	self = argv[0];
	const char *what = argc > 1 ? argv[1] : "";
	struct sigaction sa = {.sa_handler = jump};
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	if (!strcmp(what, "nothing"))
		return 0;
	if (!strcmp(what, "never"))
		bad = never();
	else if (!strcmp(what, "both"))
		bad = both();
	else if (!strcmp(what, "hostile"))
		bad = hostile();
	else
		bad = all();
	printf("%d surprises\n", bad);
	return bad != 0;
}
