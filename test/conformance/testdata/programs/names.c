// Answers about names that the library keeps: each is asked for again and again, changed
// by what can change it, and asked for again.
#include "try.h"

// More than what the server refuses after a change (nameRest) and what it takes to be asked again.
enum { OFTEN = 12 };

static const char *name_of(int e) { return e ? strerrorname_np(e) : "ok"; }

// about prints what all calls say of a path, and whether they say it each time.
static void about(const char *when, const char *path) {
	char first[600] = "", now[600], link[200];
	int same = 1;
	for (int i = 0; i < OFTEN; i++) {
		struct stat s;
		int n = 0;
		memset(&s, 0, sizeof s);
		n += sprintf(now + n, "stat %s", name_of(syscall(SYS_stat, path, &s) < 0 ? errno : 0));
		n += sprintf(now + n, " %o %ld %ld %d", s.st_mode, S_ISDIR(s.st_mode) ? 0 : (long)s.st_size, S_ISDIR(s.st_mode) ? 0 : (long)s.st_nlink, (int)s.st_uid);
		memset(&s, 0, sizeof s);
		n += sprintf(now + n, " lstat %s", name_of(syscall(SYS_lstat, path, &s) < 0 ? errno : 0));
		n += sprintf(now + n, " %o", s.st_mode);
		memset(&s, 0, sizeof s);
		n += sprintf(now + n, " at %s", name_of(fstatat(AT_FDCWD, path, &s, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0));
		n += sprintf(now + n, " %o", s.st_mode);
		for (int m = 0; m < 8; m++)
			n += sprintf(now + n, " %d:%s", m, name_of(syscall(SYS_access, path, m) < 0 ? errno : 0));
		n += sprintf(now + n, " at %s", name_of(syscall(SYS_faccessat, AT_FDCWD, path, R_OK) < 0 ? errno : 0));
		long r = readlink(path, link, sizeof link - 1);
		link[r < 0 ? 0 : r] = 0;
		n += sprintf(now + n, " link %s %s", name_of(r < 0 ? errno : 0), link);
		r = readlink(path, link, 3);
		n += sprintf(now + n, " %ld", r);
		if (i == 0)
			strcpy(first, now);
		same &= strcmp(first, now) == 0;
	}
	printf("%s: %s: %s%s\n", when, path, first, same ? "" : " (and then something else)");
}

static void all(const char *when) {
	static const char *paths[] = {"d", "d/f", "d/missing", "l", "l/x", "d/../d/f", "./d//f", "d/f/", "d/f/x", "dangling", "loop", "d/sub", "d/sub/g", "."};
	for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++)
		about(when, paths[i]);
}

static void put(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (long)strlen(text))
		printf("put %s: %s\n", path, strerrorname_np(errno));
	close(fd);
}

static void child_makes(void) { put("d/missing", "by a child"); }
static void child_removes(void) { unlink("d/missing"), rename("d/sub", "d/bus"); }
static void child_back(void) { rename("d/bus", "d/sub"); }
static void child_looks(void) { all("in a child"); }
static void child_moves(void) {
	about("in a child, before it goes", "d/f");
	if (chdir("d") != 0)
		printf("chdir\n");
	about("in a child, in d", "d/f");
	about("in a child, in d", "f");
	about("in a child, in d", "sub");
}
static void child_user(void) {
	if (geteuid() == 0) {
		about("as root", "d/secret/s");
		if (setegid(65534) != 0 || seteuid(65534) != 0)
			printf("seteuid\n");
		about("as nobody", "d/secret/s");
		if (seteuid(0) != 0 || setegid(0) != 0)
			printf("seteuid 0\n");
		about("as root again", "d/secret/s");
	} else {
		about("as root", "d/secret/s"); // nobody is root here: the same lines natively
	}
}
static void child_root(void) {
	about("before chroot", "/x");
	put("d/x", "inside");
	if (chroot("d") == 0)
		about("after chroot", "/x");
	else
		printf("chroot %s\n", strerrorname_np(errno));
	unlink("x"), unlink("d/x");
}

static void *in_thread(void *p) {
	if (syscall(SYS_unshare, CLONE_FS) != 0 || chdir(p) != 0)
		printf("unshare: %s\n", strerrorname_np(errno));
	about("a thread, elsewhere", "f");
	about("a thread, elsewhere", "d/f");
	return 0;
}

static int stop;
static void *changes(void *p) {
	(void)p;
	for (int i = 0; !__atomic_load_n(&stop, __ATOMIC_ACQUIRE); i++) {
		if (i % 2)
			rename("d/f", "d/f2"), rename("d/f2", "d/f");
		else
			chmod("d/f", 0600 + i % 8);
	}
	return 0;
}

// Files of a directory, asked for in order: the answers for the next ones may come along.
enum { MANY = 60 };
static void in_order(const char *when, const char *dir) {
	printf("%s:", when);
	for (int i = 0; i < MANY; i++) {
		char p[100];
		struct stat s;
		sprintf(p, "%s/n%02d", dir, i);
		int e = i % 2 ? lstat(p, &s) : fstatat(AT_FDCWD, p, &s, AT_SYMLINK_NOFOLLOW);
		if (e < 0)
			printf(" %d:%s", i, name_of(errno));
		else if (s.st_mode != (S_IFREG | 0644) || s.st_size != 2 || s.st_nlink != 1)
			printf(" %d:%o:%ld:%ld", i, s.st_mode, S_ISREG(s.st_mode) ? (long)s.st_size : 0L, S_ISREG(s.st_mode) ? (long)s.st_nlink : 0L);
	}
	printf("\n");
}

static void child_in_order(void) { in_order("in order, in a child", "many"); }
static void child_mixes(void) {
	chmod("many/n33", 0600), unlink("many/n34"), put("many/n35", "longer"), rename("many/n36", "many/n37");
	unlink("many/n38"), mkdir("many/n38", 0700), unlink("many/n39"), symlink("n40", "many/n39"), link("many/n41", "many/other");
	unlink("many/n42"), put("many/n42", "another");
}
static int half;
static void *mixes(void *p) {
	(void)p;
	for (int i = 0; !__atomic_load_n(&half, __ATOMIC_ACQUIRE); i++)
		chmod("many/n50", 0600 + i % 8), rename("many/n51", "many/x51"), rename("many/x51", "many/n51");
	return 0;
}

static void names_in_order(void) {
	mkdir("many", 0755);
	for (int i = 0; i < MANY; i++) {
		char p[100];
		sprintf(p, "many/n%02d", i);
		put(p, "ab");
	}
	for (int i = 0; i < 10; i++)
		in_order("in order", i % 2 ? "many" : "./many/../many");
	child("child", child_in_order);
	for (int i = 0; i < MANY; i++) {
		// Each time half way through somebody has changed some of the rest.
		char p[100];
		struct stat s;
		sprintf(p, "many/n%02d", i);
		if (i == MANY / 2)
			child("child", child_mixes);
		if (lstat(p, &s) < 0)
			printf(" %d:%s", i, name_of(errno));
		else
			printf(" %d:%o:%ld", i, s.st_mode, S_ISREG(s.st_mode) ? (long)s.st_size : 0L);
	}
	printf("\n");
	for (int i = 0; i < 10; i++)
		in_order("and then", "many");
	pthread_t t;
	pthread_create(&t, 0, mixes, 0);
	int bad = 0;
	for (int i = 0; i < 20000; i++) {
		char p[100];
		struct stat s;
		int n = 43 + i % 10;
		sprintf(p, "many/n%02d", n);
		if (lstat(p, &s) < 0)
			bad += n != 51;
		else
			bad += n == 50 ? (s.st_mode & 0770) != 0600 && (s.st_mode & 0777) != 0644 : s.st_mode != (S_IFREG | 0644);
	}
	__atomic_store_n(&half, 1, __ATOMIC_RELEASE);
	pthread_join(t, 0);
	printf("in order, while it changes: %d wrong\n", bad);
	// Another directory by the same path.
	rename("many", "many2"), mkdir("many", 0755), put("many/n07", "z");
	for (int i = 0; i < 3; i++)
		in_order("another directory", "many");
}

int main(void) {
	begin();
	mkdir("d", 0755), mkdir("d/sub", 0755), put("d/f", "hello"), put("d/sub/g", "g");
	if (symlink("d/f", "l") | symlink("nowhere", "dangling") | symlink("loop", "loop"))
		printf("symlink\n");
	all("at first");
	put("d/f", "longer than before");
	all("written");
	int fd = open("d/f", O_RDWR);
	if (pwrite(fd, "!", 1, 40) != 1 || ftruncate(fd, 30) != 0)
		printf("pwrite\n");
	about("grown by pwrite, cut", "d/f");
	if (ftruncate(fd, 3) != 0)
		printf("ftruncate\n");
	about("cut", "d/f");
	fchmod(fd, 0400);
	about("fchmod", "d/f");
	chmod("d/f", 0644);
	about("chmod", "d/f");
	link("d/f", "d/f3");
	about("linked", "d/f"), about("linked", "d/f3");
	unlink("d/f3");
	about("unlinked", "d/f"), about("unlinked", "d/f3");
	rename("d/f", "d/moved");
	all("moved away");
	rename("d/moved", "d/f");
	all("moved back");
	rename("d", "e");
	all("directory moved"), about("directory moved", "e/f");
	rename("e", "d");
	all("directory moved back"), about("directory moved back", "e/f");
	unlink("l"), symlink("d/sub", "l");
	all("another link");
	unlink("d/f"), mkdir("d/f", 0700);
	all("a directory now");
	rmdir("d/f"), put("d/f", "new");
	all("a file again");
	child("child", child_makes), all("made by a child");
	child("child", child_removes), all("removed by a child"), about("removed by a child", "d/bus/g");
	child("child", child_back), all("and back");
	child("child", child_looks), all("after it");
	child("child", child_moves), about("after it", "d/f");
	mkdir("d/secret", 0700), put("d/secret/s", "s");
	child("child", child_user), about("after it", "d/secret/s");
	child("child", child_root);

	// Times: a write is seen.
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	utimensat(AT_FDCWD, "d/f", old, 0);
	for (int i = 0, n = 0; i < 3 * OFTEN; i++) {
		struct stat s;
		stat("d/f", &s);
		n += s.st_mtime == 1000;
		if (i == OFTEN)
			printf("old times %d\n", n), n = 0, pwrite(fd, "x", 1, 0), close(fd), fd = open("d/f", O_RDWR), pwrite(fd, "y", 1, 0);
		if (i == 3 * OFTEN - 1)
			printf("and then %d\n", n);
	}
	close(fd);

	// A descriptor's link in /proc is what it is now.
	fd = open("d/f", O_RDONLY);
	for (int i = 0; i < OFTEN; i++) {
		char b[300], p[40];
		sprintf(p, "/proc/self/fd/%d", fd);
		long r = readlink(p, b, sizeof b);
		if (i >= OFTEN - 2)
			printf("descriptor: %.*s\n", 3, b + r - 3);
		if (i == OFTEN - 2)
			close(fd), dup2(open("d/sub/g", O_RDONLY), fd);
	}

	// Bad addresses, of names and of answers.
	char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + 4096, 4096);
	for (int i = 0; i < OFTEN; i++) {
		struct stat s;
		strcpy(page + 4096 - 4, "d/f");
		int a = syscall(SYS_stat, page + 4096 - 4, &s), b = syscall(SYS_stat, page + 4096 - 4, page + 4096 - 100), c = errno;
		memcpy(page + 4096 - 3, "d/f", 3);
		int d = syscall(SYS_stat, page + 4096 - 3, &s), e = errno;
		int f = syscall(SYS_stat, 8L, &s), g = errno, h = syscall(SYS_stat, "d/f", 8L), j = errno, k = readlink("l", page + 4096 - 2, 100), l = errno, m = readlink("l", page + 4096 - 5, 5);
		printf("bad %d %d %s %d %s %d %s %d %s %d %s %d\n", a, b, name_of(c), d, name_of(e), f, name_of(g), h, name_of(j), k, name_of(l), m);
	}

	// Long names.
	for (int n = 118; n < 140; n++) {
		char p[200];
		memset(p, '/', sizeof p);
		memcpy(p, "d", 1), strcpy(p + n - 1, "f");
		about("long", p);
	}
	char *longest = malloc(5001);
	for (int n = 4090; n < 4100; n++) {
		memset(longest, '/', 5000), memcpy(longest, "d", 1), strcpy(longest + n - 1, "f");
		for (int i = 0; i < OFTEN; i++) {
			struct stat s;
			int r = stat(longest, &s);
			if (i == 0 || i == OFTEN - 1)
				printf("%d: %s\n", n, name_of(r < 0 ? errno : 0));
		}
	}

	// The current directory goes away.
	char back[4096];
	if (!getcwd(back, sizeof back))
		printf("getcwd\n");
	mkdir("gone", 0755), chdir("gone");
	about("there", "."), about("there", "../d/f"), about("there", "f");
	child("child", child_makes); // has no d here
	rmdir("../gone");
	about("gone", "."), about("gone", ".."), about("gone", "f");
	chdir(back);
	about("back", "d/f");

	// A thread that has a directory of its own.
	pthread_t t;
	about("before the thread", "d/f");
	pthread_create(&t, 0, in_thread, "d");
	pthread_join(t, 0);
	about("after the thread", "d/f"), about("after the thread", "f");

	// What is asked while another thread changes it is one or the other.
	pthread_create(&t, 0, changes, 0);
	int bad = 0;
	for (int i = 0; i < 20000; i++) {
		struct stat s;
		if (stat("d/f", &s) < 0)
			bad += errno != ENOENT;
		else
			bad += !S_ISREG(s.st_mode) || (s.st_mode & 0770) != 0600 && (s.st_mode & 0777) != 0644;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(t, 0);
	printf("while it changes: %d wrong\n", bad);
	chmod("d/f", 0640);
	about("at last", "d/f");

	// What one has made, changed and removed, one sees at once, each time.
	bad = 0;
	for (int i = 0; i < 300; i++) {
		struct stat s;
		bad += stat("d/t", &s) == 0;
		put("d/t", i % 2 ? "odd" : "even");
		bad += stat("d/t", &s) != 0 || s.st_size != (i % 2 ? 3 : 4);
		bad += stat("d/t", &s) != 0 || s.st_size != (i % 2 ? 3 : 4);
		bad += stat("d/t", &s) != 0 || s.st_size != (i % 2 ? 3 : 4);
		chmod("d/t", 0600 + i % 8);
		bad += stat("d/t", &s) != 0 || (s.st_mode & 7) != (unsigned)(i % 8);
		unlink("d/t");
		bad += stat("d/t", &s) == 0 || access("d/t", F_OK) == 0 || readlink("d/t", back, 10) >= 0;
	}
	printf("in turn: %d wrong\n", bad);
	names_in_order();
	return 0;
}
