package faces

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"hythe/test/subject"
)

// In a user name space that holds one user only an ordinary user's machine runs,
// and root's, whose guests would be root outside, is refused in a line.
func TestNestedUser(t *testing.T) {
	bin := subject.Binary(t)
	cmd := exec.Command(bin, "run", "-w", "/", "--", "/bin/sh", "-c", "echo x >/dev/shm/x && cat /dev/shm/x")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if os.Getuid() == 0 {
		if cmd.ProcessState.ExitCode() != 125 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "root outside") {
			t.Errorf("root: %v, %q", err, out)
		}
		return
	}
	if err != nil || string(out) != "x\n" {
		t.Errorf("%v, %q", err, out)
	}
}
