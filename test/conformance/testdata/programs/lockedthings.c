#include "try.h"
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/eventfd.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/inotify.h>
static struct flock lk(int type, long start, long len) { struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len}; return l; }
// all does to two descriptors of one thing, and from a child, what locks allow.
static void all(const char *name, int a, int b) {
	struct flock l; int st; printf("== %s\n", name);
	T(flock(a, LOCK_SH)); T(flock(b, LOCK_SH | LOCK_NB)); T(flock(b, LOCK_EX | LOCK_NB)); T(flock(a, LOCK_UN)); T(flock(b, LOCK_EX | LOCK_NB)); T(flock(a, LOCK_EX | LOCK_NB)); T(flock(a, LOCK_SH | LOCK_NB)); T(flock(b, LOCK_UN)); T(flock(b, 99));
	l = lk(F_RDLCK, 0, 10); T(fcntl(a, F_SETLK, &l)); l = lk(F_WRLCK, 5, 10); T(fcntl(b, F_SETLK, &l)); l = lk(F_WRLCK, 0, 0); l.l_whence = SEEK_CUR; T(fcntl(b, F_SETLK, &l)); l = lk(F_RDLCK, 0, 0); l.l_whence = SEEK_END; T(fcntl(b, F_SETLK, &l)); l.l_whence = 3; T(fcntl(b, F_SETLK, &l));
	fflush(stdout); pid_t p = fork(); if (!p) { l = lk(F_RDLCK, 0, 0); T(fcntl(a, F_SETLK, &l)); l = lk(F_WRLCK, 2, 1); T(fcntl(b, F_SETLK, &l)); T(fcntl(b, F_GETLK, &l)); printf("%d %ld %ld %d\n", l.l_type, (long)l.l_start, (long)l.l_len, l.l_pid == getppid()); fflush(stdout); _exit(0); } waitpid(p, &st, 0);
	l = lk(F_UNLCK, 0, 0); T(fcntl(a, F_SETLK, &l));
	l = lk(F_RDLCK, 0, 10); T(fcntl(a, F_OFD_SETLK, &l)); l = lk(F_WRLCK, 0, 10); T(fcntl(b, F_OFD_SETLK, &l)); T(fcntl(b, F_OFD_GETLK, &l)); printf("%d %ld %ld %d\n", l.l_type, (long)l.l_start, (long)l.l_len, l.l_type == F_UNLCK || l.l_pid == getpid() ? 0 : l.l_pid); l = lk(F_WRLCK, 0, 10); T(fcntl(a, F_SETLK, &l)); l = lk(F_UNLCK, 0, 0); T(fcntl(a, F_OFD_SETLK, &l)); T(fcntl(b, F_OFD_SETLK, &l));
	// A lock that is waited for comes when it is given up, not before all copies are closed.
	int d = dup(a); T(flock(d, LOCK_EX)); int same = flock(b, LOCK_EX | LOCK_NB) < 0; printf("same %d\n", same); if (!same) { flock(a, LOCK_UN); flock(b, LOCK_UN); close(d); return; }
	fflush(stdout); p = fork(); if (!p) { close(a); close(d); T(flock(b, LOCK_EX)); fflush(stdout); _exit(0); } asleep(p); close(d); puts("not yet"); fflush(stdout); flock(a, LOCK_UN); waitpid(p, &st, 0); printf("%d\n", st); T(flock(b, LOCK_UN));
}
int main(void) {
	begin(); int p[2], s[2], n; char path[64];
	pipe(p); all("pipe", p[0], p[1]); sprintf(path, "/proc/self/fd/%d", p[0]); int r = open(path, O_RDWR); all("pipe, opened again", r, p[0]); close(r); close(p[0]); close(p[1]);
	for (int t = SOCK_STREAM; t <= SOCK_DGRAM; t++) { socketpair(AF_UNIX, t, 0, s); all("socket pair", s[0], s[1]);  close(s[0]); close(s[1]); }
	int a = eventfd(0, 0), b = eventfd(0, 0); all("eventfd", a, b); n = timerfd_create(CLOCK_MONOTONIC, 0); all("timerfd and eventfd", n, a); close(n); n = epoll_create1(0); all("epoll and eventfd", n, b); close(n); n = inotify_init(); all("inotify and eventfd", n, b); close(n); close(a); close(b);
	n = memfd_create("m", 0); ftruncate(n, 100); sprintf(path, "/proc/self/fd/%d", n); r = open(path, O_RDWR); all("memfd", n, r); close(r); r = memfd_create("m", 0); all("two memfds", n, r);
	n = open("/dev/null", O_RDWR); r = open("/dev/null", O_RDWR); all("/dev/null", n, r); close(n); close(r); n = open("/dev/null", O_RDWR); r = open("/dev/zero", O_RDWR); all("/dev/null and zero", n, r); close(n); close(r);
	n = posix_openpt(O_RDWR | O_NOCTTY); grantpt(n); unlockpt(n); r = open(ptsname(n), O_RDWR | O_NOCTTY); all("terminal", n, r); int r2 = open(ptsname(n), O_RDWR | O_NOCTTY); all("terminal, opened twice", r, r2); close(n); close(r); close(r2);
	mkfifo("f", 0600); n = open("f", O_RDWR); r = open("f", O_RDWR); all("fifo", n, r); close(n); close(r); unlink("f"); n = open("/proc/self/status", O_RDONLY); r = open("/proc/self/status", O_RDONLY); all("proc", n, r); close(n); close(r);
	n = open(".", O_RDONLY); r = open(".", O_RDONLY); all("directory", n, r); close(n); n = open(".", O_PATH); all("O_PATH", n, r); close(n); close(r); 
	return 0;
}
