// Package sealed wraps a short secret so that only one host reads it: what
// opsi's clients get as the password of the depot's file share, in the form that
// they read.
//
// The form is fixed and old: Blowfish in CBC mode under the 16 bytes of the host
// key with a constant start vector, filled up with zero bytes, in hexadecimal
// digits. It hides a password from whoever reads a log or a cache, no more: it
// travels over TLS, to a host that proved its key. Nothing else may use it.
package sealed

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/blowfish" //nolint:staticcheck // the form is opsi's

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// start is the constant start vector of opsi's clients and servers.
const start = "OPSI1234"

// Longest is how many bytes a secret may have.
const Longest = 64 << 10

// Seal wraps a secret for the host with this key.
func Seal(hostKey, secret string) (string, error) {
	if len(secret) > Longest || strings.ContainsRune(secret, 0) {
		return "", fleet.Errorf(fleet.Invalid, "cannot seal a secret: it is longer than %d bytes or holds a zero byte", Longest)
	}
	block, err := blockOf(hostKey)
	if err != nil {
		return "", err
	}
	data := []byte(secret)
	for len(data)%blowfish.BlockSize != 0 {
		data = append(data, 0)
	}
	cipher.NewCBCEncrypter(block, []byte(start)).CryptBlocks(data, data)
	return hex.EncodeToString(data), nil
}

// Open is the secret that was sealed for the host with this key. Another key
// gives other bytes, which is not noticed; only text is accepted.
func Open(hostKey, text string) (string, error) {
	block, err := blockOf(hostKey)
	if err != nil {
		return "", err
	}
	data, err := hex.DecodeString(text)
	if err != nil || len(data)%blowfish.BlockSize != 0 || len(data) > Longest+blowfish.BlockSize {
		return "", fleet.Errorf(fleet.Invalid, "cannot open a sealed secret: it is no run of whole blocks in hexadecimal digits")
	}
	cipher.NewCBCDecrypter(block, []byte(start)).CryptBlocks(data, data)
	data = bytes.TrimRight(data, "\x00")
	if bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) {
		return "", fleet.Errorf(fleet.Invalid, "cannot open a sealed secret: it is not sealed for this host")
	}
	return string(data), nil
}

func blockOf(hostKey string) (cipher.Block, error) {
	key, err := hex.DecodeString(hostKey)
	if err == nil && len(key) != 16 {
		err = fmt.Errorf("it has %d bytes, not 16", len(key))
	}
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot use a host key: %w", err)
	}
	return blowfish.NewCipher(key)
}
