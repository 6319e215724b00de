// Memory, semaphores and messages between processes.
#include "try.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static key_t key; // the host's other processes have theirs
static char name[40];

// unnamed makes a memfd after a named object: both are of one file server.
static void unnamed(void) {
	int f = shm_open(name, O_RDWR | O_CREAT, 0600);
	T(f >= 0);
	T(ftruncate(f, 100));
	T(shm_unlink(name));
	int m = memfd_create("m", 0);
	T(m >= 0);
	T(write(m, "abc", 3));
	struct stat s;
	T(fstat(m, &s));
	printf("%ld\n", (long)s.st_size);
}

static volatile sig_atomic_t hits;
static void onsig(int s) { hits++; }

static int vals(int id, int n) {
	unsigned short v[16];
	if (semctl(id, 0, GETALL, v) < 0)
		return -1;
	for (int i = 0; i < n; i++)
		printf("%d%c", v[i], i + 1 < n ? ' ' : '\n');
	return 0;
}

static int op1(int id, int num, int op, int flags) {
	struct sembuf b = {num, op, flags};
	return semop(id, &b, 1);
}

// waits until so many wait for semaphore num to grow (or to be zero).
static void waiters(int id, int num, int cmd, int n) {
	while (semctl(id, num, cmd) != n)
		sched_yield();
}

static void semaphores(void) {
	T(semget(IPC_PRIVATE, 0, 0600));
	T(semget(IPC_PRIVATE, -1, 0600));
	T(semget(IPC_PRIVATE, 32001, 0600));
	T(semget(key, 1, 0));
	int id = semget(key, 4, IPC_CREAT | IPC_EXCL | 0640);
	T(id >= 0);
	T(semget(key, 4, IPC_CREAT | IPC_EXCL | 0600));
	T(semget(key, 5, 0));
	T(semget(key, 4, 0) == id);
	T(semget(key, 0, 0600) == id);
	vals(id, 4);
	T(semctl(id, 0, SETVAL, 5));
	T(semctl(id, 4, SETVAL, 5));
	T(semctl(id, 0, SETVAL, 32768));
	T(semctl(id, 0, SETVAL, -1));
	T(semctl(-1, 0, GETVAL));
	T(semctl(id + 1, 0, GETVAL));
	T(semctl(id, 9, GETVAL));
	T(semctl(id, 0, 99));
	T(semctl(id, 0, GETVAL));
	T(semctl(id, 0, GETPID) == getpid());
	T(semctl(id, 1, GETPID));
	unsigned short all[4] = {1, 2, 3, 4}, bad[4] = {1, 2, 3, 40000};
	T(semctl(id, 0, SETALL, bad));
	T(semctl(id, 0, SETALL, (void *)8));
	T(semctl(id, 0, SETALL, all));
	T(semctl(id, 0, GETALL, (void *)8));
	vals(id, 4);
	// All or nothing, each seeing what those before it did.
	struct sembuf two[] = {{0, -1, 0}, {1, -3, IPC_NOWAIT}};
	T(semop(id, two, 2));
	vals(id, 4);
	struct sembuf seen[] = {{0, -1, 0}, {0, 0, 0}, {0, 2, 0}, {0, -2, 0}, {3, 3, 0}};
	T(semop(id, seen, 5));
	vals(id, 4);
	T(op1(id, 0, 0, 0));
	T(op1(id, 0, -1, IPC_NOWAIT));
	T(op1(id, 1, 0, IPC_NOWAIT));
	T(op1(id, 4, 1, 0));
	T(op1(id, 2, 32767, 0));
	T(op1(-1, 0, 1, 0));
	T(semop(id, two, 0));
	T(semop(id, two, 501));
	T(semop(id, (void *)8, 1));
	struct timespec t = {0, 1000000}, wrong = {0, 1000000000};
	struct sembuf wait = {0, -1, 0};
	T(semtimedop(id, &wait, 1, &t));
	T(semtimedop(id, &wait, 1, &wrong));
	struct semid_ds d;
	T(semctl(id, 0, IPC_STAT, &d));
	printf("%d %o %ld %d %d\n", d.sem_perm.__key == key, d.sem_perm.mode, d.sem_nsems, d.sem_perm.uid == getuid(), d.sem_perm.cgid == getgid());
	T(d.sem_otime > 0 && d.sem_ctime > 0);
	d.sem_perm.mode = 0600; // an owner may still change it
	T(semctl(id, 0, IPC_SET, &d));
	T(semctl(id, 0, IPC_STAT, &d));
	printf("%o\n", d.sem_perm.mode);
	struct seminfo si;
	T(semctl(0, 0, IPC_INFO, &si) >= 0);
	printf("%d %d %d %d %d %d %d\n", si.semmni, si.semmns, si.semmsl, si.semopm, si.semusz, si.semvmx, si.semaem);
	// Waiting: in the order in which they came, and nobody comes between.
	fflush(stdout);
	pid_t p[3];
	int go[2];
	char c;
	pipe(go);
	for (int i = 0; i < 3; i++) {
		if ((p[i] = fork()) == 0) {
			int r = i < 2 ? op1(id, 0, -1 - i, SEM_UNDO * (i == 0)) : op1(id, 1, 0, 0);
			close(go[1]);
			if (i == 0)
				read(go[0], &c, 1); // its end gives back what it took
			_exit(r == 0 ? 10 + i : errno);
		}
		waiters(id, i < 2 ? 0 : 1, i < 2 ? GETNCNT : GETZCNT, i < 2 ? i + 1 : 1);
	}
	T(op1(id, 0, 1, 0));
	T(op1(id, 0, -1, IPC_NOWAIT));
	write(go[1], "", 1);
	int st;
	waitpid(p[0], &st, 0);
	printf("first %d\n", WEXITSTATUS(st));
	waiters(id, 0, GETNCNT, 1);
	T(semctl(id, 0, GETVAL)); // what it took came back with its end
	T(semctl(id, 0, GETPID) == p[0]);
	T(semctl(id, 1, SETVAL, 0));
	waitpid(p[2], &st, 0);
	printf("zero %d\n", WEXITSTATUS(st));
	T(op1(id, 0, 1, 0));
	waitpid(p[1], &st, 0);
	printf("second %d\n", WEXITSTATUS(st));
	vals(id, 4);
	// Undo: also of one that is killed, but not of what was set since, nor below zero.
	fflush(stdout);
	if ((p[0] = fork()) == 0) {
		op1(id, 0, 7, SEM_UNDO);
		op1(id, 1, 3, SEM_UNDO);
		op1(id, 2, -1, SEM_UNDO);
		op1(id, 3, 1, SEM_UNDO);
		op1(id, 3, -1, 0);
		semctl(id, 1, SETVAL, 9);
		vals(id, 4);
		fflush(stdout);
		raise(SIGKILL);
	}
	waitpid(p[0], &st, 0);
	vals(id, 4);
	// A signal, with and without a handler that restarts.
	for (int k = 0; k < 2; k++) {
		struct sigaction a = {.sa_handler = onsig, .sa_flags = k ? SA_RESTART : 0};
		sigaction(SIGUSR1, &a, 0);
		fflush(stdout);
		if ((p[0] = fork()) == 0) {
			int r = op1(id, 0, -100, 0);
			printf("interrupted %d %s %d\n", r, strerrorname_np(errno), hits);
			fflush(stdout);
			_exit(0);
		}
		waiters(id, 0, GETNCNT, 1);
		kill(p[0], SIGUSR1);
		waitpid(p[0], &st, 0);
	}
	// Removed while others wait.
	fflush(stdout);
	if ((p[0] = fork()) == 0) {
		T(op1(id, 0, -100, SEM_UNDO));
		fflush(stdout);
		_exit(0);
	}
	waiters(id, 0, GETNCNT, 1);
	int gone = semctl(id, 0, IPC_RMID);
	waitpid(p[0], &st, 0); // it prints too
	T(gone);
	T(op1(id, 0, 1, 0));
	T(semctl(id, 0, IPC_RMID));
}

static struct { long type; char text[9000]; } m;

static int snd(int q, long type, const char *s, int flags) {
	m.type = type;
	strcpy(m.text, s);
	return msgsnd(q, &m, strlen(s), flags);
}

static void rcv(int q, size_t n, long type, int flags) {
	memset(&m, 0, sizeof m);
	errno = 0;
	int r = msgrcv(q, &m, n, type, flags);
	printf("rcv %ld %o: %d %s %ld \"%s\"\n", type, flags, r, strerrorname_np(errno), m.type, m.text);
}

static void qstat(int q) {
	struct msqid_ds d;
	T(msgctl(q, IPC_STAT, &d));
	printf("%d %o %ld bytes %ld messages of %ld, %d %d %d\n", d.msg_perm.__key == key, d.msg_perm.mode, d.__msg_cbytes, d.msg_qnum, d.msg_qbytes, d.msg_lspid == getpid(), d.msg_stime > 0, d.msg_rtime > 0);
}

static void messages(void) {
	T(msgget(key, 0));
	int q = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
	T(q >= 0);
	T(msgget(key, IPC_CREAT | IPC_EXCL | 0600));
	T(msgget(key, 0) == q);
	T(snd(q, 0, "x", 0));
	T(snd(q, -1, "x", 0));
	T(snd(-1, 1, "x", 0));
	T(snd(q + 1, 1, "x", 0));
	T(msgsnd(q, &m, 8193, 0));
	T(msgsnd(q, (void *)8, 1, 0));
	qstat(q);
	T(snd(q, 5, "five", 0));
	T(snd(q, 3, "three", 0));
	T(snd(q, 9, "nine", 0));
	T(snd(q, 3, "three again", 0));
	T(snd(q, 7, "", 0));
	qstat(q);
	rcv(q, 100, 2, IPC_NOWAIT | MSG_COPY);
	rcv(q, 100, 9, IPC_NOWAIT | MSG_COPY);
	rcv(q, 100, 0, MSG_COPY);
	rcv(q, 100, 4, IPC_NOWAIT);
	rcv(q, 2, 3, IPC_NOWAIT);
	rcv(q, 2, 3, MSG_NOERROR);
	rcv(q, 100, -4, 0);
	rcv(q, 100, 5, MSG_EXCEPT);
	rcv(q, 100, -100, 0);
	rcv(q, 100, 0, 0);
	rcv(q, 100, 0, IPC_NOWAIT);
	rcv(q, -1, 0, IPC_NOWAIT);
	T(snd(q, 1, "lost", 0));
	T(msgrcv(q, (void *)8, 10, 0, 0));
	qstat(q);
	// A full queue, a sender and a receiver that wait.
	m.type = 1;
	T(msgsnd(q, &m, 8192, 0));
	T(msgsnd(q, &m, 8192, 0));
	T(msgsnd(q, &m, 1, IPC_NOWAIT));
	T(msgsnd(q, &m, 0, IPC_NOWAIT));
	fflush(stdout);
	pid_t p = fork();
	int st;
	if (p == 0)
		_exit(snd(q, 2, "waited", 0) ? errno : 0);
	asleep(p);
	T(msgrcv(q, &m, 8192, 0, 0));
	waitpid(p, &st, 0);
	T(WEXITSTATUS(st));
	rcv(q, 8192, 2, 0);
	T(msgrcv(q, &m, 8192, 0, 0));
	struct msqid_ds d;
	T(msgctl(q, IPC_STAT, &d));
	d.msg_qbytes = 10;
	T(msgctl(q, IPC_SET, &d));
	T(snd(q, 1, "eleven char", IPC_NOWAIT));
	T(snd(q, 1, "ten chars.", IPC_NOWAIT));
	qstat(q);
	fflush(stdout);
	if ((p = fork()) == 0) {
		rcv(q, 100, 77, 0);
		fflush(stdout);
		_exit(0);
	}
	asleep(p);
	int gone = msgctl(q, IPC_RMID, 0);
	waitpid(p, &st, 0);
	T(gone);
	T(snd(q, 1, "x", 0));
	struct msginfo mi;
	T(msgctl(0, IPC_INFO, (void *)&mi) >= 0);
	printf("%d %d %d\n", mi.msgmax, mi.msgmnb, mi.msgmni);
}

// listed shows what /proc says of an id, without what differs from run to run.
static void listed(const char *what, int id, int fields) {
	char path[40], line[400];
	snprintf(path, sizeof path, "/proc/sysvipc/%s", what);
	FILE *f = fopen(path, "r");
	for (int first = 1; f && fgets(line, sizeof line, f); first = 0) {
		long k;
		int n;
		if (first)
			printf("%s", line);
		else if (sscanf(line, "%ld %d", &k, &n) == 2 && n == id)
			printf("%d%.*s\n", k == key, fields, line + 21);
	}
	if (f)
		fclose(f);
}

static void proc(void) {
	int s = semget(key, 3, IPC_CREAT | 0600), q = msgget(key, IPC_CREAT | 0622), h = shmget(key, 5000, IPC_CREAT | 0604);
	snd(q, 1, "abc", 0);
	listed("sem", s, 18);
	listed("msg", q, 29);
	listed("shm", h, 29);
	semctl(s, 0, IPC_RMID);
	msgctl(q, IPC_RMID, 0);
	shmctl(h, IPC_RMID, 0);
}

int main(void) {
	begin();
	key = getpid() << 8 | 0x48;
	sprintf(name, "/hythe-ipc-%d", getpid());
	unnamed();
	semaphores();
	messages();
	proc();
}
