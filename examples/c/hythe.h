/* What a C program needs to make calls of Hythe's nucleus as a guest
   (docs/nucleus.md; the layouts are those of abi/nucleus.go). */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HYTHE_OPEN = 508, HYTHE_SEND = 509, HYTHE_RECEIVE = 510, HYTHE_MAP = 511, HYTHE_MAP_PAGED = 512, HYTHE_FAULTS = 513, HYTHE_INHERIT = 514 };

/* Calls, kinds of right, dispositions. */
enum { PORT_ALLOCATE = 1, PORT_MOD_REFS = 3, MSG_SEND = 11, MSG_RECEIVE = 12, OBJECT_CREATE = 13, OBJECT_FD = 15, OBJECT_WATCH = 32, OBJECT_UNWATCH = 33, OBJECT_PAGES = 34, PAGER_ATTRS = 35, ALARM_SET = 40, ALARM_CANCEL = 41 };
enum { MSG_ALARM = 81 };
enum { RIGHT_SEND = 1, RIGHT_RECEIVE = 2 };
enum { MOVE_SEND_ONCE = 3, COPY_SEND = 4, MAKE_SEND = 5, MAKE_SEND_ONCE = 6 };
/* Memory objects with a pager (docs/nucleus.md, "Pagers"). */
enum { OBJECT_PAGED = 2, OBJECT_PLACED = 4, PAGES_SUPPLY = 1, PAGES_UNAVAILABLE = 2, PAGES_ERROR = 3, PAGES_LOCK = 4, PAGES_FLUSH = 5, PAGES_UNLOCK = 6 };
enum { MSG_PAGE_REQUEST = 80, MSG_PAGE_TERMINATE = 91, HYTHE_PAGE = 4096 };
#define HYTHE_FOREVER (~0ull)
/* Of HYTHE_INHERIT: what a forked child has. */
enum { INHERIT_SHARE = 0, INHERIT_COPY = 1, INHERIT_NONE = 2 };
/* In a call's ID: the descriptor of the answer is kept for HYTHE_MAP. */
#define HYTHE_KEEP (1ull << 63)

struct hythe_call {
	uint32_t op, nfds;
	uint64_t id;
	uint32_t err, len;
	uint64_t a[6];
};

struct hythe_msg {
	uint32_t remote, local;
	uint8_t remote_disp, local_disp, nrights, nobjects;
	uint32_t id;
	uint64_t seq;
	uint32_t port_seq, len;
	uint8_t trace[24];
};

struct hythe_right {
	uint32_t name;
	uint8_t disp, kind;
	uint16_t pad;
};

struct hythe_object {
	uint32_t name, flags;
	uint64_t off, len;
};

/* What a pager is asked for; of MSG_PAGE_TERMINATE the first two words. */
struct hythe_pages {
	uint64_t tag, off, len, write;
};

/* A datagram: a call and up to 32 KiB. */
struct hythe_datagram {
	struct hythe_call call;
	char data[32 << 10];
};

/* hythe_call_keep makes a call with n bytes of d->data and waits for its answer, which
   is d then: 0 or an errno. keep is HYTHE_KEEP or 0. One thread at a time may use it. */
static inline int hythe_call_keep(struct hythe_datagram *d, uint32_t op, uint32_t n, uint64_t keep)
{
	static uint64_t last;
	uint64_t id = ++last | keep;
	d->call.op = op;
	d->call.id = id;
	d->call.nfds = d->call.err = 0;
	d->call.len = n;
	if (syscall(HYTHE_SEND, d, sizeof d->call + n) < 0)
		return 32;
	do
		if (syscall(HYTHE_RECEIVE, d, sizeof *d) < (long)sizeof d->call)
			return 32;
	while (d->call.id != id);
	return d->call.err;
}

static inline int hythe_call(struct hythe_datagram *d, uint32_t op, uint32_t n)
{
	return hythe_call_keep(d, op, n, 0);
}

/* hythe_call4 is a call without bytes. */
static inline int hythe_call4(struct hythe_datagram *d, uint32_t op, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	memset(&d->call, 0, sizeof d->call);
	d->call.a[0] = a0, d->call.a[1] = a1, d->call.a[2] = a2, d->call.a[3] = a3;
	return hythe_call(d, op, 0);
}

/* hythe_map_object maps size bytes of an object, to read and write: NULL with an error
   in *e. Whoever touches a missing page of a paged object (paged is 1) waits for its
   pager; its pager itself maps it with 0. */
static inline void *hythe_map_object(struct hythe_datagram *d, uint32_t object, uint64_t size, int paged, int *e)
{
	memset(&d->call, 0, sizeof d->call);
	d->call.a[0] = object;
	if ((*e = hythe_call_keep(d, OBJECT_FD, 0, HYTHE_KEEP)))
		return NULL;
	uint64_t id = d->call.id, at = d->call.a[2]; /* its address, if it has one */
	long p = syscall(paged ? HYTHE_MAP_PAGED : HYTHE_MAP, id, at, size, 3 /* read, write */, at ? 0x100001 : 1 /* shared, there */, 0);
	if (p == -1) {
		*e = errno;
		return NULL;
	}
	if (paged) {
		memset(&d->call, 0, sizeof d->call);
		d->call.a[0] = object, d->call.a[1] = p, d->call.a[3] = size;
		d->call.a[4] = syscall(HYTHE_FAULTS, id);
		*e = hythe_call(d, OBJECT_WATCH, 0);
		syscall(HYTHE_MAP, id, 0, 0, 0, 0, 0); /* the nucleus has what tells of faults */
		if (*e)
			return NULL;
	}
	return (void *)p;
}

/* hythe_receive waits for a message on a port. *m and *body are in d. */
static inline int hythe_receive(struct hythe_datagram *d, uint32_t port, struct hythe_msg **m, char **body)
{
	int e = hythe_call4(d, MSG_RECEIVE, port, HYTHE_FOREVER, 0, 0);
	*m = (struct hythe_msg *)d->data;
	*body = d->data + sizeof **m + (*m)->nrights * sizeof(struct hythe_right) + (*m)->nobjects * sizeof(struct hythe_object);
	return e;
}

/* hythe_supply gives pages to who waits for them. */
static inline int hythe_supply(struct hythe_datagram *d, uint32_t object, uint64_t off, const void *bytes, uint32_t len)
{
	memset(&d->call, 0, sizeof d->call);
	d->call.a[0] = object, d->call.a[1] = PAGES_SUPPLY, d->call.a[2] = off, d->call.a[3] = len;
	memcpy(d->data, bytes, len);
	return hythe_call(d, OBJECT_PAGES, len);
}

/* hythe_register gives the name server a send right to a port under a name. */
static inline int hythe_register(struct hythe_datagram *d, uint32_t names, uint32_t reply, uint32_t port, const char *name)
{
	struct hythe_msg q = {.remote = names, .local = reply, .remote_disp = COPY_SEND, .local_disp = MAKE_SEND_ONCE, .nrights = 1, .id = 1, .len = strlen(name)};
	struct hythe_right r = {.name = port, .disp = MAKE_SEND};
	memset(&d->call, 0, sizeof d->call);
	d->call.a[0] = HYTHE_FOREVER, d->call.a[1] = reply, d->call.a[2] = HYTHE_FOREVER;
	d->call.a[4] = 512; /* what it costs, lent to the server */
	memcpy(d->data, &q, sizeof q);
	memcpy(d->data + sizeof q, &r, sizeof r);
	memcpy(d->data + sizeof q + sizeof r, name, q.len);
	int e = hythe_call(d, MSG_SEND, sizeof q + sizeof r + q.len);
	uint32_t answer = 0;
	if (!e)
		memcpy(&answer, d->data + sizeof q, 4);
	return e ? e : (int)answer;
}

/* hythe_answer_object answers a request with the right to an object. */
static inline int hythe_answer_object(struct hythe_datagram *d, uint32_t reply, uint32_t object, uint64_t len)
{
	struct hythe_msg q = {.remote = reply, .remote_disp = MOVE_SEND_ONCE, .nobjects = 1};
	struct hythe_object o = {.name = object, .len = len};
	memset(&d->call, 0, sizeof d->call);
	memcpy(d->data, &q, sizeof q);
	memcpy(d->data + sizeof q, &o, sizeof o);
	return hythe_call(d, MSG_SEND, sizeof q + sizeof o);
}

/* hythe_ask sends len bytes to a send right and waits for the answer on the port
   reply: 0 or an errno. *m and *body are in d. */
static inline int hythe_ask(struct hythe_datagram *d, uint32_t to, uint32_t reply, uint32_t id, const void *what, uint32_t len, struct hythe_msg **m, char **body)
{
	struct hythe_msg q = {.remote = to, .local = reply, .remote_disp = COPY_SEND, .local_disp = MAKE_SEND_ONCE, .id = id, .len = len};
	memset(&d->call, 0, sizeof d->call);
	d->call.a[0] = HYTHE_FOREVER;
	d->call.a[1] = reply;
	d->call.a[2] = HYTHE_FOREVER;
	memcpy(d->data, &q, sizeof q);
	memcpy(d->data + sizeof q, what, len);
	int e = hythe_call(d, MSG_SEND, sizeof q + len);
	*m = (struct hythe_msg *)d->data;
	*body = d->data + sizeof q + (*m)->nrights * sizeof(struct hythe_right);
	return e;
}
