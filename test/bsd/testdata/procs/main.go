// Command procs starts others: itself, programs of the machine, and what the arguments
// say.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		child(os.Args[1:])
		return
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return
	}
	var out bytes.Buffer
	c := exec.Command(self, "upper")
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader("some words\n"), &out, &out
	fmt.Println(c.Run(), out.String())
	b, err := exec.Command("/bin/sh", "-c", "echo from a shell; exit 3").CombinedOutput()
	fmt.Printf("%q %v\n", b, err)
	b, err = exec.Command("/bin/sh", "-c", "echo piped words | "+self+" upper | tr A-Z a-z").CombinedOutput()
	fmt.Printf("%q %v\n", b, err)
	b, err = exec.Command(self, "exec", "/bin/sh", "-c", self+" args a 'b c'; kill -TERM $$").CombinedOutput()
	fmt.Printf("%q %v\n", b, err)
	fmt.Println(exec.Command("/no/such/program").Run() != nil)
	c = exec.Command(self, "wait")
	o, _ := c.StdoutPipe()
	fmt.Println(c.Start())
	line := make([]byte, 6)
	io.ReadFull(o, line)
	fmt.Printf("%q\n", line)
	fmt.Println(c.Process.Signal(syscall.SIGUSR1))
	rest, _ := io.ReadAll(o)
	fmt.Printf("%q %v\n", rest, c.Wait())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println(exec.CommandContext(ctx, self, "sleep").Run())
	c = exec.Command(self, "crash")
	b, err = c.CombinedOutput()
	fmt.Println(strings.Contains(string(b), "nil pointer"), err)
	c = exec.Command(self, "args", "in a session")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.Dir = "/"
	c.Env = []string{"A=b"}
	b, err = c.Output()
	fmt.Printf("%q %v\n", b, err)
}

func child(args []string) {
	switch args[0] {
	case "upper":
		b, _ := io.ReadAll(os.Stdin)
		fmt.Print(strings.ToUpper(string(b)))
	case "args":
		wd, _ := os.Getwd()
		fmt.Printf("%q %v\n", args[1:], wd == "/")
	case "exec":
		fmt.Println(syscall.Exec(args[1], args[1:], os.Environ()))
	case "wait":
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGUSR1)
		fmt.Println("ready")
		fmt.Println(<-ch == syscall.SIGUSR1)
		os.Exit(5)
	case "sleep":
		time.Sleep(time.Minute)
	case "crash":
		var p *int
		*p = 1
	}
}
