// What the programs about pipes and streams have in common.
#include "fds.h"

static void must(int ok) {
	if (!ok)
		printf("no: %m\n");
}

// full reads n bytes, or to the end.
static long full(int fd, char *p, long n) {
	long got = 0, m;
	while (got < n && (m = read(fd, p + got, n - got)) > 0)
		got += m;
	return got;
}

// show prints what comes to the end, some what one read finds.
static void show(int fd) {
	char c[300] = "";
	long n = full(fd, c, 250);
	printf("%ld '%s'\n", n, c);
}
static void some(int fd) {
	char c[300] = "";
	long n = read(fd, c, 250);
	printf("%ld '%s' %s\n", n, c, n < 0 ? strerrorname_np(errno) : "");
}

// byte is the one at i of what is sent, piece how much of it is sent or asked for at once.
static char byte(unsigned i) { return (i * 7 >> 3) ^ i >> 11; }
static unsigned seed;
static int piece(void) {
	seed = seed * 1103515245 + 12345;
	unsigned v = seed >> 8;
	return 1 + v % (v % 7 == 0 ? 200000 : v % 3 ? 300 : 20000);
}

// handle has rang say which signal has come.
static int rang;
static void ring(int s) { rang = s; }
static void handle(int sig, int flags) {
	struct sigaction a = {.sa_handler = ring, .sa_flags = flags};
	sigaction(sig, &a, 0);
	rang = 0;
}
