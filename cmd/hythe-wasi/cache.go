package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Compiled modules are kept in the machine's tree, as files of the user who runs them:
// in hythe-wasi below $XDG_CACHE_HOME or $HOME/.cache. They are code that the next
// process of the module runs, so that nobody else may write there.

const (
	// worthCache is from what size on a module is worth it, in bytes.
	worthCache = 64 << 10
	// maxCached is how many are kept: with one more, all are thrown out.
	maxCached = 64
)

// cacheDir answers the directory of compiled modules, made if it is missing; empty if
// there can be none. The answer names an open descriptor: whoever may rename the
// directories above cannot put another in the place of the one that was looked at. In
// a process that has become another user's or group's the environment is not to say
// where code comes from: it has none.
func cacheDir(env []string) string {
	uid := unix.Geteuid()
	if uid != unix.Getuid() || unix.Getegid() != unix.Getgid() {
		return ""
	}
	var home, cache string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "HOME="); ok {
			home = v
		}
		if v, ok := strings.CutPrefix(kv, "XDG_CACHE_HOME="); ok {
			cache = v
		}
	}
	base, below := cache, []string{"hythe-wasi"}
	if !strings.HasPrefix(base, "/") {
		base, below = home, []string{".cache", "hythe-wasi"}
	}
	if !strings.HasPrefix(base, "/") || base == "/" {
		return ""
	}
	fd, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	var st unix.Stat_t
	for _, name := range below {
		// Nothing is made in another's directory.
		if unix.Fstat(fd, &st) == nil && int(st.Uid) == uid {
			_ = unix.Mkdirat(fd, name, 0o700)
		}
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(fd)
		if err != nil {
			return ""
		}
		fd = next
	}
	if unix.Fstat(fd, &st) != nil || st.Mode&0o077 != 0 || int(st.Uid) != uid {
		_ = unix.Close(fd)
		return ""
	}
	dir := fmt.Sprintf("/proc/self/fd/%d", fd)
	trim(dir)
	return dir
}

// trim empties the directory when it holds too much. The engine has one for each of its
// versions in there.
func trim(dir string) {
	for _, version := range list(dir) {
		files := list(dir + "/" + version)
		if len(files) <= maxCached {
			continue
		}
		for _, f := range files {
			_ = unix.Unlink(dir + "/" + version + "/" + f)
		}
	}
}

// list are the names in a directory.
func list(dir string) (names []string) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n <= 0 {
			return names
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}
