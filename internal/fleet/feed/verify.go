package feed

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Signed is a script whose signature was good.
type Signed struct {
	Header
	Text   []byte            // what to run
	Digest [sha256.Size]byte // of Text
	Made   time.Time         // when it was signed, by the signer's clock
}

// Held is what a machine knows of the script that it took last.
type Held struct {
	Serial int64
	Digest [sha256.Size]byte
	Clock  time.Time // no time before this one is believed
}

// Sign clear-signs a rendered script.
func (k *PrivateKey) Sign(text []byte, now time.Time) ([]byte, error) {
	if _, err := ParseHeader(text); err != nil {
		return nil, err
	}
	if err := checkText(string(text)); err != nil {
		return nil, fmt.Errorf("cannot sign the feed: %w", err)
	}
	var b bytes.Buffer
	plainly := false // without a salt in each signature: two of one text may be alike
	w, err := clearsign.Encode(&b, k.entity.PrivateKey, &packet.Config{DefaultHash: crypto.SHA512, Time: func() time.Time { return now },
		NonDeterministicSignaturesViaNotation: &plainly})
	if err == nil {
		_, err = w.Write(bytes.TrimSuffix(text, []byte("\n")))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign the feed: %w", err)
	}
	file, err := withChecksum(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("cannot sign the feed: %w", err)
	}
	back, err := k.Public().Open(file)
	if err == nil && !bytes.Equal(back.Text, text) {
		err = fleet.Errorf(fleet.Invalid, "its text would not come back as it is")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign the feed: %w", err)
	}
	return file, nil
}

// withChecksum puts the checksum behind the signature that today's OpenPGP does
// without: GnuPG 2.2 takes the last line for data where it is missing, and reports
// damage beside the good signature.
func withChecksum(file []byte) ([]byte, error) {
	at := bytes.LastIndex(file, []byte(beginSig))
	if at < 0 {
		return nil, fleet.Errorf(fleet.Invalid, "there is no signature")
	}
	block, err := armor.Decode(bytes.NewReader(file[at:]))
	if err != nil {
		return nil, err
	}
	signature, err := armoured(block.Type, func(w io.Writer) error { _, err := io.Copy(w, block.Body); return err })
	return append(file[:at:at], signature...), err
}

// Open checks a signed file with the one key that counts. Whether it is newer than
// what one has, and still good, [Signed.Follows] tells.
func (k *PublicKey) Open(file []byte) (s Signed, err error) {
	text, armour, err := split(file)
	if err != nil {
		return s, err
	}
	block, err := armor.Decode(bytes.NewReader(armour))
	if err != nil {
		return s, fleet.Errorf(fleet.Denied, "the script is refused: its signature cannot be read: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(block.Body, MaxKey))
	if err != nil {
		return s, fleet.Errorf(fleet.Denied, "the script is refused: its signature cannot be read: %w", err)
	}
	if err := judgeSignature(raw); err != nil {
		return s, err
	}
	if s.Made, err = k.check(text, raw); err != nil {
		return s, err
	}
	if s.Header, err = ParseHeader([]byte(text)); err != nil {
		return s, err
	}
	s.Text, s.Digest = []byte(text), sha256.Sum256([]byte(text))
	return s, nil
}

// check checks the one signature over the text as OpenPGP wants it: with CRLF
// between the lines, without the last line end.
func (k *PublicKey) check(text string, raw []byte) (made time.Time, err error) {
	packets := packet.NewReader(bytes.NewReader(raw))
	p, err := packets.Next()
	if err != nil {
		return made, fleet.Errorf(fleet.Denied, "the script is refused: its signature cannot be read: %w", err)
	}
	sig, ok := p.(*packet.Signature)
	if !ok {
		return made, fleet.Errorf(fleet.Denied, "the script is refused: it has no signature")
	}
	if _, err := packets.Next(); err != io.EOF {
		return made, fleet.Errorf(fleet.Denied, "the script is refused: it has more than one signature")
	}
	if sig.SigType != packet.SigTypeText {
		return made, fleet.Errorf(fleet.Denied, "the script is refused: its signature is not one of a text")
	}
	key := k.entity.PrimaryKey
	if sig.IssuerKeyId == nil || *sig.IssuerKeyId != key.KeyId || sig.IssuerFingerprint != nil && !bytes.Equal(sig.IssuerFingerprint, key.Fingerprint) {
		return made, fleet.Errorf(fleet.Denied, "the script is refused: it was not signed with the key %s", k.Fingerprint())
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return made, fleet.Errorf(fleet.Denied, "the script is refused: %w", err)
	}
	io.WriteString(h, strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\r\n"))
	if err := key.VerifySignature(h, sig); err != nil {
		return made, fleet.Errorf(fleet.Denied, "the script is refused: the signature is not good: %w", err)
	}
	return sig.CreationTime, nil
}

// Numbers of RFC 9580, sections 9.1 and 9.5.
var (
	algorithms = map[byte]string{16: "Elgamal", 17: "DSA", 20: "Elgamal"}
	hashes     = map[byte]string{1: "MD5", 2: "SHA-1", 3: "RIPEMD-160", 11: "SHA-224"}
)

// judgeSignature looks at the bytes of a signature before a library does: one of
// GnuPG 1.4 shall be refused for what it is.
func judgeSignature(raw []byte) error {
	body, ok := firstBody(raw)
	if !ok || len(body) < 17 {
		return fleet.Errorf(fleet.Denied, "the script is refused: its signature cannot be read")
	}
	var algorithm, hash byte
	switch body[0] {
	case 2, 3:
		algorithm, hash = body[15], body[16]
	default:
		algorithm, hash = body[2], body[3]
	}
	var why []string
	if name := algorithms[algorithm]; name != "" {
		why = append(why, "it is signed with "+name)
	}
	if name := hashes[hash]; name != "" {
		why = append(why, "it is signed over "+name)
	}
	if body[0] < 4 {
		why = append(why, fmt.Sprintf("its signature is of version %d", body[0]))
	}
	if len(why) > 0 {
		return weak(strings.Join(why, ", "))
	}
	return nil
}

// firstBody is the body of the first packet, of either form of header.
func firstBody(raw []byte) ([]byte, bool) {
	if len(raw) < 3 || raw[0]&0x80 == 0 {
		return nil, false
	}
	if raw[0]&0x40 != 0 { // the new form
		switch {
		case raw[1] < 192:
			return raw[2:], true
		case raw[1] < 224:
			return raw[3:], true
		case raw[1] == 255 && len(raw) > 6:
			return raw[6:], true
		}
		return nil, false
	}
	skip := 1 + 1<<(raw[0]&3)
	if raw[0]&3 == 3 || len(raw) < skip {
		return nil, false
	}
	return raw[skip:], true
}

// Follows tells whether a machine that has held may take s now.
func (s Signed) Follows(held Held, now time.Time) error {
	if now.Before(held.Clock) {
		now = held.Clock
	}
	switch {
	case s.Serial < held.Serial:
		return fleet.Errorf(fleet.Conflict, "the script is refused: its serial %d is lower than %d, which is here", s.Serial, held.Serial)
	case s.Serial == held.Serial && s.Digest != held.Digest:
		return fleet.Errorf(fleet.Conflict, "the script is refused: there is another one of serial %d", s.Serial)
	case now.UTC().Format(day) > s.Expires.UTC().Format(day):
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the script is refused: it expired after %s", s.Expires.UTC().Format(day)),
			"sign the feed anew with a later day, and publish it")
	}
	return nil
}

// After is what a machine holds when it has taken s.
func (s Signed) After(held Held, now time.Time) Held {
	for _, t := range []time.Time{held.Clock, s.Made} {
		if now.Before(t) {
			now = t
		}
	}
	return Held{Serial: s.Serial, Digest: s.Digest, Clock: now}
}
