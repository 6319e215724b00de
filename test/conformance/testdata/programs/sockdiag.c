// Lists of sockets by NETLINK_SOCK_DIAG, as ss asks for them, filters, and requests that
// make no sense; SO_BINDTODEVICE.
#include "try.h"
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static int diag;
static uint16_t port, own; // of the listener, of the client

static int tcp(void) {
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	bind(s, (void *)&a, sizeof a);
	return s;
}
static uint16_t portof(int s) {
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	getsockname(s, (void *)&a, &n);
	return ntohs(a.sin_port);
}

static const char *name(uint16_t p) {
	static char b[8];
	if (p == port)
		return "PORT";
	if (p == own)
		return "OWN";
	sprintf(b, "%d", p);
	return b;
}

static int by(const void *a, const void *b) { return strcmp(a, b); }

// ask sends a request and prints the answers, sorted.
static void ask(const char *what, int type, int flags, const void *body, size_t n, const void *filter, size_t fn) {
	static char buf[1 << 16], lines[64][120];
	struct nlmsghdr *h = (void *)buf;
	int count = 0;
	memset(buf, 0, sizeof buf);
	h->nlmsg_len = NLMSG_LENGTH(n);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = 7;
	memcpy(NLMSG_DATA(h), body, n);
	if (filter) {
		struct nlattr *a = (void *)(buf + NLMSG_ALIGN(h->nlmsg_len));
		a->nla_type = INET_DIAG_REQ_BYTECODE;
		a->nla_len = 4 + fn;
		memcpy(a + 1, filter, fn);
		h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + 4 + fn;
	}
	printf("%s: ", what);
	if (send(diag, buf, h->nlmsg_len, 0) < 0) {
		printf("%s\n", strerrorname_np(errno));
		return;
	}
	for (int done = 0; !done;) {
		long len = recv(diag, buf, sizeof buf, MSG_DONTWAIT);
		if (len < 0) {
			printf("no end: %s\n", strerrorname_np(errno));
			return;
		}
		for (struct nlmsghdr *m = (void *)buf; NLMSG_OK(m, len); m = NLMSG_NEXT(m, len)) {
			if (m->nlmsg_seq != 7)
				printf("sequence %d\n", m->nlmsg_seq);
			if (!(m->nlmsg_flags & NLM_F_MULTI))
				done = 1;
			if (m->nlmsg_type == NLMSG_ERROR) {
				printf("error %s\n", strerrorname_np(-((struct nlmsgerr *)NLMSG_DATA(m))->error));
				return;
			}
			if (m->nlmsg_type == NLMSG_DONE) {
				done = 1;
				if (*(int *)NLMSG_DATA(m))
					printf("done %s: ", strerrorname_np(-*(int *)NLMSG_DATA(m)));
				break;
			}
			struct inet_diag_msg *d = NLMSG_DATA(m);
			if (d->idiag_family == AF_UNIX) {
				struct unix_diag_msg *u = (void *)d;
				char *l = lines[count];
				l += sprintf(l, "type %d state %d", u->udiag_type, u->udiag_state);
				int left = m->nlmsg_len - NLMSG_LENGTH(sizeof *u);
				for (struct nlattr *a = (void *)(u + 1); left >= 4; left -= NLMSG_ALIGN(a->nla_len), a = (void *)((char *)a + NLMSG_ALIGN(a->nla_len))) {
					int *v = (void *)(a + 1);
					if (a->nla_type == UNIX_DIAG_NAME)
						l += sprintf(l, " name %d %.*s", a->nla_len - 4, a->nla_len - 5, (char *)v + !*(char *)v);
					if (a->nla_type == UNIX_DIAG_PEER)
						l += sprintf(l, " peer %d", *v != 0);
					if (a->nla_type == UNIX_DIAG_RQLEN)
						l += sprintf(l, " queue %d %d", v[0], v[1]);
					if (a->nla_type == UNIX_DIAG_SHUTDOWN)
						l += sprintf(l, " shut %d", *(char *)v);
				}
				// Others of the host may have sockets, too.
				if (!strstr(lines[count], "sockdiag-test"))
					continue;
			} else {
				char s[64], t[64], ps[8];
				inet_ntop(d->idiag_family, d->id.idiag_src, s, sizeof s);
				inet_ntop(d->idiag_family, d->id.idiag_dst, t, sizeof t);
				strcpy(ps, name(ntohs(d->id.idiag_sport)));
				if (strcmp(ps, "PORT") && strcmp(ps, "OWN"))
					continue;
				sprintf(lines[count], "%d state %d %s %s %s %s queues %d %d uid %d inode %d", d->idiag_family, d->idiag_state, s, ps, t,
					name(ntohs(d->id.idiag_dport)), d->idiag_rqueue, d->idiag_wqueue, d->idiag_uid == geteuid(), d->idiag_inode != 0);
			}
			count++;
		}
	}
	qsort(lines, count, sizeof *lines, by);
	printf("%d\n", count);
	for (int i = 0; i < count; i++)
		printf("  %s\n", lines[i]);
}

static void filter(const char *what, const struct inet_diag_bc_op *f, size_t n) {
	struct inet_diag_req_v2 q = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = -1};
	ask(what, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, f, n);
}
#define F(...) filter(#__VA_ARGS__, (struct inet_diag_bc_op[]){__VA_ARGS__}, sizeof (struct inet_diag_bc_op[]){__VA_ARGS__})
enum { NOP, JMP, SGE, SLE, DGE, DLE, AUTO, SCOND, DCOND, DEV, MARK, SEQ, DEQ };

static void host(const char *what, int code, int family, int bits, int p, uint32_t addr) {
	struct { struct inet_diag_bc_op op; struct inet_diag_hostcond c; uint32_t a; } f = {{code, 16, 20}, {family, bits, p}, htonl(addr)};
	filter(what, &f.op, sizeof f);
}

int main(void) {
	begin();
	diag = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	OK(diag);
	int l = tcp(), c = tcp(), c2 = tcp();
	listen(l, 9);
	port = portof(l), own = portof(c);
	struct sockaddr_in to = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
	T(connect(c, (void *)&to, sizeof to));
	int a = accept(l, 0, 0);
	send(a, "12345", 5, 0);
	char b;
	recv(c, &b, 1, 0);

	struct inet_diag_req_v2 q = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = -1};
	ask("all", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, 0, 0);
	q.idiag_states = 1 << 10;
	ask("listening", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, 0, 0);
	q.idiag_states = 1 << 1;
	ask("connected", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, 0, 0);
	q.idiag_states = -1;
	q.id.idiag_sport = htons(port);
	ask("from the port", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, 0, 0);
	q.id.idiag_sport = 0, q.id.idiag_dport = htons(port);
	ask("to the port", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, 0, 0);
	q.id.idiag_sport = htons(own);
	q.id.idiag_src[0] = q.id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
	q.id.idiag_cookie[0] = q.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	ask("one", SOCK_DIAG_BY_FAMILY, 0, &q, sizeof q, 0, 0);
	q.id.idiag_dport = htons(1);
	ask("none", SOCK_DIAG_BY_FAMILY, 0, &q, sizeof q, 0, 0);

	F({SEQ, 8, 12}, {0, 0, port});
	F({DEQ, 8, 12}, {0, 0, port});
	F({SGE, 8, 12}, {0, 0, 1}, {SLE, 8, 12}, {0, 0, 65535});
	F({SEQ, 8, 16}, {0, 0, port}, {JMP, 4, 12}, {DEQ, 8, 12}, {0, 0, port});
	F({NOP, 4, 0});
	host("from 127.0.0.1", SCOND, AF_INET, 32, -1, INADDR_LOOPBACK);
	host("from 127/8 and the port", SCOND, AF_INET, 8, port, INADDR_LOOPBACK);
	host("from 128/1", SCOND, AF_INET, 1, -1, 0x80000000);
	host("to 127.0.0.1", DCOND, AF_INET, 32, own, INADDR_LOOPBACK);
	host("to 127.0.0.2/31", DCOND, AF_INET, 31, -1, INADDR_LOOPBACK + 1);
	// These are refused.
	F({99, 4, 8});
	F({SEQ, 8, 12});
	F({SEQ, 4, 12}, {0, 0, port});
	F({SEQ, 8, 3}, {0, 0, port});
	F({SEQ, 8, 400}, {0, 0, port});
	F({JMP, 4, 0});
	F({JMP, 0, 8});
	F({SEQ, 12, 12}, {0, 0, port});
	F({SEQ, 8, 8}, {0, 0, port}, {JMP, 4, 4}, {NOP, 4, 0});
	F({JMP, 4, 8}, {SEQ, 8, 12}, {0, 0, port});
	host("bits", SCOND, AF_INET, 33, -1, 0);
	host("family", SCOND, 77, 0, -1, 0);

	q.sdiag_family = 77;
	ask("no family", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, 0, 0);
	q.sdiag_family = AF_INET, q.sdiag_protocol = 200;
	ask("no protocol", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof q, 0, 0);
	ask("short", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, 20, 0, 0);
	ask("shorter", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, 1, 0, 0);
	ask("no type", 99, NLM_F_DUMP, &q, sizeof q, 0, 0);

	struct sockaddr_un n = {AF_UNIX, "\0sockdiag-test"};
	int u = socket(AF_UNIX, SOCK_STREAM, 0), v = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 14;
	T(bind(u, (void *)&n, len));
	T(listen(u, 5));
	T(connect(v, (void *)&n, len));
	struct unix_diag_req x = {.sdiag_family = AF_UNIX, .udiag_states = -1, .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN};
	ask("named", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &x, sizeof x, 0, 0);
	int w = accept(u, 0, 0);
	send(v, "123", 3, 0);
	shutdown(w, SHUT_WR);
	ask("accepted", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &x, sizeof x, 0, 0);
	x.udiag_states = 1 << 10;
	ask("listening", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &x, sizeof x, 0, 0);
	x.udiag_show = 0;
	ask("nothing shown", SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &x, sizeof x, 0, 0);

	char dev[IFNAMSIZ] = "x";
	len = sizeof dev;
	T(getsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, dev, &len));
	printf("%d\n", len);
	T(setsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
	T(setsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, "nosuch", 6));
	T(setsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, (void *)8, 3));
	T(setsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
	len = 3;
	T(getsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, dev, &len));
	len = sizeof dev;
	T(getsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, dev, &len));
	printf("%d %s\n", len, dev);
	T(connect(c2, (void *)&to, sizeof to));
	T(setsockopt(c2, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
}
