// System V segments of which parts are unmapped, protected, moved or covered: each
// mapping counts as an attachment, and shmdt finds what is left.
#include "try.h"
#include <sys/shm.h>
enum { PAGE = 4096 };
static int id, forked;
static void count(const char *what) {
	struct shmid_ds d;
	printf("%s: ", what);
	if (shmctl(id, IPC_STAT, &d) < 0) puts(strerrorname_np(errno));
	else printf("%ld attached, detached %d, last %d\n", (long)d.shm_nattch, d.shm_dtime != 0, forked ? -1 : d.shm_lpid == getpid());
}
static void maps(void) {
	char line[300];
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, f)) {
		unsigned long from, to, off, ino;
		char prot[9], dev[9], name[99] = "";
		if (sscanf(line, "%lx-%lx %8s %lx %8s %lu %98[^\n]", &from, &to, prot, &off, dev, &ino, name) > 5 && strstr(name, "SYSV"))
			printf("  %lx %s %lx %d %s\n", to - from, prot, off, (int)ino == id, name);
	}
	fclose(f);
}
static char *at(void) { char *p = shmat(id, 0, 0); OK(p == (void *)-1 ? -1 : 0); return p; }

int main(void) {
	begin();
	T((id = shmget(IPC_PRIVATE, 8 * PAGE + 100, IPC_CREAT | 0600)) < 0);
	count("new");
	char *p = at();
	strcpy(p, "zero"), strcpy(p + 5 * PAGE, "five");
	count("one");
	T(munmap(p + 2 * PAGE, PAGE)); // the middle
	count("hole"), maps();
	T(munmap(p + 8 * PAGE, PAGE)); // the end
	count("cut"), maps();
	T(shmdt(p + PAGE));
	T(shmdt(p + 3 * PAGE));
	T(shmdt(p + 7));
	T(munmap(p, PAGE)); // the beginning
	count("begun"), maps();
	// What lies in the hole is not the segment's.
	T(mmap(p + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 2 * PAGE);
	T(strcmp(p + 5 * PAGE, "five"));
	T(shmdt(p));
	count("detached"), maps();
	T(p[2 * PAGE]);
	T(shmdt(p));
	// All of it by munmap.
	p = at();
	T(strcmp(p, "zero"));
	T(munmap(p, 9 * PAGE));
	count("unmapped");
	T(shmdt(p));
	// Parts with another protection.
	p = at();
	T(mprotect(p + 3 * PAGE, PAGE, PROT_READ));
	count("protected"), maps();
	T(shmdt(p));
	count("gone");
	// Covered by other memory.
	p = at();
	char *q = at();
	count("two");
	T(mmap(p, 9 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	count("covered");
	T(shmdt(p));
	T(mmap(q + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == q + PAGE);
	count("parted");
	// Moved.
	char *r = mmap(0, 20 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T(mremap(q + 2 * PAGE, 7 * PAGE, 7 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, r) == r);
	count("moved");
	T(strcmp(r + 3 * PAGE, "five"));
	T(shmdt(q));
	count("without the first");
	T(shmdt(r));
	T(shmdt(r - 2 * PAGE));
	count("none");
	// In a child.
	p = at();
	T(munmap(p + 4 * PAGE, PAGE));
	fflush(stdout);
	int st;
	if (fork() == 0) {
		forked = 1;
		count("child");
		T(munmap(p, 4 * PAGE));
		count("child less");
		exit(0);
	}
	wait(&st);
	count("after the child");
	// Removed: it is there until nobody has it.
	T(shmctl(id, IPC_RMID, 0));
	count("removed");
	T(munmap(p, 4 * PAGE));
	count("a part");
	T(strcmp(p + 5 * PAGE, "five"));
	T(munmap(p + 5 * PAGE, 4 * PAGE));
	count("ended");
	T(shmat(id, 0, 0) == (void *)-1);
	// Removed while it is not attached any more, by munmap.
	T((id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600)) < 0);
	p = at();
	T(munmap(p, PAGE));
	T(shmctl(id, IPC_RMID, 0));
	count("both");
	return 0;
}
