// Package feed is the update script for bare nodes: one POSIX shell script,
// clear-signed with OpenPGP, for machines that have wget, gpg, sh and openssl and
// no agent.
//
// The script looks as it always did: a folder of markers, and for each update
//
//	if [ ! -f $UPDATES/000 ]; then
//
// so that an update runs once on a node. What is new stands in the text that is
// signed: for which site it is, its serial number, and until when it may be
// used. Around each update stand three small functions (block.go): a mark before
// it begins, so that an interruption is known; the marker when it has succeeded,
// synced; and what comes after a failure.
//
// Clear-signing protects less than one thinks. Trailing blanks and the kind of
// line ends are not signed, text before and after the block is skipped by most
// readers, and so is an unknown `Hash:` line. Therefore a text that would need
// any of it cannot be rendered, and a file that differs in one byte from what its
// own text would be printed as is refused (file.go). What runs is the extracted
// text, never the file.
//
// Everything here is pure. The administrator's command renders and signs, away
// from the server; the server verifies, stores and shows; agents verify and run.
// The shell runner for bare nodes does the same with gpg, and its tests hold both
// to the same cases.
package feed

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	// MaxFile is how large a signed script may be; the shipped runner has the same limit.
	MaxFile = 1 << 20
	// MaxSerial is far from where the arithmetic of a shell ends.
	MaxSerial = 999_999_999_999
	// Markers is where the seed has them.
	Markers = "/var/lib/idhal-updates"

	day = "2006-01-02"
)

// Header is what the first lines of a script say.
type Header struct {
	Site    string    // whose feed it is, such as "idhal"
	Serial  int64     // rises with each script
	Expires time.Time // the last day (UTC) on which the script may be used
}

var (
	site    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
	folder  = regexp.MustCompile(`^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$`)
	started = "#!/bin/sh\n# Fernwerk feed 1\n"
)

func (h Header) check() error {
	switch {
	case !site.MatchString(h.Site):
		return fleet.Errorf(fleet.Invalid, "%q is not a site: it is up to 63 lower-case letters, digits, dots and hyphens", h.Site)
	case h.Serial < 1 || h.Serial > MaxSerial:
		return fleet.Errorf(fleet.Invalid, "serial %d is not between 1 and %d", h.Serial, int64(MaxSerial))
	case h.Expires.Year() < 2000 || h.Expires.Year() > 9999:
		return fleet.Errorf(fleet.Invalid, "the script has no day on which it expires")
	}
	return nil
}

func (h Header) print() string {
	return fmt.Sprintf("%s# Site: %s\n# Serial: %d\n# Expires: %s\n", started, h.Site, h.Serial, h.Expires.UTC().Format(day))
}

// ParseHeader reads the first lines of a script.
func ParseHeader(text []byte) (h Header, err error) {
	lines := strings.SplitN(string(text), "\n", 6)
	if len(lines) < 6 {
		return h, fleet.Errorf(fleet.Invalid, "cannot read the script: it does not begin as a feed does")
	}
	h.Site = strings.TrimPrefix(lines[2], "# Site: ")
	h.Serial, _ = strconv.ParseInt(strings.TrimPrefix(lines[3], "# Serial: "), 10, 64)
	h.Expires, _ = time.Parse(day, strings.TrimPrefix(lines[4], "# Expires: "))
	if !bytes.HasPrefix(text, []byte(h.print())) {
		return h, fleet.Errorf(fleet.Invalid, "cannot read the script: it does not begin as a feed does")
	}
	if err := h.check(); err != nil {
		return h, fmt.Errorf("cannot read the script: %w", err)
	}
	return h, nil
}

// checkText refuses what a clear signature does not protect, or what a reader of
// the script could not see.
func checkText(text string) error {
	if !utf8.ValidString(text) {
		return fleet.Errorf(fleet.Invalid, "it is not UTF-8")
	}
	for i, line := range strings.Split(text, "\n") {
		wrong := ""
		switch {
		case strings.Contains(line, "\r"):
			wrong = "has a carriage return: save the file with plain line ends"
		case strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t"):
			wrong = "ends in blanks, which a clear signature does not protect"
		case strings.ContainsFunc(line, hidden):
			wrong = "has a control character"
		}
		if wrong != "" {
			return fleet.Errorf(fleet.Invalid, "line %d %s", i+1, wrong)
		}
	}
	return nil
}

// hidden are the characters that do not show: controls, and those that turn the
// direction of what follows.
func hidden(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff
}
