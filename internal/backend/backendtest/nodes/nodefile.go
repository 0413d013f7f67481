package nodes

import (
	"encoding/base64"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// nodeFileCases are what a server answers about files of node types; an agent has
// none of it.
var nodeFileCases = bench.Cases{
	"nodeFile_set": nodeCase(func(b *bench.Bench) {
		file, blob := sampleFile("/etc/motd")
		b.Refused(fleet.NotFound, "nodeFile_set", "nothing", file, blob)
		b.Refused(fleet.Invalid, "nodeFile_set", kind(), file, base64.StdEncoding.EncodeToString([]byte("other\n")))
		b.Call("nodeFile_set", kind(), file, blob)
		b.Call("nodeFile_set", kind(), file, blob)
		b.Same("files", 1, len(b.Call("nodeFile_getObjects").([]any)))
	}),
	"nodeFile_remove": nodeCase(func(b *bench.Bench) {
		file, blob := sampleFile("/etc/motd")
		b.Refused(fleet.NotFound, "nodeFile_remove", kind(), "/etc/motd")
		b.Call("nodeFile_set", kind(), file, blob)
		b.Call("nodeFile_remove", kind(), "/etc/motd")
		b.Same("files", 0, len(b.Call("nodeFile_getObjects").([]any)))
	}),
	"nodeFile_getObjects": nodeCase(func(b *bench.Bench) {
		file, blob := sampleFile("/etc/motd")
		b.Call("nodeFile_set", kind(), file, blob)
		got := b.Call("nodeFile_getObjects", kind()).([]any)[0].(map[string]any)
		b.Same("a file", []any{kind(), "/etc/motd", "0644", int64(6), "no"}, []any{got["nodeType"], got["path"], got["mode"], got["size"], got["signed"]})
	}),
	"nodeFile_getList": nodeCase(func(b *bench.Bench) {
		file, blob := sampleFile("/etc/motd")
		b.Call("nodeFile_set", kind(), file, blob)
		l, err := nodefile.Parse([]byte(b.Call("nodeFile_getList", kind()).(string)))
		if err != nil {
			b.Fatal(err)
		}
		b.Same("files", 1, len(l.Files))
	}),
	"nodeFile_getStatus":   nodeCase(func(b *bench.Bench) { b.Same("told", 0, len(b.Call("nodeFile_getStatus").([]any))) }),
	"nodeFile_getHostKeys": nodeCase(func(b *bench.Bench) { b.Same("told", 0, len(b.Call("nodeFile_getHostKeys").([]any))) }),
}

// kind is the node type that cases of nodes have.
func kind() string { return strings.ToLower(bench.Sample(fleet.NodeTypes)[0].Str("id")) }

func sampleFile(path string) (file map[string]any, blob string) {
	f := nodefile.File{}
	data, err := f.Seal([]byte("hello\n"), nil)
	if err != nil {
		panic(err) // it is short
	}
	return map[string]any{"path": path, "mode": "0644", "owner": "root", "group": "root", "size": f.Size, "sha256": f.SHA256}, base64.StdEncoding.EncodeToString(data)
}
