// Package systemd makes a program a service of systemd: it writes and installs the
// unit, and tells systemd how the program stands.
//
// A unit is installed for the program and the folder that are used here, so that
// nobody has to put paths into a file. One that somebody else wrote under the name is
// never replaced nor removed, and a program that others than root can replace is not
// installed.
package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Unit is a service.
type Unit struct {
	Name        string   // without ".service"
	Description string   // one line
	Exec        []string // absolute program, and its arguments
	Service     string   // further lines of [Service], each with its end
}

// folder is where an administrator's units are.
const folder = "/etc/systemd/system"

const first = "# Written by `%s service install`; `systemctl edit %s` adds to it.\n"

// Text is the unit file.
func (u Unit) Text() (string, error) {
	var argv []string
	for i, a := range u.Exec {
		if i == 0 && !filepath.IsAbs(a) || strings.ContainsFunc(a, func(r rune) bool { return r < ' ' }) {
			return "", fmt.Errorf("cannot write a unit that starts %q", a)
		}
		argv = append(argv, quoted(a))
	}
	var b strings.Builder
	fmt.Fprintf(&b, first, u.Name, u.Name)
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\nWants=network-online.target\nAfter=network-online.target\n\n", u.Description)
	fmt.Fprintf(&b, "[Service]\nType=notify\nExecStart=%s\n%s\n[Install]\nWantedBy=multi-user.target\n", strings.Join(argv, " "), u.Service)
	return b.String(), nil
}

// quoted is a word of a command line as systemd reads it.
func quoted(word string) string {
	word = strings.NewReplacer(`%`, `%%`, `$`, `$$`).Replace(word)
	if word != "" && !strings.ContainsAny(word, " \"'\\;") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// hinted is an error with the next step.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// Install writes the unit, and has the service started now and at each boot.
func (u Unit) Install(ctx context.Context) (path string, err error) {
	text, err := u.Text()
	if err != nil {
		return "", err
	}
	if path, err = u.mine(); err == nil {
		err = owned(u.Exec[0])
	}
	if err != nil {
		return "", fmt.Errorf("cannot install the service: %w", err)
	}
	if err := atomicfile.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("cannot install the service: %w", err)
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", u.Name}, {"restart", u.Name}} {
		if err := control(ctx, args...); err != nil {
			return "", fmt.Errorf("cannot install the service: %w", hinted{err, "journalctl -u " + u.Name + " says more"})
		}
	}
	return path, nil
}

// Remove stops the service and removes its unit. Its data stays.
func (u Unit) Remove(ctx context.Context) error {
	path, err := u.mine()
	if err == nil {
		_, err = os.Stat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = control(ctx, "disable", "--now", u.Name)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = control(ctx, "daemon-reload")
	}
	if err != nil {
		return fmt.Errorf("cannot remove the service: %w", err)
	}
	return nil
}

// mine is the path of the unit, if nobody else wrote it and systemd runs.
func (u Unit) mine() (string, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return "", hinted{errors.New("this machine was not started by systemd"), u.Name + " service print shows the unit"}
	}
	path := filepath.Join(folder, u.Name+".service")
	is, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err == nil && !bytes.HasPrefix(is, fmt.Appendf(nil, first, u.Name, u.Name)) {
		err = hinted{fmt.Errorf("%s was written by somebody else", path), "move it away"}
	}
	return path, err
}

func control(ctx context.Context, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, 6*time.Minute) // longer than a start may take
	defer stop()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %.300s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Ready tells systemd, where it waits for that, that the program works; and when ctx
// ends, that it stops. Children are not told whom to tell.
func Ready(ctx context.Context) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	os.Unsetenv("NOTIFY_SOCKET")
	if err := tell(path, "READY=1"); err != nil {
		return fmt.Errorf("cannot tell systemd: %w", err)
	}
	context.AfterFunc(ctx, func() { tell(path, "STOPPING=1") })
	return nil
}

func tell(path, state string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}
