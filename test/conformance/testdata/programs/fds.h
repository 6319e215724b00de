// What the programs about descriptors have in common: what one is ready for, and one that is sent by a message.
#include "try.h"
#include <sys/socket.h>
#include <sys/uio.h>

// ready prints what poll says of a descriptor.
static void ready(const char *what, int fd) {
	struct pollfd f = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
	int n = poll(&f, 1, 0);
	printf("%s: poll %d %x\n", what, n, f.revents);
}

// sendfd sends a descriptor with a byte by a socket of AF_UNIX, recvfd gets one.
static long sendfd(int s, int fd) {
	char ctl[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(h), &fd, sizeof fd);
	return sendmsg(s, &m, 0);
}
static long recvfd(int s, int *fd) {
	char ctl[CMSG_SPACE(sizeof *fd)] = {0}, x;
	struct iovec v = {&x, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
	long n = recvmsg(s, &m, 0);
	*fd = -1;
	if (n == 1 && m.msg_controllen >= CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof *fd);
	return n;
}
