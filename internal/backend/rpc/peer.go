package rpc

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
)

// peer is what a Server header tells of the other end. Opsi clients derive
// everything from the version there, and opsi servers count on it.
type peer struct {
	name     string // the header, "" if there was none
	version  []int  // of opsi
	fernwerk bool
}

// opsiVersion finds the version as opsi clients do: "opsiconfd 4.3.24 (uvicorn)",
// "opsiclientd config cache service 4.2.0.171".
var opsiVersion = regexp.MustCompile(`(?i)opsi[^0-9]*([0-9]+(?:\.[0-9]+)*)`)

func parsePeer(header string) peer {
	p := peer{name: header, fernwerk: strings.Contains(strings.ToLower(header), "fernwerk")}
	if m := opsiVersion.FindStringSubmatch(header); m != nil {
		for part := range strings.SplitSeq(m[1], ".") {
			n, _ := strconv.Atoi(part) // a number too long for an int is new enough
			p.version = append(p.version, n)
		}
	}
	return p
}

func (p peer) atLeast(version ...int) bool {
	return p.fernwerk || slices.Compare(p.version, version) >= 0
}

// codec is what the peer reads: without a version, JSON is all that is safe.
func (p peer) codec() *wire.Codec {
	if p.atLeast(4, 2, 0, 171) {
		return wire.Msgpack
	}
	return wire.JSON
}

// encoding is what the peer unpacks; "" is nothing.
func (p peer) encoding() string {
	switch {
	case p.fernwerk:
		return "zstd"
	case p.atLeast(4, 2, 0, 171):
		return "lz4"
	}
	return ""
}

// logout tells whether the peer has POST /session/logout.
func (p peer) logout() bool { return p.atLeast(4, 2, 0, 285) }
