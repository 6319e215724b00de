/* alarm is examples/alarm in C, without its taking back:

	hythe run ./alarm 30 10 20

   says 10, 20 and 30, each when so many milliseconds are over. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "hythe.h"

static struct hythe_datagram d;

int main(int argc, char **argv)
{
	struct timespec now;
	if (syscall(HYTHE_OPEN) < 0) {
		fputs("this is no guest of Hythe\n", stderr);
		return 1;
	}
	d.call.a[0] = RIGHT_RECEIVE;
	int e = hythe_call(&d, PORT_ALLOCATE, 0);
	uint32_t port = d.call.a[0];
	clock_gettime(CLOCK_MONOTONIC, &now);
	for (int i = 1; !e && i < argc; i++) {
		memset(&d.call, 0, sizeof d.call);
		d.call.a[0] = now.tv_sec * 1000000000ull + now.tv_nsec + atoi(argv[i]) * 1000000ull;
		d.call.a[1] = port;
		d.call.a[2] = i;
		d.call.a[3] = MAKE_SEND_ONCE;
		e = hythe_call(&d, ALARM_SET, 0);
	}
	for (int i = 1; !e && i < argc; i++) {
		memset(&d.call, 0, sizeof d.call);
		d.call.a[0] = port;
		d.call.a[1] = HYTHE_FOREVER;
		e = hythe_call(&d, MSG_RECEIVE, 0);
		struct hythe_msg *m = (struct hythe_msg *)d.data;
		uint64_t *alarm = (uint64_t *)(m + 1); /* word, time, sent */
		if (!e && (m->id != MSG_ALARM || alarm[0] >= (uint64_t)argc || alarm[2] < alarm[1]))
			e = 71;
		if (!e)
			puts(argv[alarm[0]]);
	}
	if (e)
		fprintf(stderr, "error %d\n", e);
	return e != 0;
}
