package enrol

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Token is what an administrator hands to machines that shall join: where the
// server is, by what it is known, and a secret that opens its door so many times.
//
// As a text it is
//
//	fw1.BODY.SUM
//
// BODY is the token in JSON, in base64url without padding; SUM is the CRC-32 of
// BODY's text in hexadecimal, so that one that was cut or mistyped says so before
// anything is asked of anybody. It protects from mistakes; what protects from
// others is the secret. All of it is in letters, digits, - _ and dots: it needs
// no quotes in a shell, a URL, a kernel command line or a YAML file.
type Token struct {
	ID        string   `json:"i"`           // by which the server knows it; no secret
	Secret    string   `json:"s"`           // 128 bits or more, base64url
	Addresses []string `json:"a"`           // HOST:PORT of the server, the likeliest first
	CA        string   `json:"c"`           // SHA-256 of the server's authority, hexadecimal
	Root      *Root    `json:"r,omitempty"` // of the trust in content
	Policy    Policy   `json:"p,omitempty"` // what the machine shall demand of content
	NodeType  string   `json:"t,omitempty"` // what the machine is
	Expires   int64    `json:"e"`           // Unix seconds
}

// Root pins the trust in content: one version of the root document.
type Root struct {
	Version int64  `json:"v"`
	SHA256  string `json:"h"` // hexadecimal
}

// Check says what is wrong with a pin.
func (r Root) Check() error {
	if r.Version < 1 || !digest.MatchString(r.SHA256) {
		return errors.New("its root of trust is no version and SHA-256")
	}
	return nil
}

const (
	tokenPrefix = "fw1."
	// maxToken fits a kernel command line (2048 bytes on x86) with room for the rest.
	maxToken     = 1500
	maxAddresses = 4
	leastSecret  = 16 // bytes
	mostSecret   = 64
)

var (
	tokenID = regexp.MustCompile(`^[a-z0-9]{8,32}$`)
	digest  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	dnsName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	address = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4}$`)
)

// ErrDamaged says that a token's text is not what was printed.
var ErrDamaged = errors.New("it was cut or mistyped")

// Check says what is wrong with a token.
func (t Token) Check() error {
	secret, err := base64.RawURLEncoding.Strict().DecodeString(t.Secret)
	switch {
	case !tokenID.MatchString(t.ID):
		return errors.New("its id is not 8 to 32 lower-case letters and digits")
	case err != nil || len(secret) < leastSecret || len(secret) > mostSecret:
		return fmt.Errorf("its secret is not %d to %d bytes in base64url", leastSecret, mostSecret)
	case len(t.Addresses) == 0 || len(t.Addresses) > maxAddresses:
		return fmt.Errorf("it names %d addresses of the server: 1 to %d are right", len(t.Addresses), maxAddresses)
	case !digest.MatchString(t.CA):
		return errors.New("its fingerprint of the authority is no SHA-256 in lower-case hexadecimal")
	case t.Root != nil && t.Root.Check() != nil:
		return t.Root.Check()
	case t.Expires <= 0 || t.Expires > 1<<40:
		return errors.New("its end is no time")
	}
	for _, a := range t.Addresses {
		if err := ValidAddress(a); err != nil {
			return err
		}
	}
	if t.NodeType != "" {
		if err := ValidNodeType(t.NodeType); err != nil {
			return err
		}
	}
	return ValidPolicy(t.Policy)
}

// ValidAddress checks HOST:PORT as a token carries it: a DNS name in lower case,
// or an IP address, which IPv6 has in brackets.
func ValidAddress(s string) error {
	if address.MatchString(s) && len(s) <= 260 {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "%q is not HOST:PORT of a server", s)
}

// Text prints a token.
func (t Token) Text() (string, error) {
	if err := t.Check(); err != nil {
		return "", fleet.Errorf(fleet.Invalid, "cannot make the token: %w", err)
	}
	data, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	body := base64.RawURLEncoding.EncodeToString(data)
	text := tokenPrefix + body + "." + sum(body)
	if len(text) > maxToken {
		return "", fleet.Errorf(fleet.TooLarge, "cannot make the token: it has %d characters, %d is the most", len(text), maxToken)
	}
	return text, nil
}

func sum(body string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) }

// ParseToken reads a token's text. Space around it does not count: it comes from
// files and clipboards. What else is not exactly what [Token.Text] prints is
// refused; the error never has the token's text in it.
func ParseToken(text string) (Token, error) {
	bad := func(err error) (Token, error) {
		return Token{}, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use the token: %w", err), "copy all of it, from fw1. to its end; or make another: fernwerk token create")
	}
	if len(text) > 2*maxToken {
		return bad(errors.New("it is too long"))
	}
	text = strings.TrimSpace(text)
	rest, ours := strings.CutPrefix(text, tokenPrefix)
	if !ours {
		return bad(errors.New("it does not begin with " + tokenPrefix))
	}
	body, check, whole := strings.Cut(rest, ".")
	if !whole || check != sum(body) {
		return bad(ErrDamaged)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return bad(ErrDamaged)
	}
	var t Token
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return bad(errors.New("it is of another version"))
	}
	again, err := t.Text()
	if err != nil {
		return bad(errors.Unwrap(err))
	}
	if again != text {
		return bad(errors.New("it is written in another way than a server writes it"))
	}
	return t, nil
}
