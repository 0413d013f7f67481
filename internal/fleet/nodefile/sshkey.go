package nodefile

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits on SSH keys.
const (
	MaxHostKeys = 8
	maxKeyBlob  = 4 << 10 // an RSA key of 16,384 bits has some 2,100 bytes
)

// keyKinds are the kinds of public keys that OpenSSH makes and still takes, with
// the number of strings that a key of the kind holds after its name.
var keyKinds = map[string]int{
	"ssh-ed25519": 1, "ssh-rsa": 2,
	"ecdsa-sha2-nistp256": 2, "ecdsa-sha2-nistp384": 2, "ecdsa-sha2-nistp521": 2,
	"sk-ssh-ed25519@openssh.com": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}

// PublicKey is a public key of SSH.
type PublicKey struct {
	Kind string
	Blob string // base64
}

// String is the key without a comment: "ssh-ed25519 AAAA...".
func (k PublicKey) String() string { return k.Kind + " " + k.Blob }

// ParseHostKey reads a line of a file such as ssh_host_ed25519_key.pub: kind, key,
// and perhaps a comment, which is left out.
func ParseHostKey(line string) (PublicKey, error) {
	k, _, err := publicKey(strings.TrimSpace(line))
	if err == nil && strings.HasPrefix(k.Kind, "sk-") {
		err = errors.New("a server has no such key")
	}
	if err != nil {
		return k, fleet.Errorf(fleet.Invalid, "cannot read a host key: %w", err)
	}
	return k, nil
}

// publicKey reads kind and key, and gives back what follows.
func publicKey(text string) (k PublicKey, comment string, err error) {
	kind, rest, _ := strings.Cut(text, " ")
	blob, comment, _ := strings.Cut(rest, " ")
	n, known := keyKinds[kind]
	if !known {
		return k, "", fmt.Errorf("%q is no kind of key that is taken here", clip(kind))
	}
	data, err := base64.StdEncoding.Strict().DecodeString(blob)
	if err != nil || len(data) > maxKeyBlob || base64.StdEncoding.EncodeToString(data) != blob {
		return k, "", errors.New("the key is damaged")
	}
	parts, ok := keyStrings(data)
	if !ok || len(parts) != n+1 || string(parts[0]) != kind || kind == "ssh-ed25519" && len(parts[1]) != 32 {
		return k, "", fmt.Errorf("the key is damaged, or not of the kind %s", kind)
	}
	if strings.ContainsFunc(comment, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return k, "", errors.New("its comment has control characters")
	}
	return PublicKey{Kind: kind, Blob: blob}, comment, nil
}

// keyStrings are the strings that a key is made of, each after its length.
func keyStrings(data []byte) (parts [][]byte, ok bool) {
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, false
		}
		n := int64(binary.BigEndian.Uint32(data))
		if data = data[4:]; n == 0 || n > int64(len(data)) {
			return nil, false
		}
		parts, data = append(parts, data[:n]), data[n:]
	}
	return parts, true
}

// ParseAuthorizedKeys checks the lines of a file of authorised keys, and gives back
// the keys. Options before a key are refused unless they are allowed: some of them
// run commands.
func ParseAuthorizedKeys(text []byte, options bool) (keys []PublicKey, err error) {
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		fail := func(err error) error {
			return fleet.Errorf(fleet.Invalid, "cannot use line %d of the authorised keys: %w", n, err)
		}
		line = strings.TrimRight(line, "\n")
		if len(line) > 2*maxKeyBlob || strings.ContainsAny(line, "\r\x00") {
			return nil, fail(errors.New("it is too long, or no text"))
		}
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		given, rest := cutOptions(line)
		if given != "" && !options {
			return nil, fleet.WithHint(fail(fmt.Errorf("%q stands before a key", clip(given))), "a line is KIND KEY COMMENT; options, which may run commands, count with --allow-options")
		}
		k, _, err := publicKey(rest)
		if err != nil {
			return nil, fail(err)
		}
		if slices.Contains(keys, k) {
			return nil, fail(errors.New("the key is there twice"))
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot use the authorised keys: there is none")
	}
	return keys, nil
}

// cutOptions parts the options of a line from the key. They end at the first blank
// that is not in quotation marks.
func cutOptions(line string) (options, rest string) {
	if kind, _, _ := strings.Cut(line, " "); keyKinds[kind] > 0 {
		return "", line
	}
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return line[:i], strings.TrimLeft(line[i:], " \t")
		}
	}
	return line, ""
}
