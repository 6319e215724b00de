package main

import (
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
// there can be none.
func cacheDir(env []string) string {
	var home, cache string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "HOME="); ok {
			home = v
		}
		if v, ok := strings.CutPrefix(kv, "XDG_CACHE_HOME="); ok {
			cache = v
		}
	}
	if !strings.HasPrefix(cache, "/") {
		if !strings.HasPrefix(home, "/") || home == "/" {
			return ""
		}
		cache = home + "/.cache"
	}
	dir := cache + "/hythe-wasi"
	var st unix.Stat_t
	err := unix.Lstat(dir, &st)
	if err == unix.ENOENT {
		_ = unix.Mkdir(cache, 0o755)
		if unix.Mkdir(dir, 0o700) != nil {
			return ""
		}
		err = unix.Lstat(dir, &st)
	}
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o077 != 0 || int(st.Uid) != unix.Geteuid() {
		return ""
	}
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
