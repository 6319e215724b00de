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
	"time"
)

// how says how a program ended, which systems put in other words.
func how(err error) string {
	switch e := err.(type) {
	case nil:
		return "well"
	case *exec.ExitError:
		return fmt.Sprint("badly ", !e.Success())
	}
	return "not at all"
}

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
	fmt.Println(how(c.Run()), out.String())
	b, err := exec.Command("/bin/sh", "-c", "echo from a shell; exit 3").CombinedOutput()
	fmt.Printf("%q %v\n", b, how(err))
	b, err = exec.Command("/bin/sh", "-c", "echo piped words | "+self+" upper | tr A-Z a-z").CombinedOutput()
	fmt.Printf("%q %v\n", b, how(err))
	b, err = exec.Command("/bin/sh", "-c", self+" args a 'b c'; "+self+" exit 9; echo $?; kill -KILL $$").CombinedOutput()
	fmt.Printf("%q %v\n", b, how(err))
	fmt.Println(exec.Command("/no/such/program").Run() != nil)
	c = exec.Command(self, "wait")
	o, _ := c.StdoutPipe()
	fmt.Println(c.Start())
	line := make([]byte, 6)
	io.ReadFull(o, line)
	fmt.Printf("%q\n", line)
	fmt.Println(c.Process.Signal(os.Interrupt))
	rest, _ := io.ReadAll(o)
	fmt.Printf("%q %v\n", rest, how(c.Wait()))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println(how(exec.CommandContext(ctx, self, "sleep").Run()))
	c = exec.Command(self, "crash")
	b, err = c.CombinedOutput()
	fmt.Println(strings.Contains(string(b), "nil pointer"), how(err))
	c = exec.Command(self, "env")
	c.Dir = "/"
	c.Env = []string{"A=b", "C=two words"}
	b, err = c.Output()
	fmt.Printf("%q %v\n", b, how(err))
	c = exec.Command("/bin/sh", "-c", "echo $A $C; pwd")
	c.Dir = "/"
	c.Env = []string{"A=b", "C=two words"}
	b, err = c.Output()
	fmt.Printf("%q %v\n", b, how(err))
}

func child(args []string) {
	switch args[0] {
	case "upper":
		b, _ := io.ReadAll(os.Stdin)
		fmt.Print(strings.ToUpper(string(b)))
	case "args":
		wd, _ := os.Getwd()
		fmt.Printf("%q %v\n", args[1:], wd == "/")
	case "env":
		wd, _ := os.Getwd()
		fmt.Println(os.Getenv("A"), os.Getenv("C"), wd)
	case "exit":
		os.Exit(9)
	case "wait":
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, os.Interrupt)
		fmt.Println("ready")
		fmt.Println(<-ch == os.Interrupt)
		os.Exit(5)
	case "sleep":
		time.Sleep(time.Minute)
	case "crash":
		var p *int
		*p = 1
	}
}
