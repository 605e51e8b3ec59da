// Package command has what the programs of this repository share: help, exit
// codes, error messages, progress and a verdict.
package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit codes.
const (
	OK     = 0
	Failed = 1
	Usage  = 2 // the command line is invalid
)

// A UsageError is a mistake in the command line.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef returns a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// Parse parses args. For -h and -help, it prints about and the flags to out, and
// returns flag.ErrHelp. Any other error is a UsageError, which is not printed.
func Parse(flags *flag.FlagSet, args []string, about string, out io.Writer) error {
	flags.Init(flags.Name(), flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, about)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return err
	case err != nil:
		return &UsageError{err}
	}
	return nil
}

// NoArguments returns an error if arguments follow the flags.
func NoArguments(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return Usagef("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// Code returns the exit code for err, and prints it to out, which should be
// stderr. The hint follows a UsageError; "" stands for the English one.
func Code(out io.Writer, name string, err error, hint string) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return OK
	}
	fmt.Fprintf(out, "%s: %s\n", name, strings.TrimSpace(err.Error()))
	var usage *UsageError
	if !errors.As(err, &usage) {
		return Failed
	}
	if hint == "" {
		hint = "Run " + name + " -h for usage."
	}
	fmt.Fprintln(out, hint)
	return Usage
}

// Verdict prints PASS or FAIL and returns the exit code.
func Verdict(out io.Writer, ok bool) int {
	if !ok {
		fmt.Fprintln(out, "FAIL")
		return Failed
	}
	fmt.Fprintln(out, "PASS")
	return OK
}
