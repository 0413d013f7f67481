package feed

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Update is one update as a feed carries it.
type Update struct {
	ID      string // three digits or more: "000"
	Title   string
	Stop    bool     // what if it fails: nothing after it runs
	Retry   bool     // what if it was interrupted: it runs again,
	Skip    bool     // or never again; with neither, somebody has to look
	After   []string // those that must have succeeded before
	Program string   // of POSIX shell
}

var number = regexp.MustCompile(`^[0-9]{3,9}$`)

func (u Update) interrupted() string {
	switch {
	case u.Retry:
		return "retry"
	case u.Skip:
		return "skip"
	}
	return "ask"
}

func (u Update) failed() string {
	if u.Stop {
		return "stop"
	}
	return "go-on"
}

func (u Update) check() error {
	switch {
	case !number.MatchString(u.ID):
		return fleet.Errorf(fleet.Invalid, "its number %q is not three to nine digits", u.ID)
	case strings.Contains(u.Title, "\n") || checkText(u.Title) != nil:
		return fleet.Errorf(fleet.Invalid, "its title is not one line of text")
	case u.Retry && u.Skip:
		return fleet.Errorf(fleet.Invalid, "it cannot be both retried and skipped after an interruption")
	}
	if first, _, _ := strings.Cut(u.Program, "\n"); strings.HasPrefix(first, "#!") && !slices.Contains([]string{"#!/bin/sh", "#! /bin/sh"}, first) {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "it wants %s; a bare node has /bin/sh", first), "write it for /bin/sh, or give it to agents only")
	}
	if strings.HasSuffix(strings.TrimRight(u.Program, "\n"), `\`) {
		return fleet.Errorf(fleet.Invalid, "its last line ends in a backslash")
	}
	return checkText(u.Program)
}

// functions is what the blocks call. Nothing of it is in the way of an update,
// which runs in a subshell: it may exit, change folder, and set what it likes.
// A marker is whole and synced before the mark of the beginning goes. Descriptor 9
// is the runner's lock: the script keeps it, what an update leaves running does not.
const functions = `
umask 022
RC=0
mkdir -p $UPDATES && chmod 700 $UPDATES || exit 1

say() { echo "feed: $*"; }

mark() { # NUMBER TEXT
  echo "$2" > $UPDATES/.$1.new && sync && mv -f $UPDATES/.$1.new $UPDATES/$1 && sync && rm -f $UPDATES/$1.begun && return 0
  say "update $1: cannot make its marker"
  exit 1
}

undone() { # WHAT-IF-IT-FAILS
  RC=1
  [ "$1" = go-on ] && return 0
  say "nothing after it runs"
  exit 1
}

begin() { # NUMBER WHAT-IF-INTERRUPTED WHAT-IF-IT-FAILS AFTER...
  N=$1 INTERRUPTED=$2 FAILED=$3
  shift 3
  for A in "$@"; do
    if [ ! -f $UPDATES/$A ]; then
      say "update $N: waits for update $A"
      undone $FAILED
      return 1
    fi
  done
  if [ -f $UPDATES/$N.begun ]; then
    case $INTERRUPTED in
    retry) say "update $N: was interrupted, runs again" ;;
    skip)
      say "update $N: was interrupted, is skipped"
      mark $N skipped
      return 1
      ;;
    *)
      say "update $N: was interrupted, and may have done its work. Remove $UPDATES/$N.begun to have it run again, or make $UPDATES/$N if it is done"
      undone $FAILED
      return 1
      ;;
    esac
  fi
  echo begun > $UPDATES/$N.begun && sync && return 0
  say "update $N: cannot note that it begins"
  exit 1
}

ended() { # NUMBER STATUS WHAT-IF-IT-FAILS
  if [ $2 -eq 0 ]; then
    mark $1 done
    say "update $1: done"
    return 0
  fi
  rm -f $UPDATES/$1.begun
  sync
  say "update $1: failed with status $2, to be tried again"
  undone $3
}
`

// Script is what a feed is made of.
type Script struct {
	Header
	Markers string // the folder; "" is [Markers]
	Updates []Update
}

// Render makes the script. Its updates stand in the order of their numbers.
func (s Script) Render() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("cannot render the feed: %w", err)
	}
	markers := s.Markers
	if markers == "" {
		markers = Markers
	}
	if !folder.MatchString(markers) {
		return nil, fleet.Errorf(fleet.Invalid, "cannot render the feed: %q is not a plain absolute path", markers)
	}
	updates := slices.Clone(s.Updates)
	slices.SortStableFunc(updates, func(a, b Update) int { return strings.Compare(fmt.Sprintf("%9s", a.ID), fmt.Sprintf("%9s", b.ID)) })
	var b strings.Builder
	b.WriteString(s.print())
	fmt.Fprintf(&b, "\nUPDATES=%q\n%s", markers, functions)
	var before []string
	for _, u := range updates {
		if err := u.check(); err != nil {
			return nil, fmt.Errorf("cannot render update %s: %w", u.ID, err)
		}
		if slices.Contains(before, u.ID) {
			return nil, fleet.Errorf(fleet.Exists, "cannot render update %s: there are two of this number", u.ID)
		}
		for _, a := range u.After {
			if !slices.Contains(before, a) {
				return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot render update %s: it comes after %s, which the feed does not have before it", u.ID, a),
					"give update %s the audience feed or both, and a lower number", a)
			}
		}
		before = append(before, u.ID)
		u.render(&b)
	}
	b.WriteString("\nexit $RC\n")
	if b.Len() > MaxFile*3/4 {
		return nil, fleet.WithHint(fleet.Errorf(fleet.TooLarge, "cannot render the feed: it has %d bytes", b.Len()), "have its updates fetch what is large")
	}
	return []byte(b.String()), nil
}

func (u Update) render(b *strings.Builder) {
	b.WriteString("\n" + strings.TrimSuffix("# Update #"+u.ID+": "+u.Title, ": ") + "\n")
	fmt.Fprintf(b, "if [ ! -f $UPDATES/%s ]; then\n", u.ID)
	fmt.Fprintf(b, "  if begin %s; then\n    (\n:\n", strings.Join(append([]string{u.ID, u.interrupted(), u.failed()}, u.After...), " "))
	b.WriteString(strings.Trim(u.Program, "\n"))
	fmt.Fprintf(b, "\n    ) < /dev/null 9>&-\n    ended %s $? %s\n  fi\nfi\n", u.ID, u.failed())
}
