// What /proc/PID/io counts: bytes and calls that read and write, of a thread and of a
// process with threads that have ended.
#include "try.h"
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct io { unsigned long rchar, wchar, syscr, syscw; };
static struct io base, tbase;
// get reads a file of counts as they were before this read.
static struct io get(const char *name) {
	char b[500] = "";
	struct io n = {0};
	int f = open(name, O_RDONLY);
	read(f, b, sizeof b - 1);
	close(f);
	sscanf(b, "rchar: %lu wchar: %lu syscr: %lu syscw: %lu", &n.rchar, &n.wchar, &n.syscr, &n.syscw);
	return n;
}
static void tname(char *b) { sprintf(b, "/proc/self/task/%d/io", (int)syscall(SYS_gettid)); }
static void start(void) {
	char t[50];
	fflush(stdout);
	tname(t);
	tbase = get(t); // the lengths of these reads depend on the counts
	base = get("/proc/self/io");
}
static void show(const char *what) {
	char t[50];
	tname(t);
	struct io n = get("/proc/self/io"), m = get(t);
	printf("%s: read %ld in %ld, written %ld in %ld; thread %ld\n", what, (n.rchar - base.rchar) / 1000, n.syscr - base.syscr, n.wchar - base.wchar,
		n.syscw - base.syscw, m.syscw - tbase.syscw);
	start();
}
static void *thread(void *x) {
	char b[5000];
	int f = open("data", O_RDONLY);
	pread(f, b, 5000, 0), pread(f, b, 5000, 5000);
	close(f);
	f = open("/dev/null", O_WRONLY);
	write(f, b, 100), write(f, b, 1);
	close(f);
	return 0;
}

int main(void) {
	begin();
	setvbuf(stdout, 0, _IOFBF, 1 << 16);
	static char b[100000];
	int f = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600), g = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600), p[2], s[2];
	start();
	show("nothing");
	write(f, b, 60000), write(f, b, 1);
	show("write");
	lseek(f, 0, SEEK_SET), read(f, b, 50000), read(f, b, 50000), read(f, b, 50000);
	show("read");
	pwrite(f, b, 100, 7), pread(f, b, 10000, 0);
	show("at");
	struct iovec v[2] = {{b, 3000}, {b + 5000, 4000}};
	lseek(f, 0, SEEK_SET), readv(f, v, 2), writev(f, v, 2), preadv(f, v, 2, 9), pwritev(f, v, 2, 9);
	show("vectors");
	off_t o = 0, q = 0;
	sendfile(g, f, &o, 20000);
	show("sendfile");
	o = 0, copy_file_range(f, &o, g, &q, 30000, 0);
	show("copy_file_range");
	read(-1, b, 10), write(-1, b, 10), readv(-1, v, 2), writev(77, v, 2), pread(f, b, 10, -5);
	show("bad descriptors");
	read(f, (char *)8, 10), write(f, (char *)8, 10);
	show("bad addresses");
	pipe2(p, O_NONBLOCK), read(p[0], b, 10), read(p[1], b, 10), write(p[1], b, 2000), read(p[0], b, 10000);
	show("pipe");
	socketpair(AF_UNIX, SOCK_STREAM, 0, s), write(s[0], b, 3000), read(s[1], b, 3000), send(s[0], b, 3000, 0), recv(s[1], b, 3000, 0);
	show("socket");
	read(open("/proc/self/comm", O_RDONLY), b, 100), read(open(".", O_RDONLY), b, 100), read(open("/dev/zero", O_RDONLY), b, 5000);
	show("others");
	pthread_t t;
	for (int i = 0; i < 3; i++) pthread_create(&t, 0, thread, 0), pthread_join(t, 0);
	show("threads");
	fflush(stdout);
	if (fork() == 0) {
		struct io n = get("/proc/self/io");
		printf("child: %d %ld %ld\n", n.rchar < 1000, n.wchar, n.syscw);
		exit(0);
	}
	wait(0);
	start();
	show("waited");
	return 0;
}
