package trust

import "strings"

// MaxContent is the most bytes of a target that servers have the content of.
const MaxContent = 1 << 20

// HasContent says whether servers have the bytes of a target, at its
// [Target.ContentPath]. Those of products are on depots.
func HasContent(name string) bool {
	return !strings.HasPrefix(name, "product/") && !strings.HasPrefix(name, "depot/")
}
