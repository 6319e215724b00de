// What is opened to be read, closed and opened again, in orders that nobody thought of: whatever was done by the
// descriptor before, by another that shares its offset, or by another process meanwhile.
#include "fds.h"
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sched.h>

static char b[300], stack[1 << 16];
static unsigned long state, hash;

static unsigned rnd(unsigned n) {
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (unsigned)(state >> 33) % n;
}
static void h(long v) {
	hash = hash * 33 ^ (unsigned long)v;
}
static void make(const char *name, int from, int n) {
	int f = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	write(f, b + from, n);
	close(f);
}
// again opens a name until what opens it may know it by heart: a read would have its offset taken back.
static int again(const char *name, int flags) {
	for (int i = 0; i < 8; i++) {
		int f = open(name, flags);
		lseek(f, 2, SEEK_SET);
		close(f);
	}
	return open(name, flags);
}
static void shown(int f) {
	unsigned char to[4] = {0};
	struct stat s = {0};
	T(f);
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(fcntl(f, F_GETFD));
	T(lseek(f, 0, SEEK_CUR));
	T(fstat(f, &s));
	T(s.st_size);
	T(read(f, to, 3));
	printf("%d %d %d\n", to[0], to[1], to[2]);
	T(close(f));
}
static void *reads(void *at) {
	char c = 0;
	int f = open("a", O_RDONLY);
	read(f, &c, 1);
	close(f);
	return (void *)(long)c;
}
// step does one thing, to one of six descriptors.
static void step(void) {
	static const char *const names[] = {"a", "b", "d/x", "a", "a", "d", "c"};
	static const int flags[] = {0, 0, 0, 0, O_CLOEXEC, O_NONBLOCK, O_NOFOLLOW, O_RDWR, O_APPEND, O_PATH, O_RDWR | O_CREAT};
	int fd = 3 + rnd(6), op = rnd(40), len = 1 + rnd(20), st = 0;
	const char *name = names[rnd(7)];
	int fl = flags[rnd(11)];
	long r = 0;
	char to[64] = {0}, link[40];
	struct stat s;
	pid_t p;
	errno = 0;
	switch (op) {
	case 0 ... 4:
		r = open(name, fl, 0644);
		break;
	case 5 ... 8:
		for (int i = 0, how = rnd(4), which = rnd(3); i < 14; i++) {
			if ((r = open(names[which], O_RDONLY)) < 0)
				continue;
			h(lseek(r, 0, SEEK_CUR));
			h(how == 0 ? read(r, to, len) : how == 1 ? pread(r, to, len, 3) : how == 2 ? lseek(r, len, SEEK_SET) : 0);
			h(lseek(r, 0, SEEK_CUR));
			if (i < 13)
				close(r);
		}
		break;
	case 9 ... 13:
		r = close(fd);
		break;
	case 14 ... 16:
		r = read(fd, to, len);
		break;
	case 17:
		r = pread(fd, to, len, rnd(60));
		break;
	case 18:
		r = lseek(fd, rnd(90), rnd(3));
		break;
	case 19:
		r = dup(fd);
		break;
	case 20:
		r = dup2(fd, 3 + rnd(6));
		break;
	case 21:
		r = fcntl(fd, F_GETFL);
		r = r < 0 ? r : r & ~0x8000;
		break;
	case 22:
		r = fcntl(fd, F_SETFL, rnd(2) ? O_NONBLOCK : rnd(2) ? O_APPEND : 0);
		break;
	case 23:
		r = fcntl(fd, F_GETFD);
		break;
	case 24:
		r = rnd(2) ? fcntl(fd, F_SETFD, rnd(2)) : ioctl(fd, rnd(2) ? FIOCLEX : FIONCLEX);
		break;
	case 25:
		if ((p = fork()) == 0) {
			lseek(fd, 3, SEEK_CUR);
			_exit(open("a", O_RDONLY) << 4 ^ read(fd, to, 2));
		}
		waitpid(p, &st, 0);
		r = st;
		break;
	case 26:
		if ((p = vfork()) == 0) {
			close(fd);
			_exit(open("b", O_RDONLY));
		}
		waitpid(p, &st, 0);
		r = st;
		break;
	case 27:
		if ((r = fstat(fd, &s)) == 0) {
			h(s.st_mode);
			h(S_ISDIR(s.st_mode) ? 0 : s.st_size);
		}
		break;
	case 28:
		make("n", rnd(30), 60);
		r = rename("n", names[rnd(2)]);
		break;
	case 29:
		r = truncate(names[rnd(3)], 20 + rnd(80));
		break;
	case 30:
		r = write(fd, b + rnd(100), len);
		break;
	case 31:
		if (rnd(4) == 0) {
			pthread_t t;
			void *v = 0;
			pthread_create(&t, 0, reads, 0);
			pthread_join(t, &v);
			r = (long)v;
		}
		break;
	case 32:
		r = unlink("c");
		break;
	case 33:
		sprintf(link, "/proc/self/fd/%d", fd);
		if ((r = readlink(link, stack, sizeof stack - 1)) >= 0) {
			stack[r] = 0;
			r = 0;
			for (char *z = strrchr(stack, '/'); *z; z++)
				h(*z);
		}
		break;
	case 34:
		r = close_range(fd, fd + rnd(2), rnd(2) ? 4 : 0);
		break;
	case 35: {
		struct iovec v[2] = {{to, 3}, {to + 10, len}};
		r = rnd(2) ? readv(fd, v, 2) : preadv(fd, v, 2, rnd(50));
		break;
	}
	case 36: {
		char *m = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
		if (m == MAP_FAILED) {
			r = -1;
		} else {
			if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 0)
				h(m[0]);
			munmap(m, 4096);
		}
		break;
	}
	case 37:
		if ((r = stat(name, &s)) == 0) {
			h(s.st_mode);
			h(S_ISDIR(s.st_mode) ? 0 : s.st_size);
		}
		break;
	case 38:
		chdir("d");
		for (int i = 0; i < 3; i++) {
			int f = open(rnd(2) ? "x" : "../a", O_RDONLY);
			h(read(f, to, 9));
			close(f);
		}
		chdir("..");
		break;
	default:
		if ((r = open(name, O_RDONLY)) >= 0) {
			h(lseek(r, 0, SEEK_CUR));
			h(fcntl(r, F_GETFD));
			h(fcntl(r, F_GETFL) & 0xfff);
		}
	}
	h(r);
	h(r < 0 ? errno : 0);
	for (int i = 0; i < 24; i++)
		h(to[i]);
	close_range(9, ~0u, 0);
}
static int inside(void *at) {
	return chdir(at);
}
// links opens by names that lead where a descriptor or a directory does.
static void links(void) {
	char link[64];
	int f = again("a", O_RDONLY), to = open("b", O_RDONLY), st;
	sprintf(link, "/proc/self/fd/%d", f);
	int g = again(link, O_RDONLY);
	T(g);
	close(g);
	T(dup2(to, f) == f);
	shown(open(link, O_RDONLY));
	close(to);
	close(f);
	T(open(link, O_RDONLY));
	close(again("/proc/self/cwd/a", O_RDONLY));
	chdir("d");
	T(open("/proc/self/cwd/a", O_RDONLY));
	chdir("..");
	shown(open("/proc/self/cwd/a", O_RDONLY));
	// Another process that has the same working directory leaves it.
	close(again("a", O_RDONLY));
	pid_t p = clone(inside, stack + sizeof stack, CLONE_FS | SIGCHLD, "d");
	waitpid(p, &st, 0);
	T(st);
	T(open("a", O_RDONLY));
	chdir("..");
	shown(open("a", O_RDONLY));
	close(again("a", O_RDONLY));
	T(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 2));
	shown(open("a", O_RDONLY));
	T(open("a/", O_RDONLY));
	close(again("d/../a", O_RDONLY));
	rename("d", "e");
	T(open("d/../a", O_RDONLY));
	rename("e", "d");
	shown(open("d/../a", O_RDONLY));
}
// later has a child look at its descriptor when its parent has closed and opened that again.
static void later(void) {
	char c;
	int f = again("a", O_RDONLY), to[2], from[2], st;
	pipe(to), pipe(from);
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		close(to[1]);
		read(to[0], &c, 1);
		shown(f);
		_exit(0);
	}
	close(f);
	int g = open("a", O_RDONLY);
	T(g == f);
	T(read(g, &c, 1));
	T(fcntl(g, F_SETFL, O_NONBLOCK));
	fflush(stdout);
	write(to[1], "", 1);
	waitpid(p, &st, 0);
	shown(g);
	close(to[0]), close(to[1]), close(from[0]), close(from[1]);
	f = again("a", O_RDONLY);
	int self = syscall(SYS_pidfd_open, getpid(), 0);
	g = syscall(SYS_pidfd_getfd, self, f, 0);
	close(f);
	f = open("a", O_RDONLY);
	T(read(f, &c, 1));
	T(syscall(SYS_kcmp, getpid(), getpid(), 0, f, g) != 0);
	close(self);
	shown(g);
	shown(f);
}
int main(void) {
	umask(022);
	close_range(3, ~0u, 0);
	for (unsigned i = 0; i < sizeof b; i++)
		b[i] = i;
	for (int seed = 1; seed <= 24; seed++) {
		state = seed;
		make("a", 0, 100);
		make("b", 50, 120);
		mkdir("d", 0755);
		make("d/x", 7, 30);
		unlink("c");
		for (int i = 0; i < 400; i++) {
			step();
			if (i % 50 == 49)
				printf("%d %d %lx\n", seed, i, hash);
		}
		close_range(3, ~0u, 0);
	}
	make("a", 10, 40);
	make("b", 60, 20);
	links();
	later();
	return 0;
}
