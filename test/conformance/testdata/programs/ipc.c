// Memory, semaphores and messages between processes.
#include "try.h"

// unnamed makes a memfd after a named object: both are of one file server.
static void unnamed(void) {
	int f = shm_open("/hythe-ipc", O_RDWR | O_CREAT, 0600);
	T(f >= 0);
	T(ftruncate(f, 100));
	T(shm_unlink("/hythe-ipc"));
	int m = memfd_create("m", 0);
	T(m >= 0);
	T(write(m, "abc", 3));
	struct stat s;
	T(fstat(m, &s));
	printf("%ld\n", (long)s.st_size);
}

int main(void) {
	begin();
	unnamed();
}
