// Command alarm is a guest that is told the time by messages. Build it as any Linux
// program (CGO_ENABLED=0 go build) and run it in a machine:
//
//	hythe run ./alarm 30ms 10ms 20ms
//
// It sets an alarm for each duration and says which one comes when it comes; of one
// that is negative it sets the alarm and takes it back.
package main

import (
	"fmt"
	"os"
	"time"

	"hythe/abi"
	"hythe/ipc"
)

func main() {
	c, err := ipc.Guest()
	if err == nil {
		err = run(c, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(c *ipc.Conn, args []string) error {
	port, e := c.MakePort("")
	if e != 0 {
		return e
	}
	start, n := uint64(ipc.Monotonic()), 0
	for i, arg := range args {
		d, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		id, e := c.SetAlarm(start+uint64(max(d, -d)), port, uint64(i))
		if e != 0 {
			return e
		}
		n++
		if d < 0 {
			// Its right comes back; to give it up is a message of its own.
			if _, _, e := c.CancelAlarm(id, false); e != 0 {
				return e
			}
		}
	}
	for range n {
		m, e := c.Receive(port)
		if e != 0 {
			return e
		}
		a, ok := m.Alarm()
		switch {
		case m.ID == abi.MsgNotify+abi.NotifySendOnce:
			fmt.Println("taken back")
		case !ok || uint64(ipc.Monotonic()) < a.At:
			return fmt.Errorf("message %d, %+v", m.ID, a)
		default:
			fmt.Println(args[a.Word])
		}
	}
	return nil
}
