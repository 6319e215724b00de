#include "try.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/ioctl.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/inotify.h>
#include <sys/epoll.h>
#include <termios.h>

// drain prints what waits of the signals that tell of descriptors; in their order.
static sigset_t set;
static void drain(const char *what) {
	siginfo_t i; struct timespec z = {0, 0};
	printf("%s:", what);
	while (sigtimedwait(&set, &i, &z) > 0)
		printf(" [sig %d code %d fd %d band %lx pid %d]", i.si_signo, i.si_code, i.si_code > 0 && i.si_code < 100 || i.si_code == SI_SIGIO ? i.si_fd : -1, i.si_code > 0 && i.si_code < 100 || i.si_code == SI_SIGIO ? (long)i.si_band : -1, i.si_code == SI_USER ? i.si_pid : 0);
	puts("");
}
static void async(int fd, int sig) { T(fcntl(fd, F_SETOWN, getpid())); T(fcntl(fd, F_SETSIG, sig)); T(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC)); T(!!(fcntl(fd, F_GETFL) & O_ASYNC)); }
static char buf[100000];

int main(void) {
	begin(); setpgid(0, 0); int p[2], s[2], fd, fl = 1; sigemptyset(&set); sigaddset(&set, SIGIO); sigaddset(&set, SIGURG); sigaddset(&set, SIGRTMIN + 1); sigaddset(&set, SIGRTMIN + 2); sigaddset(&set, SIGUSR1); sigaddset(&set, SIGCHLD); sigprocmask(SIG_BLOCK, &set, 0);
	struct f_owner_ex o; pipe(p);
	T(fcntl(p[0], F_GETOWN)); T(fcntl(p[0], F_GETOWN_EX, &o)); printf("%d %d\n", o.type, o.pid); T(fcntl(p[0], F_GETSIG)); T(fcntl(p[0], F_SETSIG, 65)); T(fcntl(p[0], F_SETSIG, -1)); T(fcntl(p[0], F_SETOWN, 0x3ffffff)); T(fcntl(p[0], F_SETOWN, -0x3ffffff)); T(fcntl(p[0], F_SETOWN, INT_MIN)); T(fcntl(p[0], F_SETOWN, 0)); T(fcntl(p[0], F_GETOWN_EX, 8)); T(fcntl(p[0], F_SETOWN_EX, 8));
	for (int t = -1; t < 4; t++) { o.type = t; o.pid = getpid(); T(fcntl(p[0], F_SETOWN_EX, &o)); o.pid = -1; o.type = -1; T(fcntl(p[0], F_GETOWN_EX, &o)); printf("%d %d\n", o.type, o.pid == getpid()); T(fcntl(p[0], F_GETOWN) == getpid()); T(fcntl(p[0], F_GETOWN) == -getpid()); o.type = t; o.pid = 0x3ffffff; T(fcntl(p[0], F_SETOWN_EX, &o)); o.pid = -5; T(fcntl(p[0], F_SETOWN_EX, &o)); }
	T(fcntl(p[0], F_SETOWN, 0)); T(fcntl(p[0], F_GETOWN)); T(fcntl(p[0], F_GETOWN_EX, &o)); printf("%d %d\n", o.type, o.pid);
	puts("pipe"); T(fcntl(p[0], F_SETFL, O_ASYNC)); write(p[1], "x", 1); drain("no owner"); T(fcntl(p[0], F_SETOWN, getpid())); drain("owner set"); write(p[1], "x", 1); write(p[1], "x", 1); drain("SIGIO"); async(p[0], SIGRTMIN + 1); write(p[1], "x", 1); write(p[1], "x", 1); drain("queued"); read(p[0], buf, 1); drain("read"); async(p[0], SIGIO); write(p[1], "x", 1); drain("SIGIO by F_SETSIG"); async(p[0], SIGUSR1); write(p[1], "x", 1); drain("SIGUSR1"); async(p[0], SIGCHLD); write(p[1], "x", 1); drain("SIGCHLD"); async(p[0], SIGRTMIN + 1);
	int d = dup(p[0]); T(fcntl(d, F_GETSIG)); write(p[1], "x", 1); drain("dup"); close(p[0]); write(p[1], "x", 1); drain("closed, dup is open"); T(fcntl(d, F_SETFL, 0)); write(p[1], "x", 1); drain("off"); fcntl(d, F_SETFL, O_ASYNC); write(p[1], "x", 1); drain("on by dup");
	async(p[1], SIGRTMIN + 2); read(d, buf, 1); drain("write end: read"); read(d, buf, sizeof buf); drain("read all"); fcntl(d, F_SETFL, O_ASYNC | O_NONBLOCK); read(d, buf, 1); drain("read nothing"); fcntl(p[1], F_SETFL, O_ASYNC | O_NONBLOCK); while (write(p[1], buf, 4096) > 0) ; drain("full") ; read(d, buf, 4096); drain("room"); close(p[1]); drain("write end closed"); close(d); drain("read end closed");
	pipe(p); async(p[1], SIGRTMIN + 1); close(p[0]); drain("read end closed first"); close(p[1]);
	pipe(p); T(ioctl(p[0], FIOASYNC, &fl)); T(fcntl(p[0], F_GETFL) & O_ASYNC); fl = 0; T(ioctl(p[0], FIOASYNC, &fl)); T(fcntl(p[0], F_GETFL) & O_ASYNC); fl = 1; close(p[0]); close(p[1]);
	puts("group"); pipe(p); T(fcntl(p[0], F_SETOWN, -getpid())); T(fcntl(p[0], F_GETOWN) == -getpid()); fcntl(p[0], F_SETSIG, SIGRTMIN + 1); fcntl(p[0], F_SETFL, O_ASYNC); int go[2]; pipe(go); fflush(stdout);
	pid_t c = fork(); if (!c) { siginfo_t i; sigset_t one; sigemptyset(&one); sigaddset(&one, SIGRTMIN + 1); write(go[1], "x", 1); sigwaitinfo(&one, &i); _exit(i.si_code + 10 * i.si_band); } read(go[0], buf, 1); asleep(c); write(p[1], "x", 1); int st; waitpid(c, &st, 0); printf("child %d\n", WEXITSTATUS(st)); sigdelset(&set, SIGCHLD); drain("own"); close(p[0]); close(p[1]);
	puts("thread"); pipe(p); o.type = F_OWNER_TID; o.pid = gettid(); T(fcntl(p[0], F_SETOWN_EX, &o)); fcntl(p[0], F_SETSIG, SIGRTMIN + 1); fcntl(p[0], F_SETFL, O_ASYNC); write(p[1], "x", 1); drain("thread"); close(p[0]); close(p[1]);
	puts("socket"); for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) { if (type == SOCK_RAW || type == SOCK_RDM) continue; printf("type %d\n", type); socketpair(AF_UNIX, type, 0, s); async(s[0], SIGRTMIN + 1); write(s[1], "x", 1); drain("data"); write(s[1], "x", 1); drain("more"); read(s[0], buf, 1); drain("read"); read(s[0], buf, 1); send(s[0], "x", 1, 0); drain("sent"); read(s[1], buf, 1); drain("peer read"); shutdown(s[1], SHUT_WR); drain("peer shut its writing"); close(s[1]); drain("peer closed"); close(s[0]); drain("closed"); socketpair(AF_UNIX, type, 0, s); async(s[0], SIGRTMIN + 1); shutdown(s[1], SHUT_RDWR); drain("peer shut both"); close(s[0]); close(s[1]); }
	socketpair(AF_UNIX, SOCK_STREAM, 0, s); async(s[0], SIGRTMIN + 1); fcntl(s[0], F_SETFL, O_ASYNC | O_NONBLOCK); while (write(s[0], buf, 4096) > 0) ; drain("full"); while (recv(s[1], buf, sizeof buf, MSG_DONTWAIT) > 0) ; printf("room: %d\n", sigtimedwait(&set, 0, &(struct timespec){0, 0}) > 0); while (sigtimedwait(&set, 0, &(struct timespec){0, 0}) > 0) ; close(s[0]); close(s[1]);
	struct sockaddr_un a = {AF_UNIX, "s"}; int l = socket(AF_UNIX, SOCK_STREAM, 0); bind(l, (void *)&a, sizeof a); listen(l, 5); async(l, SIGRTMIN + 1); int k = socket(AF_UNIX, SOCK_STREAM, 0); T(connect(k, (void *)&a, sizeof a)); drain("connected"); int n = accept(l, 0, 0); T(fcntl(n, F_GETFL) & O_ASYNC); drain("accepted"); T(ioctl(l, FIOASYNC, &fl)); int own = 0; T(ioctl(l, 0x8903, &own)); printf("FIOGETOWN %d\n", own == getpid()); T(ioctl(l, 0x8904, &own)); own = -getpid(); T(ioctl(l, 0x8902, &own)); T(fcntl(l, F_GETOWN) == -getpid()); own = 0x3ffffff; T(ioctl(l, 0x8901, &own)); close(l); close(k); close(n); unlink("s"); drain("closed");
	puts("others"); fd = eventfd(0, 0); async(fd, 0); T(ioctl(fd, FIOASYNC, &fl)); eventfd_write(fd, 1); drain("eventfd"); close(fd); fd = timerfd_create(CLOCK_MONOTONIC, 0); async(fd, 0); T(ioctl(fd, FIOASYNC, &fl)); close(fd); fd = epoll_create(1); async(fd, 0); T(ioctl(fd, FIOASYNC, &fl)); close(fd); fd = open("f", O_RDWR | O_CREAT, 0600); async(fd, 0); T(ioctl(fd, FIOASYNC, &fl)); close(fd); fd = open("f", O_RDWR | O_ASYNC); T(!!(fcntl(fd, F_GETFL) & O_ASYNC)); close(fd); fd = open("/dev/null", O_RDWR); async(fd, 0); T(ioctl(fd, FIOASYNC, &fl)); close(fd); fd = memfd_create("x", 0); async(fd, 0); T(ioctl(fd, FIOASYNC, &fl)); close(fd);
	fd = inotify_init1(IN_NONBLOCK); inotify_add_watch(fd, ".", IN_CREATE); async(fd, SIGRTMIN + 1); close(open("g", O_RDWR | O_CREAT, 0600)); drain("inotify"); close(fd); unlink("g"); unlink("f");
	mkfifo("q", 0600); fd = open("q", O_RDWR); async(fd, SIGRTMIN + 1); write(fd, "xy", 2); drain("fifo written"); read(fd, buf, 1); drain("fifo read"); close(fd); unlink("q");
	puts("tty"); int m = posix_openpt(O_RDWR | O_NOCTTY); grantpt(m); unlockpt(m); int t = open(ptsname(m), O_RDWR | O_NOCTTY); T(fcntl(t, F_SETFL, O_ASYNC)); T(fcntl(t, F_GETOWN) == getpid()); async(t, SIGRTMIN + 1); write(m, "x", 1); msleep(20); drain("no line yet"); write(m, "y\n", 2); msleep(20); printf("line: %d\n", sigtimedwait(&set, 0, &(struct timespec){1, 0}) == SIGRTMIN + 1); while (sigtimedwait(&set, 0, &(struct timespec){0, 0}) > 0) ; read(t, buf, 100); struct termios tc; tcgetattr(t, &tc); cfmakeraw(&tc); tcsetattr(t, TCSANOW, &tc); tcflush(m, TCIOFLUSH); write(m, "x", 1); msleep(20); printf("raw: "); drain("raw"); fcntl(m, F_SETFL, O_NONBLOCK); read(m, buf, 100); T(fcntl(t, F_SETFL, 0)); async(m, SIGRTMIN + 2); write(t, "z", 1); msleep(20); drain("master"); 
	return 0;
}
