#include "try.h"
#include <sys/file.h>
static int f, g;
static struct flock L(int type, int whence, off_t start, off_t len) { struct flock l = {.l_type = type, .l_whence = whence, .l_start = start, .l_len = len}; return l; }
static void set(int fd, int cmd, int type, off_t start, off_t len) { struct flock l = L(type, SEEK_SET, start, len); char w[80]; sprintf(w, "cmd %d type %d %ld+%ld", cmd, type, (long)start, (long)len); errno = 0; long r = fcntl(fd, cmd, &l); say(w, r, errno); }
static pid_t owner;
static void get(int fd, int cmd, int type, off_t start, off_t len) { struct flock l = L(type, SEEK_SET, start, len); if (fcntl(fd, cmd, &l) < 0) puts(strerrorname_np(errno)); else printf("get %d %ld+%ld: type %d %ld+%ld pid %d\n", type, (long)start, (long)len, l.l_type, (long)l.l_start, (long)l.l_len, l.l_pid == owner ? 1 : l.l_pid); }
static void probe(void) { int h = open("f", O_RDWR); get(h, F_GETLK, F_WRLCK, 0, 0); get(h, F_GETLK, F_RDLCK, 0, 0); get(h, F_GETLK, F_WRLCK, 15, 3); get(h, F_GETLK, F_WRLCK, 20, 5); get(h, F_GETLK, F_WRLCK, 1000, 0); get(h, F_OFD_GETLK, F_WRLCK, 0, 0); set(h, F_SETLK, F_WRLCK, 5, 10); set(h, F_SETLK, F_RDLCK, 5, 10); set(h, F_SETLK, F_WRLCK, 500, 10); }
static void blocked(void) { int h = open("f", O_RDWR); set(h, F_SETLKW, F_WRLCK, 0, 0); puts("got it"); }
static void flocked(void) { int h = open("f", O_RDWR); T(flock(h, LOCK_EX | LOCK_NB)); T(flock(h, LOCK_SH | LOCK_NB)); T(flock(f, LOCK_SH | LOCK_NB)); T(flock(f, LOCK_UN)); T(flock(h, LOCK_EX | LOCK_NB)); }
static void on(int s) {}
int main(void) {
	begin(); owner = getpid();
	f = open("f", O_RDWR | O_CREAT, 0600); g = open("f", O_RDONLY); int w = open("f", O_WRONLY), p[2], d = open(".", O_RDONLY), op = open("f", O_PATH), n = open("/dev/null", O_RDWR); pipe(p);
	struct flock l;
	l = L(9, 0, 0, 0); T(fcntl(f, F_SETLK, &l)); l = L(F_WRLCK, 7, 0, 0); T(fcntl(f, F_SETLK, &l)); l = L(F_WRLCK, 0, -1, 0); T(fcntl(f, F_SETLK, &l)); l = L(F_WRLCK, 0, 10, -11); T(fcntl(f, F_SETLK, &l)); l = L(F_WRLCK, 0, LONG_MAX, 2); T(fcntl(f, F_SETLK, &l)); l = L(F_UNLCK, 0, 0, 0); T(fcntl(f, F_GETLK, &l)); T(fcntl(f, F_SETLK, (void *)8)); T(fcntl(f, F_GETLK, (void *)8)); T(fcntl(99, F_SETLK, &l));
	set(g, F_SETLK, F_WRLCK, 0, 1); set(g, F_SETLK, F_RDLCK, 0, 1); set(w, F_SETLK, F_RDLCK, 0, 1); set(w, F_SETLK, F_WRLCK, 0, 1); set(op, F_SETLK, F_RDLCK, 0, 1); get(op, F_GETLK, F_RDLCK, 0, 1);
	set(d, F_SETLK, F_RDLCK, 0, 0); set(d, F_SETLK, F_WRLCK, 0, 0); set(n, F_SETLK, F_WRLCK, 0, 0);
	set(f, F_SETLK, F_UNLCK, 0, 0); set(f, F_SETLK, F_WRLCK, 10, 10); set(f, F_SETLK, F_RDLCK, 30, 10); child("probe", probe); set(f, F_SETLK, F_UNLCK, 12, 3); child("split", probe); set(f, F_SETLK, F_RDLCK, 12, 3); set(f, F_SETLK, F_RDLCK, 15, 30); child("merged", probe);
	lseek(f, 100, SEEK_SET); l = L(F_WRLCK, SEEK_CUR, -10, 5); T(fcntl(f, F_SETLK, &l)); ftruncate(f, 50); l = L(F_WRLCK, SEEK_END, -5, -5); T(fcntl(f, F_SETLK, &l)); child("relative", probe); get(f, F_GETLK, F_WRLCK, 0, 0);
	close(open("f", O_RDONLY)); child("closed", probe);
	set(f, F_SETLK, F_WRLCK, 0, 0); pid_t c = fork(); if (!c) { child("waiter", blocked); _exit(0); } msleep(30); l = L(F_UNLCK, SEEK_SET, 0, 0); fcntl(f, F_SETLK, &l); /* who says so first is chance */ waitpid(c, 0, 0);
	// Deadlock.
	set(f, F_SETLK, F_WRLCK, 0, 1); int q[2]; pipe(q); c = fork(); if (!c) { set(f, F_SETLK, F_WRLCK, 1, 1); write(q[1], "x", 1); l = L(F_WRLCK, 0, 0, 1); fcntl(f, F_SETLKW, &l); _exit(0); } char ch; read(q[0], &ch, 1); asleep(c); set(f, F_SETLKW, F_WRLCK, 1, 1); set(f, F_SETLK, F_UNLCK, 0, 0); waitpid(c, 0, 0);
	// Interrupted.
	c = fork(); if (!c) { set(f, F_SETLK, F_WRLCK, 0, 0); write(q[1], "x", 1); pause(); } read(q[0], &ch, 1); struct sigaction a = {.sa_handler = on}; sigaction(SIGALRM, &a, 0); struct itimerval it = {{0, 30000}, {0, 30000}}, none = {0}; setitimer(ITIMER_REAL, &it, 0); set(f, F_SETLKW, F_WRLCK, 0, 0); setitimer(ITIMER_REAL, &none, 0); kill(c, SIGKILL); waitpid(c, 0, 0); set(f, F_SETLK, F_WRLCK, 0, 0);
	set(f, F_SETLK, F_UNLCK, 0, 0);
	// OFD locks.
	int h = open("f", O_RDWR); set(f, F_OFD_SETLK, F_WRLCK, 0, 10); set(h, F_OFD_SETLK, F_WRLCK, 5, 1); set(h, F_SETLK, F_WRLCK, 5, 1); get(h, F_OFD_GETLK, F_RDLCK, 0, 0); get(h, F_GETLK, F_RDLCK, 0, 0); l = L(F_WRLCK, 0, 0, 1); l.l_pid = 1; T(fcntl(f, F_OFD_SETLK, &l)); T(fcntl(f, F_OFD_GETLK, &l)); int f2 = dup(f); close(f2); set(h, F_OFD_SETLK, F_WRLCK, 5, 1); set(f, F_OFD_SETLK, F_UNLCK, 0, 0); set(h, F_OFD_SETLK, F_WRLCK, 5, 1); close(h); set(f, F_OFD_SETLK, F_WRLCK, 5, 1); child("ofd", probe); set(f, F_OFD_SETLK, F_UNLCK, 0, 0);
	// flock.
	T(flock(99, LOCK_SH)); T(flock(f, 0)); T(flock(f, 15)); T(flock(f, LOCK_SH | LOCK_EX)); T(flock(op, LOCK_SH)); T(flock(d, LOCK_EX)); T(flock(n, LOCK_EX | LOCK_NB)); T(flock(g, LOCK_EX)); T(flock(g, LOCK_UN)); T(flock(f, LOCK_EX)); T(flock(f, LOCK_SH)); child("flocked", flocked); T(flock(f, LOCK_EX | LOCK_NB)); h = dup(f); T(flock(h, LOCK_SH | LOCK_NB)); close(f); int k = open("f", O_RDWR); T(flock(k, LOCK_EX | LOCK_NB)); close(h); T(flock(k, LOCK_EX | LOCK_NB));
	// Leases and owners.
	T(fcntl(k, F_GETLEASE)); T(fcntl(g, F_GETOWN)); T(fcntl(p[0], F_SETOWN, getpid())); T(fcntl(p[0], F_GETOWN) == getpid()); T(fcntl(p[0], F_SETOWN, -getpgrp())); T(fcntl(p[0], F_GETOWN) == -getpgrp()); T(fcntl(p[0], F_SETOWN, 0x3ffffff)); T(fcntl(p[0], F_SETSIG, 65)); T(fcntl(p[0], F_SETSIG, SIGUSR1)); T(fcntl(p[0], F_GETSIG)); T(fcntl(k, 9999)); T(fcntl(op, F_GETFL) & O_PATH); T(fcntl(op, F_SETFL, 0)); T(fcntl(k, F_DUPFD, -1)); T(fcntl(k, F_DUPFD, 1 << 30)); T(fcntl(k, F_DUPFD, 50)); T(fcntl(k, F_DUPFD_CLOEXEC, 50)); T(fcntl(51, F_GETFD)); T(fcntl(k, F_SETFD, 0xff)); T(fcntl(k, F_GETFD)); T(fcntl(k, F_SETFL, O_APPEND | O_NONBLOCK | O_RDONLY | O_CREAT)); printf("%x\n", fcntl(k, F_GETFL)); T(dup2(k, k)); T(dup3(k, k, 0)); T(dup3(k, 60, 1)); T(dup2(99, 99)); T(dup2(k, -1)); T(dup2(k, 1 << 30));
	struct { int type, pid; } ox; T(fcntl(p[0], 16, &ox)); printf("%d\n", ox.type); ox.type = 9; T(fcntl(p[0], 15, &ox)); ox.type = 0; ox.pid = getpid(); T(fcntl(p[0], 15, &ox)); T(fcntl(p[0], F_GETOWN) == getpid());
	return 0;
}
