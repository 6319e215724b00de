package wasi

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"hythe"
	"hythe/test/subject"
)

// sqliteSource fetches SQLite's sources into $1: its one file as an npm package has it, and
// speedtest1, its own benchmark, of Debian's source package.
const sqliteSource = `set -e
cd "$1"
npm pack --silent better-sqlite3@12.11.1
tar -xzf better-sqlite3-12.11.1.tgz --strip-components=3 package/deps/sqlite3
mkdir -p lists/partial cache/archives/partial
sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >src.sources
cat >apt.conf <<END
Dir::State::lists "$1/lists";
Dir::Cache "$1/cache";
Dir::Etc::sourcelist "$1/src.sources";
Dir::Etc::sourceparts "-";
END
export APT_CONFIG=$1/apt.conf
apt-get -qq update
apt-get -qq source --download-only sqlite3
tar -xJf sqlite3_*.orig.tar.xz --wildcards --strip-components=2 '*/test/speedtest1.c'`

// seconds are what speedtest1 says that its parts took.
var seconds = regexp.MustCompile(` +\d+\.\d+s`)

// TestSQLite: SQLite's speedtest1, compiled for WASI, does its work and finds what it finds
// natively; another SQLite reads what it wrote.
func TestSQLite(t *testing.T) {
	if !subject.Long() {
		t.Skip("only with HYTHE_LONG=1: it needs the network")
	}
	dir := t.TempDir()
	if b, err := exec.Command("/bin/sh", "-c", sqliteSource, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	const limit = 20 * time.Minute
	run := func(args ...string) string {
		t.Helper()
		c := exec.Command(args[0], args[1:]...)
		c.Dir = dir
		out, errs, status := subject.Run(t, limit, c)
		if status != 0 {
			t.Fatalf("%q: status %d\n%s%s", args, status, out, errs)
		}
		return out
	}
	common := []string{"-O1", "-w", "-DSQLITE_OMIT_LOAD_EXTENSION", "-DSQLITE_THREADSAFE=0", "-I.", "speedtest1.c", "sqlite3.c"}
	run(append([]string{"gcc", "-o", "native"}, append(common, "-lm")...)...)
	clang := []string{"clang", "--target=wasm32-wasi", "--sysroot=/usr", "-o", filepath.Join(work, "speedtest1.wasm")}
	for _, what := range []string{"signal", "mman", "getpid", "process-clocks"} {
		clang = append(clang, "-lwasi-emulated-"+what)
	}
	for _, what := range []string{"SIGNAL", "MMAN", "GETPID", "PROCESS_CLOCKS"} {
		clang = append(clang, "-D_WASI_EMULATED_"+what)
	}
	run(append(clang, common...)...)
	args := []string{"--size", "2", "--verify", "test.db"}
	want := seconds.ReplaceAllString(run(append([]string{"./native"}, args...)...), "TIME")
	got := guest(t, "", &hythe.Cmd{Path: "/w/speedtest1.wasm", Args: append([]string{"speedtest1"}, args...), Dir: "/w"})
	if out := seconds.ReplaceAllString(got.out, "TIME"); out != want || got.status != 0 {
		t.Errorf("status %d, out %s\nnatively %s\nerr %q", got.status, out, want, got.errs)
	}
	if err := os.Rename(filepath.Join(work, "test.db"), filepath.Join(dir, "guest.db")); err != nil {
		t.Fatal(err)
	}
	if out := run("sqlite3", "guest.db", "PRAGMA integrity_check"); out != "ok\n" {
		t.Error(out)
	}
}
