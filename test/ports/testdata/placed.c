/* Objects that have an address: it is their own, and free, but for what a program insists
   on. Prints a line for each surprise and ends with the number of them. */
#define _GNU_SOURCE
#include "guest.h"

int main(void)
{
	const unsigned long base = 0x400000000000, end = 0x500000000000;
	int e;
	want("open", syscall(HYTHE_OPEN) > 0, 1);
	want("create", hythe_call4(&d, OBJECT_CREATE, 100000, OBJECT_PLACED, 0, 0), 0);
	uint32_t object = d.call.a[0];
	want("status", hythe_call4(&d, 8, object, 0, 0, 0), 0);
	unsigned long at = d.call.a[2];
	want("its address", at >= base && at + 100000 <= end, 1);
	/* What need not be there is not. */
	FILE *f = tmpfile();
	want("a file", ftruncate(fileno(f), 8192), 0);
	for (int i = 0; i < 2; i++) {
		unsigned long p = (unsigned long)mmap((void *)at, 8192, PROT_READ, MAP_PRIVATE | (i ? 0 : MAP_ANONYMOUS), i ? fileno(f) : -1, 0);
		want("a hint", p + 8192 <= base || p >= end, 1);
		p = (unsigned long)mmap((void *)(base - 4096), 8192, PROT_READ, MAP_PRIVATE | (i ? 0 : MAP_ANONYMOUS), i ? fileno(f) : -1, 0);
		want("a hint across the border", p + 8192 <= base || p >= end, 1);
	}
	void **p = hythe_map_object(&d, object, 100000, 0, &e);
	want("map", (long)p, at);
	p[0] = &p[1000];
	p[1000] = &p[0];
	/* There it is once; at any other address as often as one likes. */
	want("map again", hythe_map_object(&d, object, 100000, 0, &e) == NULL, 1);
	want("again", e, EEXIST);
	/* What a program insists on is its own affair. */
	want("create", hythe_call4(&d, OBJECT_CREATE, 4096, OBJECT_PLACED, 0, 0), 0);
	uint32_t other = d.call.a[0];
	want("status", hythe_call4(&d, 8, other, 0, 0, 0), 0);
	unsigned long there = d.call.a[2];
	want("another address", there >= at + 100000 || there + 4096 <= at, 1);
	want("fixed", (long)mmap((void *)there, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), there);
	want("in the way", hythe_map_object(&d, other, 4096, 0, &e) == NULL, 1);
	want("in the way", e, EEXIST);
	want("nothing is lost", munmap((void *)there, 4096), 0);
	want("now", (long)hythe_map_object(&d, other, 4096, 0, &e), there);
	want("pointers", p[0] == &p[1000] && p[1000] == &p[0], 1);
	printf("%d surprises\n", bad);
	return bad != 0;
}
