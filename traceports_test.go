package hythe

import (
	"strings"
	"testing"

	"hythe/abi"
	"hythe/idl/debug"
	"hythe/idl/names"
	unixctl "hythe/idl/unix"
	"hythe/nucleus"
)

// TestTraceWords: messages of the machine's own protocols have the words of their
// methods, those of others their numbers.
func TestTraceWords(t *testing.T) {
	for _, c := range []struct {
		t    nucleus.Traffic
		want string
	}{
		{nucleus.Traffic{From: "guest", To: "names", Port: "requests", ID: names.MsgAwait}, "guest > names:requests sent await,"},
		{nucleus.Traffic{From: "names", To: "guest", Answer: true, ID: names.MsgLookup}, "names > guest sent answer lookup,"},
		{nucleus.Traffic{From: "supervisor", To: "unix", Port: "control", ID: unixctl.MsgSockets}, "supervisor > unix:control sent sockets,"},
		{nucleus.Traffic{From: "guest 7", To: "unix", Port: "process:3:4:5", ID: debug.MsgExceptions}, "sent exceptions,"},
		{nucleus.Traffic{From: "unix", To: "guest 7", Answer: true, ID: debug.MsgRead}, "unix > guest 7 sent answer read,"},
		{nucleus.Traffic{From: "unix", To: "guest 7", ID: debug.MsgExec}, "unix > guest 7 sent exec,"},
		{nucleus.Traffic{From: "guest 7", To: "unix", Port: "exception", Answer: true, ID: debug.MsgFault}, "sent answer fault,"},
		{nucleus.Traffic{From: "guest 7", To: "guest 8", ID: 3}, "guest 7 > guest 8 sent 3,"},
		{nucleus.Traffic{To: "guest 7", ID: abi.MsgPageRequest}, "guest 7 sent page,"},
		{nucleus.Traffic{From: "guest", To: "names", Port: "requests", ID: 60}, "sent 60,"},
	} {
		c.t.What = "sent"
		var b strings.Builder
		if writeTraffic(&b, 0, &c.t); !strings.Contains(b.String(), c.want) {
			t.Errorf("%q, want %q", b.String(), c.want)
		}
	}
}
