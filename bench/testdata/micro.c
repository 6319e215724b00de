// The workload of the benchmarks: one program that runs natively, under Hythe
// and under its peers. Each argument names a workload; "run:NAME:N:PROG:ARG..."
// starts PROG N times. It prints "NAME NANOSECONDS" for each, the mean time of
// one operation.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char page[4096], large[65536];
static int file, big;
static int to[2], from[2], own[2], event, polled;

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
static void do_pread1(void) { must(pread(file, page, 1, 77) == 1, "pread"); }
static void do_pread64(void) { must(pread(big, large, sizeof large, 0) == sizeof large, "pread"); }
static void do_read(void) {
	if (read(big, page, 100) != 100)
		must(lseek(big, 0, SEEK_SET) == 0, "read");
}
static void do_lseek(void) { must(lseek(file, 5, SEEK_SET) == 5, "lseek"); }
static void do_fstat(void) {
	struct stat s;
	must(fstat(file, &s) == 0, "fstat");
}
static void do_create(void) {
	int f = open("micro.new", O_RDWR | O_CREAT | O_EXCL, 0600);
	must(f >= 0 && close(f) == 0 && unlink("micro.new") == 0, "create");
}
static void do_pipe(void) {
	char c = 0;
	must(write(own[1], &c, 1) == 1 && read(own[0], &c, 1) == 1, "pipe");
}
static void do_event(void) {
	unsigned long long v = 1;
	must(write(event, &v, 8) == 8 && read(event, &v, 8) == 8, "eventfd");
}
static void do_epoll(void) {
	struct epoll_event e;
	must(epoll_wait(polled, &e, 1, -1) == 1, "epoll_wait");
}
static void *nothing(void *x) { return x; }
static void do_thread(void) {
	pthread_t t;
	must(pthread_create(&t, 0, nothing, 0) == 0 && pthread_join(t, 0) == 0, "thread");
}
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

static void echo(int sockets) {
	if (sockets) {
		must(socketpair(AF_UNIX, SOCK_STREAM, 0, to) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, from) == 0, "socketpair");
		int t = to[0];
		to[0] = to[1], to[1] = t;
	} else
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
	close(from[1]);
}

int main(int argc, char **argv) {
	static const struct {
		const char *name;
		void (*f)(void);
		int n;
	} all[] = {
		{"getppid", do_getppid, 20000}, {"stat", do_stat, 5000}, {"open+close", do_open, 3000},
		{"pread-1", do_pread1, 20000}, {"pread-64K", do_pread64, 2000}, {"read-100", do_read, 20000},
		{"lseek", do_lseek, 20000}, {"fstat", do_fstat, 20000}, {"creat+unlink", do_create, 1000},
		{"pipe-write+read", do_pipe, 5000}, {"eventfd", do_event, 5000}, {"epoll_wait", do_epoll, 5000},
		{"thread", do_thread, 500}, {"unix-ping-pong", do_pingpong, 2000},
		{"pread-4K", do_pread, 5000}, {"pwrite-4K", do_pwrite, 5000}, {"pipe-ping-pong", do_pingpong, 2000},
		{"mmap+munmap", do_mmap, 5000}, {"page-fault", do_fault, 20000}, {"fork+wait", do_fork, 100},
	};
	file = open("micro.data", O_RDWR | O_CREAT, 0644);
	must(file >= 0 && write(file, page, sizeof page) == sizeof page, "micro.data");
	big = open("micro.big", O_RDWR | O_CREAT, 0644);
	must(big >= 0 && write(big, large, sizeof large) == sizeof large, "micro.big");
	must(pipe(own) == 0, "pipe");
	event = eventfd(0, 0);
	polled = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLOUT};
	must(event >= 0 && polled >= 0 && epoll_ctl(polled, EPOLL_CTL_ADD, own[1], &e) == 0, "epoll");
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
					echo(strcmp(all[j].name, "unix-ping-pong") == 0);
				report(all[j].name, all[j].f, all[j].n);
			}
		if (!known) {
			fprintf(stderr, "no workload %s\n", argv[i]);
			return 2;
		}
	}
	unlink("micro.data");
	unlink("micro.big");
	return 0;
}
