package linux

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"hythe/machine"
)

const aloneUser = 1

// StartAlone starts a server that is no machine's: it has no control channel, the spec's files are
// its descriptors from 3 on, and it goes on when the one who has started it ends. Otherwise it is
// confined as the servers of a machine are. In a user name space of its own it is aloneUser, which
// is nobody else there: all others are the overflow user, who may be who has started it.
func StartAlone(spec machine.ServerSpec) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), null.Fd(), null.Fd()}
	for _, f := range spec.Files {
		files = append(files, uintptr(FD(f)))
	}
	attr := &syscall.ProcAttr{Dir: "/", Env: []string{"PATH=/", "GOTRACEBACK=single", "GOMAXPROCS=1"}, Files: files}
	argv := append([]string{"hythe-" + spec.Name, "server", spec.Name}, spec.Args...)
	var pid int
	onStartThread(func() {
		attr.Sys = attributes(&spec)
		attr.Sys.Pdeathsig, attr.Sys.Setsid = 0, true
		for _, l := range [][]syscall.SysProcIDMap{attr.Sys.UidMappings, attr.Sys.GidMappings} {
			for i := range l {
				l[i].ContainerID = aloneUser
			}
		}
		pid, _, err = syscall.StartProcess("/proc/self/exe", argv, attr)
		if isolationError(err) && spec.Lenient && attr.Sys.Cloneflags != 0 {
			attr.Sys.Cloneflags, attr.Sys.UidMappings, attr.Sys.GidMappings = 0, nil, nil
			attr.Sys.GidMappingsEnableSetgroups = false
			pid, _, err = syscall.StartProcess("/proc/self/exe", argv, attr)
		}
	})
	if err != nil {
		if isolationError(err) {
			return fmt.Errorf("server %s: the host refuses its namespaces: %w", spec.Name, err)
		}
		return fmt.Errorf("server %s: %w", spec.Name, err)
	}
	go func() { // if it ends before us, nobody else buries it
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return nil
}
