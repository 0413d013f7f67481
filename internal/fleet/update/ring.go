package update

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Whole is all hosts, in the unit of [Ring]: hundredths of a per cent.
const Whole = 10_000

// Ring is a host's place in the order in which an update reaches the fleet, 0 to
// [Whole]-1. The update is offered to the hosts whose place is smaller than what
// was published, so a larger part always holds a smaller one.
//
// It is computed so, and never otherwise, because a host that was in must not
// fall out: SHA-256 of the text "fernwerk-update ring 1\n", the update's id, "\n"
// and the host's id in lower case; its first eight bytes, read as a number with
// the high byte first, times 10,000, divided by 2 to the 64th, rounded down.
func Ring(hostID, updateID string) int {
	sum := sha256.Sum256([]byte("fernwerk-update ring 1\n" + updateID + "\n" + strings.ToLower(hostID)))
	place, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), Whole)
	return int(place)
}

// ReadShare reads a part of the fleet: "5%", "0.25%", "100%".
func ReadShare(text string) (int, error) {
	number, percent := strings.CutSuffix(text, "%")
	whole, fraction, point := strings.Cut(number, ".")
	n, err := strconv.Atoi(whole + (fraction + "00")[:2])
	if !percent || err != nil || len(fraction) > 2 || point && fraction == "" || whole == "" || strings.ContainsAny(number, "+-") || n > Whole {
		return 0, fleet.Errorf(fleet.Invalid, "%q is not a part of the fleet such as 5%% or 0.25%%, up to 100%%", text)
	}
	return n, nil
}

// Share prints a part of the fleet.
func Share(n int) string {
	text := strings.TrimRight(fmt.Sprintf("%d.%02d", n/100, n%100), "0")
	return strings.TrimSuffix(text, ".") + "%"
}
