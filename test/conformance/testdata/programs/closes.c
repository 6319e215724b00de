// What can be told of a descriptor that was closed: its number is the next one's, nobody has it open, and what
// goes with it is gone, at once, whoever looks, by whatever call.
#include "fds.h"
#include <sys/epoll.h>
#include <dirent.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <termios.h>

enum { HOT = 40 };
static char b[100];

static void make(const char *name, const char *what) {
	int f = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	write(f, what, strlen(what));
	close(f);
}
// ro opens a file only to read it, and has it looked at as programs do.
static int ro(const char *name) {
	struct stat s;
	int f = open(name, O_RDONLY);
	fstat(f, &s);
	lseek(f, 0, SEEK_CUR);
	for (int i = 0; i < 6; i++)
		pread(f, b, 4, 0);
	return f;
}
static void numbers(void) {
	int f[4];
	for (int i = 0; i < HOT; i++) {
		for (int j = 0; j < 4; j++)
			f[j] = ro("a");
		int bad = 0, order[] = {i % 4, (i + 1) % 4, (i + 3) % 4, (i + 2) % 4};
		for (int j = 0; j < 4; j++)
			bad |= close(f[order[j]]);
		int lo = f[0];
		for (int j = 1; j < 4; j++)
			lo = f[j] < lo ? f[j] : lo;
		int g = i % 3 ? open("b", O_RDONLY) : i % 2 ? dup(0) : epoll_create1(0);
		bad |= g != lo;
		bad |= close(g);
		if (bad || i < 3)
			printf("%d: bad %d\n", i, bad);
	}
	int g = ro("a"), h = ro("b"), p[2];
	close(g);
	T(pipe(p));
	T(p[0] == g);
	T(write(p[1], "xy", 2));
	T(read(p[0], b, 2));
	close(p[0]);
	T(fcntl(h, F_DUPFD, g) == g);
	close(g), close(h), close(p[1]);
	// As many as may be open.
	struct rlimit was, few = {12, 12};
	getrlimit(RLIMIT_NOFILE, &was);
	few.rlim_max = was.rlim_max;
	T(setrlimit(RLIMIT_NOFILE, &few));
	int n = 0, all[20];
	while ((all[n] = open("a", O_RDONLY)) >= 0)
		n++;
	T(errno);
	T(close(all[n - 1]));
	T(open("b", O_RDONLY) == all[n - 1]);
	OK(open("b", O_RDONLY));
	while (n > 0)
		close(all[--n]);
	T(setrlimit(RLIMIT_NOFILE, &was));
}
static void gone(void) {
	struct stat s;
	struct termios t;
	struct pollfd p;
	struct iovec v = {b, 1};
	struct statfs fs;
	for (int i = 0; i < 3; i++) {
		int f = ro("a");
		T(close(f));
		p = (struct pollfd){f, POLLIN, 0};
		switch (i) {
		case 0:
			T(read(f, b, 1));
			T(pread(f, b, 1, 0));
			T(lseek(f, 0, SEEK_CUR));
			T(fstat(f, &s));
			T(close(f));
			break;
		case 1:
			T(fcntl(f, F_GETFL));
			T(ioctl(f, TCGETS, &t));
			T(fstatat(f, "", &s, AT_EMPTY_PATH));
			T(write(f, b, 1));
			T(poll(&p, 1, 0));
			T(p.revents);
			break;
		case 2:
			T(dup(f));
			T(readv(f, &v, 1));
			T(fstatfs(f, &fs));
			T(fchdir(f));
			OK(mmap(0, 4096, PROT_READ, MAP_PRIVATE, f, 0));
			T(fcntl(f, F_GETFD));
			T(close_range(f, f, 0));
		}
		T(close(f));
	}
	T(close(-1));
	T(close(1 << 30));
	T(syscall(SYS_close, 1UL << 32 | 70));
	int f = ro("a");
	T(syscall(SYS_close, 0xdead00000000UL | f));
	T(fcntl(f, F_GETFD));
	DIR *d = opendir(".");
	int fd = dirfd(d);
	T(readdir(d) != 0);
	T(closedir(d));
	T(fcntl(fd, F_GETFD));
}
// listed counts a process's descriptors that are open by a name.
static int listed(int pid, const char *name) {
	char dir[60], link[90], to[300], end[60];
	snprintf(dir, sizeof dir, "/proc/%d/fd", pid);
	snprintf(end, sizeof end, "/%s", name);
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;
	while (d && (e = readdir(d))) {
		snprintf(link, sizeof link, "%s/%.20s", dir, e->d_name);
		long l = readlink(link, to, sizeof to - 1);
		if (l > 0) {
			to[l] = 0;
			n += strlen(to) > strlen(end) && strcmp(to + l - strlen(end), end) == 0;
		}
	}
	if (d)
		closedir(d);
	return n;
}
// others look while who has closed goes on without a call: they share a page.
static void others(void) {
	volatile int *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int busy = fork();
	if (busy == 0) {
		int f = ro("a"), g = ro("b"), gone = ro("gone"), locked = ro("locked");
		struct flock l = {F_RDLCK, SEEK_SET, 0, 1, 0};
		int second = open("locked", O_RDONLY);
		if (fcntl(second, F_SETLK, &l))
			_exit(1);
		int whole = open("whole", O_RDONLY);
		if (flock(whole, LOCK_EX))
			_exit(2);
		at[1] = f;
		at[0] = 1;
		while (at[0] != 2)
			;
		close(f), close(gone), close(locked), close(whole);
		at[0] = 3;
		while (at[0] != 4)
			;
		close(g);
		at[0] = 5;
		while (at[0] != 6)
			;
		_exit(0);
	}
	while (at[0] != 1)
		sched_yield();
	T(listed(busy, "a"));
	struct flock l = {F_WRLCK, SEEK_SET, 0, 1, 0};
	int locked = open("locked", O_RDWR), whole = open("whole", O_RDONLY);
	T(fcntl(locked, F_GETLK, &l));
	T(l.l_type == F_RDLCK && l.l_pid == busy);
	T(flock(whole, LOCK_EX | LOCK_NB));
	at[0] = 2;
	while (at[0] != 3)
		sched_yield();
	T(listed(busy, "a"));
	T(listed(busy, "b"));
	char name[60];
	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", busy, at[1]);
	OK(open(name, O_RDONLY));
	T(access(name, F_OK));
	l.l_type = F_WRLCK;
	T(fcntl(locked, F_GETLK, &l));
	T(l.l_type == F_UNLCK);
	T(flock(whole, LOCK_EX | LOCK_NB));
	T(unlink("gone"));
	T(listed(busy, "gone (deleted)"));
	// Who begins to watch is told of those that are closed then.
	int in = inotify_init1(IN_NONBLOCK), n = 0;
	char ev[4096];
	T(inotify_add_watch(in, "b", IN_CLOSE_NOWRITE) > 0);
	T(inotify_add_watch(in, "a", IN_CLOSE_NOWRITE) > 0);
	T(read(in, ev, sizeof ev));
	at[0] = 4;
	while (at[0] != 5)
		sched_yield();
	for (int i = 0; i < 1000 && (n = read(in, ev, sizeof ev)) < 0; i++)
		msleep(1);
	T(n > 0 && ((struct inotify_event *)ev)->mask == IN_CLOSE_NOWRITE);
	T(read(in, ev, sizeof ev));
	close(ro("a"));
	T(read(in, ev, sizeof ev) > 0);
	at[0] = 6;
	int st;
	waitpid(busy, &st, 0);
	T(st);
	close(in), close(locked), close(whole);
	munmap((void *)at, 4096);
}
static void children(void) {
	int st;
	for (int i = 0; i < 4; i++) {
		int f = ro("a"), g = ro("b");
		if (i % 2)
			close(f);
		fflush(stdout);
		int p = fork();
		if (p == 0) {
			T(fcntl(f, F_GETFD));
			T(open("a", O_RDONLY) == f);
			T(close(g));
			T(close(g));
			T(close(f));
			_exit(0);
		}
		if (i / 2)
			close(g);
		waitpid(p, &st, 0);
		T(st);
		T(fcntl(g, F_GETFD));
		close(f), close(g);
	}
	int f = ro("a");
	int p = vfork();
	if (p == 0) {
		struct stat s;
		int bad = close(f) != 0;
		bad |= (close(f) != -1 || fstat(f, &s) != -1 || pread(f, b, 1, 0) != -1) * 2;
		bad |= (open("b", O_RDONLY) != f || fstat(f, &s) || s.st_size != 4) * 4;
		bad |= (pread(f, b, 1, 0) != 1 || *b != 'b' || read(f, b, 1) != 1 || *b != 'b') * 8;
		_exit(bad);
	}
	waitpid(p, &st, 0);
	T(st);
	T(pread(f, b, 2, 0));
	printf("%.2s\n", b);
	close(f);
	// One that shares the table closes, and sees what is closed.
	for (int i = 0; i < 3; i++) {
		f = ro("a");
		if (i == 1)
			close(f);
		p = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
		if (p == 0) {
			int r = close(f) == 0;
			_exit(r);
		}
		waitpid(p, &st, 0);
		T(WEXITSTATUS(st));
		T(close(f));
	}
	// By a message, and an end in which it is the only one.
	int s[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	f = ro("a");
	T(lseek(f, 3, SEEK_SET));
	T(sendfd(s[0], f));
	T(close(f));
	int g;
	T(recvfd(s[1], &g));
	T(g == f);
	T(lseek(g, 0, SEEK_CUR));
	T(dup2(g, 40));
	T(close(g));
	T(lseek(40, 1, SEEK_CUR));
	T(close(40));
	f = ro("a");
	T(dup2(s[0], f) == f);
	T(write(f, "z", 1));
	T(close(f));
	T(close(s[0]));
	T(read(s[1], b, 1));
	T(read(s[1], b, 1));
	close(s[1]);
}
// again opens a name again and again, until what opens it may know it by heart, and shows what is open then.
static int again(const char *name, int flags) {
	for (int i = 0; i < 6; i++) {
		int f = open(name, flags);
		if (f < 0)
			return f;
		read(f, b, 3);
		close(f);
	}
	return open(name, flags);
}
static void shown(int f) {
	struct stat s;
	memset(b, 0, 5);
	T(fcntl(f, F_GETFL) & ~0x8000);
	T(fcntl(f, F_GETFD));
	T(lseek(f, 0, SEEK_CUR));
	T(fstat(f, &s));
	T(s.st_size);
	T(read(f, b, 4));
	printf("%.4s\n", b);
	T(close(f));
}
static void *nothing(void *at) {
	return at;
}
static void reopened(void) {
	static const int by[] = {0, O_CLOEXEC, O_NONBLOCK, O_NOFOLLOW, O_APPEND, O_DIRECTORY, O_PATH};
	for (unsigned i = 0; i < sizeof by / sizeof *by; i++) {
		int f = again("a", by[i]);
		printf("by %#x\n", by[i]);
		if (f >= 0)
			shown(f);
	}
	// What was changed of the one before is not of the next one.
	int f = again("a", O_RDONLY);
	T(fcntl(f, F_SETFL, O_NONBLOCK));
	close(f);
	shown(open("a", O_RDONLY));
	f = again("a", O_RDONLY);
	T(fcntl(f, F_SETFL, O_APPEND));
	for (int i = 0; i < 6; i++)
		lseek(f, 1, SEEK_SET), read(f, b, 1);
	close(f);
	shown(open("a", O_RDONLY));
	f = again("a", O_RDONLY);
	T(fcntl(f, F_SETFD, FD_CLOEXEC));
	close(f);
	shown(open("a", O_RDONLY));
	f = again("a", O_RDONLY);
	T(close_range(f, f, 4));
	close(f);
	shown(open("a", O_RDONLY));
	f = again("a", O_RDONLY);
	int d = dup(f);
	T(lseek(d, 5, SEEK_SET));
	close(f);
	f = open("a", O_RDONLY);
	T(lseek(f, 0, SEEK_CUR));
	T(lseek(d, 0, SEEK_CUR));
	close(d);
	shown(f);
	f = again("a", O_RDONLY);
	for (int i = 0; i < 12; i++) {
		T(pread(f, b, 2, i));
		close(f);
		f = open("a", O_RDONLY);
	}
	shown(f);
	// The lowest number, whatever was closed meanwhile, and by which call.
	int low = ro("b"), lower = dup(0);
	f = again("a", O_RDONLY);
	close(low);
	close(f);
	int g = open("a", O_RDONLY);
	T(g == low);
	f = again("a", O_RDONLY);
	close(lower);
	close(f);
	d = open("a", O_RDONLY);
	T(d == lower);
	close(d), close(g);
	f = again("a", O_RDONLY);
	struct rlimit was, few = {f, f};
	getrlimit(RLIMIT_NOFILE, &was);
	few.rlim_max = was.rlim_max;
	close(f);
	T(setrlimit(RLIMIT_NOFILE, &few));
	T(open("a", O_RDONLY));
	T(setrlimit(RLIMIT_NOFILE, &was));
	shown(again("a", O_RDONLY));
	// Another file has the name, or none, or it may not be read, or is another length.
	close(again("a", O_RDONLY));
	make("c", "cccccc");
	T(rename("c", "a"));
	shown(open("a", O_RDONLY));
	close(again("a", O_RDONLY));
	T(truncate("a", 2));
	shown(open("a", O_RDONLY));
	close(again("a", O_RDONLY));
	T(unlink("a"));
	T(open("a", O_RDONLY));
	make("a", "0123456789");
	mkdir("sub", 0755);
	make("sub/a", "sub");
	close(again("a", O_RDONLY));
	T(chdir("sub"));
	shown(open("a", O_RDONLY));
	T(chdir(".."));
	shown(open("a", O_RDONLY));
	T(symlink("a", "link"));
	close(again("link", O_RDONLY));
	unlink("link");
	T(symlink("b", "link"));
	shown(open("link", O_RDONLY));
	unlink("link");
	fflush(stdout);
	int st, p = fork();
	if (p == 0) {
		chmod("a", 0600);
		chmod("b", 0644);
		if (chown("a", 0, 0) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(7);
		close(again("b", O_RDONLY));
		T(again("a", O_RDONLY));
		shown(open("b", O_RDONLY));
		_exit(0);
	}
	waitpid(p, &st, 0);
	if (st == 0)
		T(st);
	p = getuid() == 0 ? fork() : 0;
	if (p == 0 && getuid() == 0) {
		close(again("a", O_RDONLY));
		T(setresuid(65534, 65534, 65534));
		T(open("a", O_RDONLY));
		_exit(0);
	}
	if (p > 0)
		waitpid(p, &st, 0);
	// Somebody watches, another thread is there, a child.
	int in = inotify_init1(IN_NONBLOCK);
	char ev[4096];
	f = again("a", O_RDONLY);
	close(f);
	T(inotify_add_watch(in, "a", IN_OPEN) > 0);
	shown(open("a", O_RDONLY));
	T(read(in, ev, sizeof ev) > 0);
	close(in);
	close(again("a", O_RDONLY));
	pthread_t t;
	pthread_create(&t, 0, nothing, 0);
	shown(open("a", O_RDONLY));
	pthread_join(t, 0);
	close(again("a", O_RDONLY));
	fflush(stdout);
	if ((p = fork()) == 0) {
		shown(open("a", O_RDONLY));
		_exit(0);
	}
	waitpid(p, &st, 0);
	shown(open("a", O_RDONLY));
	close(again("a", O_RDONLY));
	if ((p = vfork()) == 0)
		_exit(open("b", O_RDONLY) < 0 || pread(open("a", O_RDONLY), b, 2, 0) != 2);
	waitpid(p, &st, 0);
	T(st);
	shown(open("a", O_RDONLY));
}
static int shared[4];
static void *closer(void *at) {
	long n = 0;
	for (int i = 0; i < 4; i++)
		n += close(shared[i]) == 0;
	*(long *)at = n;
	return 0;
}
static void threads(void) {
	for (int i = 0; i < HOT; i++) {
		pthread_t t[3];
		long n[3], sum = 0;
		for (int j = 0; j < 4; j++)
			shared[j] = ro(j % 2 ? "a" : "b");
		for (int j = 0; j < 3; j++)
			pthread_create(t + j, 0, closer, n + j);
		for (int j = 0; j < 3; j++)
			pthread_join(t[j], 0), sum += n[j];
		int g = open("a", O_RDONLY);
		if (sum != 4 || g != shared[0])
			printf("closed %ld times, then %d\n", sum, g - shared[0]);
		close(g);
	}
}

int main(int argc, char **argv) {
	begin();
	if (argc > 1) { // executed
		for (int i = 1; i < argc; i++)
			T(fcntl(atoi(argv[i]), F_GETFD));
		return 0;
	}
	make("a", "0123456789");
	make("b", "bbbb");
	make("gone", "g");
	make("locked", "l");
	make("whole", "w");
	numbers();
	gone();
	others();
	children();
	reopened();
	threads();
	numbers();
	int kept = ro("a"), exec = open("a", O_RDONLY | O_CLOEXEC), closed = ro("b"), later = ro("b");
	T(fcntl(later, F_SETFD, FD_CLOEXEC));
	close(closed);
	fflush(stdout);
	char no[4][10];
	snprintf(no[0], 10, "%d", kept), snprintf(no[1], 10, "%d", exec), snprintf(no[2], 10, "%d", closed), snprintf(no[3], 10, "%d", later);
	execl("/proc/self/exe", argv[0], no[0], no[1], no[2], no[3], (char *)0);
	printf("exec: %m\n");
}
