package fleet

import (
	"fmt"
	"regexp"
	"strings"
)

// syntaxes are the named forms a column can demand. They decide what may ever
// reach a file name, a DNS zone or a scheduler's command line, so they are
// narrow; they follow what opsi accepts.
var syntaxes = map[string]func(string) error{
	"host":       hostSyntax,
	"object":     objectSyntax,
	"product":    productSyntax,
	"version":    pattern("a product version", `^[A-Za-z0-9.]{1,32}$`),
	"package":    pattern("a package version", `^[A-Za-z0-9.]{1,16}$`),
	"config":     pattern("a config id", `^[a-z0-9._{}:|\\ -]{1,200}$`),
	"property":   pattern("a property id", `^[a-z0-9._-]{1,200}$`),
	"group":      pattern("a group id", `^[^\x00-\x1f\x7f/\\;]{1,255}$`),
	"license":    pattern("a licence id", `^[A-Za-z0-9 ._-]{1,100}$`),
	"mac":        pattern("a hardware address (aa:bb:cc:dd:ee:ff)", `^([0-9a-f]{2}:){5}[0-9a-f]{2}$`),
	"hostkey":    pattern("a host key (32 hexadecimal digits)", `^[0-9a-f]{32}$`),
	"ip":         pattern("an IP address", `^[0-9a-f:.]{2,45}$`),
	"network":    pattern("a network address", `^[0-9a-f:.]{2,45}(/[0-9]{1,3}|/[0-9.]{7,15})?$`),
	"nodetype":   pattern("a node type (a lower-case letter, then up to 30 letters, digits and -)", `^[a-z][a-z0-9-]{0,30}$`),
	"user":       pattern("a user name", `^[a-z][a-z0-9._@-]{0,63}$`),
	"uuid":       pattern("a UUID", `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"hwclass":    pattern("a hardware class", `^[A-Z][A-Z0-9_]{0,63}$`),
	"url":        pattern("an address (scheme://...)", `^[a-z][a-z0-9+.-]*://[^\s\x00-\x1f]{1,1000}$`),
	"scriptname": scriptSyntax,
}

var productSyntax = pattern("a product id (lower-case letters, digits, - _ .)", `^[a-z0-9][a-z0-9._-]{0,127}$`)

func pattern(what, expr string) func(string) error {
	re := regexp.MustCompile(expr)
	return func(s string) error {
		if !re.MatchString(s) {
			return fmt.Errorf("%q is not %s", s, what)
		}
		return nil
	}
}

var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// hostSyntax is opsi's: a fully qualified name of at least three labels.
func hostSyntax(s string) error {
	labels := strings.Split(s, ".")
	if len(labels) < 3 || len(s) > 253 {
		return fmt.Errorf("%q is not a host id: it wants a full name such as pc1.example.org", s)
	}
	for _, l := range labels {
		if !label.MatchString(l) {
			return fmt.Errorf("%q is not a host id: %q is not a DNS label", s, l)
		}
	}
	return nil
}

// objectSyntax is a host id or a product id: members of groups are either.
func objectSyntax(s string) error {
	if hostSyntax(s) == nil {
		return nil
	}
	return productSyntax(s)
}

// scriptSyntax keeps a product's script inside the product's folder.
func scriptSyntax(s string) error {
	s = strings.ReplaceAll(s, `\`, "/")
	if strings.HasPrefix(s, "/") || strings.Contains(s, ":") {
		return fmt.Errorf("%q is not a path inside the product", s)
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == ".." {
			return fmt.Errorf("%q leaves the product's folder", s)
		}
	}
	return nil
}

// ValidHostID checks a host id.
func ValidHostID(s string) error { return hostSyntax(s) }

// ValidProductID checks a product id.
func ValidProductID(s string) error { return productSyntax(s) }
