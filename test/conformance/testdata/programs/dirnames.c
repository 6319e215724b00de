// Answers about names by a directory's descriptor: each is asked for again and again, and in the order in which the
// directory lists them, while directories, descriptors and names change.
#include "try.h"
#include <dirent.h>

enum { OFTEN = 12, MANY = 70 };

static const char *name_of(int e) { return e ? strerrorname_np(e) : "ok"; }

static void put(int dir, const char *name, int size) {
	static const char text[1000];
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, size) != size)
		printf("put %s: %s\n", name, strerrorname_np(errno));
	close(fd);
}

// ask is what all calls say of a name.
static int ask(int dir, const char *name, char *to) {
	struct stat s;
	char link[100];
	int n = 0;
	memset(&s, 0, sizeof s);
	n += sprintf(to + n, "%s", name_of(fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0));
	n += sprintf(to + n, " %o %ld", s.st_mode, S_ISREG(s.st_mode) ? (long)s.st_size : 0L);
	memset(&s, 0, sizeof s);
	n += sprintf(to + n, " %s", name_of(fstatat(dir, name, &s, 0) < 0 ? errno : 0));
	n += sprintf(to + n, " %o %ld", s.st_mode, S_ISREG(s.st_mode) ? (long)s.st_size : 0L);
	n += sprintf(to + n, " %s", name_of(syscall(SYS_faccessat, dir, name, R_OK) < 0 ? errno : 0));
	long r = readlinkat(dir, name, link, sizeof link - 1);
	link[r < 0 ? 0 : r] = 0;
	n += sprintf(to + n, " %s %s", name_of(r < 0 ? errno : 0), link);
	int fd = openat(dir, name, O_RDONLY | O_NONBLOCK);
	n += sprintf(to + n, " open %s", name_of(fd < 0 ? errno : 0));
	if (fd >= 0) {
		n += sprintf(to + n, " %ld", S_ISREG(s.st_mode) ? (long)lseek(fd, 0, SEEK_END) : 0L);
		close(fd);
	}
	return n;
}

static void about(const char *when, int dir, const char *name) {
	char first[600] = "", now[600];
	int same = 1;
	for (int i = 0; i < OFTEN; i++) {
		ask(dir, name, now);
		if (i == 0)
			strcpy(first, now);
		same &= strcmp(first, now) == 0;
	}
	printf("%s: %s: %s%s\n", when, name, first, same ? "" : " (and then something else)");
}

static int a, b; // descriptors of the directories a and b

static void all(const char *when, int dir) {
	static const char *names[] = {"f", "missing", "l", "sub", "sub/g", "../b/f", ".", "..", "f/", "f/x", "./f"};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		about(when, dir, names[i]);
}

static void child_looks(void) { all("in a child", a); }
static void child_changes(void) {
	unlinkat(a, "f", 0), put(a, "missing", 7), fchmodat(b, "f", 0600, 0);
	close(a);
	if (open("b", O_RDONLY | O_DIRECTORY) != a)
		printf("another number\n");
	about("in a child, another directory", a, "f");
}
static void child_user(void) {
	if (geteuid() == 0) {
		about("as root", a, "f");
		if (setegid(65534) != 0 || seteuid(65534) != 0)
			printf("seteuid\n");
		about("as nobody", a, "f");
		if (seteuid(0) != 0 || setegid(0) != 0)
			printf("seteuid 0\n");
	} else {
		about("as root", a, "f"); // nobody is root here: the same lines natively
	}
}

// listed looks at all names of a directory as it lists them, changes one now and then, and counts what is wrong. What is
// right is known: the size of nNN is NN, but for what change has made of it.
static int changed[MANY];
static int listed(const char *path, int change) {
	DIR *d = opendir(path);
	int bad = 0, seen = 0, dir = dirfd(d);
	char names[MANY + 10][20];
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] == 'n' && seen < MANY)
			strcpy(names[seen++], e->d_name);
	bad += seen != MANY;
	for (int i = 0; i < seen; i++) {
		struct stat s;
		int n = atoi(names[i] + 1);
		if (change && i % change == change - 1) {
			// one that is to come soon
			int k = atoi(names[(i + 3) % seen] + 1);
			if (changed[k] != -1) {
				put(dir, names[(i + 3) % seen], changed[k] = 100 + i);
			}
			k = atoi(names[(i + 5) % seen] + 1);
			unlinkat(dir, names[(i + 5) % seen], 0), changed[k] = -1;
		}
		int r = fstatat(dir, names[i], &s, AT_SYMLINK_NOFOLLOW);
		if (changed[n] == -1)
			bad += r == 0 || errno != ENOENT;
		else
			bad += r != 0 || s.st_size != changed[n];
		int fd = openat(dir, names[i], O_RDONLY);
		bad += (fd < 0) != (changed[n] == -1);
		if (fd >= 0)
			bad += lseek(fd, 0, SEEK_END) != changed[n];
		close(fd);
	}
	closedir(d);
	return bad;
}

static void fill(const char *path) {
	mkdir(path, 0755);
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < MANY; i++) {
		char name[20];
		sprintf(name, "n%02d", i * 37 % MANY);
		put(dir, name, changed[i * 37 % MANY] = i * 37 % MANY);
	}
	close(dir);
}

// Another thread has the descriptor be one directory's and the other's.
static int stop, moving;
static void *moves(void *p) {
	(void)p;
	for (int i = 0; !__atomic_load_n(&stop, __ATOMIC_ACQUIRE); i++) {
		if (i % 2)
			dup2(i % 4 < 2 ? a : b, moving);
		else {
			close(moving);
			int fd = open(i % 4 < 2 ? "a" : "b", O_RDONLY | O_DIRECTORY);
			if (fd != moving)
				dup2(fd, moving), close(fd);
		}
	}
	return 0;
}

static unsigned seed = 12345;
static unsigned rnd(unsigned n) {
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

// steps are random: what is said of each is printed as a sum.
static void steps(void) {
	int fds[6], sum = 0;
	mkdir("r", 0755);
	for (int i = 0; i < 6; i++) {
		char p[20];
		sprintf(p, "r/%d", i);
		mkdir(p, 0755);
		fds[i] = open(p, O_RDONLY | O_DIRECTORY);
	}
	for (int i = 0; i < 6000; i++) {
		char name[20], other[20], p[40], q[40], now[600];
		int d = rnd(6), e = rnd(6);
		sprintf(name, "n%d", rnd(8)), sprintf(other, "n%d", rnd(8));
		switch (rnd(16)) {
		case 0:
			put(fds[d], name, rnd(100));
			break;
		case 1:
			unlinkat(fds[d], name, 0);
			break;
		case 2:
			renameat(fds[d], name, fds[e], other);
			break;
		case 3:
			symlinkat(other, fds[d], name);
			break;
		case 4:
			linkat(fds[d], name, fds[e], other, 0);
			break;
		case 5:
			dup2(fds[d], fds[e]);
			break;
		case 6:
			sprintf(p, "r/%d", e);
			close(fds[d]), fds[d] = open(p, O_RDONLY | O_DIRECTORY);
			break;
		case 7:
			sprintf(p, "r/%d", d), sprintf(q, "r/%d", e);
			renameat2(AT_FDCWD, p, AT_FDCWD, q, RENAME_EXCHANGE);
			break;
		case 8:
			fchmodat(fds[d], name, 0600 + rnd(8), 0);
			break;
		default:
			for (int k = 1 + rnd(3); k; k--)
				for (int j = 0; j < 8; j++) {
					sprintf(name, "n%d", j);
					ask(fds[d], name, now);
					for (char *c = now; *c; c++)
						sum = sum * 31 + *c;
				}
		}
		if (i % 500 == 499)
			printf("after %d steps: %d\n", i + 1, sum);
	}
	for (int i = 0; i < 6; i++)
		close(fds[i]);
}

int main(void) {
	begin();
	mkdir("a", 0755), mkdir("b", 0755), mkdir("a/sub", 0755);
	a = open("a", O_RDONLY | O_DIRECTORY), b = open("b", O_RDONLY | O_DIRECTORY);
	put(a, "f", 10), put(b, "f", 20), put(a, "sub/g", 5);
	if (symlinkat("f", a, "l") != 0)
		printf("symlinkat\n");
	all("at first", a), all("at first", b);
	put(a, "f", 11), about("written", a, "f");
	fchmodat(a, "f", 0640, 0), about("chmod", a, "f");
	renameat(a, "f", a, "missing"), all("moved", a);
	renameat(a, "missing", b, "f"), all("moved there", a), all("moved there", b);
	renameat(b, "f", a, "f"), all("moved back", a), all("moved back", b);
	put(b, "f", 20);
	rename("a", "c"), all("another name of the directory", a);
	mkdir("a", 0755), all("another directory of that name", a), rmdir("a"), rename("c", "a");
	all("and back", a);
	int keep = dup(a);
	dup2(b, a), all("another directory by the descriptor", a), all("and a", keep);
	dup2(keep, a), all("and a again", a);
	close(keep), about("closed", keep, "f"), about("closed", keep, "missing");
	keep = open("a/f", O_RDONLY), about("a file", keep, "f"), about("a file", keep, "/");
	close(keep), keep = open("b", O_RDONLY | O_DIRECTORY), about("b", keep, "f");
	close(keep), keep = open("b", O_PATH), about("by O_PATH", keep, "f"), close(keep);
	about("no descriptor", 1000, "f"), about("no descriptor", -5, "f");
	int high = fcntl(a, F_DUPFD, 100);
	all("of a high number", high), close(high), about("of a high number, closed", high, "f");
	fchmod(a, 0700), child("child", child_user), fchmod(a, 0755);
	child("child", child_looks), all("after it", a);
	child("child", child_changes), all("after that", a), all("after that", b);
	put(a, "f", 3);
	// The descriptor's directory goes away.
	mkdir("gone", 0755);
	int gone = open("gone", O_RDONLY | O_DIRECTORY);
	put(gone, "f", 1), about("there", gone, "f");
	unlinkat(gone, "f", 0), rmdir("gone"), about("gone", gone, "f"), about("gone", gone, ".."), about("gone", gone, ".");
	close(gone);
	// Closed and opened in turn, by the same number.
	int bad = 0;
	for (int i = 0; i < 400; i++) {
		int fd = open(i % 3 ? "a" : "b", O_RDONLY | O_DIRECTORY);
		for (int k = 0; k < 4; k++) {
			struct stat s;
			bad += fstatat(fd, "f", &s, AT_SYMLINK_NOFOLLOW) != 0 || s.st_size != (i % 3 ? 3 : 20);
		}
		close(fd);
		struct stat s;
		bad += fstatat(fd, "f", &s, AT_SYMLINK_NOFOLLOW) == 0 || errno != EBADF;
	}
	printf("closed and opened: %d wrong\n", bad);

	fill("many");
	for (int i = 0; i < 6; i++)
		printf("as listed: %d wrong\n", listed("many", 0));
	char dirs[10][20];
	for (int i = 0; i < 10; i++)
		sprintf(dirs[i], "many%d", i), fill(dirs[i]);
	for (int i = 0; i < 10; i++)
		printf("as listed, the next directory: %d wrong\n", listed(dirs[i], 0));
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < MANY; k++)
			changed[k] = k;
		printf("as listed, and changed: %d wrong\n", listed(dirs[i], 5 + i));
	}

	pthread_t t;
	moving = open("a", O_RDONLY | O_DIRECTORY);
	pthread_create(&t, 0, moves, 0);
	bad = 0;
	for (int i = 0; i < 20000; i++) {
		struct stat s;
		int r = fstatat(moving, "f", &s, AT_SYMLINK_NOFOLLOW);
		bad += r == 0 ? s.st_size != 3 && s.st_size != 20 : errno != EBADF;
		r = fstatat(moving, "sub", &s, AT_SYMLINK_NOFOLLOW); // only a has it
		bad += r == 0 ? !S_ISDIR(s.st_mode) : errno != EBADF && errno != ENOENT;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(t, 0);
	printf("while the descriptor changes: %d wrong\n", bad);
	dup2(b, moving), about("at last", moving, "f"), about("at last", moving, "sub");
	steps();
	return 0;
}
