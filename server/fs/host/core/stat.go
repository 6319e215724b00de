package core

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
)

// hostStat is statx's answer: stat has no birth time, without which a new file
// in an old one's inode number looks like the old one.
type hostStat struct{ unix.Statx_t }

func (s *hostStat) dev() uint64 { return unix.Mkdev(s.Dev_major, s.Dev_minor) }

func (s *hostStat) born() fs.Time {
	if s.Mask&unix.STATX_BTIME == 0 {
		return fs.Time{}
	}
	return ftime(s.Btime)
}

func ftime(t unix.StatxTimestamp) fs.Time { return fs.Time{Sec: t.Sec, Nsec: t.Nsec} }

func statFD(fd int) (hostStat, abi.Errno) {
	var st hostStat
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_SYNC_AS_STAT|unix.AT_NO_AUTOMOUNT,
		unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st.Statx_t)
	return st, object.Errno(err)
}

// statName is statFD of a name in a directory, which is not followed.
func statName(dir int, name string) (hostStat, abi.Errno) {
	var st hostStat
	err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_SYNC_AS_STAT|unix.AT_NO_AUTOMOUNT,
		unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st.Statx_t)
	return st, object.Errno(err)
}

// procPath names an own descriptor in a way that open follows to exactly what
// the descriptor is, whatever its name leads to by now.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// procWorks says whether procPath can be used in this process's namespaces.
func procWorks(fd int) bool {
	var st unix.Statfs_t
	if unix.Statfs("/proc/self/fd", &st) != nil || st.Type != unix.PROC_SUPER_MAGIC {
		return false
	}
	d, err := unix.Open(procPath(fd), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	unix.Close(d)
	return true
}

func openProc(fd, flags int) (int, abi.Errno) {
	for {
		d, err := unix.Open(procPath(fd), flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != unix.EINTR {
			return d, object.Errno(err)
		}
	}
}

// noStorage says whether a directory is on a file system of the kernel's that
// shows the host itself (processes, devices' settings) and not files.
func noStorage(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return true
	}
	switch st.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC,
		unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.PSTOREFS_MAGIC, unix.EFIVARFS_MAGIC, unix.SELINUX_MAGIC, unix.BINFMTFS_MAGIC, unix.NSFS_MAGIC:
		return true
	}
	return false
}

// parseDirent reads one struct linux_dirent64 (getdents64(2)).
func parseDirent(b []byte) (de fs.DirEntry, size int, ok bool) {
	if len(b) < 19 {
		return de, 0, false
	}
	size = int(binary.LittleEndian.Uint16(b[16:]))
	if size < 19 || size > len(b) {
		return de, 0, false
	}
	name := b[19:size]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return fs.DirEntry{
		Ino: binary.LittleEndian.Uint64(b), Next: binary.LittleEndian.Uint64(b[8:]), Type: uint32(b[18]), Name: string(name),
	}, size, true
}
