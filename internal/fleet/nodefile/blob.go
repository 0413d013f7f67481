package nodefile

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// SaltSize is how many random bytes a secret's blob begins with.
const SaltSize = 32

// MaxBlob is the most bytes of a blob.
const MaxBlob = MaxSize + SaltSize

// Seal is a content as it travels, and fills in what the list says of it. The salt
// is SaltSize random bytes for a secret, and is not looked at otherwise.
func (f *File) Seal(content, salt []byte) (blob []byte, err error) {
	if len(content) > MaxSize {
		return nil, fleet.Errorf(fleet.TooLarge, "it has %d bytes, and may have %d", len(content), MaxSize)
	}
	if f.Block {
		if err := validBlock(content); err != nil {
			return nil, err
		}
	}
	if f.Secret {
		if len(salt) != SaltSize {
			return nil, fleet.Errorf(fleet.Internal, "a salt has %d bytes", SaltSize)
		}
		blob = append(blob, salt...)
	}
	blob = append(blob, content...)
	f.Size, f.SHA256 = int64(len(content)), Sum(blob)
	return blob, nil
}

// Sum is the digest of a blob in hexadecimal.
func Sum(blob []byte) string {
	sum := sha256.Sum256(blob)
	return hex.EncodeToString(sum[:])
}

// Open is the content of a blob that is what the list says; else the code of the
// error is Denied.
func (f File) Open(blob []byte) ([]byte, error) {
	salt := 0
	if f.Secret {
		salt = SaltSize
	}
	if int64(len(blob)) != f.Size+int64(salt) || subtle.ConstantTimeCompare([]byte(Sum(blob)), []byte(f.SHA256)) != 1 {
		return nil, fleet.Errorf(fleet.Denied, "what came for %s is not what the list names", f.Path)
	}
	content := blob[salt:]
	if f.Block {
		if err := validBlock(content); err != nil {
			return nil, err
		}
	}
	return content, nil
}
