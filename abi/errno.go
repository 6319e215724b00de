package abi

// Errno is Hythe's neutral error number: what a server answers and a
// personality turns into its own system's number or text. The values are those
// of Linux (include/uapi/asm-generic/errno-base.h and errno.h), so that the
// Linux personality converts with the identity; nothing may rely on that.
type Errno uint32

// The error numbers.
const (
	EPERM           Errno = 1
	ENOENT          Errno = 2
	ESRCH           Errno = 3
	EINTR           Errno = 4
	EIO             Errno = 5
	ENXIO           Errno = 6
	E2BIG           Errno = 7
	ENOEXEC         Errno = 8
	EBADF           Errno = 9
	ECHILD          Errno = 10
	EAGAIN          Errno = 11
	ENOMEM          Errno = 12
	EACCES          Errno = 13
	EFAULT          Errno = 14
	ENOTBLK         Errno = 15
	EBUSY           Errno = 16
	EEXIST          Errno = 17
	EXDEV           Errno = 18
	ENODEV          Errno = 19
	ENOTDIR         Errno = 20
	EISDIR          Errno = 21
	EINVAL          Errno = 22
	ENFILE          Errno = 23
	EMFILE          Errno = 24
	ENOTTY          Errno = 25
	ETXTBSY         Errno = 26
	EFBIG           Errno = 27
	ENOSPC          Errno = 28
	ESPIPE          Errno = 29
	EROFS           Errno = 30
	EMLINK          Errno = 31
	EPIPE           Errno = 32
	EDOM            Errno = 33
	ERANGE          Errno = 34
	EDEADLK         Errno = 35
	ENAMETOOLONG    Errno = 36
	ENOLCK          Errno = 37
	ENOSYS          Errno = 38
	ENOTEMPTY       Errno = 39
	ELOOP           Errno = 40
	ENOMSG          Errno = 42
	EIDRM           Errno = 43
	ECHRNG          Errno = 44
	EL2NSYNC        Errno = 45
	EL3HLT          Errno = 46
	EL3RST          Errno = 47
	ELNRNG          Errno = 48
	EUNATCH         Errno = 49
	ENOCSI          Errno = 50
	EL2HLT          Errno = 51
	EBADE           Errno = 52
	EBADR           Errno = 53
	EXFULL          Errno = 54
	ENOANO          Errno = 55
	EBADRQC         Errno = 56
	EBADSLT         Errno = 57
	EBFONT          Errno = 59
	ENOSTR          Errno = 60
	ENODATA         Errno = 61
	ETIME           Errno = 62
	ENOSR           Errno = 63
	ENONET          Errno = 64
	ENOPKG          Errno = 65
	EREMOTE         Errno = 66
	ENOLINK         Errno = 67
	EADV            Errno = 68
	ESRMNT          Errno = 69
	ECOMM           Errno = 70
	EPROTO          Errno = 71
	EMULTIHOP       Errno = 72
	EDOTDOT         Errno = 73
	EBADMSG         Errno = 74
	EOVERFLOW       Errno = 75
	ENOTUNIQ        Errno = 76
	EBADFD          Errno = 77
	EREMCHG         Errno = 78
	ELIBACC         Errno = 79
	ELIBBAD         Errno = 80
	ELIBSCN         Errno = 81
	ELIBMAX         Errno = 82
	ELIBEXEC        Errno = 83
	EILSEQ          Errno = 84
	ERESTART        Errno = 85
	ESTRPIPE        Errno = 86
	EUSERS          Errno = 87
	ENOTSOCK        Errno = 88
	EDESTADDRREQ    Errno = 89
	EMSGSIZE        Errno = 90
	EPROTOTYPE      Errno = 91
	ENOPROTOOPT     Errno = 92
	EPROTONOSUPPORT Errno = 93
	ESOCKTNOSUPPORT Errno = 94
	EOPNOTSUPP      Errno = 95
	EPFNOSUPPORT    Errno = 96
	EAFNOSUPPORT    Errno = 97
	EADDRINUSE      Errno = 98
	EADDRNOTAVAIL   Errno = 99
	ENETDOWN        Errno = 100
	ENETUNREACH     Errno = 101
	ENETRESET       Errno = 102
	ECONNABORTED    Errno = 103
	ECONNRESET      Errno = 104
	ENOBUFS         Errno = 105
	EISCONN         Errno = 106
	ENOTCONN        Errno = 107
	ESHUTDOWN       Errno = 108
	ETOOMANYREFS    Errno = 109
	ETIMEDOUT       Errno = 110
	ECONNREFUSED    Errno = 111
	EHOSTDOWN       Errno = 112
	EHOSTUNREACH    Errno = 113
	EALREADY        Errno = 114
	EINPROGRESS     Errno = 115
	ESTALE          Errno = 116
	EUCLEAN         Errno = 117
	ENOTNAM         Errno = 118
	ENAVAIL         Errno = 119
	EISNAM          Errno = 120
	EREMOTEIO       Errno = 121
	EDQUOT          Errno = 122
	ENOMEDIUM       Errno = 123
	EMEDIUMTYPE     Errno = 124
	ECANCELED       Errno = 125
	ENOKEY          Errno = 126
	EKEYEXPIRED     Errno = 127
	EKEYREVOKED     Errno = 128
	EKEYREJECTED    Errno = 129
	EOWNERDEAD      Errno = 130
	ENOTRECOVERABLE Errno = 131
	ERFKILL         Errno = 132
)

// ErrRestart is never seen by a guest: the call was interrupted by a signal
// and is run again, or turned into EINTR, as the handler's flags say.
const (
	ErrRestart      Errno = 512 // restart if the handler has SA_RESTART
	ErrRestartNoInt Errno = 513 // restart always
	ErrRestartNoHnd Errno = 514 // restart only if no handler runs
)

// Error returns the C name and the number, for logs.
func (e Errno) Error() string { return e.Name() }

// Name returns the C name of the error ("ENOENT"), or "errno N".
func (e Errno) Name() string {
	if s := errnoName(e); s != "" {
		return s
	}
	return "errno " + itoa(uint32(e))
}

func itoa(n uint32) string {
	var b [10]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		n /= 10
		if n == 0 {
			return string(b[i:])
		}
	}
}

func errnoName(e Errno) string {
	switch e {
	case 0:
		return "OK"
	case EPERM:
		return "EPERM"
	case ENOENT:
		return "ENOENT"
	case ESRCH:
		return "ESRCH"
	case EINTR:
		return "EINTR"
	case EIO:
		return "EIO"
	case ENXIO:
		return "ENXIO"
	case E2BIG:
		return "E2BIG"
	case ENOEXEC:
		return "ENOEXEC"
	case EBADF:
		return "EBADF"
	case ECHILD:
		return "ECHILD"
	case EAGAIN:
		return "EAGAIN"
	case ENOMEM:
		return "ENOMEM"
	case EACCES:
		return "EACCES"
	case EFAULT:
		return "EFAULT"
	case ENOTBLK:
		return "ENOTBLK"
	case EBUSY:
		return "EBUSY"
	case EEXIST:
		return "EEXIST"
	case EXDEV:
		return "EXDEV"
	case ENODEV:
		return "ENODEV"
	case ENOTDIR:
		return "ENOTDIR"
	case EISDIR:
		return "EISDIR"
	case EINVAL:
		return "EINVAL"
	case ENFILE:
		return "ENFILE"
	case EMFILE:
		return "EMFILE"
	case ENOTTY:
		return "ENOTTY"
	case ETXTBSY:
		return "ETXTBSY"
	case EFBIG:
		return "EFBIG"
	case ENOSPC:
		return "ENOSPC"
	case ESPIPE:
		return "ESPIPE"
	case EROFS:
		return "EROFS"
	case EMLINK:
		return "EMLINK"
	case EPIPE:
		return "EPIPE"
	case EDOM:
		return "EDOM"
	case ERANGE:
		return "ERANGE"
	case EDEADLK:
		return "EDEADLK"
	case ENAMETOOLONG:
		return "ENAMETOOLONG"
	case ENOLCK:
		return "ENOLCK"
	case ENOSYS:
		return "ENOSYS"
	case ENOTEMPTY:
		return "ENOTEMPTY"
	case ELOOP:
		return "ELOOP"
	case ENOMSG:
		return "ENOMSG"
	case EIDRM:
		return "EIDRM"
	case ECHRNG:
		return "ECHRNG"
	case EL2NSYNC:
		return "EL2NSYNC"
	case EL3HLT:
		return "EL3HLT"
	case EL3RST:
		return "EL3RST"
	case ELNRNG:
		return "ELNRNG"
	case EUNATCH:
		return "EUNATCH"
	case ENOCSI:
		return "ENOCSI"
	case EL2HLT:
		return "EL2HLT"
	case EBADE:
		return "EBADE"
	case EBADR:
		return "EBADR"
	case EXFULL:
		return "EXFULL"
	case ENOANO:
		return "ENOANO"
	case EBADRQC:
		return "EBADRQC"
	case EBADSLT:
		return "EBADSLT"
	case EBFONT:
		return "EBFONT"
	case ENOSTR:
		return "ENOSTR"
	case ENODATA:
		return "ENODATA"
	case ETIME:
		return "ETIME"
	case ENOSR:
		return "ENOSR"
	case ENONET:
		return "ENONET"
	case ENOPKG:
		return "ENOPKG"
	case EREMOTE:
		return "EREMOTE"
	case ENOLINK:
		return "ENOLINK"
	case EADV:
		return "EADV"
	case ESRMNT:
		return "ESRMNT"
	case ECOMM:
		return "ECOMM"
	case EPROTO:
		return "EPROTO"
	case EMULTIHOP:
		return "EMULTIHOP"
	case EDOTDOT:
		return "EDOTDOT"
	case EBADMSG:
		return "EBADMSG"
	case EOVERFLOW:
		return "EOVERFLOW"
	case ENOTUNIQ:
		return "ENOTUNIQ"
	case EBADFD:
		return "EBADFD"
	case EREMCHG:
		return "EREMCHG"
	case ELIBACC:
		return "ELIBACC"
	case ELIBBAD:
		return "ELIBBAD"
	case ELIBSCN:
		return "ELIBSCN"
	case ELIBMAX:
		return "ELIBMAX"
	case ELIBEXEC:
		return "ELIBEXEC"
	case EILSEQ:
		return "EILSEQ"
	case ERESTART:
		return "ERESTART"
	case ESTRPIPE:
		return "ESTRPIPE"
	case EUSERS:
		return "EUSERS"
	case ENOTSOCK:
		return "ENOTSOCK"
	case EDESTADDRREQ:
		return "EDESTADDRREQ"
	case EMSGSIZE:
		return "EMSGSIZE"
	case EPROTOTYPE:
		return "EPROTOTYPE"
	case ENOPROTOOPT:
		return "ENOPROTOOPT"
	case EPROTONOSUPPORT:
		return "EPROTONOSUPPORT"
	case ESOCKTNOSUPPORT:
		return "ESOCKTNOSUPPORT"
	case EOPNOTSUPP:
		return "EOPNOTSUPP"
	case EPFNOSUPPORT:
		return "EPFNOSUPPORT"
	case EAFNOSUPPORT:
		return "EAFNOSUPPORT"
	case EADDRINUSE:
		return "EADDRINUSE"
	case EADDRNOTAVAIL:
		return "EADDRNOTAVAIL"
	case ENETDOWN:
		return "ENETDOWN"
	case ENETUNREACH:
		return "ENETUNREACH"
	case ENETRESET:
		return "ENETRESET"
	case ECONNABORTED:
		return "ECONNABORTED"
	case ECONNRESET:
		return "ECONNRESET"
	case ENOBUFS:
		return "ENOBUFS"
	case EISCONN:
		return "EISCONN"
	case ENOTCONN:
		return "ENOTCONN"
	case ESHUTDOWN:
		return "ESHUTDOWN"
	case ETOOMANYREFS:
		return "ETOOMANYREFS"
	case ETIMEDOUT:
		return "ETIMEDOUT"
	case ECONNREFUSED:
		return "ECONNREFUSED"
	case EHOSTDOWN:
		return "EHOSTDOWN"
	case EHOSTUNREACH:
		return "EHOSTUNREACH"
	case EALREADY:
		return "EALREADY"
	case EINPROGRESS:
		return "EINPROGRESS"
	case ESTALE:
		return "ESTALE"
	case EUCLEAN:
		return "EUCLEAN"
	case ENOTNAM:
		return "ENOTNAM"
	case ENAVAIL:
		return "ENAVAIL"
	case EISNAM:
		return "EISNAM"
	case EREMOTEIO:
		return "EREMOTEIO"
	case EDQUOT:
		return "EDQUOT"
	case ENOMEDIUM:
		return "ENOMEDIUM"
	case EMEDIUMTYPE:
		return "EMEDIUMTYPE"
	case ECANCELED:
		return "ECANCELED"
	case ENOKEY:
		return "ENOKEY"
	case EKEYEXPIRED:
		return "EKEYEXPIRED"
	case EKEYREVOKED:
		return "EKEYREVOKED"
	case EKEYREJECTED:
		return "EKEYREJECTED"
	case EOWNERDEAD:
		return "EOWNERDEAD"
	case ENOTRECOVERABLE:
		return "ENOTRECOVERABLE"
	case ERFKILL:
		return "ERFKILL"
	case ErrRestart:
		return "ERESTART"
	case ErrRestartNoInt:
		return "ERESTARTNOINTR"
	case ErrRestartNoHnd:
		return "ERESTARTNOHAND"
	}
	return ""
}
