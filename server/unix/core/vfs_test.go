package core

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	host "hythe/server/fs/host/core"
	"hythe/store"
)

func want(t *testing.T, what string, got, e abi.Errno) {
	t.Helper()
	if got != e {
		t.Errorf("%s: %v, want %v", what, got, e)
	}
}

// open opens and installs; the descriptor, or the error.
func open(c *Call, path string, access, flags, mode uint32) (int32, abi.Errno) {
	f, e := c.OpenAt(AtCwd, path, access, flags, mode, 0)
	if e != 0 {
		return -1, e
	}
	return c.Install(f, 0)
}

const rw = AccessRead | AccessWrite

func TestWalkRules(t *testing.T) {
	tk := newTestKernel(t)
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/d/", 0o755), 0)
		want(t, "mkdir again", c.Mkdir(AtCwd, "/d", 0o755), abi.EEXIST)
		want(t, "mkdir .", c.Mkdir(AtCwd, "/d/.", 0o755), abi.EEXIST)
		want(t, "mkdir in nothing", c.Mkdir(AtCwd, "/x/y", 0o755), abi.ENOENT)
		want(t, "mkdir empty", c.Mkdir(AtCwd, "", 0o755), abi.ENOENT)
		_, e := open(c, "/d/f", rw, OpenCreate, 0o644)
		want(t, "create", e, 0)
		_, e = open(c, "/d/f", rw, OpenCreate|OpenExcl, 0o644)
		want(t, "create excl", e, abi.EEXIST)
		_, e = open(c, "/d/f/", AccessRead, 0, 0)
		want(t, "file with slash", e, abi.ENOTDIR)
		_, e = open(c, "/d/f/x", AccessRead, 0, 0)
		want(t, "below a file", e, abi.ENOTDIR)
		_, e = open(c, "/d/new/", rw, OpenCreate, 0o644)
		want(t, "create with slash", e, abi.EISDIR)
		_, e = open(c, "/d", AccessWrite, 0, 0)
		want(t, "directory for writing", e, abi.EISDIR)
		_, e = open(c, "/"+strings.Repeat("n", 256), AccessRead, 0, 0)
		want(t, "long name", e, abi.ENAMETOOLONG)
		want(t, "symlink", c.Symlink("d", AtCwd, "/l"), 0)
		want(t, "symlink loop", c.Symlink("loop", AtCwd, "/loop"), 0)
		want(t, "empty symlink", c.Symlink("", AtCwd, "/e"), abi.ENOENT)
		_, e = open(c, "/loop", AccessRead, 0, 0)
		want(t, "loop", e, abi.ELOOP)
		_, e = open(c, "/l", AccessRead, OpenNofollow, 0)
		want(t, "nofollow", e, abi.ELOOP)
		_, e = open(c, "/l/f", AccessRead, OpenNofollow, 0)
		want(t, "nofollow middle", e, 0)
		s, e := c.StatAt(AtCwd, "/l", 0)
		if want(t, "lstat", e, 0); s.Mode&fs.TypeMask != fs.TypeLink {
			t.Errorf("lstat of a link: mode %o", s.Mode)
		}
		s, e = c.StatAt(AtCwd, "/l/", 0)
		if want(t, "lstat slash", e, 0); s.Mode&fs.TypeMask != fs.TypeDir {
			t.Errorf("lstat of a link with a slash: mode %o", s.Mode)
		}
		want(t, "dangling", c.Symlink("/d/made", AtCwd, "/dangling"), 0)
		_, e = open(c, "/dangling", rw, OpenCreate|OpenExcl, 0o600)
		want(t, "excl through dangling link", e, abi.EEXIST)
		_, e = open(c, "/dangling", rw, OpenCreate, 0o600)
		want(t, "create through dangling link", e, 0)
		s, e = c.StatAt(AtCwd, "/d/made", 0)
		if want(t, "stat made", e, 0); s.Mode != fs.TypeReg|0o600 {
			t.Errorf("made: mode %o", s.Mode)
		}
		want(t, "chdir", c.Chdir("/l"), 0)
		if p, e := c.Getcwd(); e != 0 || p != "/d" {
			t.Errorf("getcwd: %q %v", p, e)
		}
		if _, e := c.StatAt(AtCwd, "../../../d/../l/f", WalkFollow); e != 0 {
			t.Error("dots: ", e)
		}
		_, e = c.Walk(AtCwd, "..", WalkBeneath)
		want(t, "beneath ..", e, abi.EXDEV)
		_, e = c.Walk(AtCwd, "/d", WalkBeneath)
		want(t, "beneath absolute", e, abi.EXDEV)
		_, e = c.Walk(AtCwd, "/../f", WalkInRoot)
		want(t, "in root", e, 0)
		_, e = c.Walk(AtCwd, "/l/f", WalkNoSymlinks)
		want(t, "no symlinks", e, abi.ELOOP)
		want(t, "unlink dir", c.Unlink(AtCwd, "/d"), abi.EISDIR)
		want(t, "rmdir file", c.Rmdir(AtCwd, "f"), abi.ENOTDIR)
		want(t, "rmdir full", c.Rmdir(AtCwd, "/d"), abi.ENOTEMPTY)
		want(t, "rmdir .", c.Rmdir(AtCwd, "/d/."), abi.EINVAL)
		want(t, "rmdir ..", c.Rmdir(AtCwd, "/d/.."), abi.ENOTEMPTY)
		want(t, "rmdir /", c.Rmdir(AtCwd, "/"), abi.EBUSY)
		_, e = c.Walk(99, "x", 0)
		want(t, "bad descriptor", e, abi.EBADF)
	})
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
	tk.do(tk.init, func(c *Call) {
		if p, e := c.Getcwd(); e != 0 || p != "/d" {
			t.Errorf("getcwd after restart: %q %v", p, e)
		}
		if _, e := c.StatAt(AtCwd, "f", 0); e != 0 {
			t.Error("stat after restart: ", e)
		}
	})
}

func TestPermissions(t *testing.T) {
	tk := newTestKernel(t)
	user := tk.newProc(1000)
	other := tk.newProc(1001)
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/tmp", 0o777), 0)
		want(t, "chmod", c.Chmod(Target{Dir: AtCwd, Path: "/tmp"}, 0o1777), 0)
		want(t, "mkdir", c.Mkdir(AtCwd, "/secret", 0o700), 0)
		_, e := open(c, "/secret/f", rw, OpenCreate, 0o666)
		want(t, "root creates", e, 0)
		want(t, "root makes a device", c.Mknod(AtCwd, "/dev0", fs.TypeChr|0o666, MakeDev(1, 3)), 0)
		want(t, "chmod", c.Chmod(Target{Dir: AtCwd, Path: "/dev0"}, 0o666), 0)
	})
	tk.do(user, func(c *Call) {
		_, e := c.StatAt(AtCwd, "/secret/f", 0)
		want(t, "no search permission", e, abi.EACCES)
		_, e = open(c, "/f", rw, OpenCreate, 0o644)
		want(t, "no write permission", e, abi.EACCES)
		_, e = open(c, "/tmp/f", rw, OpenCreate, 0o666)
		want(t, "create", e, 0)
		want(t, "device", c.Mknod(AtCwd, "/tmp/dev", fs.TypeChr|0o666, MakeDev(1, 3)), abi.EPERM)
		want(t, "chown away", c.Chown(Target{Dir: AtCwd, Path: "/tmp/f"}, 0, ^uint32(0)), abi.EPERM)
		want(t, "chroot", c.Chroot("/tmp"), abi.EPERM)
		s, e := c.StatAt(AtCwd, "/tmp/f", 0)
		if want(t, "stat", e, 0); s.UID != 1000 || s.GID != 1000 || s.Mode&0o777 != 0o644 {
			t.Errorf("owner %d:%d mode %o", s.UID, s.GID, s.Mode)
		}
	})
	tk.do(other, func(c *Call) {
		want(t, "sticky unlink", c.Unlink(AtCwd, "/tmp/f"), abi.EPERM)
		want(t, "sticky rename", c.Rename(AtCwd, "/tmp/f", AtCwd, "/tmp/g", 0), abi.EPERM)
		want(t, "chmod", c.Chmod(Target{Dir: AtCwd, Path: "/tmp/f"}, 0o777), abi.EPERM)
		_, e := open(c, "/tmp/f", AccessWrite, 0, 0)
		want(t, "open for writing", e, abi.EACCES)
		want(t, "access W", c.AccessAt(AtCwd, "/tmp/f", AccessW, false, WalkFollow), abi.EACCES)
		want(t, "access R", c.AccessAt(AtCwd, "/tmp/f", AccessR, false, WalkFollow), 0)
		want(t, "utimes", c.Utimes(Target{Dir: AtCwd, Path: "/tmp/f"}, TimeSet{Now: true}, TimeSet{Now: true}), abi.EACCES)
		fd, e := open(c, "/dev0", rw, 0, 0)
		want(t, "device", e, 0)
		f, _, _ := c.File(fd)
		n, e := c.K.Ops(f).Write(c, f, []byte("x"), -1)
		if n != 1 || e != 0 {
			t.Errorf("write to null: %d %v", n, e)
		}
	})
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
}

// writeAll writes through the guest path: data in guest memory.
func writeAll(t *testing.T, c *Call, x *testChan, fd int32, data string, off int64) {
	t.Helper()
	c.MutThread().Progress = 0 // each is a call of its own
	copy(x.mem(), data)
	n, e := c.WriteFD(fd, guestBase, uint64(len(data)), off)
	if e != 0 || n != uint64(len(data)) {
		t.Errorf("write %q: %d %v", data, n, e)
	}
}

func TestFileData(t *testing.T) {
	tk := newTestKernel(t)
	var fd, dup, app int32
	tk.doX(tk.init, func(c *Call, x *testChan) {
		var e abi.Errno
		fd, e = open(c, "/f", rw, OpenCreate, 0o644)
		want(t, "create", e, 0)
		dup, e = c.Dup(fd, 0, 0)
		want(t, "dup", e, 0)
		writeAll(t, c, x, fd, "hello ", -1)
		writeAll(t, c, x, dup, "world", -1)
		app, e = open(c, "/f", AccessWrite, OpenAppend, 0)
		want(t, "append", e, 0)
		writeAll(t, c, x, app, "!", -1)
		writeAll(t, c, x, fd, "J", 0)
		f, _, _ := c.File(fd)
		if off, e := c.K.Ops(f).Seek(c, f, 0, 1); off != 11 || e != 0 {
			t.Errorf("offset %d %v", off, e)
		}
		_, e = c.K.Ops(f).Seek(c, f, -1, 0)
		want(t, "negative seek", e, abi.EINVAL)
		want(t, "unlink", c.Unlink(AtCwd, "/f"), 0)
	})
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
	x := tk.doX(tk.init, func(c *Call, x *testChan) {
		f, file, e := c.File(fd)
		want(t, "file after restart", e, 0)
		if file.Off != 11 {
			t.Errorf("offset after restart %d", file.Off)
		}
		if p := c.K.Ops(f).LinkName(f); p != "/f (deleted)" {
			t.Errorf("name %q", p)
		}
		n, e := c.ReadFD(fd, guestBase+100, 100, 0)
		if n != 12 || e != 0 {
			t.Errorf("read: %d %v", n, e)
		}
		n, e = c.ReadFD(fd, guestBase+300, 100, -1)
		if n != 1 || e != 0 {
			t.Errorf("read on: %d %v", n, e)
		}
		_, e = c.ReadFD(app, guestBase, 1, -1)
		want(t, "read of a file open for writing", e, abi.EBADF)
		_, e = c.StatAt(AtCwd, "/f", 0)
		want(t, "stat of unlinked", e, abi.ENOENT)
		want(t, "truncate", c.K.Ops(f).Truncate(c, f, 3), 0)
		s, e := c.StatFD(fd)
		if e != 0 || s.Size != 3 || s.Nlink != 0 {
			t.Errorf("fstat: size %d nlink %d %v", s.Size, s.Nlink, e)
		}
	})
	if got := string(x.mem()[100:112]); got != "Jello world!" {
		t.Errorf("data %q", got)
	}
	tk.do(tk.init, func(c *Call) {
		for _, d := range []int32{fd, dup, app} {
			want(t, "close", c.CloseFD(d), 0)
		}
	})
	tk.Enter()
	tk.ReleaseAll()
	left := 0
	tk.Vnodes.Each(func(_ store.Ref[Vnode], v *Vnode) bool {
		if v.Opens > 0 {
			left++
		}
		return true
	})
	tk.Leave()
	if left != 0 {
		t.Errorf("%d vnodes are still open", left)
	}
}

// doX is do for functions that use the guest's memory.
func (tk *testKernel) doX(th store.Ref[Thread], fn func(c *Call, x *testChan)) *testChan {
	return tk.do(th, func(c *Call) { fn(c, c.Chan.(*testChan)) })
}

func TestLargeReadWrite(t *testing.T) {
	tk := newTestKernel(t)
	data := make([]byte, 500<<10)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	x := tk.doX(tk.init, func(c *Call, x *testChan) {
		fd, e := open(c, "/big", rw, OpenCreate, 0o644)
		want(t, "create", e, 0)
		copy(x.mem(), data)
		n, e := c.WriteFD(fd, guestBase, uint64(len(data)), -1)
		if n != uint64(len(data)) || e != 0 {
			t.Fatalf("write %d %v", n, e)
		}
		c.MutThread().Progress = 0 // the next call
		clear(x.mem())
		v := []IOVec{{guestBase + 1, 100 << 10}, {guestBase, 0}, {guestBase + 1 + 100<<10, 400 << 10}}
		n, e = c.ReadV(fd, v, 0)
		if n != uint64(len(data)) || e != 0 {
			t.Fatalf("read %d %v", n, e)
		}
	})
	if !bytes.Equal(x.mem()[1:1+len(data)], data) {
		t.Error("data differ")
	}
	tk.do(tk.init, func(c *Call) {
		in, _ := open(c, "/big", AccessRead, 0, 0)
		out, _ := open(c, "/copy", rw, OpenCreate, 0o644)
		fi, _, _ := c.File(in)
		fo, _, _ := c.File(out)
		n, e := c.CopyFile(fi, fo, -1, -1, 1<<30)
		if n != uint64(len(data)) || e != 0 {
			t.Errorf("copy %d %v", n, e)
		}
		if c.K.Files.Get(fi).Off != int64(len(data)) {
			t.Error("offset of the source did not move")
		}
		s, _ := c.StatFD(out)
		if s.Size != uint64(len(data)) {
			t.Errorf("copy has %d bytes", s.Size)
		}
	})
	tk.checkVFS()
}

func TestRename(t *testing.T) {
	tk := newTestKernel(t)
	tk.do(tk.init, func(c *Call) {
		for _, d := range []string{"/a", "/a/b", "/c"} {
			want(t, "mkdir", c.Mkdir(AtCwd, d, 0o755), 0)
		}
		fd, _ := open(c, "/a/f", rw, OpenCreate, 0o644)
		open(c, "/c/g", rw, OpenCreate, 0o644)
		want(t, "into itself", c.Rename(AtCwd, "/a", AtCwd, "/a/b/x", 0), abi.EINVAL)
		want(t, "over ancestor", c.Rename(AtCwd, "/a/b", AtCwd, "/a", 0), abi.ENOTEMPTY)
		want(t, "file over dir", c.Rename(AtCwd, "/a/f", AtCwd, "/c", 0), abi.EISDIR)
		want(t, "dir over file", c.Rename(AtCwd, "/a/b", AtCwd, "/a/f", 0), abi.ENOTDIR)
		want(t, "noreplace", c.Rename(AtCwd, "/a/f", AtCwd, "/c/g", fs.RenameNoReplace), abi.EEXIST)
		want(t, "dot", c.Rename(AtCwd, "/a/.", AtCwd, "/x", 0), abi.EBUSY)
		want(t, "both flags", c.Rename(AtCwd, "/a", AtCwd, "/x", 3), abi.EINVAL)
		want(t, "missing", c.Rename(AtCwd, "/zz", AtCwd, "/x", 0), abi.ENOENT)
		want(t, "chdir", c.Chdir("/a/b"), 0)
		want(t, "rename dir", c.Rename(AtCwd, "/a", AtCwd, "/c/a2", 0), 0)
		if p, e := c.Getcwd(); p != "/c/a2/b" || e != 0 {
			t.Errorf("getcwd %q %v", p, e)
		}
		f, _, _ := c.File(fd)
		if p := c.K.Ops(f).LinkName(f); p != "/c/a2/f" {
			t.Errorf("name of open file %q", p)
		}
		_, e := c.StatAt(AtCwd, "/a", 0)
		want(t, "old name", e, abi.ENOENT)
		_, e = c.StatAt(AtCwd, "../f", 0)
		want(t, "..", e, 0)
		want(t, "exchange", c.Rename(AtCwd, "/c/a2/f", AtCwd, "/c/g", fs.RenameExchange), 0)
		if p := c.K.Ops(f).LinkName(f); p != "/c/g" {
			t.Errorf("name after exchange %q", p)
		}
		want(t, "replace", c.Rename(AtCwd, "/c/a2/f", AtCwd, "/c/g", 0), 0)
		if p := c.K.Ops(f).LinkName(f); p != "/c/g (deleted)" {
			t.Errorf("name of replaced file %q", p)
		}
		want(t, "link", c.Link(AtCwd, "/c/g", AtCwd, "/h", 0), 0)
		s, _ := c.StatAt(AtCwd, "/h", 0)
		if s.Nlink != 2 {
			t.Errorf("nlink %d", s.Nlink)
		}
		want(t, "same inode", c.Rename(AtCwd, "/c/g", AtCwd, "/h", 0), 0)
		want(t, "link to dir", c.Link(AtCwd, "/c", AtCwd, "/i", 0), abi.EPERM)
		want(t, "rmdir cwd", c.Rmdir(AtCwd, "/c/a2/b"), 0)
		_, e = c.Getcwd()
		want(t, "getcwd in removed", e, abi.ENOENT)
		_, e = open(c, "x", rw, OpenCreate, 0o644)
		want(t, "create in removed", e, abi.ENOENT)
	})
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
	tk.do(tk.init, func(c *Call) {
		_, e := c.Getcwd()
		want(t, "getcwd in removed after restart", e, abi.ENOENT)
		want(t, "chdir", c.Chdir("/"), 0)
	})
}

func TestReadDir(t *testing.T) {
	tk := newTestKernel(t)
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/d", 0o755), 0)
		names := map[string]bool{".": true, "..": true}
		for i := 0; i < 50; i++ {
			n := "file" + strings.Repeat("x", i)
			names[n] = true
			fd, e := open(c, "/d/"+n, rw, OpenCreate, 0o644)
			want(t, "create", e, 0)
			c.CloseFD(fd)
		}
		fd, e := open(c, "/d", AccessRead, OpenDirectory, 0)
		want(t, "open", e, 0)
		var third int64
		for i := 0; ; {
			took := 0
			e := c.ReadDirFD(fd, 200, func(d *fs.DirEntry) bool {
				if took == 3 {
					return false // as a small buffer does
				}
				if !names[d.Name] {
					t.Errorf("%q is there twice or should not be", d.Name)
				}
				delete(names, d.Name)
				if i++; i == 3 {
					third = int64(d.Next)
				}
				took++
				return true
			})
			want(t, "readdir", e, 0)
			if took == 0 {
				break
			}
		}
		if len(names) != 0 {
			t.Errorf("missing: %v", names)
		}
		f, _, _ := c.File(fd)
		_, e = c.K.Ops(f).Seek(c, f, third, 0)
		want(t, "seekdir", e, 0)
		n := 0
		for {
			took := 0
			c.ReadDirFD(fd, 1000, func(*fs.DirEntry) bool { took++; return true })
			if took == 0 {
				break
			}
			n += took
		}
		if n != 49 {
			t.Errorf("%d entries behind the third", n)
		}
		file, _ := open(c, "/d/file", AccessRead, 0, 0)
		want(t, "readdir of a file", c.ReadDirFD(file, 100, nil), abi.ENOTDIR)
	})
	tk.checkVFS()
}

func TestMountsAndDev(t *testing.T) {
	tk := newTestKernel(t)
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/dev", 0o755), 0)
		want(t, "mkdir", c.Mkdir(AtCwd, "/mnt", 0o755), 0)
	})
	sub := newTestFS(t)
	tk.AttachFS("sub", sub)
	tk.Enter()
	want(t, "mount dev", tk.MountFS("/dev", "dev", "devtmpfs", "dev", MountNosuid), 0)
	want(t, "mount ro", tk.MountFS("/mnt", "sub", "tmpfs", "sub", MountRO), 0)
	want(t, "mount twice", tk.MountFS("/mnt", "sub", "tmpfs", "sub", 0), abi.EBUSY)
	want(t, "mount nothing", tk.MountFS("/mnt", "none", "tmpfs", "none", 0), abi.ENODEV)
	tk.Leave()
	check := func() {
		tk.doX(tk.init, func(c *Call, x *testChan) {
			fd, e := open(c, "/dev/zero", AccessRead, 0, 0)
			want(t, "zero", e, 0)
			copy(x.mem(), "junk")
			if n, e := c.ReadFD(fd, guestBase, 4, -1); n != 4 || e != 0 {
				t.Errorf("read zero: %d %v", n, e)
			}
			fd, e = open(c, "/dev/full", AccessWrite, 0, 0)
			want(t, "full", e, 0)
			_, e = c.WriteFD(fd, guestBase, 4, -1)
			want(t, "write full", e, abi.ENOSPC)
			_, e = open(c, "/mnt/f", rw, OpenCreate, 0o644)
			want(t, "create read-only", e, abi.EROFS)
			want(t, "mkdir read-only", c.Mkdir(AtCwd, "/mnt/d", 0o755), abi.EROFS)
			want(t, "rmdir mount point", c.Rmdir(AtCwd, "/mnt"), abi.EBUSY)
			want(t, "rename mount point", c.Rename(AtCwd, "/mnt", AtCwd, "/m2", 0), abi.EBUSY)
			want(t, "across mounts", c.Rename(AtCwd, "/dev/zero", AtCwd, "/z", 0), abi.EXDEV)
			_, e = c.Walk(AtCwd, "/mnt", WalkNoXdev)
			want(t, "no xdev", e, abi.EXDEV)
			a, _ := c.StatAt(AtCwd, "/mnt", 0)
			b, _ := c.StatAt(AtCwd, "/mnt/..", 0)
			r, _ := c.StatAt(AtCwd, "/", 0)
			if a.Dev == b.Dev || b.Ino != r.Ino || b.Dev != r.Dev || !a.MountRoot {
				t.Errorf("crossing: %d %d %d", a.Dev, b.Dev, r.Dev)
			}
			want(t, "chdir", c.Chdir("/mnt"), 0)
			if p, e := c.Getcwd(); p != "/mnt" || e != 0 {
				t.Errorf("getcwd %q %v", p, e)
			}
			want(t, "chdir", c.Chdir("/"), 0)
			want(t, "chmod in dev", c.Chmod(Target{Dir: AtCwd, Path: "/dev/null"}, 0o600), 0)
			s, _ := c.StatAt(AtCwd, "/dev/null", 0)
			if s.Mode != fs.TypeChr|0o600 || s.Rdev != MakeDev(1, 3) {
				t.Errorf("null: mode %o rdev %x", s.Mode, s.Rdev)
			}
		})
	}
	check()
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
	check()
}

// TestMountFile: a file of the host's is mounted on a file, and on what is missing.
func TestMountFile(t *testing.T) {
	tk := newTestKernel(t)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	h, err := store.Format(make([]byte, 2<<20), host.Version)
	if err != nil {
		t.Fatal(err)
	}
	srv, e := host.New(h, host.Config{RootFD: root, MaxNodes: 10, Flows: 10}, nil)
	if e != 0 {
		t.Fatal(e)
	}
	defer srv.Close()
	tk.AttachFS("one", srv)
	tk.AttachFS("dir", newTestFS(t))
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/etc", 0o755), 0)
		want(t, "mkdir", c.Mkdir(AtCwd, "/d", 0o755), 0)
		want(t, "mknod", c.Mknod(AtCwd, "/etc/hosts", fs.TypeReg|0o644, 0), 0)
		want(t, "mknod", c.Mknod(AtCwd, "/etc/other", fs.TypeReg|0o644, 0), 0)
	})
	tk.Enter()
	mounts := tk.Mounts.Len()
	want(t, "file on directory", tk.MountFS("/d", "one", "hythe", "f", 0), abi.ENOTDIR)
	want(t, "directory on file", tk.MountFS("/etc/hosts", "dir", "hythe", "d", 0), abi.ENOTDIR)
	want(t, "below a file", tk.MountFS("/etc/hosts/x", "one", "hythe", "f", 0), abi.ENOTDIR)
	if n := tk.Mounts.Len(); n != mounts {
		t.Errorf("%d mounts, were %d", n, mounts)
	}
	want(t, "file on file", tk.MountFS("/etc/hosts", "one", "hythe", "f", 0), 0)
	want(t, "twice", tk.MountFS("/etc/hosts", "one", "hythe", "f", 0), abi.EBUSY)
	want(t, "on what is missing", tk.MountFS("/new/d/f", "one", "hythe", "f", MountRO), 0)
	tk.Leave()
	check := func() {
		t.Helper()
		for _, p := range []string{"/etc/hosts", "/new/d/f"} {
			x := tk.do(tk.init, func(c *Call) {
				fd, e := open(c, p, AccessRead, 0, 0)
				want(t, p, e, 0)
				if n, e := c.ReadFD(fd, guestBase, 100, -1); n != 11 || e != 0 {
					t.Errorf("%s: %d, %v", p, n, e)
				}
				if _, file, _ := c.File(fd); c.K.VnodePath(file.Vnode) != p {
					t.Errorf("%s is shown as %s", p, c.K.VnodePath(file.Vnode))
				}
				want(t, "close", c.CloseFD(fd), 0)
				want(t, "unlink", c.Unlink(AtCwd, p), abi.EBUSY)
				want(t, "rename", c.Rename(AtCwd, p, AtCwd, filepath.Dir(p)+"/g", 0), abi.EBUSY)
				_, e = c.OpenAt(AtCwd, p+"/x", AccessRead, 0, 0, 0)
				want(t, "below", e, abi.ENOTDIR)
			})
			if got := string(x.mem()[:11]); got != "of the host" {
				t.Errorf("%s: %q", p, got)
			}
		}
		tk.doX(tk.init, func(c *Call, x *testChan) {
			want(t, "rename over it", c.Rename(AtCwd, "/etc/other", AtCwd, "/etc/hosts", 0), abi.EBUSY)
			_, e := open(c, "/new/d/f", rw, 0, 0)
			want(t, "write read-only", e, abi.EROFS)
			fd, e := open(c, "/etc/hosts", rw, OpenCreate, 0o644)
			want(t, "open to write", e, 0)
			copy(x.mem(), "of")
			if n, e := c.WriteFD(fd, guestBase, 2, -1); n != 2 || e != 0 {
				t.Error(n, e)
			}
			want(t, "close", c.CloseFD(fd), 0)
		})
	}
	check()
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
	check()
	tk.idle()
}

func TestLocks(t *testing.T) {
	tk := newTestKernel(t)
	user := tk.newProc(0)
	lock := func(c *Call, fd int32, kind, write uint32, start, end uint64, wait bool) abi.Errno {
		f, file, e := c.File(fd)
		if e != 0 {
			return e
		}
		return c.SetLock(FileLock{LockPlace: LockPlace{Vnode: file.Vnode}, Kind: kind, Write: write, Pid: c.Proc().Pid, Start: start, End: end,
			Proc: c.ProcRef(), File: f}, write == 2, wait)
	}
	var a, b int32
	tk.do(tk.init, func(c *Call) {
		a, _ = open(c, "/f", rw, OpenCreate, 0o644)
		want(t, "lock", lock(c, a, LockPosix, 1, 0, 99, false), 0)
		want(t, "downgrade the middle", lock(c, a, LockPosix, 0, 40, 59, false), 0)
		if n := c.K.Locks.Len(); n != 3 {
			t.Errorf("%d locks after a split", n)
		}
		want(t, "flock", lock(c, a, LockFlock, 1, 0, 1<<63-1, false), 0)
	})
	tk.do(user, func(c *Call) {
		b, _ = open(c, "/f", rw, 0, 0)
		want(t, "conflict", lock(c, b, LockPosix, 1, 0, 0, false), abi.EAGAIN)
		want(t, "shared middle", lock(c, b, LockPosix, 0, 45, 50, false), 0)
		want(t, "behind", lock(c, b, LockPosix, 1, 100, 200, false), 0)
		want(t, "flock conflict", lock(c, b, LockFlock, 0, 0, 1<<63-1, false), abi.EAGAIN)
		want(t, "ofd conflict", lock(c, b, LockOFD, 1, 10, 10, false), abi.EAGAIN)
	})
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
	done := make(chan abi.Errno)
	k := tk.Kernel
	go func() {
		tk.do(user, func(c *Call) { done <- lock(c, b, LockPosix, 1, 0, 10, true) })
	}()
	// The lock is given up by closing another descriptor of the file; the
	// waiter is woken by it whether it sleeps already or not.
	tk.do(tk.init, func(c *Call) {
		x, e := open(c, "/f", AccessRead, 0, 0)
		want(t, "open", e, 0)
		want(t, "close", c.CloseFD(x), 0)
	})
	want(t, "after waiting", <-done, 0)
	k.Enter()
	k.Leave()
	// Each wants what the other has: the second to wait is told.
	tk.do(tk.init, func(c *Call) { want(t, "lock", lock(c, a, LockPosix, 1, 300, 300, false), 0) })
	tk.Enter()
	p1, p2 := tk.Threads.Get(tk.init).Proc, tk.Threads.Get(user).Proc
	tk.vfs.lockWaits[lockOwner{LockPosix, uint32(p2)}] = lockOwner{LockPosix, uint32(p1)}
	tk.Leave()
	tk.do(tk.init, func(c *Call) {
		want(t, "deadlock", lock(c, a, LockPosix, 1, 5, 5, true), abi.EDEADLK)
	})
}

func TestMemfdAndTmpfile(t *testing.T) {
	tk := newTestKernel(t)
	var fd int32
	tk.doX(tk.init, func(c *Call, x *testChan) {
		f, e := c.Memfd("m", true, false)
		want(t, "memfd", e, 0)
		fd, e = c.Install(f, 0)
		want(t, "install", e, 0)
		writeAll(t, c, x, fd, "abcd", -1)
		want(t, "seal", c.AddSeals(f, SealGrow|SealShrink), 0)
		want(t, "grow", c.K.Ops(f).Truncate(c, f, 10), abi.EPERM)
		want(t, "shrink", c.K.Ops(f).Truncate(c, f, 1), abi.EPERM)
		if n, e := c.K.Ops(f).Write(c, f, []byte("xyz"), 2); n != 0 || e != abi.EPERM {
			t.Errorf("write to the sealed end: %d %v", n, e)
		}
		want(t, "seal all", c.AddSeals(f, SealWrite|SealSeal), 0)
		_, e = c.K.Ops(f).Write(c, f, []byte("x"), 0)
		want(t, "write sealed", e, abi.EPERM)
		want(t, "seal sealed", c.AddSeals(f, SealWrite), abi.EPERM)
		if p := c.K.Ops(f).LinkName(f); p != "/memfd:m (deleted)" {
			t.Errorf("name %q", p)
		}
		g, e := c.OpenAt(AtCwd, "/", rw, OpenTmpfile|OpenDirectory, 0o600, 0)
		want(t, "tmpfile", e, 0)
		tfd, _ := c.Install(g, 0)
		want(t, "link it", c.Link(tfd, "", AtCwd, "/linked", WalkEmpty), 0)
		s, e := c.StatAt(AtCwd, "/linked", 0)
		if e != 0 || s.Nlink != 1 {
			t.Errorf("linked: %d %v", s.Nlink, e)
		}
	})
	tk.checkVFS()
	tk.reopen()
	tk.checkVFS()
	tk.do(tk.init, func(c *Call) {
		f, _, _ := c.File(fd)
		if s, e := c.GetSeals(f); e != 0 || s != 0xf {
			t.Errorf("seals %x %v", s, e)
		}
		if p := c.K.Ops(f).LinkName(f); p != "/memfd:m (deleted)" {
			t.Errorf("name after restart %q", p)
		}
	})
}

func TestXattr(t *testing.T) {
	tk := newTestKernel(t)
	user := tk.newProc(7)
	tk.do(tk.init, func(c *Call) {
		open(c, "/f", rw, OpenCreate, 0o644)
		f := Target{Dir: AtCwd, Path: "/f", Walk: WalkFollow}
		want(t, "set", c.SetXattr(f, "user.a", []byte("1"), 1), 0)
		want(t, "set again", c.SetXattr(f, "user.a", []byte("1"), 1), abi.EEXIST)
		want(t, "replace none", c.SetXattr(f, "user.b", nil, 2), abi.ENODATA)
		want(t, "trusted", c.SetXattr(f, "trusted.t", []byte("2"), 0), 0)
		want(t, "unknown", c.SetXattr(f, "weird", []byte("2"), 0), abi.EOPNOTSUPP)
		l, e := c.ListXattr(f)
		if e != 0 || string(l) != "user.a\x00trusted.t\x00" && string(l) != "trusted.t\x00user.a\x00" {
			t.Errorf("list %q %v", l, e)
		}
	})
	tk.do(user, func(c *Call) {
		f := Target{Dir: AtCwd, Path: "/f", Walk: WalkFollow}
		want(t, "set", c.SetXattr(f, "user.a", []byte("1"), 0), abi.EACCES)
		_, e := c.GetXattr(f, "trusted.t")
		want(t, "trusted", e, abi.ENODATA)
		l, _ := c.ListXattr(f)
		if string(l) != "user.a\x00" {
			t.Errorf("list %q", l)
		}
	})
}

// TestRepeat runs calls again as after a crash between the server's reply and
// the commit: the effect happens once and the answer is the same.
func TestRepeat(t *testing.T) {
	tk := newTestKernel(t)
	twice := func(name string, fn func(c *Call) abi.Errno) {
		t.Helper()
		k := tk.Kernel
		for i := 0; i < 2; i++ {
			c, _ := tk.call(tk.init)
			k.Enter()
			m := k.Threads.Mut(tk.init)
			if i == 0 {
				m.CurSeq++
				m.Progress, m.Deadline, m.Aux, m.FSSent = 0, 0, 0, 0
				m.FSBase = m.FSSeq
			}
			base, sent := m.FSBase, uint32(1)
			want(t, name, fn(c), 0)
			m = k.Threads.Mut(tk.init)
			if i == 0 {
				// What the record held when the request was on its way.
				m.FSBase, m.FSSent, m.FSSeq = base, sent, base
			} else {
				m.DoneSeq = m.CurSeq
			}
			k.Leave()
		}
	}
	twice("mkdir", func(c *Call) abi.Errno { return c.Mkdir(AtCwd, "/d", 0o755) })
	twice("symlink", func(c *Call) abi.Errno { return c.Symlink("x", AtCwd, "/l") })
	twice("mknod", func(c *Call) abi.Errno { return c.Mknod(AtCwd, "/p", fs.TypeReg|0o644, 0) })
	twice("link", func(c *Call) abi.Errno { return c.Link(AtCwd, "/p", AtCwd, "/q", 0) })
	twice("rename", func(c *Call) abi.Errno { return c.Rename(AtCwd, "/q", AtCwd, "/r", 0) })
	twice("unlink", func(c *Call) abi.Errno { return c.Unlink(AtCwd, "/r") })
	twice("rmdir", func(c *Call) abi.Errno { return c.Rmdir(AtCwd, "/d") })
	twice("create", func(c *Call) abi.Errno {
		f, e := c.OpenAt(AtCwd, "/new", rw, OpenCreate|OpenExcl, 0o644, 0)
		if e == 0 {
			c.K.HoldFile(f)
			c.K.DropFile(c, f)
		}
		return e
	})
	var fd int32
	tk.do(tk.init, func(c *Call) { fd, _ = open(c, "/new", rw, OpenAppend, 0) })
	twice("append", func(c *Call) abi.Errno {
		f, _, _ := c.File(fd)
		_, e := c.K.Ops(f).Write(c, f, []byte("once"), -1)
		return e
	})
	tk.do(tk.init, func(c *Call) {
		s, _ := c.StatAt(AtCwd, "/new", 0)
		if s.Size != 4 {
			t.Errorf("size %d: appended twice", s.Size)
		}
		for _, gone := range []string{"/q", "/r", "/d"} {
			_, e := c.StatAt(AtCwd, gone, 0)
			want(t, gone, e, abi.ENOENT)
		}
	})
}

// BenchmarkStat is the hot path: a cached stat of a path of four components.
func BenchmarkStat(b *testing.B) {
	tk := newTestKernel(b)
	tk.do(tk.init, func(c *Call) {
		c.Mkdir(AtCwd, "/usr", 0o755)
		c.Mkdir(AtCwd, "/usr/lib", 0o755)
		c.Mkdir(AtCwd, "/usr/lib/x", 0o755)
		open(c, "/usr/lib/x/f", rw, OpenCreate, 0o644)
		b.ReportAllocs()
		b.ResetTimer()
		for b.Loop() {
			if _, e := c.StatAt(AtCwd, "/usr/lib/x/f", WalkFollow); e != 0 {
				b.Fatal(e)
			}
		}
	})
}

// heldFS is a file server whose SetAttr can be held up.
type heldFS struct {
	fs.Server
	before, after func(size uint64)
}

func (h *heldFS) SetAttr(r fs.Req, n fs.NodeID, in *fs.SetAttrIn) (fs.Entry, abi.Errno) {
	h.before(in.Size)
	e, err := h.Server.SetAttr(r, n, in)
	h.after(in.Size)
	return e, err
}

// TestCrossedAnswers: of two changes that are under way at once, the one that was
// sent last is done first and answered last. Its answer is not the file's size.
func TestCrossedAnswers(t *testing.T) {
	tk := newTestKernel(t)
	a, b := tk.newProc(0), tk.newProc(0)
	tk.do(tk.init, func(c *Call) {
		_, e := open(c, "/f", rw, OpenCreate, 0o666)
		want(t, "create", e, 0)
	})
	sent, done, answered := make(chan bool), make(chan bool), make(chan bool)
	tk.Enter()
	for _, n := range tk.vfs.nodes {
		if _, ok := n.m.srv.(*heldFS); n.m.srv != nil && !ok {
			n.m.srv = &heldFS{n.m.srv, func(size uint64) {
				if size == 100 {
					close(sent)
					<-done
				}
			}, func(size uint64) {
				if size == 7 {
					close(done)
					<-answered
				}
			}}
		}
	}
	tk.Leave()
	first, last := make(chan bool), make(chan bool)
	go func() {
		defer close(first)
		tk.do(a, func(c *Call) { want(t, "truncate", c.Truncate("/f", 100), 0) })
	}()
	<-sent
	go func() {
		defer close(last)
		tk.do(b, func(c *Call) { want(t, "truncate", c.Truncate("/f", 7), 0) })
	}()
	<-first
	close(answered)
	<-last
	tk.do(tk.init, func(c *Call) {
		if s, e := c.StatAt(AtCwd, "/f", 0); e != 0 || s.Size != 100 {
			t.Errorf("size %d (%v), want 100", s.Size, e)
		}
	})
}

// discarding counts what a file server is asked to give up, and ends the unix server once,
// behind an answer.
type discarding struct {
	fs.Server
	discards, releases int
	die                bool
}

func (d *discarding) Discard(r fs.Req, dir fs.NodeID, name string, node fs.NodeID, opens uint32) abi.Errno {
	d.discards++
	e := d.Server.Discard(r, dir, name, node, opens)
	if d.die {
		d.die = false
		panic(d)
	}
	return e
}

func (d *discarding) Release(r fs.Req, node fs.NodeID) {
	d.releases++
	d.Server.Release(r, node)
}

// The last name of a file that nobody has open goes with the openings that were kept, in
// one request, which a next incarnation repeats with the same ones.
func TestDiscard(t *testing.T) {
	for _, dies := range []bool{false, true} {
		tk := newTestKernel(t)
		d := &discarding{Server: tk.root, die: dies}
		attach := func() {
			for _, m := range tk.vfs.mounts {
				if m.label == "root" {
					m.srv = d
				}
			}
		}
		attach()
		free := func() uint64 { s, _ := d.Statfs(fs.Req{}, fs.RootID); return s.Ffree }
		before := free()
		tk.do(tk.init, func(c *Call) {
			for range 2 { // opened to read, and again to write: two openings
				fd, e := open(c, "/f", AccessRead, OpenCreate, 0o644)
				want(t, "open", e, 0)
				want(t, "close", c.CloseFD(fd), 0)
				fd, e = open(c, "/f", rw, 0, 0)
				want(t, "open", e, 0)
				want(t, "close", c.CloseFD(fd), 0)
			}
		})
		unlink := func() (e abi.Errno, died bool) {
			defer func() { died = recover() != nil }()
			c, _ := tk.call(tk.init)
			tk.Enter()
			th := tk.Threads.Mut(tk.init)
			th.FSSeq = th.FSBase
			e = c.Unlink(AtCwd, "/f")
			tk.Leave()
			return e, false
		}
		e, died := unlink()
		if died {
			tk.mu.Lock() // for good
			tk = tk.next()
			attach()
			e, _ = unlink()
		}
		if died != dies || e != 0 {
			t.Fatalf("unlink: %v, died %v", e, died)
		}
		tk.Enter()
		tk.Vnodes.Each(func(r store.Ref[Vnode], v *Vnode) bool {
			if v.Opens > 0 {
				t.Errorf("dies %v: vnode %d has %d openings, given %d", dies, r, v.Opens, v.Given)
			}
			return true
		})
		lazy := tk.vfs.lazy
		tk.Leave()
		if now := free(); now != before || lazy != 0 || d.releases != 0 || d.discards == 0 {
			t.Errorf("dies %v: %d of %d inodes free, %d lazy, %d releases, %d discards", dies, now, before, lazy, d.releases, d.discards)
		}
		tk.do(tk.init, func(c *Call) {
			_, e := c.StatAt(AtCwd, "/f", 0)
			want(t, "stat", e, abi.ENOENT)
		})
		tk.checkVFS()
	}
}

// answering counts what a file server is asked, and answers what is in a file when it is
// opened.
type answering struct {
	fs.Server
	lookups, reads, first int
}

func (a *answering) Lookup(r fs.Req, dir fs.NodeID, name string) (fs.Entry, abi.Errno) {
	a.lookups++
	return a.Server.Lookup(r, dir, name)
}

func (a *answering) Read(r fs.Req, node fs.NodeID, off uint64, buf []byte) (int, abi.Errno) {
	a.reads++
	return a.Server.Read(r, node, off, buf)
}

func (a *answering) OpenRead(r fs.Req, node fs.NodeID, most int) (fs.Entry, bool, []byte, abi.Errno) {
	a.first++
	e, err := a.Server.Open(r, node, false, false)
	buf := make([]byte, e.Attr.Size)
	_, _ = a.Server.Read(r, node, 0, buf)
	return e, err == 0, buf, err
}

// What came with a directory's entries is not looked up, and what came when a file was opened
// is read once, unless the file was changed since.
func TestAskedTogether(t *testing.T) {
	tk := newTestKernel(t)
	a := &answering{Server: tk.root}
	names := []string{"/d/a", "/d/b", "/d/c"}
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/d", 0o755), 0)
		for _, n := range names {
			fd, e := open(c, n, rw, OpenCreate, 0o644)
			want(t, "open", e, 0)
			if _, e := c.K.Ops(c.mustFile(t, fd)).Write(c, c.mustFile(t, fd), []byte("hello"), 0); e != 0 {
				t.Error(e)
			}
			want(t, "close", c.CloseFD(fd), 0)
		}
	})
	tk.vfs.servers["root"] = a
	tk.reopen() // which knows no names, and has no openings
	read := func(c *Call) string {
		f, e := c.Walk(AtCwd, "/d/a", WalkFollow)
		want(t, "walk", e, 0)
		buf := make([]byte, 100)
		n, e := c.readNode(f.node, buf, 0)
		want(t, "read", e, 0)
		return string(buf[:n])
	}
	tk.do(tk.init, func(c *Call) {
		d, e := open(c, "/d", AccessRead, OpenDirectory, 0)
		want(t, "open", e, 0)
		f := c.mustFile(t, d)
		if l, e := c.K.Ops(f).ReadDir(c, f, 1000); e != 0 || len(l) != 5 {
			t.Errorf("%d entries, %v", len(l), e)
		}
		before := a.lookups
		for _, n := range names {
			if s, e := c.StatAt(AtCwd, n, 0); e != 0 || s.Size != 5 {
				t.Errorf("stat %s: %d, %v", n, s.Size, e)
			}
		}
		if a.lookups != before {
			t.Errorf("looked up %d times", a.lookups-before)
		}
		fd, e := open(c, "/d/a", AccessRead, 0, 0)
		want(t, "open", e, 0)
		for i := range 2 {
			if s := read(c); s != "hello" || a.first != 1 || a.reads != i {
				t.Errorf("read %q, asked %d times, and %d when it was opened", s, a.reads, a.first)
			}
		}
		want(t, "close", c.CloseFD(fd), 0)
	})
	tk.idle()
	tk.do(tk.init, func(c *Call) {
		fd, e := open(c, "/d/a", AccessRead, 0, 0)
		want(t, "open", e, 0)
		w, e := open(c, "/d/a", AccessWrite, 0, 0)
		want(t, "open to write", e, 0)
		f := c.mustFile(t, w)
		if _, e := c.K.Ops(f).Write(c, f, []byte("j"), 0); e != 0 {
			t.Error(e)
		}
		if s := read(c); s != "jello" || a.first != 2 {
			t.Errorf("read %q after a write, opened %d times", s, a.first)
		}
		want(t, "close", c.CloseFD(fd), 0)
		want(t, "close", c.CloseFD(w), 0)
	})
	tk.checkVFS()
}

func (c *Call) mustFile(t *testing.T, fd int32) store.Ref[File] {
	t.Helper()
	f, _, e := c.File(fd)
	if e != 0 {
		t.Fatal(e)
	}
	return f
}

// passing is a file server whose attributes are good for a second, and which takes the name
// of a file away right before it is opened, or asked for its attributes, gone times.
type passing struct {
	answering
	gone int
}

func (p *passing) takeAway() {
	if p.gone > 0 {
		p.gone--
		_ = p.Server.Unlink(fs.Req{}, fs.RootID, "f")
	}
}

func (p *passing) timed(e fs.Entry, err abi.Errno) (fs.Entry, abi.Errno) {
	e.TTL = 1e9
	return e, err
}

func (p *passing) Open(r fs.Req, n fs.NodeID, write, trunc bool) (fs.Entry, abi.Errno) {
	p.takeAway()
	return p.timed(p.Server.Open(r, n, write, trunc))
}

func (p *passing) OpenRead(r fs.Req, n fs.NodeID, most int) (fs.Entry, bool, []byte, abi.Errno) {
	p.takeAway()
	e, whole, b, err := p.answering.OpenRead(r, n, most)
	e.TTL = 1e9
	return e, whole, b, err
}

func (p *passing) GetAttr(r fs.Req, n fs.NodeID) (fs.Entry, abi.Errno) {
	p.takeAway()
	return p.timed(p.Server.GetAttr(r, n))
}

func (p *passing) SetAttr(r fs.Req, n fs.NodeID, in *fs.SetAttrIn) (fs.Entry, abi.Errno) {
	p.takeAway()
	return p.timed(p.Server.SetAttr(r, n, in))
}

func (p *passing) Lookup(r fs.Req, dir fs.NodeID, name string) (fs.Entry, abi.Errno) {
	return p.timed(p.Server.Lookup(r, dir, name))
}

// What was in a file when it was opened is not what it has when its attributes were asked for
// again: others than we may have written to it.
func TestFirstIsNotKept(t *testing.T) {
	tk := newTestKernel(t)
	p := &passing{answering: answering{Server: tk.root}}
	var id fs.NodeID
	tk.do(tk.init, func(c *Call) {
		fd, e := open(c, "/f", rw, OpenCreate, 0o644)
		want(t, "open", e, 0)
		f := c.mustFile(t, fd)
		if _, e := c.K.Ops(f).Write(c, f, []byte("old"), 0); e != 0 {
			t.Error(e)
		}
		id = c.K.nodeOf(c.K.Files.Get(f).Vnode).id
		want(t, "close", c.CloseFD(fd), 0)
	})
	tk.vfs.servers["root"] = p
	tk.reopen()
	tk.do(tk.init, func(c *Call) {
		fd, e := open(c, "/f", AccessRead, 0, 0)
		want(t, "open", e, 0)
		f := c.mustFile(t, fd)
		if p.first != 1 {
			t.Fatalf("opened %d times with what is in it", p.first)
		}
		if _, _, _, e := p.Server.Write(fs.Req{}, id, 0, []byte("newer")); e != 0 {
			t.Fatal(e)
		}
		tk.clock.Advance(2e9)
		c.K.now = 0
		if s, e := c.StatFD(fd); e != 0 || s.Size != 5 {
			t.Errorf("size %d, %v", s.Size, e)
		}
		buf := make([]byte, 100)
		n, e := c.K.Ops(f).Read(c, f, buf, 0)
		if e != 0 || string(buf[:n]) != "newer" {
			t.Errorf("read %q, %v", buf[:n], e)
		}
		want(t, "close", c.CloseFD(fd), 0)
	})
	tk.checkVFS()
}

// A name that somebody takes away while its file is opened or asked for is not there.
func TestNamePasses(t *testing.T) {
	tk := newTestKernel(t)
	p := &passing{answering: answering{Server: tk.root}}
	tk.vfs.servers["root"] = p
	tk.reopen()
	put := func() {
		if _, e := p.Server.MkNod(fs.Req{}, fs.RootID, "f", fs.TypeReg|0o644, 0, fs.Cred{}); e != 0 {
			t.Fatal(e)
		}
	}
	for _, how := range []string{"read", "write", "create", "stat", "chmod", "truncate"} {
		for range 2 { // also when the name is known
			put()
			tk.do(tk.init, func(c *Call) {
				tk.clock.Advance(2e9)
				c.K.now = 0
				if _, e := c.Walk(AtCwd, "/f", 0); e != 0 {
					t.Error(e)
				}
				var fd int32
				var e abi.Errno
				p.gone = 1
				switch how {
				case "read":
					fd, e = open(c, "/f", AccessRead, 0, 0)
				case "write":
					fd, e = open(c, "/f", rw, OpenTrunc, 0)
				case "create":
					fd, e = open(c, "/f", rw, OpenCreate, 0o644)
				case "chmod":
					e = c.Chmod(at("/f"), 0o600)
				case "truncate":
					e = c.Truncate("/f", 1)
				case "stat":
					c.K.node(c.K.vfs.root, p.id("f")).attrUntil = 0
					_, e = c.StatAt(AtCwd, "/f", 0)
				}
				if how == "create" {
					want(t, how, e, 0)
					want(t, "close", c.CloseFD(fd), 0)
					want(t, "unlink", c.Unlink(AtCwd, "/f"), 0)
				} else {
					want(t, how, e, abi.ENOENT)
				}
				if p.gone != 0 {
					t.Errorf("%s: the server was not asked", how)
				}
			})
			tk.idle()
		}
	}
	tk.checkVFS()
}

func (p *passing) id(name string) fs.NodeID {
	e, _ := p.Server.Lookup(fs.Req{}, fs.RootID, name)
	return e.Node
}

// few are objects of which few have room.
type few struct{ k *Kernel }

func (few) Granted(string, uint64) (ObjectName, abi.Errno) { return 0, abi.ENODEV }
func (few) Data(ObjectName) DataFile                       { return nil }
func (f few) Room() bool                                   { return len(f.k.HeldObjects()) < 9 }

// Of many files that stay open at their server only the latest keep their memory objects, which
// take descriptors.
func TestLazyObjects(t *testing.T) {
	tk := newTestKernel(t)
	const files = maxLazyObjects + 100
	name := func(i int) string { return fmt.Sprintf("/f%04d", i) }
	tk.do(tk.init, func(c *Call) {
		for i := range files {
			fd, e := open(c, name(i), rw, OpenCreate, 0o644)
			want(t, "create", e, 0)
			want(t, "close", c.CloseFD(fd), 0)
		}
	})
	tk.idle()
	use := func(i int) {
		tk.do(tk.init, func(c *Call) {
			fd, e := open(c, name(i), AccessRead, 0, 0)
			want(t, "open", e, 0)
			v := c.K.Files.Get(c.mustFile(t, fd)).Vnode
			if w := c.K.Vnodes.Mut(v); w.Object == 0 {
				w.Object = ObjectName(1000 + i)
			}
			want(t, "close", c.CloseFD(fd), 0)
		})
	}
	for i := range files {
		// One more of a small file is not worth the room that it takes from others'.
		if often := tk.often(); i < maxLazyObjects/2 && often != readOften || i == files-1 && often != readAgain {
			t.Errorf("the object of file %d is taken after %d reads", i, often)
		}
		use(i)
		use(0)
	}
	held := tk.HeldObjects()
	if n := len(held); n > maxLazyObjects || n < maxLazyObjects/2 || n+len(tk.host.drops) != files {
		t.Errorf("%d objects held, %d given up, of %d files", n, len(tk.host.drops), files)
	}
	if held[1000] != 1 || held[1000+files-1] != 1 || held[1001] != 0 {
		t.Errorf("held are not those that were used last: %d %d %d", held[1000], held[1000+files-1], held[1001])
	}
	if tk.vfs.lazy != files {
		t.Errorf("%d of %d files stay open", tk.vfs.lazy, files)
	}
	use(1)
	next := tk.next()
	if n := len(next.HeldObjects()); n > maxLazyObjects || n < maxLazyObjects/2 {
		t.Errorf("the next incarnation holds %d objects", n)
	}
	next.checkVFS()
	tk = next
	tk.vfs.objects = few{tk.Kernel}
	use(2)
	if held := tk.HeldObjects(); len(held) != 8 || held[1002] != 1 {
		t.Errorf("%d objects held where 8 have room", len(held))
	}
}
