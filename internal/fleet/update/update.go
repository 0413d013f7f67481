// Package update is the file of a run-once update: a script with a header that
// says which it is, whom it is for, and what is to happen when it fails or is
// cut off. The whole file is what is signed, so the header is as trusted as the
// script.
//
//	#!/bin/sh
//	# fernwerk-update: 1
//	# number: 017
//	# id: motd
//	# title: Say who owns this machine
//	# platforms: linux, macos
//	# groups: branch
//	# node-types: vnode
//	# audience: hosts
//	# after: 003, 016
//	# timeout: 10m
//	# on-failure: stop
//	# on-interrupt: ask
//
//	echo "property of the institute" >/etc/motd
//
// The header begins in the first line, or in the second after one with "#!". It
// ends with an empty line. Keys come in this order; groups, node-types,
// platforms, after and suffix may be missing, the others may not: what an update
// does when it fails shall be read, not remembered. suffix (.ps1, .py, .cmd)
// names another kind of script than .sh where no "#!" counts; a script for
// cmd.exe has "rem " in place of "# ".
//
// There is one way to write each header: what [Parse] takes, [Header.Text] prints
// identically. A mistake is a [Problem] with its line.
//
// Updates run in the order of their numbers. [Ring] chooses hosts for the first
// part of a publication, and [Check] refuses lists of updates that cannot hold.
package update

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits.
const (
	MaxFile    = 1 << 20 // bytes of a whole update
	MaxNumber  = 999
	MaxTimeout = 24 * time.Hour
	maxLine    = 1000 // bytes of a line of the header
	maxList    = 100  // names in one
)

// The words of the header.
const (
	Hosts = "hosts" // audience: hosts that have joined
	Feed  = "feed"  // bare nodes that follow the feed
	Both  = "both"

	Stop     = "stop"     // on-failure: later updates wait for a person
	Continue = "continue" // they run

	Retry = "retry" // on-interrupt: begin it again
	Ask   = "ask"   // a person decides
	Skip  = "skip"  // leave it, and go on
)

// Platforms are those that an update can be for.
var Platforms = []string{"linux", "macos", "windows"}

// Suffixes are the kinds of scripts.
var Suffixes = []string{".sh", ".py", ".pl", ".ps1", ".cmd", ".bat"}

// Header is what an update says of itself.
type Header struct {
	Number      int
	ID          string // a short word, the same for ever
	Title       string
	Suffix      string   // "" is .sh
	Platforms   []string // none: all
	Groups      []string // host groups; none: all hosts
	NodeTypes   []string // none: all
	Audience    string
	After       []int // numbers of updates that must have been done
	Timeout     time.Duration
	OnFailure   string
	OnInterrupt string
}

// File is a whole update.
type File struct {
	Header
	Interpreter string // the first line, "#!/bin/sh"; "" if there is none
	Body        string // what follows the header's empty line
}

// Name is a number as it is written: three digits.
func Name(number int) string { return fmt.Sprintf("%03d", number) }

// Target is the name under which an update is signed.
func Target(number int) string { return "update/" + Name(number) }

// Number reads a number as it is written.
func Number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || Name(n) != text {
		return 0, fleet.Errorf(fleet.Invalid, "%q is not the number of an update: it has three digits, 000 to 999", text)
	}
	return n, nil
}

var word = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// ValidID checks an update's id.
func ValidID(id string) error {
	if !word.MatchString(id) {
		return fleet.Errorf(fleet.Invalid, "%q is not the id of an update: it is a lower-case letter, then up to 40 letters, digits and -", id)
	}
	return nil
}

// batch tells whether cmd.exe reads the script, for which "#" is no comment.
func (h Header) batch() bool { return h.Suffix == ".cmd" || h.Suffix == ".bat" }

// For tells whether the update is for a platform.
func (h Header) For(platform string) bool {
	return len(h.Platforms) == 0 || slices.Contains(h.Platforms, platform)
}

// ForHosts and ForFeed say which ways the update goes.
func (h Header) ForHosts() bool { return h.Audience == Hosts || h.Audience == Both }

// ForFeed tells whether the update belongs into the feed of bare nodes.
func (h Header) ForFeed() bool { return h.Audience == Feed || h.Audience == Both }

// Problem is one mistake in an update.
type Problem struct {
	Line int // from 1; 0 for the whole file
	Text string
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

func oneOf(value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return fmt.Errorf("%q is not one of %s%s", value, strings.Join(words, ", "), fleet.DidYouMean(value, words))
}
