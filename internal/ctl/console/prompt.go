package console

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

// Person is the terminal that somebody sits at, or nil.
func (c *Console) Person() *os.File {
	f, ok := c.In.(*os.File)
	if !ok || !xterm.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// Ask asks for a line. The question ends with a blank.
func (c *Console) Ask(question string) (string, error) {
	in := c.Person()
	if in == nil {
		return "", fleet.Errorf(fleet.Unauthenticated, "cannot ask %q: this is no terminal", strings.TrimSpace(question))
	}
	fmt.Fprint(c.Err, term.Clean(question))
	line, err := readLine(in)
	if err != nil {
		return "", fmt.Errorf("cannot read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// AskSecret asks for a password without showing it.
func (c *Console) AskSecret(question string) (string, error) {
	in := c.Person()
	if in == nil {
		return "", fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot log in: no password is known, and this is no terminal"),
			"set FERNWERK_PASSWORD, or use --password-file FILE")
	}
	fmt.Fprint(c.Err, term.Clean(question))
	secret, err := xterm.ReadPassword(int(in.Fd()))
	fmt.Fprintln(c.Err)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	return string(secret), nil
}

// Confirm asks before something is changed. --yes answers; where nobody can be
// asked it is refused.
func (c *Console) Confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	if c.Person() == nil {
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot ask whether to %s: this is no terminal", what), "add --yes, or look first with --dry-run")
	}
	answer, err := c.Ask(fmt.Sprintf("%s%s? [y/N] ", strings.ToUpper(what[:1]), what[1:]))
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return fleet.Errorf(fleet.Denied, "nothing was changed")
	}
	return nil
}

// maxLine bounds an answer, in bytes.
const maxLine = 4 << 10

// readLine reads a line and not a byte more: the rest is for the next question.
func readLine(r io.Reader) (string, error) {
	var line []byte
	in := bufio.NewReaderSize(oneByte{r}, 16)
	for len(line) < maxLine {
		b, err := in.ReadByte()
		if err != nil || b == '\n' {
			if err == io.EOF && len(line) > 0 {
				err = nil
			}
			return string(line), err
		}
		line = append(line, b)
	}
	return "", fmt.Errorf("it is longer than %d bytes", maxLine)
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
