package plan9

import (
	"strings"

	"hythe/abi"
)

// badArg is Ebadarg.
const badArg = "bad arg in system call"

// texts are the errors of the system (sys/src/9/port/error.h) and of its file servers;
// others are said in its manner.
var texts = map[abi.Errno]string{
	abi.EPERM: "permission denied", abi.EACCES: "permission denied", abi.ENOENT: "file does not exist",
	abi.EEXIST: "file already exists", abi.EINTR: "interrupted", abi.EIO: "i/o error", abi.EFAULT: badArg, abi.EINVAL: badArg,
	abi.EBADF: "fd out of range or not open", abi.ECHILD: "no living children", abi.EAGAIN: "no free processes",
	abi.ENOMEM: "virtual memory allocation failed", abi.ENOEXEC: "exec header invalid", abi.EBUSY: "device or object already in use",
	abi.ENOTDIR: "not a directory", abi.EISDIR: "file is a directory", abi.EMFILE: "no free file descriptors",
	abi.ENFILE: "no free file descriptors", abi.ENODEV: "no such device", abi.ENXIO: "no such device", abi.ESRCH: "process exited",
	abi.ENOSPC: "file system full", abi.EDQUOT: "file system full", abi.EROFS: "file is read only", abi.ESPIPE: "seek on a stream",
	abi.EPIPE: "i/o on hungup channel", abi.ENOTEMPTY: "directory is not empty", abi.ENAMETOOLONG: "file name too long",
	abi.ELOOP: "too many symbolic links", abi.E2BIG: "exec header invalid: too many arguments", abi.ETXTBSY: "text file busy",
	abi.EXDEV: "mount across file servers", abi.EFBIG: "file too big", abi.ENOSYS: "operation not supported",
	abi.EOPNOTSUPP: "operation not supported", abi.ETIMEDOUT: "connection timed out", abi.ECONNREFUSED: "connection refused",
	abi.ECONNRESET: "connection reset", abi.EADDRINUSE: "address in use", abi.ENETUNREACH: "network unreachable",
	abi.EHOSTUNREACH: "host unreachable", abi.EIDRM: "file has been removed", abi.ESTALE: "file has been removed",
	abi.EREMOTEIO: "mount rpc error", abi.ENOTCONN: "i/o on hungup channel", abi.ECONNABORTED: "i/o on hungup channel", abi.EISCONN: "connection in use",
	abi.EADDRNOTAVAIL: "bad ip address", abi.EAFNOSUPPORT: "bad ip address", abi.EDESTADDRREQ: "no destination",
	abi.EXFULL: "note not posted", abi.EOVERFLOW: "read or write too large", abi.EBADMSG: "malformed stat buffer", abi.EMSGSIZE: "stat buffer too short",
}

// errorText is what errstr(2) says of an error.
func errorText(e abi.Errno) string {
	if s := texts[e]; s != "" {
		return s
	}
	return "error " + strings.ToLower(strings.TrimPrefix(e.Name(), "E"))
}
