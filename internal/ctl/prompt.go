package ctl

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	xterm "golang.org/x/term"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// person is the terminal that somebody sits at, or nil.
func (t *tool) person() *os.File {
	f, ok := t.In.(*os.File)
	if !ok || !xterm.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// ask asks for a line. The question ends with a blank.
func (t *tool) ask(question string) (string, error) {
	in := t.person()
	if in == nil {
		return "", fleet.Errorf(fleet.Unauthenticated, "cannot ask %q: this is no terminal", strings.TrimSpace(question))
	}
	fmt.Fprint(t.Err, term.Clean(question))
	line, err := readLine(in)
	if err != nil {
		return "", fmt.Errorf("cannot read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// askSecret asks for a password without showing it.
func (t *tool) askSecret(question string) (string, error) {
	in := t.person()
	if in == nil {
		return "", fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot log in: no password is known, and this is no terminal"),
			"set FERNWERK_PASSWORD, or use --password-file FILE")
	}
	fmt.Fprint(t.Err, term.Clean(question))
	secret, err := xterm.ReadPassword(int(in.Fd()))
	fmt.Fprintln(t.Err)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	return string(secret), nil
}

// confirm asks before something is changed. --yes answers; where nobody can be
// asked it is refused.
func (t *tool) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	if t.person() == nil {
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot ask whether to %s: this is no terminal", what), "add --yes, or look first with --dry-run")
	}
	answer, err := t.ask(fmt.Sprintf("%s%s? [y/N] ", strings.ToUpper(what[:1]), what[1:]))
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return fleet.Errorf(fleet.Denied, "nothing was changed")
	}
	return nil
}

// readLine reads a line and not a byte more: the rest is for the next question.
func readLine(r io.Reader) (string, error) {
	var line []byte
	in := bufio.NewReaderSize(oneByte{r}, 16)
	for len(line) < maxSecret {
		c, err := in.ReadByte()
		if err != nil || c == '\n' {
			if err == io.EOF && len(line) > 0 {
				err = nil
			}
			return string(line), err
		}
		line = append(line, c)
	}
	return "", fmt.Errorf("it is longer than %d bytes", maxSecret)
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
