package bsd

import "hythe/abi"

// Errnos are a system's error numbers by the neutral ones; 0 is none.
type Errnos [abi.ERFKILL + 1]uint8

// errnos are 4.4BSD's error numbers (sys/errno.h) where they are not the neutral ones:
// all systems have these in common.
var errnos = Errnos{
	abi.EDEADLK: 11, abi.EAGAIN: 35, abi.EINPROGRESS: 36, abi.EALREADY: 37, abi.ENOTSOCK: 38, abi.EDESTADDRREQ: 39,
	abi.EMSGSIZE: 40, abi.EPROTOTYPE: 41, abi.ENOPROTOOPT: 42, abi.EPROTONOSUPPORT: 43, abi.ESOCKTNOSUPPORT: 44,
	abi.EOPNOTSUPP: 45, abi.EPFNOSUPPORT: 46, abi.EAFNOSUPPORT: 47, abi.EADDRINUSE: 48, abi.EADDRNOTAVAIL: 49,
	abi.ENETDOWN: 50, abi.ENETUNREACH: 51, abi.ENETRESET: 52, abi.ECONNABORTED: 53, abi.ECONNRESET: 54, abi.ENOBUFS: 55,
	abi.EISCONN: 56, abi.ENOTCONN: 57, abi.ESHUTDOWN: 58, abi.ETOOMANYREFS: 59, abi.ETIMEDOUT: 60, abi.ECONNREFUSED: 61,
	abi.ELOOP: 62, abi.ENAMETOOLONG: 63, abi.EHOSTDOWN: 64, abi.EHOSTUNREACH: 65, abi.ENOTEMPTY: 66, abi.EUSERS: 68,
	abi.EDQUOT: 69, abi.ESTALE: 70, abi.EREMOTE: 71, abi.ENOLCK: 77, abi.ENOSYS: 78,
	abi.ELIBBAD: 8, EFTYPE: 79,
}

// EFTYPE is an error that only 4.4BSD has: a neutral one that nobody answers stands for
// it.
const EFTYPE = abi.EBADSLT

// lastCommon is the highest neutral number that is the same in 4.4BSD unless errnos says
// otherwise.
const lastCommon = 34

// errorName is the name of a neutral error.
func errorName(e abi.Errno) string {
	if e == EFTYPE {
		return "EFTYPE"
	}
	return e.Name()
}

// Errno implements core.Personality. An error that the system does not have is EINVAL.
func (p *Personality) Errno(e abi.Errno) uint32 {
	if int(e) < len(errnos) {
		if v := p.Sys.Errnos[e]; v != 0 {
			return uint32(v)
		}
		if v := errnos[e]; v != 0 {
			return uint32(v)
		}
	}
	if e <= lastCommon {
		return uint32(e)
	}
	return uint32(abi.EINVAL)
}
