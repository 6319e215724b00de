/* What a guest can do wrong with the calls of the nucleus. Prints a line for
   each surprise and ends with the number of them. */
#include <sys/time.h>
#include "guest.h"

/* sys is a system call whose failure is a negative errno. */
static long sys(long nr, const void *a, unsigned long b)
{
	long r = syscall(nr, a, b);
	return r < 0 ? -errno : r;
}

static long map(unsigned long id, unsigned long addr, unsigned long n, int prot, int flags, unsigned long off)
{
	long r = syscall(HYTHE_MAP, id, addr, n, prot, flags, off);
	return r < 0 && r > -4096 ? -errno : r;
}

static int call(uint32_t op, uint64_t a, uint64_t b, uint64_t c)
{
	memset(&d.call, 0, sizeof d.call);
	d.call.a[0] = a, d.call.a[1] = b, d.call.a[2] = c;
	return hythe_call(&d, op, 0);
}

/* raw sends n bytes of a call as they are and gives the error of the answer. */
static int raw(struct hythe_call *c, unsigned n)
{
	struct hythe_datagram r;
	want("raw send", sys(HYTHE_SEND, c, n), n);
	if (sys(HYTHE_RECEIVE, &r, sizeof r) < (long)sizeof r.call)
		return -1;
	return r.call.err;
}

static void unopened(void)
{
	want("send", sys(HYTHE_SEND, &d, sizeof d.call), -EBADF);
	want("receive", sys(HYTHE_RECEIVE, &d, sizeof d), -EBADF);
	want("map", map(1, 0, 4096, PROT_READ, MAP_SHARED, 0), -EBADF);
}

static void sizes(void)
{
	unsigned long window = 0x7ec000000000; /* somewhere up there */
	for (int i = 0; i < 2; i++) {
		long nr = i ? HYTHE_RECEIVE : HYTHE_SEND;
		want("no bytes", sys(nr, &d, 0), -EINVAL);
		want("71 bytes", sys(nr, &d, 71), -EINVAL);
		want("many bytes", sys(nr, &d, (64 << 10) + 1), -EINVAL);
		want("all bytes", sys(nr, &d, ~0ul), -EINVAL);
		want("the kernel's", sys(nr, (void *)0xffffffff81000000, 72), -EFAULT);
		want("wraps", sys(nr, (void *)-8l, 72), -EFAULT);
	}
	want("nothing there", sys(HYTHE_SEND, (void *)8, 72), -EFAULT);
	(void)window;
}

static void headers(void)
{
	struct hythe_call c = {.op = PORT_ALLOCATE, .id = 1, .len = 9, .a = {RIGHT_RECEIVE}};
	want("length that is not there", raw(&c, sizeof c), EINVAL);
	c.len = 0, c.nfds = 1;
	want("descriptors that are not there", raw(&c, sizeof c), EINVAL);
	c.nfds = 0;
	for (unsigned op = 64; op < 80; op++) { /* what only the nucleus says */
		c.op = op;
		want("an event", raw(&c, sizeof c), ENOSYS);
	}
	c.op = ~0u;
	want("no call", raw(&c, sizeof c), ENOSYS);
	/* Bindings, tasks, descriptors, logs, the machine: EPERM. */
	static const unsigned no[] = {14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30};
	for (unsigned i = 0; i < sizeof no / sizeof *no; i++) {
		c.op = no[i];
		want("not a guest's call", raw(&c, sizeof c), EPERM);
	}
}

static void names_(uint32_t port)
{
	for (uint32_t n = 1; n < 3000; n += 7) {
		if (n == port)
			continue;
		for (uint32_t op = 2; op <= 12; op++) {
			if (op == MSG_SEND)
				continue;
			int e = call(op, n, 0, 0);
			if (e == 0 && op != 2)
				want("a name of nobody's", e, EBADF);
		}
		want("an object of nobody's", call(OBJECT_FD, n, 0, 0), EBADF);
	}
	want("a long name", call(12, 1ull << 40, 0, 0), EBADF);
	/* A message that says more than there is. */
	struct hythe_msg *m = (struct hythe_msg *)d.data;
	memset(&d, 0, sizeof d);
	m->remote = port, m->remote_disp = MAKE_SEND, m->nrights = 200;
	want("rights that are not there", hythe_call(&d, MSG_SEND, sizeof *m), EMSGSIZE);
	memset(&d, 0, sizeof d);
	m->remote = port, m->remote_disp = MAKE_SEND, m->len = 1 << 31;
	want("bytes that are not there", hythe_call(&d, MSG_SEND, sizeof *m), EMSGSIZE);
	memset(&d, 0, sizeof d);
	m->remote = port, m->remote_disp = 77;
	want("no disposition", hythe_call(&d, MSG_SEND, sizeof *m), EINVAL);
	memset(&d, 0, sizeof d);
	m->remote = port, m->remote_disp = MAKE_SEND, m->local = 12345, m->local_disp = COPY_SEND;
	want("a reply right of nobody's", hythe_call(&d, MSG_SEND, sizeof *m), EBADF);
}

#define KEEP HYTHE_KEEP

static void objects(void)
{
	want("create", call(OBJECT_CREATE, 8192, 0, 0), 0);
	uint64_t object = d.call.a[0];
	struct hythe_datagram q = {.call = {.op = OBJECT_FD, .id = KEEP | 1, .a = {object}}};
	want("map what was not asked for", map(KEEP | 1, 0, 8192, PROT_READ, MAP_SHARED, 0), -EBADF);
	want("keep", raw(&q.call, sizeof q.call), 0);
	want("keep again", raw(&q.call, sizeof q.call), 0); /* the first is given up */
	want("map anonymous", map(KEEP | 1, 0, 8192, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, 0), -EINVAL);
	want("map fixed", map(KEEP | 1, 0x10000, 8192, PROT_READ, MAP_SHARED | MAP_FIXED, 0), -EINVAL);
	want("map with odd protection", map(KEEP | 1, 0, 8192, 64, MAP_SHARED, 0), -EINVAL);
	want("map too much", map(KEEP | 1, 0, ~0ul, PROT_READ, MAP_SHARED, 0), -EINVAL);
	char *p = (char *)map(KEEP | 1, ~0ul << 13, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if ((long)p < 0 && (long)p > -4096) {
		want("map", (long)p, 0);
		return;
	}
	want("map twice", map(KEEP | 1, 0, 8192, PROT_READ, MAP_SHARED, 0), -EBADF);
	strcpy(p, "mine");
	/* To read only. */
	q.call.a[1] = 1;
	want("read only", raw(&q.call, sizeof q.call), 0);
	want("write what may be read", map(KEEP | 1, 0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, 0), -EACCES);
	q.call.id = KEEP | 2;
	want("read only", raw(&q.call, sizeof q.call), 0);
	char *r = (char *)map(KEEP | 2, 0, 8192, PROT_READ, MAP_SHARED, 0);
	want("the same bytes", strcmp(r, "mine"), 0);
	want("mprotect", mprotect(r, 8192, PROT_READ | PROT_WRITE) < 0 ? errno : 0, EACCES);
	/* A descriptor that nobody maps is given up, by hand or by the table's end. */
	for (uint64_t i = 0; i < 1500; i++) {
		q.call.id = KEEP | (100 + i);
		want("keep many", raw(&q.call, sizeof q.call), 0);
		if (i % 2)
			want("give up", map(q.call.id, 0, 0, 0, 0, 0), 0);
	}
	want("the first of many", map(KEEP | 100, 0, 0, 0, 0, 0), 0);

	/* A child shares the memory and nothing else. */
	pid_t pid = fork();
	if (pid == 0) {
		unopened();
		long n = syscall(HYTHE_OPEN);
		want("open in a child", n > 0, 1);
		want("the parent's object", call(OBJECT_FD, object, 0, 0), EBADF);
		want("a port of the child's", call(PORT_ALLOCATE, RIGHT_RECEIVE, 0, 0), 0);
		strcpy(p, "ours");
		exit(bad);
	}
	int status;
	waitpid(pid, &status, 0);
	want("child", status, 0);
	want("the child's bytes", strcmp(p, "ours"), 0);
	want("the parent goes on", call(OBJECT_FD, object, 0, 0), 0);

	/* Of objects there are not many. */
	int n = 0, e;
	while ((e = call(OBJECT_CREATE, 4096, 0, 0)) == 0 && n < 10000)
		n++;
	want("the last object", e, EAGAIN);
	want("objects", n > 16 && n < 200, 1);
}

static volatile sig_atomic_t rang;
static void ring(int sig) { rang++; }

static void signals(uint32_t port)
{
	struct itimerval tick = {.it_value = {.tv_usec = 50000}};
	struct sigaction sa = {.sa_handler = ring};
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
	want("a cut receive", sys(HYTHE_RECEIVE, &d, sizeof d), -EINTR);
	want("handler", rang, 1);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
	/* 300 ms for a message that does not come. */
	want("a receive that goes on", call(MSG_RECEIVE, port, 300000000, 0), 110);
	want("handler", rang, 2);

	/* Who does not read is not listened to, and finds all its answers. */
	sa.sa_flags = 0;
	sigaction(SIGALRM, &sa, NULL);
	tick.it_interval.tv_usec = 50000;
	setitimer(ITIMER_REAL, &tick, NULL);
	long sent = 0, got = 0;
	struct hythe_call c = {.op = 8, .a = {port}};
	while (sent < 1000000 && sys(HYTHE_SEND, &c, sizeof c) == sizeof c)
		c.id = ++sent;
	want("a bound", sent > 10 && sent < 100000, 1);
	memset(&tick, 0, sizeof tick);
	setitimer(ITIMER_REAL, &tick, NULL);
	for (; got < sent; got++) {
		if (sys(HYTHE_RECEIVE, &d, sizeof d) < (long)sizeof d.call)
			break;
		want("in order", d.call.id, got);
	}
	want("answers", got, sent);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	unopened();
	if (argc > 1) { /* executed by one that had opened */
		printf("%d surprises\n", bad);
		return bad;
	}
	long first = syscall(HYTHE_OPEN);
	want("open", first > 0, 1);
	want("open again", syscall(HYTHE_OPEN), first);
	want("a port", call(PORT_ALLOCATE, RIGHT_RECEIVE, 0, 0), 0);
	uint32_t port = d.call.a[0];
	sizes();
	headers();
	names_(port);
	signals(port);
	objects();
	want("the port is there", call(8, port, 0, 0), 0);
	printf("%d surprises\n", bad);
	if (bad)
		return 1;
	execl(argv[0], argv[0], "again", NULL);
	return 2;
}
