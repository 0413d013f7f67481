package fleet

import (
	"errors"
	"fmt"
)

// Code is the closed list of meanings an error can carry across a process or
// the wire. Everything without a code is Internal.
type Code string

// The codes. Each has one exit status and one JSON-RPC error class.
const (
	Internal        Code = "internal"        // a fault of ours; details belong in the log
	Invalid         Code = "invalid"         // the request itself is wrong
	NotFound        Code = "not-found"       // the object is not there
	Exists          Code = "exists"          // the object is there already
	Conflict        Code = "conflict"        // the object changed meanwhile
	Locked          Code = "locked"          // somebody else holds it
	Unauthenticated Code = "unauthenticated" // nobody we know
	Denied          Code = "denied"          // known, and not allowed
	TooLarge        Code = "too-large"       // over a stated limit
	NotHere         Code = "not-here"        // this service lacks the part that would answer
	Unavailable     Code = "unavailable"     // try again later
)

// Error is an error with a meaning that survives the wire, and the next step
// for the person who reads it.
type Error struct {
	Code Code
	Text string // "cannot <do> <object>: <cause>"
	Next string // what to do now; may be empty
	// Class is opsi's name for the error, where its clients tell it from others
	// with the same code; empty for the code's usual one.
	Class string
	Err   error // the cause, for errors.Is; never sent over the wire
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// Hint is the next step for a person, or "".
func (e *Error) Hint() string { return e.Next }

// ExitCode is the process exit status for the error (docs/reference/exit-codes.md).
func (e *Error) ExitCode() int {
	switch e.Code {
	case Denied, Unauthenticated:
		return 5
	case Locked, Unavailable:
		return 4
	}
	return 1
}

// Errorf makes an error with a code; %w keeps the cause.
func Errorf(code Code, format string, args ...any) error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Text: wrapped.Error(), Err: errors.Unwrap(wrapped), Next: HintOf(wrapped), Class: ClassOf(wrapped)}
}

// WithHint adds the next step to err and keeps its code and text.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeOf(err), Text: err.Error(), Next: fmt.Sprintf(format, args...), Err: err, Class: ClassOf(err)}
}

// WithClass gives err opsi's name for it and keeps its code, text and hint.
func WithClass(err error, class string) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeOf(err), Text: err.Error(), Next: HintOf(err), Err: err, Class: class}
}

// ClassOf is opsi's name for the outermost coded error in err's chain, or "".
func ClassOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return ""
}

// CodeOf is the code of the outermost coded error in err's chain, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// HintOf is the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Next != "" {
			return e.Next
		}
		err = e.Err
	}
	return ""
}
