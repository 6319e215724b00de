// The C library's ways to the functions of preview 1; the same for Linux.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <dirent.h>
#include <poll.h>
#include <time.h>
#include <sys/stat.h>
#include <sys/uio.h>

static const char *err(int r) { return r < 0 ? strerror(errno) : "ok"; }
static int cmp(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void list(const char *d) {
	DIR *dir = opendir(d);
	char *names[100]; int n = 0;
	if (!dir) { printf("opendir %s: %s\n", d, strerror(errno)); return; }
	for (struct dirent *e; n < 100 && (e = readdir(dir));) names[n++] = strdup(e->d_name);
	rewinddir(dir);
	int again = 0;
	while (readdir(dir)) again++;
	qsort(names, n, sizeof *names, cmp);
	for (int i = 0; i < n; i++) printf(" %s", names[i]);
	printf(" (%d)\n", again);
	closedir(dir);
}

int main(int argc, char **argv) {
	struct stat st;
	char buf[64] = {0};
	long n;
	int fd, dd;
#define SAY(what, call) do { errno = 0; n = (call); printf("%s: %ld %s\n", what, n < 0 ? -1 : n > 2 ? n : 0, n < 0 ? strerror(errno) : ""); } while (0)
	printf("args %d %s\n", argc, argc > 1 ? argv[1] : "");
	printf("tty %d\n", isatty(1));
	SAY("absolute", stat("/etc/passwd", &st));
	SAY("relative", stat("given", &st));
	SAY("dot", stat("./given", &st));
	SAY("none", stat("/etc/none", &st));
	SAY("mkdir", mkdir("cdir", 0777));
	SAY("mkdir", mkdir("cdir", 0777));
	fd = open("cdir/f", O_RDWR | O_CREAT | O_EXCL, 0666);
	struct iovec v[3] = {{"abc", 3}, {"", 0}, {"defg", 4}};
	SAY("writev", writev(fd, v, 3));
	SAY("pread", pread(fd, buf, 63, 2));
	puts(buf);
	SAY("pwrite", pwrite(fd, "XYZ", 3, 1));
	SAY("lseek", lseek(fd, 0, SEEK_SET));
	memset(buf, 0, sizeof buf);
	SAY("read", read(fd, buf, 63));
	puts(buf);
	SAY("ftruncate", ftruncate(fd, 4));
	SAY("fallocate", posix_fallocate(fd, 0, 100));
	SAY("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	SAY("fstat", fstat(fd, &st));
	printf("%lld %d\n", (long long)st.st_size, S_ISREG(st.st_mode));
	struct timespec ts[2] = {{1000, 5}, {2000, 7}};
	SAY("futimens", futimens(fd, ts));
	fstat(fd, &st);
	printf("%lld %ld\n", (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
	SAY("setfl", fcntl(fd, F_SETFL, O_APPEND));
	printf("%d\n", (fcntl(fd, F_GETFL) & O_APPEND) != 0);
	lseek(fd, 0, SEEK_SET);
	SAY("append", write(fd, "end", 3));
	fstat(fd, &st);
	printf("%lld\n", (long long)st.st_size);
	SAY("fsync", fsync(fd));
	SAY("fdatasync", fdatasync(fd));
	SAY("close", close(fd));
	SAY("symlink", symlink("f", "cdir/l"));
	memset(buf, 0, sizeof buf);
	SAY("readlink", readlink("cdir/l", buf, 63));
	puts(buf);
	SAY("lstat", lstat("cdir/l", &st));
	printf("%d\n", S_ISLNK(st.st_mode));
	SAY("stat", stat("cdir/l", &st));
	printf("%d\n", S_ISREG(st.st_mode));
	SAY("utimensat", utimensat(AT_FDCWD, "cdir/l", ts, 0));
	stat("cdir/f", &st);
	printf("%lld\n", (long long)st.st_atim.tv_sec);
	SAY("link", link("cdir/f", "cdir/h"));
	stat("cdir/h", &st);
	printf("%d\n", (int)st.st_nlink);
	SAY("rename", rename("cdir/h", "cdir/r"));
	dd = open("cdir", O_RDONLY | O_DIRECTORY);
	fd = openat(dd, "f", O_RDONLY);
	SAY("openat", read(fd, buf, 5));
	close(fd);
	SAY("openat", openat(dd, "none", O_RDONLY));
	SAY("not a directory", openat(dd, "f/x", O_RDONLY));
	SAY("unlinkat", unlinkat(dd, "r", 0));
	close(dd);
	list("cdir");
	SAY("rmdir", rmdir("cdir"));
	SAY("unlink", unlink("cdir/f"));
	SAY("unlink", unlink("cdir/l"));
	SAY("unlink", unlink("cdir/l"));
	SAY("rmdir", rmdir("cdir"));
	struct pollfd p[2] = {{0, POLLIN, 0}, {1, POLLOUT, 0}};
	SAY("poll", poll(p, 1, 10000));
	poll(p + 1, 1, 0);
	printf("%d %d\n", (p[0].revents & POLLIN) != 0, (p[1].revents & POLLOUT) != 0);
	memset(buf, 0, sizeof buf);
	SAY("stdin", read(0, buf, 5));
	puts(buf);
	struct timespec a, b, d = {0, 20000000};
	clock_gettime(CLOCK_MONOTONIC, &a);
	nanosleep(&d, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("slept %d\n", (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec >= 20000000);
	char *big = malloc(50 << 20);
	memset(big, 1, 50 << 20);
	printf("malloc %d\n", big[(50 << 20) - 1]);
	FILE *f = fopen("cfile", "w+");
	for (int i = 0; i < 1000; i++) fprintf(f, "%d\n", i);
	rewind(f);
	long sum = 0; int x;
	while (fscanf(f, "%d", &x) == 1) sum += x;
	printf("stdio %ld %ld\n", sum, ftell(f));
	fclose(f);
	SAY("remove", remove("cfile"));
	fflush(stdout);
	return 7;
}
