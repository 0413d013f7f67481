package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of new hashes: argon2id with 19 MiB, 2 passes, 1 lane, the least
// that OWASP's password storage page recommends; about 20 ms here. A stored hash
// names its own, so that they can be raised.
const (
	memoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1
)

// nobody is a hash that no password has: what is checked when there is no such
// account, so that the answer takes as long.
var nobody = encode(memoryKiB, passes, lanes, make([]byte, 16), make([]byte, 32))

// hash makes the stored form of a password:
// $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$SUM.
func hash(password string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	return encode(memoryKiB, passes, lanes, salt, argon2.IDKey([]byte(password), salt, passes, memoryKiB, lanes, 32))
}

func encode(memory, time uint32, threads uint8, salt, sum []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, time, threads, b64(salt), b64(sum))
}

// matches tells whether a password has this hash. A hash that it does not
// understand matches nothing.
func matches(stored, password string) bool {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var memory, time uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil || time == 0 || threads == 0 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	sum, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(sum) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare(sum, argon2.IDKey([]byte(password), salt, time, memory, threads, uint32(len(sum)))) == 1
}
