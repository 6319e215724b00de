package faces

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestManyNames: of a directory with more names than one answer of a file server has room for all are listed,
// however it is mounted.
func TestManyNames(t *testing.T) {
	dir := t.TempDir()
	many := filepath.Join(dir, "many")
	if err := os.Mkdir(many, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const names = 2500
	for i := range names {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("n%d", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf("%d\n%d\n", names, names)
	for _, how := range []string{":ro", ""} {
		got := hythe(t, "", "run", "-v", dir+":/mnt"+how, "--", "/bin/sh", "-c", "ls /mnt/many | wc -l; ls -l /mnt/many | grep -c n")
		if got.out != want || got.status != 0 {
			t.Errorf("mounted %q: %+v", how, got)
		}
	}
}
