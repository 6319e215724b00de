/* A pager and a task that maps its object, and what can be strange about that. Prints a
   line for each surprise and ends with the number of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/time.h>
#include <time.h>
#include "guest.h"

enum { PAGES = 40, ERROR = 30, NEVER = 31, SIZE = PAGES * HYTHE_PAGE };

static uint32_t reply;

static uint32_t open_(void)
{
	long n = syscall(HYTHE_OPEN);
	if (n < 0 || hythe_call4(&d, PORT_ALLOCATE, RIGHT_RECEIVE, 0, 0, 0)) {
		puts("no guest");
		exit(1);
	}
	reply = d.call.a[0];
	return n;
}

/* pager fills page i with bytes i + 1, refuses one, and keeps one back. It holds every page
   back a little: the other one does wait. */
static int pager(void)
{
	static char page[HYTHE_PAGE];
	struct hythe_msg *m;
	char *body;
	uint32_t names = open_();
	want("port", hythe_call4(&d, PORT_ALLOCATE, RIGHT_RECEIVE, 0, 0, 0), 0);
	uint32_t port = d.call.a[0];
	want("create", hythe_call4(&d, OBJECT_CREATE, SIZE, OBJECT_PAGED, 0, port), 0);
	uint32_t object = d.call.a[0];
	want("register", hythe_register(&d, names, reply, port, "test/paged"), 0);
	for (;;) {
		struct hythe_pages q;
		int e = hythe_receive(&d, port, &m, &body);
		if (e) {
			want("receive", e, 0);
			return bad;
		}
		if (m->local) {
			hythe_answer_object(&d, m->local, object, SIZE);
			continue;
		}
		if (m->id == MSG_PAGE_TERMINATE)
			return bad;
		want("a request", m->id, MSG_PAGE_REQUEST);
		memcpy(&q, body, sizeof q);
		if (q.off == ERROR * HYTHE_PAGE) {
			want("error", hythe_call4(&d, OBJECT_PAGES, object, PAGES_ERROR, q.off, q.len), 0);
			continue;
		}
		if (q.off == NEVER * HYTHE_PAGE)
			continue;
		for (int i = 0; i < 10; i++)
			sched_yield();
		memset(page, q.off / HYTHE_PAGE + 1, sizeof page);
		want("supply", hythe_supply(&d, object, q.off, page, sizeof page), 0);
	}
}

/* same is the number of bytes of page i that are not the pager's. */
static int same(int i)
{
	int n = 0;
	for (int k = 0; k < HYTHE_PAGE; k++)
		n += page(i)[k] != i + 1;
	return n;
}

static void *waiter(void *p)
{
	*(char *)p = 1;
	return NULL;
}

static int mapper(int never)
{
	struct hythe_msg *m;
	char *body, buf[HYTHE_PAGE];
	int e, pipes[2];
	uint32_t names = open_();
	want("look-up", hythe_ask(&d, names, reply, 3, "test/paged", 10, &m, &body), 0);
	uint32_t to = ((struct hythe_right *)(m + 1))->name;
	want("ask", hythe_ask(&d, to, reply, 0, "", 0, &m, &body), 0);
	uint32_t object = ((struct hythe_object *)(m + 1))->name;
	mem = hythe_map_object(&d, object, SIZE, 1, &e);
	if (!mem) {
		want("map", e, 0);
		return bad;
	}
	if (never) { /* and now it is killed */
		pthread_t t;
		pthread_create(&t, NULL, waiter, page(NEVER));
		puts("waits");
		fflush(stdout);
		*page(NEVER) = 1;
		return 99;
	}
	want("page 0", same(0), 0);

	/* System calls on pages that are missing: as on any memory. */
	want("pipe", pipe(pipes), 0);
	want("write", write(pipes[1], page(1), HYTHE_PAGE), HYTHE_PAGE);
	want("read", read(pipes[0], buf, HYTHE_PAGE), HYTHE_PAGE);
	want("what was written", memcmp(buf, page(1), HYTHE_PAGE), 0);
	memset(buf, 77, sizeof buf);
	want("write", write(pipes[1], buf, 100), 100);
	want("read", read(pipes[0], page(2) + 50, 100), 100);
	want("what was read", page(2)[50] == 77 && page(2)[149] == 77 && page(2)[49] == 3 && page(2)[150] == 3, 1);
	want("open of a name", open(page(3), O_RDONLY), -1);
	want("without an end", errno, ENAMETOOLONG);
	struct iovec *iov = (struct iovec *)page(4);
	want("iovec", iov->iov_base == (void *)0x0505050505050505, 1);
	want("a clock", clock_gettime(CLOCK_MONOTONIC, (struct timespec *)page(5)), 0);
	want("the host's clock", syscall(SYS_clock_gettime, CLOCK_MONOTONIC_RAW, page(6)), 0);
	want("the processor", syscall(SYS_getcpu, page(7), page(8), 0), 0);
	want("mincore", mincore(buf - (long)buf % 4096, 4096, (void *)page(9)), 0);
	want("a futex that is another", syscall(SYS_futex, page(10), FUTEX_WAIT, 5, NULL, NULL, 0) < 0 ? errno : 0, EAGAIN);
	want("a wake", syscall(SYS_futex, page(11), FUTEX_WAKE, 1, NULL, NULL, 0), 0);
	want("a requeue", syscall(SYS_futex, page(12), FUTEX_CMP_REQUEUE, 1, 1, page(13), 0x0d0d0d0d), 0);
	want("a wait with a time", syscall(SYS_futex, page(14), FUTEX_WAIT, 0x0f0f0f0f, page(15), NULL, 0) < 0 ? errno : 0, EINVAL);
	struct itimerval *it = (struct itimerval *)page(16);
	want("a timer", getitimer(ITIMER_VIRTUAL, it), 0);
	want("a file name's struct", syscall(SYS_uname, page(17)), 0);
	want("linux", strcmp(page(17), "Linux"), 0);

	/* Calls of the nucleus in such pages: nothing is lost. */
	struct hythe_call *c = (struct hythe_call *)page(18);
	memset(buf, 0, sizeof buf);
	struct hythe_call *plain = (struct hythe_call *)buf;
	plain->op = 8, plain->id = 12345, plain->a[0] = to; /* what a name is */
	want("send", syscall(HYTHE_SEND, plain, sizeof *plain), sizeof *plain);
	want("receive", syscall(HYTHE_RECEIVE, page(19), HYTHE_PAGE), sizeof *plain);
	want("the answer", ((struct hythe_call *)page(19))->id, 12345);
	want("a datagram of nines", syscall(HYTHE_SEND, c, sizeof *c), sizeof *c);
	want("receive", syscall(HYTHE_RECEIVE, page(20), HYTHE_PAGE), sizeof *plain);
	want("its answer", ((struct hythe_call *)page(20))->id, 0x1313131313131313);
	want("an error", ((struct hythe_call *)page(20))->err != 0, 1);

	/* An error is SIGBUS; a wait for a page is cut by a signal. */
	struct sigaction sa = {.sa_handler = jump};
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	want("refused", touched(page(ERROR)), SIGBUS);
	want("refused for a call", write(pipes[1], page(ERROR), 1) < 0 ? errno : 0, EFAULT);
	struct itimerval tick = {.it_value = {.tv_usec = 100000}};
	setitimer(ITIMER_REAL, &tick, NULL);
	want("a page that never comes", touched(page(NEVER)), SIGALRM);

	/* Another task's look at such a page waits for nothing, the nucleus's neither. */
	int fd = open("/proc/self/mem", O_RDWR);
	want("/proc/self/mem", fd >= 0 ? pread(fd, buf, 1, (long)page(NEVER)) : 0, -1);

	/* A forked child has a copy if it is to have one, of pages that are missing too. */
	want("share (forks.c)", syscall(HYTHE_INHERIT, mem, SIZE, INHERIT_SHARE) < 0 ? errno : 0, 0);
	want("none again", syscall(HYTHE_INHERIT, mem, SIZE, INHERIT_NONE) < 0 ? errno : 0, 0);
	want("copy", syscall(HYTHE_INHERIT, page(29), 2 * HYTHE_PAGE, INHERIT_COPY), 0);
	*page(29) = 99;
	pid_t copy = fork();
	if (copy == 0) {
		want("a child's copy", page(29)[0] == 99 && page(29)[1] == 30, 1);
		page(29)[1] = 1;
		want("an error", touched(page(ERROR)), SIGSEGV);
		want("the rest", touched(page(28)), SIGSEGV);
		fflush(stdout);
		_exit(bad);
	}
	int ended;
	waitpid(copy, &ended, 0);
	want("child", ended, 0);
	want("what the child wrote", page(29)[1], 30);

	/* A forked child has no such memory; what is unmapped or moved goes its way. */
	pid_t pid = fork();
	int status;
	if (pid == 0) {
		want("a child's", touched(page(0)), SIGSEGV);
		want("open", (int)open_() > 0, 1);
		fflush(stdout);
		_exit(bad);
	}
	waitpid(pid, &status, 0);
	want("child", status, 0);
	want("unmap", munmap(page(21), HYTHE_PAGE), 0);
	want("an unmapped page", touched(page(21)), SIGSEGV);
	char *to_ = mmap(NULL, 2 * HYTHE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	want("move", mremap(page(22), 2 * HYTHE_PAGE, 2 * HYTHE_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to_) == to_, 1);
	want("a page that has moved", to_[HYTHE_PAGE], 24);
	want("no access", mprotect(page(24), HYTHE_PAGE, PROT_NONE), 0);
	want("no access", touched(page(24)), SIGSEGV);
	want("access", mprotect(page(24), HYTHE_PAGE, PROT_READ), 0);
	want("page 24", same(24), 0);
	want("taken out of the object", madvise(page(25), HYTHE_PAGE, MADV_REMOVE), 0);
	want("and asked for again", same(25), 0);

	/* The descriptor of faults is nobody's but the nucleus's. */
	want("userfaultfd", syscall(323, 1) < 0 ? errno : 0, EPERM);
	want("no faults", hythe_call4(&d, OBJECT_WATCH, object, (long)mem, 0, SIZE), EINVAL);
	memset(&d.call, 0, sizeof d.call);
	d.call.a[0] = object, d.call.a[1] = (long)mem, d.call.a[3] = SIZE, d.call.a[4] = 3;
	want("a channel", hythe_call(&d, OBJECT_WATCH, 0), EINVAL);
	d.call.a[0] = object, d.call.a[1] = (long)mem, d.call.a[3] = SIZE, d.call.a[4] = ~0ull;
	want("no number", hythe_call(&d, OBJECT_WATCH, 0), EBADF);
	want("its pager's", hythe_call4(&d, OBJECT_PAGES, object, PAGES_ERROR, 0, HYTHE_PAGE), EPERM);
	want("no ID", syscall(HYTHE_FAULTS, 4711) < 0 ? errno : 0, EBADF);
	want("no ID", syscall(HYTHE_MAP_PAGED, 4711, 0, 4096, 3, MAP_SHARED, 0) < 0 ? errno : 0, EBADF);
	want("private", syscall(HYTHE_MAP_PAGED, 4711, 0, 4096, 3, MAP_PRIVATE, 0) < 0 ? errno : 0, EINVAL);
	/* As many as its budget holds. */
	int n = 0;
	while (n < 1000 && hythe_map_object(&d, object, HYTHE_PAGE, 1, &e))
		n++;
	want("mappings", n > 10 && n < 64, 1);
	want("the last", e, EAGAIN);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "serve"))
		bad = pager();
	else
		bad = mapper(argc > 1);
	printf("%d surprises\n", bad);
	return bad != 0;
}
