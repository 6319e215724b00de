/* ping is examples/pingpong's "ping" in C:

	hythe run -- sh -c './pingpong serve & ./ping one two end' */
#include <stdio.h>
#include "hythe.h"

static struct hythe_datagram d;

int main(int argc, char **argv)
{
	struct hythe_msg *m;
	char *body;
	long names = syscall(HYTHE_OPEN);
	if (names < 0) {
		fputs("this is no guest of Hythe\n", stderr);
		return 1;
	}
	d.call.a[0] = RIGHT_RECEIVE;
	int e = hythe_call(&d, PORT_ALLOCATE, 0);
	uint32_t reply = d.call.a[0];
	/* 3 is "wait until it is registered" (idl/names). */
	if (!e)
		e = hythe_ask(&d, names, reply, 3, "example/pingpong", 16, &m, &body);
	if (!e && m->nrights != 1)
		e = 2;
	if (e) {
		fprintf(stderr, "look-up: error %d\n", e);
		return 1;
	}
	uint32_t to = ((struct hythe_right *)(m + 1))->name;
	for (int i = 1; i < argc; i++) {
		e = hythe_ask(&d, to, reply, 1, argv[i], strlen(argv[i]), &m, &body);
		if (e) {
			fprintf(stderr, "ask: error %d\n", e);
			return 1;
		}
		printf("%.*s\n", (int)m->len, body);
	}
	return 0;
}
