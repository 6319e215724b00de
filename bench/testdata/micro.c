// The workload of the benchmarks: one program that runs natively, under Hythe
// and under its peers. Each argument names a workload; "run:NAME:N:PROG:ARG..."
// starts PROG N times. It prints "NAME NANOSECONDS" for each, the mean time of
// one operation.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char page[4096];
static int file;
static int to[2], from[2];

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void must(int ok, const char *what) {
	if (!ok)
		die(what);
}

static void do_getppid(void) { syscall(SYS_getppid); }
static void do_stat(void) {
	struct stat s;
	must(stat("micro.data", &s) == 0, "stat");
}
static void do_open(void) {
	int f = open("micro.data", O_RDONLY);
	must(f >= 0, "open");
	close(f);
}
static void do_pread(void) { must(pread(file, page, sizeof page, 0) == sizeof page, "pread"); }
static void do_pwrite(void) { must(pwrite(file, page, sizeof page, 0) == sizeof page, "pwrite"); }
static void do_pingpong(void) {
	char c = 0;
	must(write(to[1], &c, 1) == 1 && read(from[0], &c, 1) == 1, "ping-pong");
}
static void do_mmap(void) {
	char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED, "mmap");
	munmap(p, 65536);
}
static void do_fork(void) {
	int st;
	pid_t p = fork();
	must(p >= 0, "fork");
	if (p == 0)
		_exit(0);
	must(waitpid(p, &st, 0) == p && st == 0, "wait");
}

static char **prog;
static int quiet;

static void do_run(void) {
	int st;
	pid_t p = vfork();
	must(p >= 0, "fork");
	if (p == 0) {
		dup2(quiet, 1);
		execv(prog[0], prog);
		_exit(127);
	}
	must(waitpid(p, &st, 0) == p, "wait");
	if (st != 0) {
		fprintf(stderr, "%s: status %#x\n", prog[0], st);
		exit(1);
	}
}

// fault is one page fault of anonymous memory; it unmaps now and then.
static char *area;
static int next;
static void do_fault(void) {
	enum { pages = 4096 };
	if (next % pages == 0) {
		if (area)
			munmap(area, pages * 4096L);
		area = mmap(0, pages * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(area != MAP_FAILED, "mmap");
		madvise(area, pages * 4096L, MADV_NOHUGEPAGE);
	}
	area[next++ % pages * 4096L] = 1;
}

static void report(const char *name, void (*f)(void), int n) {
	f(); // warm
	long long t = now();
	for (int i = 0; i < n; i++)
		f();
	printf("%s %lld\n", name, (now() - t) / n);
	fflush(stdout);
}

static void echo(void) {
	must(pipe(to) == 0 && pipe(from) == 0, "pipe");
	pid_t p = fork();
	must(p >= 0, "fork");
	if (p == 0) {
		char c;
		close(to[1]);
		while (read(to[0], &c, 1) == 1)
			if (write(from[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	close(to[0]);
}

int main(int argc, char **argv) {
	static const struct {
		const char *name;
		void (*f)(void);
		int n;
	} all[] = {
		{"getppid", do_getppid, 20000}, {"stat", do_stat, 5000}, {"open+close", do_open, 3000},
		{"pread-4K", do_pread, 5000}, {"pwrite-4K", do_pwrite, 5000}, {"pipe-ping-pong", do_pingpong, 2000},
		{"mmap+munmap", do_mmap, 5000}, {"page-fault", do_fault, 20000}, {"fork+wait", do_fork, 100},
	};
	file = open("micro.data", O_RDWR | O_CREAT, 0644);
	must(file >= 0 && write(file, page, sizeof page) == sizeof page, "micro.data");
	quiet = open("/dev/null", O_WRONLY);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "run:", 4) == 0) {
			char *v[64];
			int k = 0;
			for (char *s = strtok(argv[i], ":"); s && k < 63; s = strtok(0, ":"))
				v[k++] = s;
			v[k] = 0;
			if (k < 4)
				return 2;
			prog = v + 3;
			report(v[1], do_run, atoi(v[2]));
			continue;
		}
		int known = 0;
		for (unsigned j = 0; j < sizeof all / sizeof *all; j++)
			if (strcmp(all[j].name, argv[i]) == 0) {
				known = 1;
				if (all[j].f == do_pingpong)
					echo();
				report(all[j].name, all[j].f, all[j].n);
			}
		if (!known) {
			fprintf(stderr, "no workload %s\n", argv[i]);
			return 2;
		}
	}
	unlink("micro.data");
	return 0;
}
