package control

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decoded is the text of an old file, in whatever its editor wrote it.
func decoded(text []byte) string {
	if rest, ok := bytes.CutPrefix(text, []byte("\ufeff")); ok {
		text = rest
	}
	switch {
	case utf8.Valid(text):
		return string(text)
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}):
		return decodeUTF16(text[2:], binary.LittleEndian)
	case bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		return decodeUTF16(text[2:], binary.BigEndian)
	}
	var b strings.Builder
	for _, c := range text {
		b.WriteRune(windows1252(c))
	}
	return b.String()
}

func decodeUTF16(text []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return string(utf16.Decode(units))
}

// windows1252 is ISO 8859-1 but for these 32 (WHATWG Encoding, index
// windows-1252; what that leaves undefined stays as it is).
func windows1252(c byte) rune {
	const high = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"
	if c < 0x80 || c >= 0xa0 {
		return rune(c)
	}
	return []rune(high)[c-0x80]
}
