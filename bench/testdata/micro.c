// The workload of the benchmarks: one program that runs natively, under Hythe
// and under its peers. Each argument names a workload; "run:NAME:N PROG ARG..." starts
// PROG N times. For each it prints "NAME NANOSECONDS OPERATIONS": the mean time of one
// operation, and how many there were with that which is not counted.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char page[4096], large[65536];
static int file, big;
static int to[2], from[2], own[2], event = -1, polled;

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

static void do_getppid(void) { getppid(); }
static void do_getuid(void) { getuid(); }
static void do_clock(void) {
	struct timespec t;
	must(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
}
static void do_stat(void) {
	struct stat s;
	must(stat("micro.data", &s) == 0, "stat");
}
static void do_missing(void) {
	struct stat s;
	must(stat("micro.none", &s) == -1 && errno == ENOENT, "stat of a missing name");
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
	if (event < 0) // its own: the children of other rows do not hold it
		event = eventfd(0, 0);
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
// stream is a MiB to the other process, which says that it has it.
static void do_stream(void) {
	char c;
	for (int i = 0; i < 16; i++)
		for (size_t at = 0; at < sizeof large;) {
			ssize_t n = write(to[1], large + at, sizeof large - at);
			must(n > 0, "stream");
			at += n;
		}
	must(read(from[0], &c, 1) == 1, "stream");
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

// small files are made, then read, then deleted.
static void do_files(void) {
	enum { files = 20000 };
	char name[32];
	must(mkdir("micro.dir", 0755) == 0, "mkdir");
	for (int step = 0; step < 3; step++)
		for (int i = 0; i < files; i++) {
			sprintf(name, "micro.dir/%d", i);
			if (step == 2) {
				must(unlink(name) == 0, name);
				continue;
			}
			int f = open(name, step == 0 ? O_WRONLY | O_CREAT | O_EXCL : O_RDONLY, 0644);
			must(f >= 0, name);
			must((step == 0 ? write(f, page, 1000) : read(f, page, sizeof page)) == 1000 && close(f) == 0, name);
		}
	must(rmdir("micro.dir") == 0, "rmdir");
}

// spin does nothing but compute.
static void *spin(void *x) {
	unsigned long long v = 88172645463325252ULL;
	for (int i = 0; i < 50000000; i++) {
		v ^= v << 13;
		v ^= v >> 7;
		v ^= v << 17;
	}
	must(v != 0, "spin");
	return x;
}
static int threads;
static void do_cpu(void) { spin(0); }
static void do_threads(void) {
	pthread_t t[256];
	for (int i = 0; i < threads; i++)
		must(pthread_create(&t[i], 0, spin, 0) == 0, "thread");
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], 0);
}

// calling makes a process that makes a call now and then, for a server to look for more.
static pid_t calling(void) {
	pid_t p = fork();
	must(p >= 0, "fork");
	while (p == 0) {
		do_missing();
		usleep(1000);
	}
	return p;
}

static void report(const char *name, void (*f)(void), int n) {
	int warm = f != do_files;
	if (warm)
		f();
	long long t = now();
	for (int i = 0; i < n; i++)
		f();
	printf("%s %lld %d\n", name, (now() - t) / n, n + warm);
	fflush(stdout);
}

enum { pipes, sockets, tcp };

// peer makes the other process, which answers bytes, or a byte for each MiB.
static void peer(int by, void (*f)(void)) {
	int l = -1, one = 1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	if (by == tcp) {
		l = socket(AF_INET, SOCK_STREAM, 0);
		must(l >= 0 && bind(l, (void *)&a, len) == 0 && listen(l, 1) == 0 && getsockname(l, (void *)&a, &len) == 0, "listen");
	} else if (by == sockets) {
		must(socketpair(AF_UNIX, SOCK_STREAM, 0, to) == 0, "socketpair");
		from[0] = to[1], from[1] = to[0];
	} else
		must(pipe(to) == 0 && pipe(from) == 0, "pipe");
	pid_t p = fork();
	must(p >= 0, "fork");
	if (by == tcp) {
		int s = p == 0 ? socket(AF_INET, SOCK_STREAM, 0) : accept(l, 0, 0);
		must(s >= 0 && (p != 0 || connect(s, (void *)&a, len) == 0), "connect");
		must(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
		to[0] = to[1] = from[0] = from[1] = s;
		close(l);
	}
	if (p == 0) {
		ssize_t n;
		if (by != tcp)
			close(to[1]);
		if (by == pipes)
			close(from[0]);
		for (long had = 0; (n = read(to[0], large, f == do_stream ? sizeof large : 1)) > 0;) {
			had += n;
			if (f == do_stream && had < 1 << 20)
				continue;
			had = 0;
			if (write(from[1], large, 1) != 1)
				break;
		}
		_exit(0);
	}
	if (by != tcp) {
		close(to[0]);
		if (by == pipes)
			close(from[1]);
	}
}

int main(int argc, char **argv) {
	static const struct {
		const char *name;
		void (*f)(void);
		int n, by, threads;
	} all[] = {
		{"getppid", do_getppid, 20000}, {"getuid", do_getuid, 20000}, {"clock_gettime", do_clock, 200000},
		{"stat", do_stat, 5000}, {"stat-missing", do_missing, 5000}, {"open+close", do_open, 3000},
		{"pread-1", do_pread1, 20000}, {"pread-64K", do_pread64, 2000}, {"read-100", do_read, 20000},
		{"lseek", do_lseek, 20000}, {"fstat", do_fstat, 20000}, {"creat+unlink", do_create, 1000},
		{"pipe-write+read", do_pipe, 5000}, {"eventfd", do_event, 5000}, {"epoll_wait", do_epoll, 5000},
		{"thread", do_thread, 500}, {"unix-ping-pong", do_pingpong, 2000, sockets},
		{"pread-4K", do_pread, 5000}, {"pwrite-4K", do_pwrite, 5000}, {"pipe-ping-pong", do_pingpong, 2000, pipes},
		{"mmap+munmap", do_mmap, 5000}, {"page-fault", do_fault, 20000}, {"fork+wait", do_fork, 100},
		{"tcp-ping-pong", do_pingpong, 2000, tcp}, {"tcp-stream", do_stream, 200, tcp},
		{"small-files", do_files, 1}, {"cpu-c", do_cpu, 3}, {"cpu-2-threads", do_threads, 3, 0, 2},
		{"busy-as-cores", do_threads, 3, 0, -1},
	};
	file = open("micro.data", O_RDWR | O_CREAT, 0644);
	must(file >= 0 && write(file, page, sizeof page) == sizeof page, "micro.data");
	big = open("micro.big", O_RDWR | O_CREAT, 0644);
	must(big >= 0 && write(big, large, sizeof large) == sizeof large, "micro.big");
	int ready[2]; // the set's own: what is watched is slower, here and there
	must(pipe(own) == 0 && pipe(ready) == 0, "pipe");
	polled = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLOUT};
	must(polled >= 0 && epoll_ctl(polled, EPOLL_CTL_ADD, ready[1], &e) == 0, "epoll");
	quiet = open("/dev/null", O_WRONLY);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "run:", 4) == 0) {
			char *name = strtok(argv[i], ":"), *n;
			if (!(name = strtok(0, ":")) || !(n = strtok(0, ":")) || i + 1 == argc)
				return 2;
			prog = argv + i + 1;
			report(name, do_run, atoi(n));
			break;
		}
		int known = 0;
		for (unsigned j = 0; j < sizeof all / sizeof *all; j++)
			if (strcmp(all[j].name, argv[i]) == 0) {
				pid_t caller = 0;
				known = 1;
				if (all[j].f == do_pingpong || all[j].f == do_stream)
					peer(all[j].by, all[j].f);
				threads = all[j].threads;
				if (threads < 0) {
					cpu_set_t set;
					must(sched_getaffinity(0, sizeof set, &set) == 0, "sched_getaffinity");
					threads = CPU_COUNT(&set);
					caller = calling();
				}
				report(all[j].name, all[j].f, all[j].n);
				if (caller)
					kill(caller, SIGKILL);
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
