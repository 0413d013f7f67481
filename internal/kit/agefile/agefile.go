// Package agefile keeps a secret in a file that opens with a passphrase only: a
// key that lies on an administrator's stick, or in his safe.
//
// The format is age (age-encryption.org/v1) with its scrypt recipient, in the
// armour that survives mail and print: `age -d FILE` opens it too, so nobody
// depends on us to get at his keys. A guess at the passphrase costs an attacker
// what it costs us, about a second and 256 MiB; see [Open] for who may ask how
// much of us.
package agefile

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

const (
	// work is scrypt's log2(N); age's own programs use it too.
	work = 18
	// maxWork is what a file may ask of us: 1 GiB.
	maxWork = 20
	// MaxSecret is the most bytes of a secret.
	MaxSecret = 64 << 10
)

// armour is what age calls its files in PEM (RFC 7468).
const armour = "AGE ENCRYPTED FILE"

// Keeper seals with a work factor; the zero value uses the right one.
type Keeper struct{ Work int }

// ErrPassphrase is the error of a passphrase that does not open the file.
var ErrPassphrase = errors.New("the passphrase does not open it")

// Seal makes the text of a file.
func (k Keeper) Seal(secret []byte, passphrase string) ([]byte, error) {
	if len(secret) > MaxSecret {
		return nil, fmt.Errorf("cannot seal: the secret is longer than %d bytes", MaxSecret)
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err) // it is empty
	}
	to.SetWorkFactor(work)
	if k.Work > 0 {
		to.SetWorkFactor(k.Work)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	if _, err := w.Write(secret); err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: armour, Bytes: out.Bytes()}), nil
}

// Open gets the secret out of a file's text. A wrong passphrase is
// [ErrPassphrase]; a file that was changed is another error. A file that asks for
// more than 1 GiB of memory is refused.
func Open(text []byte, passphrase string) ([]byte, error) {
	by, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, ErrPassphrase // it is empty
	}
	by.SetMaxWorkFactor(maxWork)
	block, rest := pem.Decode(text)
	if block == nil || block.Type != armour || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("cannot open: it is no file of age in armour")
	}
	r, err := age.Decrypt(bytes.NewReader(block.Bytes), by)
	if wrong, ok := errors.AsType[*age.NoIdentityMatchError](err); ok && strings.Contains(wrong.Error(), "incorrect passphrase") {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open: %w", err)
	}
	secret, err := io.ReadAll(io.LimitReader(r, MaxSecret+1))
	if err == nil && len(secret) > MaxSecret {
		err = fmt.Errorf("the secret is longer than %d bytes", MaxSecret)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open: %w", err)
	}
	return secret, nil
}
