/* squares is a pager in C: the pages of its object are computed when somebody touches
   them, and any guest can map it, this program too:

	hythe run -- sh -c './squares serve 1000 & ./squares look 7 999999; wait'

   Word i of the object is i * i. "serve" has the given number of pages, gives each away as
   it is asked for, and ends when nobody has the object any more. "look" prints words. */
#include <stdio.h>
#include <stdlib.h>
#include "hythe.h"

static const char name[] = "example/squares";
static struct hythe_datagram d;

static int fail(const char *what, int e)
{
	fprintf(stderr, "%s: error %d\n", what, e);
	return 1;
}

static int serve(uint32_t names, uint32_t reply, uint64_t size)
{
	struct hythe_msg *m;
	char *body;
	uint64_t page[HYTHE_PAGE / 8];
	int e = hythe_call4(&d, PORT_ALLOCATE, RIGHT_RECEIVE, 0, 0, 0);
	uint32_t port = d.call.a[0];
	if (!e)
		e = hythe_call4(&d, OBJECT_CREATE, size, OBJECT_PAGED, 0, port);
	uint32_t object = d.call.a[0];
	if (!e) /* eight pages at a time, if it can be */
		e = hythe_call4(&d, PAGER_ATTRS, object, 8, 0, 0);
	if (!e)
		e = hythe_register(&d, names, reply, port, name);
	while (!e && !(e = hythe_receive(&d, port, &m, &body))) {
		struct hythe_pages q;
		if (m->local) { /* somebody asks for the object; the nucleus wants no answer */
			hythe_answer_object(&d, m->local, object, size);
			continue;
		}
		if (m->id == MSG_PAGE_TERMINATE)
			return 0;
		if (m->id != MSG_PAGE_REQUEST || m->len != sizeof q)
			continue;
		memcpy(&q, body, sizeof q);
		for (uint64_t off = q.off; !e && off < q.off + q.len; off += HYTHE_PAGE) {
			for (uint64_t i = 0; i < HYTHE_PAGE / 8; i++)
				page[i] = (off / 8 + i) * (off / 8 + i);
			e = hythe_supply(&d, object, off, page, sizeof page);
		}
	}
	return fail("serve", e);
}

static int look(uint32_t names, uint32_t reply, int n, char **words)
{
	struct hythe_msg *m;
	char *body;
	int e = hythe_ask(&d, names, reply, 3, name, sizeof name - 1, &m, &body);
	if (e || m->nrights != 1)
		return fail("look-up", e);
	uint32_t to = ((struct hythe_right *)(m + 1))->name;
	e = hythe_ask(&d, to, reply, 0, "", 0, &m, &body);
	if (e || m->nobjects != 1)
		return fail("ask", e);
	struct hythe_object *o = (struct hythe_object *)(m + 1);
	uint64_t len = o->len;
	volatile uint64_t *p = hythe_map_object(&d, o->name, len, 1, &e);
	if (!p)
		return fail("map", e);
	for (int i = 0; i < n; i++) {
		uint64_t at = strtoull(words[i], NULL, 10);
		if (at < len / 8)
			printf("%llu\n", (unsigned long long)p[at]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	long names = syscall(HYTHE_OPEN);
	if (names < 0) {
		fputs("this is no guest of Hythe\n", stderr);
		return 1;
	}
	int e = hythe_call4(&d, PORT_ALLOCATE, RIGHT_RECEIVE, 0, 0, 0);
	uint32_t reply = d.call.a[0];
	if (e)
		return fail("port", e);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(names, reply, strtoull(argv[2], NULL, 10) * HYTHE_PAGE);
	if (argc > 2 && !strcmp(argv[1], "look"))
		return look(names, reply, argc - 2, argv + 2);
	fputs("usage: squares serve PAGES | look WORD...\n", stderr);
	return 1;
}
