package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
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

	mu         sync.Mutex
	wants      Reboot
	rebootText string
	step       string
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
			r.reboot(WhenDone, strings.Join(args, " "))
			return nil
		},
		"reboot-before-next": func(_ context.Context, args []string, _ shell.IO) error {
			r.reboot(BeforeNext, strings.Join(args, " "))
			return nil
		},
		"reboot-continue": func(_ context.Context, args []string, _ shell.IO) error {
			if len(args) == 0 || !isStep(args[0]) {
				return errors.New("takes STEP [TEXT]; a step is at most 64 letters, digits and . _ -")
			}
			r.goOn(args[0], strings.Join(args[1:], " "))
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

// reboot notes a request; the most urgent one and the first text count.
func (r *requests) reboot(what Reboot, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wants = max(r.wants, what)
	if r.rebootText == "" {
		r.rebootText = short(text)
	}
}

// goOn notes where the script goes on; the last step counts.
func (r *requests) goOn(step, text string) {
	r.reboot(Continue, text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step = step
}

// isStep tells whether a text is the name of a step: it comes back in an
// environment and is shown to people.
func isStep(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

func (r *requests) progress(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tell != nil {
		r.tell(short(text))
	}
}

// readFiles takes the requests made by files in the private folder. A file's
// being there is the request; its content is for people. A file that names no
// step to go on at asks for a reboot before the next action.
func (r *requests) readFiles(dir string) {
	if text, ok := readRequest(filepath.Join(dir, rebootFile)); ok {
		r.reboot(WhenDone, text)
	}
	if text, ok := readRequest(filepath.Join(dir, nextFile)); ok {
		r.reboot(BeforeNext, text)
	}
	if text, ok := readRequest(filepath.Join(dir, continueFile)); ok {
		step, text, _ := strings.Cut(text, "\n")
		if step = strings.TrimSpace(step); isStep(step) {
			r.goOn(step, text)
		} else {
			r.reboot(BeforeNext, step)
		}
	}
}

func readRequest(path string) (string, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", err == nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", true
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxRebootText))
	return string(text), true
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
