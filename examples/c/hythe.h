/* What a C program needs to make calls of Hythe's nucleus as a guest
   (docs/nucleus.md; the layouts are those of abi/nucleus.go). */
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HYTHE_OPEN = 508, HYTHE_SEND = 509, HYTHE_RECEIVE = 510, HYTHE_MAP = 511 };

/* Calls, kinds of right, dispositions. */
enum { PORT_ALLOCATE = 1, PORT_MOD_REFS = 3, MSG_SEND = 11, MSG_RECEIVE = 12, OBJECT_CREATE = 13, OBJECT_FD = 15, ALARM_SET = 40, ALARM_CANCEL = 41 };
enum { MSG_ALARM = 81 };
enum { RIGHT_SEND = 1, RIGHT_RECEIVE = 2 };
enum { MOVE_SEND_ONCE = 3, COPY_SEND = 4, MAKE_SEND = 5, MAKE_SEND_ONCE = 6 };
#define HYTHE_FOREVER (~0ull)

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

/* A datagram: a call and up to 32 KiB. */
struct hythe_datagram {
	struct hythe_call call;
	char data[32 << 10];
};

/* hythe_call makes a call with n bytes of d->data and waits for its answer, which
   is d then: 0 or an errno. One thread at a time may use it. */
static inline int hythe_call(struct hythe_datagram *d, uint32_t op, uint32_t n)
{
	static uint64_t id;
	d->call.op = op;
	d->call.id = ++id;
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
