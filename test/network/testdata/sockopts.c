// Asks sockets of all kinds for each option of each level, and sets it to this and that: a
// line for each. With an argument: in a network of its own, as the host has to.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(3);
	}
}

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), file);
	close(fd);
}

static void alone(void)
{
	char map[64];
	int uid = getuid(), gid = getgid();
	must(unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0, "unshare");
	put("/proc/self/setgroups", "deny");
	sprintf(map, "0 %d 1", uid);
	put("/proc/self/uid_map", map);
	sprintf(map, "0 %d 1", gid);
	put("/proc/self/gid_map", map);
	put("/proc/sys/net/ipv4/ping_group_range", "0 0");
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	must(ioctl(s, SIOCSIFFLAGS, &r) == 0, "lo");
	close(s);
}

enum { PLAIN, PAIR, LISTENS, CONNECTED };

static struct kind {
	const char *name;
	int family, type, proto, state;
} kinds[] = {
	{"tcp", AF_INET, SOCK_STREAM, 0, PLAIN},
	{"tcp-listens", AF_INET, SOCK_STREAM, 0, LISTENS},
	{"tcp-connected", AF_INET, SOCK_STREAM, 0, CONNECTED},
	{"udp", AF_INET, SOCK_DGRAM, 0, PLAIN},
	{"udp-connected", AF_INET, SOCK_DGRAM, 0, CONNECTED},
	{"udplite", AF_INET, SOCK_DGRAM, 136, PLAIN},
	{"tcp6", AF_INET6, SOCK_STREAM, 0, PLAIN},
	{"tcp6-connected", AF_INET6, SOCK_STREAM, 0, CONNECTED},
	{"udp6", AF_INET6, SOCK_DGRAM, 0, PLAIN},
	{"udp6-connected", AF_INET6, SOCK_DGRAM, 0, CONNECTED},
	{"unix-stream", AF_UNIX, SOCK_STREAM, 0, PLAIN},
	{"unix-listens", AF_UNIX, SOCK_STREAM, 0, LISTENS},
	{"unix-stream-pair", AF_UNIX, SOCK_STREAM, 0, PAIR},
	{"unix-dgram", AF_UNIX, SOCK_DGRAM, 0, PLAIN},
	{"unix-dgram-pair", AF_UNIX, SOCK_DGRAM, 0, PAIR},
	{"unix-seqpacket", AF_UNIX, SOCK_SEQPACKET, 0, PLAIN},
	{"unix-seqpacket-pair", AF_UNIX, SOCK_SEQPACKET, 0, PAIR},
	{"ping", AF_INET, SOCK_DGRAM, 1, PLAIN},
	{"ping6", AF_INET6, SOCK_DGRAM, 58, PLAIN},
	{"raw-icmp", AF_INET, SOCK_RAW, 1, PLAIN},
	{"raw-udp", AF_INET, SOCK_RAW, 17, PLAIN},
	{"raw-raw", AF_INET, SOCK_RAW, 255, PLAIN},
	{"raw6-icmp", AF_INET6, SOCK_RAW, 58, PLAIN},
	{"raw6-udp", AF_INET6, SOCK_RAW, 17, PLAIN},
	{"netlink-route", AF_NETLINK, SOCK_RAW, 0, PLAIN},
	{"netlink-uevent", AF_NETLINK, SOCK_DGRAM, 15, PLAIN},
};

static struct kind *kind;
static int sock[3]; // the socket that is asked, and others that are needed for it

static int loopback(int family, int port, struct sockaddr_storage *a)
{
	memset(a, 0, sizeof *a);
	a->ss_family = family;
	if (family == AF_INET) {
		((struct sockaddr_in *)a)->sin_port = htons(port);
		((struct sockaddr_in *)a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(struct sockaddr_in);
	}
	((struct sockaddr_in6 *)a)->sin6_port = htons(port);
	((struct sockaddr_in6 *)a)->sin6_addr = in6addr_loopback;
	return sizeof(struct sockaddr_in6);
}

static int begin(struct kind *k)
{
	struct sockaddr_storage a;
	sock[0] = sock[1] = sock[2] = -1;
	if (k->state == PAIR) {
		if (socketpair(k->family, k->type, k->proto, sock))
			return -1;
		return 0;
	}
	if ((sock[0] = socket(k->family, k->type, k->proto)) < 0)
		return -1;
	if (k->state == LISTENS) {
		if (k->family != AF_UNIX) {
			int n = loopback(k->family, 0, &a);
			must(bind(sock[0], (void *)&a, n) == 0, "bind");
		} else {
			sa_family_t f = AF_UNIX;
			must(bind(sock[0], (void *)&f, sizeof f) == 0, "bind");
		}
		must(listen(sock[0], 7) == 0, "listen");
	}
	if (k->state == CONNECTED) {
		socklen_t n = loopback(k->family, 0, &a);
		must((sock[1] = socket(k->family, k->type, k->proto)) >= 0, "socket");
		must(bind(sock[1], (void *)&a, n) == 0, "bind");
		if (k->type == SOCK_STREAM)
			must(listen(sock[1], 7) == 0, "listen");
		must(getsockname(sock[1], (void *)&a, &n) == 0, "getsockname");
		must(connect(sock[0], (void *)&a, n) == 0, "connect");
		if (k->type == SOCK_STREAM)
			must((sock[2] = accept(sock[1], 0, 0)) >= 0, "accept");
	}
	return 0;
}

static void end(void)
{
	struct linger l = {1, 0};
	for (int i = 0; i < 3; i++)
		if (sock[i] >= 0) {
			if (i == 2)
				setsockopt(sock[i], SOL_SOCKET, SO_LINGER, &l, sizeof l); // no port rests
			close(sock[i]);
		}
}

static const char *result(int r)
{
	static char b[32];
	if (r == 0)
		return "0";
	if (r < 0)
		return strerrorname_np(errno);
	sprintf(b, "%d", r);
	return b;
}

// What is another each time: only its length is said.
static int secret(int level, int opt)
{
	if (level == SOL_SOCKET)
		switch (opt) {
		case 17: // SO_PEERCRED
		case 49: // SO_INCOMING_CPU
		case 55: // SO_MEMINFO
		case 57: // SO_COOKIE
		case 56: // SO_INCOMING_NAPI_ID
		case 71: // SO_NETNS_COOKIE
		case 77: // SO_PEERPIDFD
			return 1;
		case 28: // SO_PEERNAME
			return kind->family != AF_UNIX;
		}
	if (level == 0 && opt == 52) // IP_PROTOCOL: a port
		return kind->state != PLAIN;
	return level == 6 && (opt == 11 || opt == 24); // TCP_INFO, TCP_TIMESTAMP
}

// get says what an option is, with room for len bytes.
static void get(int level, int opt, int len)
{
	unsigned char b[512] __attribute__((aligned(8)));
	socklen_t n = len;
	memset(b, 0xa5, sizeof b);
	int r = getsockopt(sock[0], level, opt, b, &n);
	printf("%s", result(r));
	if (r < 0) {
		if ((int)n != len)
			printf(",%d", n);
		return;
	}
	printf(",%d:", n);
	if (secret(level, opt))
		return;
	// What is beyond what all hosts give is the host's to say.
	if (level == SOL_SOCKET && (opt == SO_SNDBUF || opt == SO_RCVBUF) && n == 4 && *(int *)b >= 2 * 212992) {
		printf("most");
		return;
	}
	int last = sizeof b;
	while (last > 0 && b[last - 1] == 0xa5)
		last--;
	for (int i = 0; i < last && i < 300; i++)
		printf("%02x", b[i]);
}

static void set(int level, int opt, const char *what, const void *b, int len)
{
	int r = setsockopt(sock[0], level, opt, b, len);
	printf(" %s=%s", what, result(r));
	if (r == 0) {
		putchar('>');
		get(level, opt, 64);
	}
}

static void option(struct kind *k, int level, int opt)
{
	static const int lens[] = {0, 1, 2, 3, 4, 7, 8, 12, 16, 256, -1};
	static const int values[] = {-1, 0, 1, 2, 3, 64, 255, 256, 65535, INT_MAX, INT_MIN};
	char what[32];
	kind = k;
	must(begin(k) == 0, k->name);
	printf("%s %d %d", k->name, level, opt);
	// Of what neither can be set nor asked for two words are enough, if both sides say them.
	int one = 1, e, e2;
	socklen_t room = 4;
	e = getsockopt(sock[0], level, opt, &one, &room) ? errno : 0;
	one = 1;
	e2 = setsockopt(sock[0], level, opt, &one, 4) ? errno : 0;
	if ((e == ENOPROTOOPT || e == EOPNOTSUPP) && e2 == ENOPROTOOPT) {
		printf(" %s %s\n", strerrorname_np(e), strerrorname_np(e2));
		end();
		return;
	}
	end();
	must(begin(k) == 0, k->name);
	for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
		printf(" g%d=", lens[i]);
		get(level, opt, lens[i]);
	}
	socklen_t n = 4;
	printf(" g-null=%s", result(getsockopt(sock[0], level, opt, 0, &n)));
	printf(" g-nolen=%s", result(getsockopt(sock[0], level, opt, &n, 0)));
	for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
		sprintf(what, "s%d", values[i]);
		set(level, opt, what, &values[i], 4);
	}
	for (int fill = 0; fill < 2; fill++)
		for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
			unsigned char b[256] = {fill};
			sprintf(what, "l%d/%d", lens[i], fill);
			set(level, opt, what, b, lens[i]);
		}
	set(level, opt, "null0", 0, 0);
	set(level, opt, "null", 0, 4);
	set(level, opt, "bad", (void *)8, 4);
	putchar('\n');
	end();
}

// has says whether sockets of a kind have options of a level; where they have none, all
// answers are the same.
static int has(struct kind *k, int level)
{
	switch (level) {
	case SOL_SOCKET:
		return 1;
	case 270:
		return k->family == AF_NETLINK;
	case 0:
		return k->family == AF_INET || k->family == AF_INET6;
	case 41:
		return k->family == AF_INET6;
	case 6:
		return k->type == SOCK_STREAM && k->family != AF_UNIX;
	case 17:
		return k->type == SOCK_DGRAM && (k->proto == 0 || k->proto == 136) && k->family != AF_UNIX;
	case 136:
		return k->proto == 136;
	case 58:
	case 255:
		return k->type == SOCK_RAW && k->family != AF_NETLINK;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const int levels[] = {0, 1, 2, 6, 17, 41, 58, 132, 136, 255, 263, 270, 280, 284, -1};
	const char *only = getenv("ONLY");
	if (argc > 1)
		alone();
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (only && strcmp(only, kinds[i].name))
			continue;
		if (begin(&kinds[i])) {
			printf("%s %s\n", kinds[i].name, strerrorname_np(errno));
			continue;
		}
		end();
		for (unsigned l = 0; l < sizeof levels / sizeof *levels; l++)
			for (int o = 0; o <= (has(&kinds[i], levels[l]) ? 130 : 2); o++)
				option(&kinds[i], levels[l], o);
	}
	return 0;
}
