package faces

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"hythe/test/subject"
)

// TestOrdinaryUser: what a program sees and does is the same whoever started the
// machine, as far as he can read the files: owners are who they are, set-id
// programs are root's, owners and devices can be made in the machine.
func TestOrdinaryUser(t *testing.T) {
	const script = `
stat -c '%n %u %g %a' / /etc /etc/passwd /usr/bin/su /tmp
su nobody -s /bin/sh -c 'id -u; touch /etc/x || echo refused'
cd /tmp && touch f && chown 12:34 f && chmod 4711 f && stat -c '%u %g %a' f
mknod n c 1 3 && stat -c '%F %t %T' n
id; umask
echo new >/etc/hythe-new && cat /etc/hythe-new && rm /etc/hythe-new
`
	want := hythe(t, "", "run", "--", "/bin/sh", "-c", script)
	if want.status != 0 || !strings.Contains(want.out, "/etc/passwd 0 0 644\n/usr/bin/su 0 0 4755\n") || !strings.Contains(want.out, "65534\nrefused\n12 34 4711\n") {
		t.Errorf("%+v", want)
	}
	if os.Geteuid() != 0 {
		return // that was the ordinary user
	}
	cmd := exec.Command(subject.PublicBinary(t), "run", "--", "/bin/sh", "-c", script)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil || out.String() != want.out || errs.String() != want.errs {
		t.Errorf("as user 12345: %v\n%s%s\nas root:\n%s%s", err, out.String(), errs.String(), want.out, want.errs)
	}
}
