package feed

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// MaxKey is how large a key file may be.
const MaxKey = 64 << 10

const leastRSA = 2048

// Renew is what to do about a key or a signature of former times.
const Renew = `make a new key with "fernwerk feed init", sign the feed anew, and give the nodes the new fingerprint`

// PublicKey is a key that nodes pin.
type PublicKey struct{ entity *openpgp.Entity }

// PrivateKey signs. It is made and used away from the server.
type PrivateKey struct{ entity *openpgp.Entity }

// NewKey makes a key: version 4 and Ed25519, which GnuPG 2.1 and later know. It
// has no second key for encryption.
func NewKey(site string, now time.Time) (*PrivateKey, error) {
	e, err := openpgp.NewEntity("Fernwerk feed "+site, "", "", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512, Time: func() time.Time { return now }})
	if err != nil {
		return nil, fmt.Errorf("cannot make the feed's key: %w", err)
	}
	e.Subkeys = nil
	return &PrivateKey{e}, nil
}

// Seal prints the key, locked with a passphrase. GnuPG imports it.
func (k *PrivateKey) Seal(passphrase string) ([]byte, error) {
	if passphrase == "" {
		return nil, fleet.Errorf(fleet.Invalid, "cannot seal the feed's key: the passphrase is empty")
	}
	var plain bytes.Buffer
	if err := k.entity.SerializePrivateWithoutSigning(&plain, nil); err != nil {
		return nil, fmt.Errorf("cannot seal the feed's key: %w", err)
	}
	sealed, err := openpgp.ReadEntity(packet.NewReader(&plain))
	if err == nil {
		err = sealed.EncryptPrivateKeys([]byte(passphrase), &packet.Config{DefaultCipher: packet.CipherAES256, DefaultHash: crypto.SHA256,
			S2KConfig: &s2k.Config{S2KMode: s2k.IteratedSaltedS2K, Hash: crypto.SHA256, S2KCount: 65011712}})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot seal the feed's key: %w", err)
	}
	return armoured(openpgp.PrivateKeyType, func(w io.Writer) error { return sealed.SerializePrivateWithoutSigning(w, nil) })
}

// OpenKey reads a sealed key.
func OpenKey(file []byte, passphrase string) (*PrivateKey, error) {
	e, err := readEntity(file, openpgp.PrivateKeyType)
	if err != nil {
		return nil, err
	}
	if e.PrivateKey == nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the feed's key: it is only a public one")
	}
	if e.PrivateKey.Encrypted {
		if err := e.PrivateKey.Decrypt([]byte(passphrase)); err != nil {
			return nil, fleet.Errorf(fleet.Denied, "cannot open the feed's key: the passphrase is wrong")
		}
	}
	return &PrivateKey{e}, judgeKey(e.PrimaryKey)
}

// Public is the key that nodes get.
func (k *PrivateKey) Public() *PublicKey { return &PublicKey{k.entity} }

// ReadKey reads one public key, as `gpg --export --armor` prints it.
func ReadKey(file []byte) (*PublicKey, error) {
	e, err := readEntity(file, openpgp.PublicKeyType)
	if err != nil {
		return nil, err
	}
	return &PublicKey{e}, judgeKey(e.PrimaryKey)
}

// Print is the key in armour.
func (k *PublicKey) Print() ([]byte, error) {
	return armoured(openpgp.PublicKeyType, k.entity.Serialize)
}

// Fingerprint is 40 hexadecimal digits, as GnuPG shows it.
func (k *PublicKey) Fingerprint() string {
	return strings.ToUpper(hex.EncodeToString(k.entity.PrimaryKey.Fingerprint))
}

// CheckFingerprint tells whether a key is the one that somebody wrote down, with
// or without blanks.
func (k *PublicKey) CheckFingerprint(want string) error {
	if plain := strings.ToUpper(strings.ReplaceAll(want, " ", "")); plain != k.Fingerprint() {
		return fleet.Errorf(fleet.Denied, "the feed's key is %s, not %s", k.Fingerprint(), plain)
	}
	return nil
}

func readEntity(file []byte, kind string) (*openpgp.Entity, error) {
	if len(file) > MaxKey {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot read the feed's key: it is larger than %d bytes", MaxKey)
	}
	// Text around the block may hold another key, which GnuPG would take as well.
	plain := strings.TrimSpace(string(file))
	begin, end := "-----BEGIN "+kind+"-----", "-----END "+kind+"-----"
	if strings.Count(plain, "-----BEGIN") != 1 || !strings.HasPrefix(plain, begin) || !strings.HasSuffix(plain, end) {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the feed's key: it is not one %s alone", kind)
	}
	block, err := armor.Decode(strings.NewReader(plain))
	if err != nil || block.Type != kind {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the feed's key: it is no %s", kind)
	}
	packets := packet.NewReader(io.LimitReader(block.Body, MaxKey))
	e, err := openpgp.ReadEntity(packets)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot read the feed's key: %w", err), Renew)
	}
	if rest, _ := io.ReadAll(block.Body); len(rest) > 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the feed's key: there is more than one")
	}
	if _, err := packets.Next(); err != io.EOF {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the feed's key: there is more than one")
	}
	return e, nil
}

// judgeKey refuses keys that are too weak to run programs by.
func judgeKey(k *packet.PublicKey) error {
	bits, err := k.BitLength()
	switch k.PubKeyAlgo {
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519, packet.PubKeyAlgoECDSA:
		return nil
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		if err == nil && bits >= leastRSA {
			return nil
		}
		return weak(fmt.Sprintf("its key is RSA with %d bits", bits))
	case packet.PubKeyAlgoDSA:
		return weak(fmt.Sprintf("its key is DSA with %d bits", bits))
	}
	return weak("its key is of a kind that is not known")
}

func weak(why string) error {
	return fleet.WithHint(fleet.Errorf(fleet.Denied, "the feed is refused as weak: %s", why), Renew)
}

func armoured(kind string, write func(io.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	w, err := armor.EncodeWithChecksumOption(&b, kind, nil, true) // GnuPG 2.2 wants one
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot print the feed's key: %w", err)
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n'), nil
}
