// Command hythe runs programs of several operating systems on a machine of
// their own, and shows and steers the machines that run.
package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"hythe"
)

func main() {
	hythe.Main() // does not return in a server
	// What this command inherited beside its streams is not for servers. (A host
	// without the call, before Linux 5.11, passes it on.)
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	std := stdio{os.Stdin, os.Stdout, os.Stderr}
	if system, ok := execSystem(os.Args[0]); ok {
		os.Exit(execFor(system, os.Args[1:], std))
	}
	os.Exit(execute(os.Args[1:], std))
}

// stdio is what a command reads and writes.
type stdio struct {
	in  *os.File
	out io.Writer
	err io.Writer
}

// quietError ends the command with a status and without a line of its own: the
// program has said what there was to say.
type quietError struct{ code int }

func (e quietError) Error() string { return fmt.Sprintf("status %d", e.code) }

// execute runs one command and answers its exit status.
func execute(args []string, std stdio) int {
	root := newRoot(std, args)
	root.SetArgs(args)
	return status(root.Execute(), std)
}

// status makes an error a line, if the program has not said what there was to say, and
// an exit status.
func status(err error, std stdio) int {
	var quiet quietError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &quiet):
		return quiet.code
	}
	fmt.Fprintln(std.err, "hythe:", err)
	return hythe.ExitCode(err)
}

// newRoot makes the command. Where args begin with a subcommand the others are left
// out: to make them all is a few milliseconds of each start on a slow host.
func newRoot(std stdio, args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "hythe",
		Short: "Run programs of several operating systems on a microkernel, isolated, without root",
		Long: `Hythe runs unmodified programs of several operating systems on machines of
their own: isolated from the host, without root and without virtualisation.

Exit status of run and exec: the program's own; 128+n if signal n ended it;
125 if Hythe failed; 126 if the program cannot be executed; 127 if it was not
found. The other commands answer 0 or 125.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q is no command; see hythe --help", args[0])
			}
			return c.Help()
		},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	app := &app{std: std, args: args}
	all := []struct {
		name string
		make func() *cobra.Command
	}{
		{"run", app.runCommand}, {"exec", app.execCommand}, {"pool", app.poolCommand}, {"stop", app.stopCommand},
		{"ps", app.psCommand}, {"stats", app.statsCommand}, {"services", app.servicesCommand}, {"ports", app.portsCommand},
		{"trace", app.traceCommand}, {"calls", app.callsCommand},
		{"kill", app.killCommand}, {"restart", app.restartCommand},
		{"install-exec", app.installCommand}, {"version", app.versionCommand},
	}
	for _, c := range all {
		if len(args) > 0 && args[0] == c.name {
			root.CompletionOptions.DisableDefaultCmd = true
			root.AddCommand(c.make())
			return root
		}
	}
	for _, c := range all {
		root.AddCommand(c.make())
	}
	return root
}

// app is what the commands share.
type app struct {
	std  stdio
	args []string
}
