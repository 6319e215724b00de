// Names that a program asks for each time it runs: the answers about the next ones may come along. What can change
// them changes between two runs, and in the middle of one.
#include "try.h"

enum { RUNS = 24, MANY = 60 };

static const char *name_of(int e) { return e ? strerrorname_np(e) : "ok"; }

static void put(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (long)strlen(text))
		printf("put %s: %s\n", path, strerrorname_np(errno));
	close(fd);
}

static void path_of(char *p, int i) { sprintf(p, i % 5 == 4 ? "d/sub/../m%02d" : "d/m%02d", i); }

// ask prints what one call says of a path: each run makes the same ones.
static void ask(int i) {
	char p[100], link[100];
	struct stat s;
	path_of(p, i);
	memset(&s, 0, sizeof s);
	switch (i % 6) {
	case 0:
		printf(" %d:%s", i, name_of(stat(p, &s) < 0 ? errno : 0));
		printf(":%o:%ld", s.st_mode, S_ISREG(s.st_mode) ? (long)s.st_size : 0L);
		break;
	case 1:
		printf(" %d:%s", i, name_of(syscall(SYS_lstat, p, &s) < 0 ? errno : 0));
		printf(":%o", s.st_mode);
		break;
	case 2:
		printf(" %d:%s", i, name_of(access(p, i % 4) < 0 ? errno : 0));
		break;
	case 3: {
		long n = readlink(p, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = 0;
		printf(" %d:%s:%s", i, name_of(n < 0 ? errno : 0), link);
		break;
	}
	default: {
		int fd = i % 6 == 4 ? open(p, O_RDONLY) : syscall(SYS_open, p, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		printf(" %d:%s", i, name_of(fd < 0 ? errno : 0));
		if (fd >= 0)
			close(fd);
	}
	}
}

// turn makes of each name what it is not.
static void turn(int from, int to) {
	for (int i = from; i < to; i++) {
		char p[100];
		struct stat s;
		path_of(p, i);
		if (i % 7 == 6) {
			if (chmod(p, 0640) < 0)
				symlink("m00", p);
		} else if (lstat(p, &s) == 0) {
			unlink(p);
		} else if (i % 3) {
			put(p, "there");
		} else if (symlink(i % 2 ? "m01" : "nowhere", p) < 0) {
			printf("symlink\n");
		}
	}
}

static void in_child(void (*fn)(void)) {
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		fn();
		fflush(stdout);
		_exit(0);
	}
	waitpid(p, 0, 0);
}
static void child_turns(void) { turn(MANY / 2, MANY); }
static void child_hides(void) { rename("d", "e"); }
static void child_shows(void) { rename("e", "d"); }

static void run(int r) {
	printf("run %d:", r);
	for (int i = 0; i < MANY; i++) {
		if (i == MANY / 2)
			switch (r % 6) {
			case 0: turn(MANY / 2, MANY); break;
			case 1: in_child(child_turns); break;
			case 2: in_child(child_hides); break;
			case 3: if (chdir("d") < 0) printf("chdir\n"); break;
			case 4: chmod("d", 0); if (geteuid() == 0 && (setegid(65534) < 0 || seteuid(65534) < 0)) printf("seteuid\n"); break;
			}
		ask(i);
	}
	printf("\n");
	switch (r % 6) {
	case 2: in_child(child_shows); break;
	case 3: if (chdir("..") < 0) printf("chdir\n"); break;
	case 4: if (getuid() == 0 && (seteuid(0) < 0 || setegid(0) < 0)) printf("seteuid\n"); chmod("d", 0755); break;
	}
	// No number is free: that is said before it is looked for the name.
	struct rlimit l, none;
	getrlimit(RLIMIT_NOFILE, &l);
	for (int i = 0; i < 3; i++) {
		printf("no such file: %s", name_of(open("d/none", O_RDONLY) < 0 ? errno : 0));
		int fd = dup(0);
		close(fd);
		none = l, none.rlim_cur = fd;
		setrlimit(RLIMIT_NOFILE, &none);
		printf(", no number: %s", name_of(open("d/none", O_RDONLY) < 0 ? errno : 0));
		setrlimit(RLIMIT_NOFILE, &l);
	}
	none = l, none.rlim_cur = 100;
	setrlimit(RLIMIT_NOFILE, &none);
	int last = -1, n = 0;
	for (;; n++) {
		int fd = dup(0);
		if (n % 8 == 0 && open("d/none", O_RDONLY) >= 0)
			printf(" there?");
		if (fd < 0)
			break;
		last = fd;
	}
	printf(", full: %s", name_of(open("d/none", O_RDONLY) < 0 ? errno : 0));
	close(last);
	printf(", again: %s\n", name_of(open("d/none", O_RDONLY) < 0 ? errno : 0));
}

int main(int argc, char **argv) {
	if (argc > 1) {
		run(atoi(argv[1]));
		return 0;
	}
	begin();
	umask(022);
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	turn(0, MANY / 3);
	for (int r = 0; r < RUNS; r++) {
		if (r % 4 == 3)
			turn(r % 10, MANY - r);
		fflush(stdout);
		pid_t p = fork();
		if (p == 0) {
			char s[20];
			sprintf(s, "%d", r);
			execl("/proc/self/exe", "foreseen", s, (char *)0);
			_exit(1);
		}
		int status;
		waitpid(p, &status, 0);
		if (status != 0)
			printf("status %x\n", status);
	}
	return 0;
}
