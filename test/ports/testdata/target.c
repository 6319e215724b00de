#include <signal.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((noinline)) int greet(const char *who, int times)
{
	for (int i = 0; i < times; i++)
		printf("hello, %s\n", who);
	return times;
}

static void seen(int sig) { (void)!write(1, "its own trap\n", 13); }

int main(int argc, char **argv)
{
	if (argc > 1)
		for (;;)
			__asm__ volatile("xor %%r15d, %%r15d\n1: inc %%r15\njmp 1b" ::: "r15");
	setvbuf(stdout, NULL, _IONBF, 0);
	signal(SIGTRAP, seen);
	signal(SIGILL, seen);
	int n = greet("haven", 2);
	raise(SIGTRAP); /* no exception */
	return n + 1;
}
