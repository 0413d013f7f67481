// Package enrol is what a machine and its server say to each other when the
// machine joins, and at every contact afterwards.
//
// A machine makes its own key and sends a request for a certificate, with a
// token, a one-time password, or nothing but the wish. What comes back is an
// identity: a name that nobody else ever had, a certificate, the host key that
// opsi's protocol wants, and the authorities to believe. From then on each
// [Contact] proves that there is one such machine, and brings what must reach
// every host whether or not it does anything else: the revocations, a renewed
// certificate in time, new authorities.
//
// Every field has a syntax of its own, checked where it is read: names end in
// zone files, in certificates, and on command lines.
package enrol

import "time"

// Purpose is what a certificate is good for. One kind does not open another's door.
type Purpose string

// The purposes.
const (
	Host   Purpose = "host"   // the machine itself, to its server
	Tunnel Purpose = "tunnel" // one tunnel of it; derived, and short-lived
)

// Grant is what a server decided to certify of a key. The authority signs it as
// it is: deciding and signing are two rooms.
type Grant struct {
	Purpose  Purpose
	HostID   string
	NodeType string        // "" or a short word; see [ValidNodeType]
	Tunnel   string        // the tunnel's name, of [Tunnel]
	Life     time.Duration // 0: the authority's own for the purpose
}

// Certificate is what an authority made of a grant.
type Certificate struct {
	Chain    []byte // PEM: the certificate, then those up to the root, without it
	Serial   string // hexadecimal, lower case
	NotAfter time.Time
}

// Versions are the numbers of the signed documents that a host holds, by role.
type Versions map[string]int64

// Contact is what a host says at every contact.
type Contact struct {
	// Last is the mark that the server confirmed at the contact before, "" at the
	// first one; Next is the host's new one, kept before it is sent and sent again
	// until it is confirmed. Two machines with one identity know different marks at
	// the second contact.
	Last string `json:"last"`
	Next string `json:"next"`
	// Machine is what tells machines apart.
	Machine Machine `json:"machine"`
	// Policy is what the host demands of content; see the package trust.
	Policy string `json:"policy"`
	// CRL is the number of the newest list of revocations that the host has seen, 0
	// for none; Roots is the digest of the authorities that it believes.
	CRL   int64  `json:"crl"`
	Roots string `json:"roots"`
	// Serial is the certificate that the host holds, and Trust its documents.
	Serial string   `json:"serial"`
	Trust  Versions `json:"trust,omitempty"`
	// Newer are documents that the server asked for, because it knew older ones: it
	// was restored from a backup. By the names of [Answer.Send].
	Newer map[string][]byte `json:"newer,omitempty"`
}

// Machine is what tells machines apart, as far as it is known.
type Machine struct {
	Hostname        string `json:"hostname,omitempty"`
	SystemUUID      string `json:"systemUUID,omitempty"`
	HardwareAddress string `json:"hardwareAddress,omitempty"`
	BootID          string `json:"bootId,omitempty"`
}

// Answer is what a host gets for a contact. Of a field that is empty nothing is new.
type Answer struct {
	Mark  string `json:"mark"`            // the Next that is confirmed
	CRL   []byte `json:"crl,omitempty"`   // DER, newer than what the host has
	Roots []byte `json:"roots,omitempty"` // PEM, to be believed as the present ones vouch for them
	Renew bool   `json:"renew,omitempty"` // the certificate is due
	// Send names what the server lacks: "crl", or a role of the trust documents.
	Send []string `json:"send,omitempty"`
}
