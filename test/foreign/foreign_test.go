// Package foreign runs programs that others have built, or wrote: each does on a machine,
// built for some other system, what the same version for Linux does natively. It needs the
// network, by npm and the go command, and is only run with HYTHE_LONG=1.
package foreign

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

const limit = 5 * time.Minute

// program is a row of programs.tsv.
type program struct{ name, system, from, source, file, integrity string }

// fetch makes the program a file of dir, and answers its name.
func (p program) fetch(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(dir, p.name+"-"+p.system)
	run := func(c *exec.Cmd) string {
		t.Helper()
		out, errs, status := subject.Run(t, limit, c)
		if status != 0 {
			t.Fatalf("%q: status %d\n%s%s", c.Args, status, out, errs)
		}
		return strings.TrimSpace(out)
	}
	switch p.from {
	case "npm":
		// Not npm install: it refuses packages that are for another system.
		pack := filepath.Join(dir, run(exec.Command("npm", "pack", "--silent", "--pack-destination", dir, p.source)))
		b, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha512.Sum512(b); p.integrity != "sha512-"+base64.StdEncoding.EncodeToString(sum[:]) {
			t.Fatalf("%s is not the package that it was", p.source)
		}
		run(exec.Command("tar", "-xzf", pack, "-C", dir, p.file))
		if err := os.Rename(filepath.Join(dir, p.file), to); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(to, 0o755); err != nil {
			t.Fatal(err)
		}
	case "go":
		c := exec.Command("go", "build", "-trimpath", "-o", to, p.source)
		c.Dir = "testdata/modules"
		c.Env = append(os.Environ(), "GOOS="+p.system, "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		run(c)
	case "host":
		return p.source
	default:
		t.Fatalf("programs.tsv: %s: from %s", p.name, p.from)
	}
	return to
}

// took are the times that programs say they needed.
var took = regexp.MustCompile(`\(?\d+(\.\d+)? ?(seconds|ms|s)\)?`)

// TestPrograms runs testdata/PROGRAM/run.sh, in which $P is the program.
func TestPrograms(t *testing.T) {
	if !subject.Long() {
		t.Skip("only with HYTHE_LONG=1: it needs the network")
	}
	bin, top := subject.Binary(t), t.TempDir()
	native := map[string]string{} // by program: its way
	want := map[string]string{}   // and what it does
	own := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	for _, f := range subject.Rows(t, "programs.tsv", 6) {
		p := program{f[0], f[1], f[2], f[3], f[4], f[5]}
		t.Run(p.name+"/"+p.system, func(t *testing.T) {
			prog := p.fetch(t, top)
			dir := filepath.Join(top, "work") // the same one on both sides: they name it
			defer os.RemoveAll(dir)
			if err := os.CopyFS(dir, os.DirFS("testdata/"+p.name)); err != nil {
				t.Fatal(err)
			}
			vars := []string{"HOME=" + dir, "P=" + prog, "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "GREETING=hey"}
			c := exec.Command("/bin/sh", "run.sh")
			c.Dir, c.Env = dir, vars
			if p.system != "linux" {
				args := []string{"run", "-u", own, "-v", dir + ":" + dir, "-w", dir}
				for _, v := range vars {
					args = append(args, "-e", v)
				}
				c = exec.Command(bin, append(args, "--", "/bin/sh", "run.sh")...)
			}
			out, errs, status := subject.Run(t, limit, c)
			got := fmt.Sprintf("status %d\n%s--- errors\n%s--- files\n%s", status, out, errs, tree(t, dir))
			got = took.ReplaceAllString(strings.ReplaceAll(got, prog, "PROGRAM"), "TIME")
			if p.system == "linux" {
				native[p.name], want[p.name] = prog, got
				if status != 0 || len(out) < 50 {
					t.Errorf("natively:\n%s", got)
				}
				return
			}
			if want[p.name] == "" {
				t.Fatal("programs.tsv: the row for Linux comes first")
			}
			if got != want[p.name] {
				t.Errorf("got:\n%s\nwant:\n%s", got, want[p.name])
			}
		})
	}
}

// tree tells all files of a directory but git's and Hythe's own: what they are and hold.
func tree(t *testing.T, dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Name() == ".git" || e.Name() == ".cache" {
			return fs.SkipDir
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		what := ""
		switch {
		case e.Type() == fs.ModeSymlink:
			what, err = os.Readlink(name)
		case e.Type().IsRegular():
			var text []byte
			text, err = os.ReadFile(name)
			sum := sha512.Sum512(text)
			what = fmt.Sprintf("%d %x", len(text), sum[:6])
		}
		fmt.Fprintf(&b, "%v %s %s\n", info.Mode(), strings.TrimPrefix(name, dir), what)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return b.String()
}
