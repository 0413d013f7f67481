package methods_test

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// kept has files of two hosts, as far as the matrix needs them.
type kept struct{}

func (kept) Set(*store.Tx, store.Origin, string, nodefile.File, []byte) error { return nil }
func (kept) Remove(*store.Tx, store.Origin, string, string) error             { return nil }
func (kept) Types(*store.Tx) ([]string, error)                                { return []string{"vnode"}, nil }
func (kept) List(_ *store.Tx, nodeType string) (own, signed *nodefile.List, err error) {
	return &nodefile.List{NodeType: nodeType}, nil, nil
}
func (kept) Status(*store.Tx) ([]port.NodeFileHost, error) {
	return []port.NodeFileHost{{HostID: own}, {HostID: others}}, nil
}
func (kept) HostKeys(*store.Tx) ([]port.HostKeys, error) {
	return []port.HostKeys{{HostID: own}, {HostID: others}}, nil
}

func init() {
	none := func(string) []any { return nil }
	file := map[string]any{"path": "/etc/motd", "mode": "0644", "owner": "root", "group": "root", "size": int64(0), "sha256": strings.Repeat("a", 64)}
	handArguments["nodeFile_set"] = func(string) []any { return []any{"vnode", file, ""} }
	handArguments["nodeFile_remove"] = func(string) []any { return []any{"vnode", "/etc/motd"} }
	handArguments["nodeFile_getObjects"] = none
	handArguments["nodeFile_getList"] = func(string) []any { return []any{"vnode"} }
	handArguments["nodeFile_getStatus"] = none
	handArguments["nodeFile_getHostKeys"] = none
}
