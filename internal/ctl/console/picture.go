package console

import (
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"
)

// Picture draws a QR code, two rows a line, with the quiet zone that scanners
// want. It is drawn light on dark, whatever the terminal's colours.
func Picture(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("cannot draw the secret: %w", err)
	}
	const quiet = 2
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[97;40m")
		for x := -quiet; x < code.Size+quiet; x++ {
			// Black outside the code is false: light.
			switch upper, lower := !code.Black(x, y), !code.Black(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteRune(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}
