package feed

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	beginText = "-----BEGIN PGP SIGNED MESSAGE-----"
	beginSig  = "-----BEGIN PGP SIGNATURE-----"
	endSig    = "-----END PGP SIGNATURE-----"
)

var (
	hashLine   = regexp.MustCompile(`^Hash: (SHA1|SHA224|SHA256|SHA384|SHA512|MD5|RIPEMD160)$`)
	sigHeader  = regexp.MustCompile(`^(Version|Comment): [ -~]*$`)
	base64Line = regexp.MustCompile(`^[A-Za-z0-9+/=]{1,76}$`)
)

// split takes a signed file apart: the text that is signed, with its last line
// end, and the armour of the signature. Every byte of the file has its place, or
// the file is refused.
func split(file []byte) (text string, signature []byte, err error) {
	refused := func(why string) (string, []byte, error) {
		return "", nil, fleet.Errorf(fleet.Denied, "the script is refused: %s", why)
	}
	switch {
	case len(file) > MaxFile:
		return refused("it is larger than a script may be")
	case bytes.IndexByte(file, '\r') >= 0:
		return refused("it has carriage returns, which a clear signature does not protect")
	case !bytes.HasPrefix(file, []byte(beginText+"\n")):
		return refused("there is something before the signed block, or no signed block")
	case !bytes.HasSuffix(file, []byte("\n"+endSig+"\n")):
		return refused("there is something after the signed block, or its end is missing")
	}
	lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")[1:]
	if len(lines) > 0 && hashLine.MatchString(lines[0]) {
		lines = lines[1:]
	}
	if len(lines) == 0 || lines[0] != "" {
		return refused("its head has more than one Hash line")
	}
	var b strings.Builder
	for lines = lines[1:]; ; lines = lines[1:] {
		if len(lines) == 0 {
			return refused("it has no signature")
		}
		line := lines[0]
		if line == beginSig {
			break
		}
		if plain, escaped := strings.CutPrefix(line, "- "); escaped {
			if !strings.HasPrefix(plain, "-") && !strings.HasPrefix(plain, "From ") {
				return refused("a line is escaped that needs it not")
			}
			line = plain
		} else if strings.HasPrefix(line, "-") {
			return refused("a line that begins with - is not escaped, or there are two blocks")
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	if err := checkText(b.String()); err != nil {
		return refused(err.Error())
	}
	return b.String(), []byte(strings.Join(lines, "\n") + "\n"), checkArmour(lines[1 : len(lines)-1])
}

// checkArmour looks at the lines between the first and the last of a signature.
func checkArmour(lines []string) error {
	for len(lines) > 0 && sigHeader.MatchString(lines[0]) {
		lines = lines[1:]
	}
	if len(lines) == 0 || lines[0] != "" {
		return fleet.Errorf(fleet.Denied, "the script is refused: its signature has a head that is not known")
	}
	for _, line := range lines[1:] {
		if !base64Line.MatchString(line) {
			return fleet.Errorf(fleet.Denied, "the script is refused: there is something in its signature that is none")
		}
	}
	return nil
}
