// Package wasi gives the functions of WASI preview 1 their meaning, over the calls of
// Linux that System stands for, and runs one WebAssembly module with them; wazero is
// the engine that compiles it. It is linked into cmd/hythe-wasi alone, which is an
// ordinary program of a machine: whatever a module does, it does as that process, and
// no server knows anything of it (docs/wasi.md).
//
// A module's descriptors are numbers of this package's table. Each has rights, which
// can only become fewer, and those opened from a directory have no more than its
// inheriting rights allow. All addresses that a module gives are offsets in its linear
// memory and are checked there: one that is not inside is EFAULT.
//
// There is one goroutine that runs the module and these functions, and no lock.
package wasi

import "hythe/abi"

// Errno is an error number of preview 1 (wasi_snapshot_preview1.witx, $errno).
type Errno uint16

// The error numbers.
const (
	errSuccess Errno = iota
	err2Big
	errAcces
	errAddrInUse
	errAddrNotAvail
	errAfNoSupport
	errAgain
	errAlready
	errBadf
	errBadMsg
	errBusy
	errCanceled
	errChild
	errConnAborted
	errConnRefused
	errConnReset
	errDeadlk
	errDestAddrReq
	errDom
	errDquot
	errExist
	errFault
	errFBig
	errHostUnreach
	errIdrm
	errIlseq
	errInProgress
	errIntr
	errInval
	errIO
	errIsConn
	errIsDir
	errLoop
	errMFile
	errMLink
	errMsgSize
	errMultihop
	errNameTooLong
	errNetDown
	errNetReset
	errNetUnreach
	errNFile
	errNoBufs
	errNoDev
	errNoEnt
	errNoExec
	errNoLck
	errNoLink
	errNoMem
	errNoMsg
	errNoProtoOpt
	errNoSpc
	errNoSys
	errNotConn
	errNotDir
	errNotEmpty
	errNotRecoverable
	errNotSock
	errNotSup
	errNoTTY
	errNXIO
	errOverflow
	errOwnerDead
	errPerm
	errPipe
	errProto
	errProtoNoSupport
	errPrototype
	errRange
	errRofs
	errSpipe
	errSrch
	errStale
	errTimedOut
	errTxtBsy
	errXDev
	errNotCapable
)

// errnos are the numbers of what the calls of Linux answer.
var errnos = map[abi.Errno]Errno{
	abi.EPERM: errPerm, abi.ENOENT: errNoEnt, abi.ESRCH: errSrch, abi.EINTR: errIntr, abi.EIO: errIO, abi.ENXIO: errNXIO,
	abi.E2BIG: err2Big, abi.ENOEXEC: errNoExec, abi.EBADF: errBadf, abi.ECHILD: errChild, abi.EAGAIN: errAgain,
	abi.ENOMEM: errNoMem, abi.EACCES: errAcces, abi.EFAULT: errFault, abi.EBUSY: errBusy, abi.EEXIST: errExist,
	abi.EXDEV: errXDev, abi.ENODEV: errNoDev, abi.ENOTDIR: errNotDir, abi.EISDIR: errIsDir, abi.EINVAL: errInval,
	abi.ENFILE: errNFile, abi.EMFILE: errMFile, abi.ENOTTY: errNoTTY, abi.ETXTBSY: errTxtBsy, abi.EFBIG: errFBig,
	abi.ENOSPC: errNoSpc, abi.ESPIPE: errSpipe, abi.EROFS: errRofs, abi.EMLINK: errMLink, abi.EPIPE: errPipe,
	abi.EDOM: errDom, abi.ERANGE: errRange, abi.EDEADLK: errDeadlk, abi.ENAMETOOLONG: errNameTooLong,
	abi.ENOLCK: errNoLck, abi.ENOSYS: errNoSys, abi.ENOTEMPTY: errNotEmpty, abi.ELOOP: errLoop, abi.ENOMSG: errNoMsg,
	abi.EIDRM: errIdrm, abi.ENOLINK: errNoLink, abi.EPROTO: errProto, abi.EMULTIHOP: errMultihop, abi.EBADMSG: errBadMsg,
	abi.EOVERFLOW: errOverflow, abi.EILSEQ: errIlseq, abi.ENOTSOCK: errNotSock, abi.EDESTADDRREQ: errDestAddrReq,
	abi.EMSGSIZE: errMsgSize, abi.EPROTOTYPE: errPrototype, abi.ENOPROTOOPT: errNoProtoOpt,
	abi.EPROTONOSUPPORT: errProtoNoSupport, abi.EOPNOTSUPP: errNotSup, abi.EAFNOSUPPORT: errAfNoSupport,
	abi.EADDRINUSE: errAddrInUse, abi.EADDRNOTAVAIL: errAddrNotAvail, abi.ENETDOWN: errNetDown,
	abi.ENETUNREACH: errNetUnreach, abi.ENETRESET: errNetReset, abi.ECONNABORTED: errConnAborted,
	abi.ECONNRESET: errConnReset, abi.ENOBUFS: errNoBufs, abi.EISCONN: errIsConn, abi.ENOTCONN: errNotConn,
	abi.ETIMEDOUT: errTimedOut, abi.ECONNREFUSED: errConnRefused, abi.EHOSTUNREACH: errHostUnreach,
	abi.EALREADY: errAlready, abi.EINPROGRESS: errInProgress, abi.ESTALE: errStale, abi.EDQUOT: errDquot,
	abi.ECANCELED: errCanceled, abi.EOWNERDEAD: errOwnerDead, abi.ENOTRECOVERABLE: errNotRecoverable,
}

// errno converts what a call of Linux answered; EIO for what preview 1 has no number for.
func errno(e abi.Errno) Errno {
	if e == 0 {
		return errSuccess
	}
	if w, ok := errnos[e]; ok {
		return w
	}
	return errIO
}

// Rights of a descriptor ($rights).
const (
	rightDatasync = 1 << iota
	rightRead
	rightSeek
	rightSetFlags
	rightSync
	rightTell
	rightWrite
	rightAdvise
	rightAllocate
	rightPathCreateDir
	rightPathCreateFile
	rightPathLinkSource
	rightPathLinkTarget
	rightPathOpen
	rightReaddir
	rightPathReadlink
	rightPathRenameSource
	rightPathRenameTarget
	rightPathFilestatGet
	rightPathFilestatSetSize
	rightPathFilestatSetTimes
	rightFilestatGet
	rightFilestatSetSize
	rightFilestatSetTimes
	rightPathSymlink
	rightPathRemoveDir
	rightPathUnlinkFile
	rightPoll
	rightSockShutdown
	rightSockAccept

	rightsAll = 1<<30 - 1
)

// What rights descriptors of a type can have.
const (
	rightsFile = rightDatasync | rightRead | rightSeek | rightSetFlags | rightSync | rightTell | rightWrite | rightAdvise |
		rightAllocate | rightFilestatGet | rightFilestatSetSize | rightFilestatSetTimes | rightPoll
	rightsTTY = rightRead | rightWrite | rightSetFlags | rightSync | rightDatasync | rightFilestatGet | rightFilestatSetTimes | rightPoll
	rightsDir = rightSetFlags | rightSync | rightDatasync | rightAdvise | rightPathCreateDir | rightPathCreateFile |
		rightPathLinkSource | rightPathLinkTarget | rightPathOpen | rightReaddir | rightPathReadlink | rightPathRenameSource |
		rightPathRenameTarget | rightPathFilestatGet | rightPathFilestatSetSize | rightPathFilestatSetTimes | rightFilestatGet |
		rightFilestatSetTimes | rightPathSymlink | rightPathRemoveDir | rightPathUnlinkFile | rightPoll
	rightsSocket = rightRead | rightWrite | rightSetFlags | rightFilestatGet | rightPoll | rightSockShutdown | rightSockAccept
)

// File types ($filetype).
const (
	typeUnknown = iota
	typeBlockDevice
	typeCharDevice
	typeDirectory
	typeRegular
	typeDgram
	typeStream
	typeSymlink
)

// Flags of a descriptor ($fdflags).
const (
	fdAppend = 1 << iota
	fdDsync
	fdNonblock
	fdRsync
	fdSync
)

// Flags of path_open ($oflags) and of look-ups ($lookupflags).
const (
	oCreat = 1 << iota
	oDirectory
	oExcl
	oTrunc

	lookupFollow = 1
)

// Flags of the set_times functions ($fstflags).
const (
	setAtim = 1 << iota
	setAtimNow
	setMtim
	setMtimNow
)

// Clocks ($clockid).
const (
	clockRealtime = iota
	clockMonotonic
	clockProcess
	clockThread
)
