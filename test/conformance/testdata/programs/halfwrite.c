// What a write answers of whose buffer a part is not there: how much of it counts, and
// what came through, for pipes, streams, terminals and files.
#include "try.h"
#include <pty.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>
enum { PAGE = 4096, GOOD = 64 * PAGE };
static char *mem, data[GOOD];
static char *edge(long n) { return mem + GOOD - n; } // n bytes are there

static unsigned sum(const char *p, long n) {
	unsigned h = 5381;
	for (long i = 0; i < n; i++) h = h * 33 + (unsigned char)p[i];
	return h;
}
static void left(int fd) {
	static char b[2 * GOOD];
	long n = 0, r;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	while ((r = read(fd, b + n, sizeof b - n)) > 0) n += r;
	printf("  %ld %08x\n", n, sum(b, n));
}
static const char *const kinds[] = {"pipe", "packets", "stream", "dgram", "seqpacket", "tty", "ptmx", "file", "append", "memfd", "small pipe"};
static void open_(int k, int p[2]) {
	struct termios t;
	char name[50];
	switch (k) {
	case 0: pipe(p); break;
	case 1: pipe2(p, O_DIRECT); break;
	case 2: case 3: case 4: socketpair(AF_UNIX, k == 2 ? SOCK_STREAM : k == 3 ? SOCK_DGRAM : SOCK_SEQPACKET, 0, p); break;
	case 5: openpty(&p[0], &p[1], 0, 0, 0); tcgetattr(p[1], &t), cfmakeraw(&t), tcsetattr(p[1], TCSANOW, &t); break;
	case 6: openpty(&p[1], &p[0], 0, 0, 0); tcgetattr(p[0], &t), cfmakeraw(&t), tcsetattr(p[0], TCSANOW, &t); break;
	case 7: case 8: p[1] = open("w", O_RDWR | O_CREAT | O_TRUNC | (k == 8 ? O_APPEND : 0), 0600), p[0] = open("w", O_RDONLY); break;
	case 9: p[0] = memfd_create("x", 0); sprintf(name, "/proc/self/fd/%d", p[0]); p[1] = open(name, O_RDWR); break;
	case 10: pipe(p); fcntl(p[1], F_SETPIPE_SZ, 4 * PAGE); break;
	}
	fcntl(p[1], F_SETFL, fcntl(p[1], F_GETFL) | O_NONBLOCK);
}
static const long fits[] = {0, 1, 10, 100, PAGE - 1, PAGE, PAGE + 1, 3000, 9000, 3 * PAGE, 32768, 40000, 70000};
int main(void) {
	begin();
	for (int i = 0; i < sizeof data; i++) data[i] = 'a' + (i * 7 + i / 256) % 26;
	mem = mmap(0, GOOD + 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(mem + GOOD, 32 * PAGE);
	mprotect(mem + GOOD, 0, 0);
	memcpy(mem, data, GOOD);
	for (int k = 0; k < 11; k++)
		for (int pre = 0; pre < 2; pre++) // the pipe has something in it already
			for (int i = 0; i < sizeof fits / sizeof *fits; i++)
				for (int more = 1; more < 100000; more *= 99)
					for (int how = 0; how < 6; how++) {
						long n = fits[i], r;
						int p[2];
						if (pre && k > 2 && k != 10) continue;
						// How much fits is another matter.
						if (k < 2 && n > 64000 || k == 10 && n > 9000 || k == 5 && n > PAGE + 1 || k == 6 && (n > 3000 || how == 4)) continue;
						open_(k, p);
						if (pre) write(p[1], "before", 6);
						struct iovec v[4] = {{edge(n), n + more}};
						struct msghdr h = {.msg_iov = v, .msg_iovlen = 1};
						printf("%s%s %ld+%d %d", kinds[k], pre ? "*" : "", n, more, how);
						fflush(stdout);
						errno = 0;
						switch (how) {
						case 0: r = write(p[1], edge(n), n + more); break;
						case 1: r = writev(p[1], v, 1); break;
						case 2: v[0] = (struct iovec){mem, 5}, v[1] = (struct iovec){edge(n), n + more}, v[2] = (struct iovec){mem + 10, 5}, r = writev(p[1], v, 3); break;
						case 3: v[0] = (struct iovec){edge(n), n + more}, v[1] = (struct iovec){mem, 50}, r = writev(p[1], v, 2); break;
						case 4: v[0] = (struct iovec){mem, 5000}, v[1] = (struct iovec){edge(n), n + more}, r = writev(p[1], v, 2); break;
						case 5: if (k < 2 || k > 4) r = 0; else r = sendmsg(p[1], &h, 0); break;
						}
						if (r < 0) printf(": %s", strerrorname_np(errno));
						else printf(": %ld", r);
						left(p[0]);
						close(p[0]), close(p[1]);
					}
	return 0;
}
