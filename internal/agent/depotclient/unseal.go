package depotclient

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"unicode/utf8"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 what opsi servers send

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxSealed is the longest sealed password, in hexadecimal digits.
const maxSealed = 2048

// unseal opens a password that a server encrypted for this host: Blowfish in CBC
// mode with opsi's fixed first block, the host key as key, filled up with zeros.
// It hides the password from nobody who has the host key, and proves nothing;
// the connection does.
func unseal(text, hostKey string) (string, error) {
	bad := fleet.Errorf(fleet.Invalid, "cannot read the password that the server sent: it was not made with this host's key")
	key, err := hex.DecodeString(hostKey)
	if err != nil || len(text) == 0 || len(text) > maxSealed {
		return "", bad
	}
	data, err := hex.DecodeString(text)
	if err != nil || len(data)%blowfish.BlockSize != 0 {
		return "", bad
	}
	block, err := blowfish.NewCipher(key)
	if err != nil {
		return "", bad
	}
	cipher.NewCBCDecrypter(block, []byte("OPSI1234")).CryptBlocks(data, data)
	data = bytes.TrimRight(data, "\x00")
	if len(data) == 0 || !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return "", bad
	}
	return string(data), nil
}
