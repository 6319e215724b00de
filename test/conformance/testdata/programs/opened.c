// What programs ask of a file that they have just opened: where its offset is, whether it is a
// terminal, its flags, whether it can be waited for. Who asks so again and again is told with the
// descriptor; whatever happens to that then is seen.
#include "fds.h"
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

enum { HOT = 40 };
static char b[100];

static void make(const char *name, const char *what) {
	int f = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	write(f, what, strlen(what));
	close(f);
}
// asks opens files until the library surely knows that it asks.
static void asks(void) {
	for (int i = 0; i < HOT; i++) {
		int f = open("a", O_RDONLY);
		lseek(f, 0, SEEK_CUR);
		close(f);
	}
}
static int opened(int flags) {
	static int n;
	int f = -1;
	// One of eight is not told of: not always the same one.
	for (int i = 0; i < 1 + n++ % 3; i++) {
		if (f >= 0)
			close(f);
		f = open("a", flags);
	}
	return f;
}
static void show(const char *what, int f) {
	struct termios t;
	struct winsize w;
	printf("%s\n", what);
	T(lseek(f, 0, SEEK_CUR));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(ioctl(f, TCGETS, &t));
	T(ioctl(f, TCGETS, 0));
	T(ioctl(f, TIOCGWINSZ, &w));
	T(ioctl(f, 0x12345401, 0));
}
static int fdinfo(int pid, int f) {
	char name[60], line[100];
	int flags = -1;
	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", pid, f);
	FILE *p = fopen(name, "r");
	while (p && fgets(line, sizeof line, p))
		sscanf(line, "flags: %o", &flags);
	if (p)
		fclose(p);
	return flags & ~0x8000;
}
static void flags(void) {
	static const int by[] = {0, O_CLOEXEC, O_NONBLOCK, O_APPEND, O_NOFOLLOW, O_SYNC, O_NOATIME, O_NONBLOCK | O_APPEND, O_DIRECTORY, O_PATH, O_TRUNC};
	for (unsigned i = 0; i < sizeof by / sizeof *by; i++) {
		int f = opened(by[i]);
		printf("opened by %#x\n", by[i]);
		show("first", f);
		make("a", "0123456789");
		close(f);
	}
	int f = opened(0);
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(read(f, b, 3));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(lseek(f, 0, SEEK_CUR));
	T(lseek(f, 4, SEEK_SET));
	T(fdinfo(getpid(), f));
	T(fcntl(f, F_SETFL, 0));
	T(fdinfo(getpid(), f));
	T(lseek(f, 0, SEEK_CUR));
	close(f);
	f = opened(0);
	T(fcntl(f, F_SETFL, O_NONBLOCK | O_RDWR | O_CREAT | O_TRUNC));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(fcntl(f, F_SETFL, O_APPEND | O_NONBLOCK));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(fcntl(f, F_SETFL, 0));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(fcntl(f, F_SETFL, 1L << 40 | O_NONBLOCK));
	T(fcntl(f, F_GETFL) & ~0x8000);
	close(f);
	T(fcntl(f, F_GETFL));
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	T(lseek(f, 0, SEEK_CUR));
	T(ioctl(f, TCGETS, b));
	// FIONBIO changes the same flag.
	f = opened(0);
	int on = 1;
	T(ioctl(f, FIONBIO, &on));
	T(fcntl(f, F_GETFL) & ~0x8000);
	on = 0;
	T(ioctl(f, FIONBIO, &on));
	T(fcntl(f, F_GETFL) & ~0x8000);
	close(f);
}
static void offsets(void) {
	int f = opened(0);
	T(lseek(f, 0, SEEK_CUR));
	T(lseek(f, 5, SEEK_SET));
	T(read(f, b, 100));
	T(read(f, b, 100));
	T(lseek(f, -3, SEEK_END));
	T(read(f, b, 2));
	printf("%.2s\n", b);
	T(lseek(f, -1, SEEK_CUR));
	T(read(f, b, 2));
	printf("%.2s\n", b);
	T(lseek(f, (1L << 43) - 1, SEEK_SET));
	T(lseek(f, 0, SEEK_CUR));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(lseek(f, 1, SEEK_CUR));
	T(lseek(f, 0, SEEK_CUR));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(lseek(f, 1L << 43, SEEK_SET));
	T(lseek(f, -1, SEEK_CUR));
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	T(lseek(f, 0, SEEK_CUR));
	T(lseek(f, -1, SEEK_SET));
	T(read(f, b, 1));
	T(pread(f, b, 1, 0));
	close(f);
	// The file is another one by the same number.
	f = opened(0);
	T(lseek(f, 7, SEEK_SET));
	int p[2];
	pipe(p);
	T(dup2(p[0], f) == f);
	T(lseek(f, 0, SEEK_CUR));
	T(fcntl(f, F_GETFL));
	close(p[0]), close(p[1]), close(f);
}
static void others(void) {
	int f = opened(0);
	T(lseek(f, 2, SEEK_SET));
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	int g = dup(f);
	T(fcntl(g, F_GETFL) & ~0x8000);
	T(lseek(g, 1, SEEK_CUR));
	T(fcntl(g, F_SETFL, 0));
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(lseek(f, 0, SEEK_CUR));
	close(g);
	close(f);
	f = opened(0);
	T(lseek(f, 2, SEEK_SET));
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		T(lseek(f, 3, SEEK_CUR));
		T(fcntl(f, F_SETFL, O_NONBLOCK));
		T(read(f, b, 1));
		_exit(0);
	}
	waitpid(p, 0, 0);
	T(lseek(f, 0, SEEK_CUR));
	T(fcntl(f, F_GETFL) & ~0x8000);
	close(f);
	// A child of vfork has descriptors of its own.
	f = opened(0);
	T(lseek(f, 2, SEEK_SET));
	p = vfork();
	if (p == 0) {
		int bad = lseek(f, 0, SEEK_CUR) != 2;
		close(f);
		bad |= lseek(f, 0, SEEK_CUR) != -1 || errno != EBADF;
		bad |= fcntl(f, F_GETFL) != -1 || errno != EBADF;
		_exit(bad);
	}
	int st;
	waitpid(p, &st, 0);
	T(st);
	T(lseek(f, 0, SEEK_CUR));
	close(f);
}
static void *closer(void *f) {
	close(*(int *)f);
	return 0;
}
static void threads(void) {
	for (int i = 0; i < 3; i++) {
		int f = opened(0);
		pthread_t t;
		lseek(f, 1, SEEK_SET);
		pthread_create(&t, 0, closer, &f);
		pthread_join(t, 0);
		T(lseek(f, 0, SEEK_CUR));
		T(fcntl(f, F_GETFL));
		int g = open("b", O_RDONLY | O_NONBLOCK);
		T(g == f);
		T(lseek(g, 0, SEEK_CUR));
		T(fcntl(g, F_GETFL) & ~0x8000);
		T(read(g, b, 1));
		printf("%c\n", b[0]);
		close(g);
	}
}
static void watched(void) {
	struct epoll_event e = {EPOLLIN, {0}};
	int set = epoll_create1(0), f;
	for (int i = 0; i < 3; i++) {
		f = opened(0);
		T(epoll_ctl(set, EPOLL_CTL_ADD, f, &e));
		close(f);
	}
	f = opened(0);
	T(epoll_ctl(set, EPOLL_CTL_ADD, f, &e));
	T(epoll_ctl(set, EPOLL_CTL_ADD, f, 0));
	T(epoll_ctl(set, EPOLL_CTL_ADD, f, (void *)-4096));
	T(epoll_ctl(set, EPOLL_CTL_MOD, f, &e));
	T(epoll_ctl(set, EPOLL_CTL_DEL, f, 0));
	T(epoll_ctl(set, 77, f, &e));
	T(epoll_ctl(f, EPOLL_CTL_ADD, f, &e));
	T(epoll_ctl(-1, EPOLL_CTL_ADD, f, &e));
	T(epoll_ctl(set, EPOLL_CTL_ADD, -1, &e));
	T(epoll_ctl(63, EPOLL_CTL_ADD, f, &e));
	close(set);
	T(epoll_ctl(set, EPOLL_CTL_ADD, f, &e));
	T(dup2(f, set) == set);
	T(epoll_ctl(set, EPOLL_CTL_ADD, f, &e));
	close(f), close(set);
}
static void elsewhere(void) {
	int f = opened(0), s[2];
	T(lseek(f, 6, SEEK_SET));
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	T(sendfd(s[0], f));
	close(f);
	T(recvfd(s[1], &f));
	T(lseek(f, 0, SEEK_CUR));
	T(fcntl(f, F_GETFL) & ~0x8000);
	close(f), close(s[0]), close(s[1]);
}

int main(int argc, char **argv) {
	begin();
	if (argc > 1) { // executed
		int f = atoi(argv[1]);
		T(lseek(f, 0, SEEK_CUR));
		T(fcntl(f, F_GETFL) & ~0x8000);
		return 0;
	}
	make("a", "0123456789");
	make("b", "bbbb");
	asks();
	flags();
	asks();
	offsets();
	others();
	asks();
	threads();
	watched();
	elsewhere();
	asks();
	// Who only opens and closes, and asks later.
	for (int i = 0; i < 3 * HOT; i++)
		close(open("a", O_RDONLY));
	show("asked at last", open("a", O_RDONLY));
	asks();
	int f = opened(0);
	T(lseek(f, 3, SEEK_SET));
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	fflush(stdout);
	char no[10];
	snprintf(no, sizeof no, "%d", f);
	execl("/proc/self/exe", argv[0], no, (char *)0);
	printf("exec: %m\n");
}
