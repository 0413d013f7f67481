package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
	"github.com/fernwerk/fernwerk/internal/kit/shell"
)

// requests are what a running script asks of the agent. Background jobs of a
// script ask at the same time.
type requests struct {
	properties map[string][]any
	product    fleet.ProductID
	tell       func(string)

	mu          sync.Mutex
	wantsReboot bool
	rebootText  string
}

// commands are the shell's further commands, see the package comment.
func (r *requests) commands() map[string]shell.Command {
	return map[string]shell.Command{
		"property": func(_ context.Context, args []string, io shell.IO) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("takes NAME [DEFAULT]")
			}
			values, err := r.values(args[0])
			switch {
			case len(values) > 0:
				return printLines(io.Stdout, values[:1])
			case len(args) == 2:
				return printLines(io.Stdout, args[1:])
			}
			return err
		},
		"properties": func(_ context.Context, args []string, io shell.IO) error {
			if len(args) != 1 {
				return errors.New("takes NAME")
			}
			values, err := r.values(args[0])
			if err != nil {
				return err
			}
			return printLines(io.Stdout, values)
		},
		"reboot-request": func(_ context.Context, args []string, _ shell.IO) error {
			r.reboot(strings.Join(args, " "))
			return nil
		},
		"progress": func(_ context.Context, args []string, _ shell.IO) error {
			if len(args) == 0 {
				return errors.New("takes TEXT")
			}
			r.progress(strings.Join(args, " "))
			return nil
		},
	}
}

// values are a property's values; a name that the product does not have is a
// mistake in the script.
func (r *requests) values(name string) ([]string, error) {
	values, ok := r.properties[strings.ToLower(name)]
	if !ok {
		known := slices.Sorted(maps.Keys(r.properties))
		return nil, fmt.Errorf("product %s has no property %q%s", r.product, name, nearest.Phrase(name, known))
	}
	return texts(values), nil
}

func printLines(w io.Writer, lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// reboot notes the request; the first text counts.
func (r *requests) reboot(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wantsReboot = true
	if r.rebootText == "" {
		r.rebootText = short(text)
	}
}

func (r *requests) progress(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tell != nil {
		r.tell(short(text))
	}
}

// readFile takes a request made by FERNWERK_REBOOT_FILE. The file's being there
// is the request; its content is for people.
func (r *requests) readFile(path string) {
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	var text []byte
	if info.Mode().IsRegular() {
		if f, err := os.Open(path); err == nil {
			text, _ = io.ReadAll(io.LimitReader(f, maxRebootText))
			f.Close()
		}
	}
	r.reboot(string(text))
}

// maxShort is what opsi's actionProgress column holds, in characters.
const maxShort = 255

// short makes one line of a text that another program wrote.
func short(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > maxShort {
		return string(runes[:maxShort-3]) + "..."
	}
	return string(runes)
}
