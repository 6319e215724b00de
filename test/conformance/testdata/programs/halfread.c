#include "try.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <dirent.h>
static char *edge; // bytes before it are there, those behind are not
static char buf[65536];
static const char *const ns[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"};
static void cat(const char *name) { int f = open(name, O_RDONLY); int n = f < 0 ? -1 : read(f, buf, 60000); printf("%s: %s\n", name, n < 0 ? strerrorname_np(errno) : "read"); if (n >= 0) buf[n] = 0; close(f); }
// entries counts those that a getdents64 gave.
static int entries(const char *b, long n) { int k = 0; for (long i = 0; i < n; i += *(unsigned short *)(b + i + 16)) k++; return k; }


int main(void) {
	begin(); long page = sysconf(_SC_PAGESIZE); edge = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); munmap(edge + page, page); edge += page;
	puts("signalfd"); sigset_t m; sigemptyset(&m); for (int s = SIGRTMIN; s < SIGRTMIN + 4; s++) sigaddset(&m, s); sigprocmask(SIG_BLOCK, &m, 0); int sf = signalfd(-1, &m, SFD_NONBLOCK); struct signalfd_siginfo si[8];
	for (int s = SIGRTMIN; s < SIGRTMIN + 4; s++) sigqueue(getpid(), s, (union sigval){.sival_int = s}); T(read(sf, edge - 200, 512)); memcpy(si, edge - 200, 128); printf("first %d\n", si[0].ssi_signo - SIGRTMIN); long n = read(sf, si, sizeof si); printf("the last %d %d\n", si[n / 128 - 1].ssi_signo - SIGRTMIN, si[n / 128 - 1].ssi_int == SIGRTMIN + 3); T(read(sf, si, sizeof si)); 
	kill(getpid(), SIGRTMIN); T(read(sf, edge, 128)); while (read(sf, si, sizeof si) > 0) ; close(sf);
	puts("inotify"); mkdir("d", 0700); int in = inotify_init1(IN_NONBLOCK); T(inotify_add_watch(in, "d", IN_CREATE)); close(open("d/a", O_CREAT, 0600)); close(open("d/b", O_CREAT, 0600)); T(read(in, edge - 40, 4096)); close(open("d/c", O_CREAT, 0600)); n = read(in, buf, sizeof buf); struct inotify_event *e = (void *)buf, *l = e; while ((char *)e < buf + n) l = e, e = (void *)((char *)e + sizeof *e + e->len); printf("the last %s\n", l->name); T(read(in, buf, sizeof buf)); close(in);
	puts("getdents"); for (int i = 0; i < 20; i++) { char name[40]; sprintf(name, "d/file-with-a-name-%d", i); close(open(name, O_CREAT, 0600)); } int d = open("d", O_RDONLY | O_DIRECTORY), all = 0; n = syscall(SYS_getdents64, d, edge - 200, 4096); if (n > 0) all += entries(edge - 200, n); while ((n = syscall(SYS_getdents64, d, buf, sizeof buf)) > 0) all += entries(buf, n); printf("%d entries\n", all); lseek(d, 0, SEEK_SET); T(syscall(SYS_getdents64, d, edge, 4096)); n = syscall(SYS_getdents64, d, buf, sizeof buf); printf("%d entries\n", entries(buf, n)); close(d); system("rm -r d");
	puts("epoll"); struct rlimit rl = {6000, 6000}; if (setrlimit(RLIMIT_NOFILE, &rl)) { getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl); } int ep = epoll_create1(0), made = 0; for (; made < 5000; made++) { int f = eventfd(1, 0); struct epoll_event ev = {EPOLLIN, {.u32 = made}}; if (f < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, f, &ev)) break; } struct epoll_event *evs = calloc(10000, sizeof *evs); int got = epoll_wait(ep, evs, 10000, 0); printf("all at once %d\n", got == made); char *seen = calloc(1, made + 1); int twice = 0; for (int i = 0; i < got; i++) twice += seen[evs[i].data.u32]++; T(twice); T(epoll_wait(ep, evs, 100, 0)); for (int f = 3; f < 6000; f++) close(f);
	puts("proc"); for (int i = 0; i < 10; i++) { char name[60], to[60], kind[40]; struct stat st; unsigned long ino = 0; sprintf(name, "/proc/self/ns/%s", ns[i]); int n = readlink(name, to, 59); to[n > 0 ? n : 0] = 0; int x = sscanf(to, "%39[a-z]:[%lu]", kind, &ino); printf("%s %s %d ", ns[i], kind, x); errno = 0; int r = stat(name, &st); printf("%d %o %d\n", r, st.st_mode, st.st_ino == ino); int f = open(name, O_RDONLY); T(f < 0 ? -1 : read(f, buf, 10)); close(f); }
	fflush(stdout); pid_t p = fork(); char a[60], b[60]; if (!p) { pause(); _exit(0); } sprintf(buf, "/proc/%d/ns/net", p); int k = readlink(buf, a, 59); printf("same net %d\n", k > 0 && readlink("/proc/self/ns/net", b, 59) == k && !memcmp(a, b, k));
	asleep(p); sprintf(buf, "/proc/%d/syscall", p); int f = open(buf, O_RDONLY); long nr = -9; n = read(f, buf, 500); buf[n > 0 ? n : 0] = 0; sscanf(buf, "%ld", &nr); printf("asleep in pause %d\n", nr == SYS_pause); close(f); kill(p, SIGKILL); waitpid(p, 0, 0);
	cat("/proc/self/syscall"); printf("%d\n", !strncmp(buf, "0 0x3 ", 6)); cat("/proc/self/stack"); cat("/proc/self/sched"); printf("%d\n", strstr(buf, "se.sum_exec_runtime") != 0); cat("/proc/self/schedstat"); unsigned long ns0 = 0, q = 1, r = 0; printf("%d ", sscanf(buf, "%lu %lu %lu", &ns0, &q, &r)); for (volatile long i = 0; i < 30000000; i++) ; cat("/proc/self/schedstat"); unsigned long ns1 = 0; sscanf(buf, "%lu", &ns1); printf("runs %d\n", ns1 > ns0); cat("/proc/self/io");
	static char secret[] = "what is here"; f = open("/proc/self/mem", O_RDONLY); T(pread(f, buf, sizeof secret, (long)secret)); puts(buf); T(pread(f, buf, 10, 0x1000)); T(pread(f, buf, 100, (long)edge - 30)); T(lseek(f, (long)secret + 5, SEEK_SET) == (long)secret + 5); T(read(f, buf, 2)); T(lseek(f, 0, SEEK_CUR) == (long)secret + 7); static char many[50000]; memset(many, 'x', sizeof many); static char copy[50000]; T(pread(f, copy, sizeof copy, (long)many)); T(memcmp(many, copy, sizeof copy)); close(f); T(open("/proc/1/mem", O_RDONLY) < 0 || 1);
	return 0;
}
