package openvpn

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"fmt"
)

// The keys of tls-crypt-v2: each client has one of its own, and shows it wrapped by
// the server's, which keeps none of them. Whoever has no key of a server does not
// get as far as its TLS. The format is OpenVPN's doc/tls-crypt-v2.txt.

const (
	sealSize  = 128 // two halves: for the cipher, for the code of authentication; of each the first 32 bytes count
	clientKey = 256
	// maxWrapped is OpenVPN's own limit.
	maxWrapped = 1024
	halfKey    = 64
)

// Seal is a server's key of tls-crypt-v2.
type Seal [sealSize]byte

// Text is the key as openvpn reads it.
func (s Seal) Text() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "OpenVPN tls-crypt-v2 server key", Bytes: s[:]})
}

// Client makes a key for a client. about stands in it, sealed.
func (s Seal) Client(about string) ([]byte, error) {
	key := make([]byte, clientKey)
	rand.Read(key)
	return s.wrap(key, about)
}

func (s Seal) wrap(key []byte, about string) ([]byte, error) {
	plain := append(append([]byte{}, key...), 0) // 0: what follows is the user's
	plain = append(plain, about...)
	size := sha256.Size + len(plain) + 2
	if size > maxWrapped {
		return nil, fmt.Errorf("cannot make a key for a client: %d bytes about it are too many", len(about))
	}
	length := binary.BigEndian.AppendUint16(nil, uint16(size))
	mac := hmac.New(sha256.New, s[halfKey:halfKey+32])
	mac.Write(length)
	mac.Write(plain)
	tag := mac.Sum(nil)
	block, err := aes.NewCipher(s[:32])
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, len(plain))
	cipher.NewCTR(block, tag[:aes.BlockSize]).XORKeyStream(sealed, plain)
	all := append(append(append([]byte{}, key...), tag...), sealed...)
	return pem.EncodeToMemory(&pem.Block{Type: "OpenVPN tls-crypt-v2 client key", Bytes: append(all, length...)}), nil
}
