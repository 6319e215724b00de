// mq_notify by threads, as the C library makes it, and what it is made of: a netlink
// socket that gets a cookie.
#include "try.h"
#include <linux/netlink.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/socket.h>

static sem_t ran;
static mqd_t m;
static void *seen;
static pthread_t self;
static int other;
static long received;
static void called(union sigval v) {
	char b[64];
	seen = v.sival_ptr;
	other = !pthread_equal(self, pthread_self());
	received = mq_receive(m, b, sizeof b, 0);
	sem_post(&ran);
}
static int nl(int proto) { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, proto); }
static char cookie[32] = "a cookie of thirty-two bytes..";
static long ask(int q, int sock, void *c) {
	struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_signo = sock, .sigev_value.sival_ptr = c};
	return syscall(SYS_mq_notify, q, &e);
}
// got prints what came to the socket.
static void got(const char *what, int s) {
	char b[64];
	struct sockaddr_nl a;
	socklen_t l = sizeof a;
	memset(&a, 0x55, sizeof a);
	long n = recvfrom(s, b, sizeof b, MSG_DONTWAIT, (void *)&a, &l);
	if (n < 0) printf("%s: %s\n", what, strerrorname_np(errno));
	else printf("%s: %ld, %s, %d, from %d %d\n", what, n, memcmp(b, cookie, 31) ? "another" : "the cookie", n == 32 ? b[31] : -1, l == sizeof a, a.nl_pid);
}

int main(void) {
	begin();
	char name[50], b[64];
	sprintf(name, "/thread-%d", getpid());
	struct mq_attr a = {0, 4, 50};
	self = pthread_self();
	sem_init(&ran, 0, 0);
	OK(m = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &a));
	struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = called, .sigev_value.sival_ptr = b};
	for (int i = 0; i < 3; i++) {
		T(mq_notify(m, &e));
		T(mq_notify(m, &e));
		T(mq_send(m, "x", 1, 0));
		sem_wait(&ran);
		printf("called: %d, another thread %d, received %ld\n", seen == b, other, received);
	}
	T(mq_notify(m, &e));
	T(mq_notify(m, 0));
	T(mq_send(m, "y", 1, 0));
	T(mq_receive(m, b, sizeof b, 0));

	int s = nl(NETLINK_ROUTE), p[2];
	T(ask(m, s, cookie));
	T(ask(m, s, cookie));
	got("nothing yet", s);
	T(mq_send(m, "x", 1, 0));
	got("woken", s);
	got("once", s);
	T(mq_send(m, "x", 1, 0));
	T(ask(m, s, cookie));
	T(mq_send(m, "x", 1, 0));
	got("not empty", s);
	while (mq_receive(m, b, sizeof b, 0) >= 0)
		;
	T(mq_notify(m, 0));
	got("removed", s);
	T(mq_notify(m, 0));
	got("not again", s);
	mqd_t o = mq_open(name, O_RDWR);
	T(ask(o, s, cookie));
	T(mq_close(o));
	got("closed", s);
	fflush(stdout);
	if (fork() == 0) {
		T(ask(m, s, cookie));
		fflush(stdout);
		_exit(0);
	}
	wait(0);
	got("a child's, which ended", s);
	T(ask(m, s, cookie));
	close(s);
	T(mq_send(m, "x", 1, 0));
	T(mq_receive(m, b, sizeof b, 0));
	// Mistakes.
	s = nl(NETLINK_ROUTE);
	pipe(p);
	T(ask(m, s, (void *)8));
	T(ask(m, s, 0));
	T(ask(m, -1, cookie));
	T(ask(m, p[0], cookie));
	T(ask(m, m, cookie));
	T(ask(m, socket(AF_UNIX, SOCK_DGRAM, 0), cookie));
	T(ask(p[0], s, cookie));
	T(ask(-1, s, cookie));
	T(ask(-1, -1, cookie));
	T(ask(-1, s, (void *)8));
	T(ask(m, s, cookie));
	T(ask(m, -1, cookie));
	T(ask(m, s, (void *)8));
	T(ask(m, s, cookie));
	T(mq_notify(m, 0));
	T(mq_unlink(name));
	return 0;
}
