package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // RFC 6238's, and what every authenticator does
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"time"
)

// One-time codes by time (RFC 6238): six digits, a new code every 30 seconds.
const (
	codeStep   = 30 * time.Second
	codeDigits = 6
	// codeWindow is how many steps a clock may be off, in both directions.
	codeWindow = 1
)

var codeAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// newCodeSecret is 160 random bits, as RFC 4226 recommends, in base32.
func newCodeSecret() string {
	var b [20]byte
	rand.Read(b[:])
	return codeAlphabet.EncodeToString(b[:])
}

// codeAt is the code of one step.
func codeAt(secret []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac := hmac.New(sha1.New, secret)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1_000_000)
}

// codeStepOf is the step that a code is of, and false for a wrong code or one
// of a step that is not after the last one used: a code counts once.
func codeStepOf(secret, code string, last int64, now time.Time) (int64, bool) {
	key, err := codeAlphabet.DecodeString(secret)
	if err != nil || len(key) == 0 {
		return 0, false
	}
	current := now.Unix() / int64(codeStep/time.Second)
	found, ok := int64(0), false
	for step := current - codeWindow; step <= current+codeWindow; step++ {
		if subtle.ConstantTimeCompare([]byte(codeAt(key, step)), []byte(code)) == 1 && step > last {
			found, ok = step, true
		}
	}
	return found, ok
}

// splitCode takes the code off the end of a password that it was appended to.
func splitCode(password string) (rest, code string, ok bool) {
	at := len(password) - codeDigits
	if at < 1 {
		return password, "", false
	}
	for _, c := range []byte(password[at:]) {
		if c < '0' || c > '9' {
			return password, "", false
		}
	}
	return password[:at], password[at:], true
}

// codeURI is what authenticators scan. The server's name tells accounts of the
// same name apart.
func codeURI(server, name, secret string) string {
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + server + ":" + name,
		RawQuery: "secret=" + secret + "&issuer=" + url.QueryEscape(server)}
	return u.String()
}
