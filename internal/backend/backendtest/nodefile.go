package backendtest

import (
	"encoding/base64"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// nodeFileCases are what a server answers about files of node types; an agent has
// none of it.
var nodeFileCases = map[string]func(*bench){
	"nodeFile_set": nodeCase(func(b *bench) {
		file, blob := sampleFile("/etc/motd")
		b.refused(fleet.NotFound, "nodeFile_set", "nothing", file, blob)
		b.refused(fleet.Invalid, "nodeFile_set", kind(), file, base64.StdEncoding.EncodeToString([]byte("other\n")))
		b.call("nodeFile_set", kind(), file, blob)
		b.call("nodeFile_set", kind(), file, blob)
		b.same("files", 1, len(b.call("nodeFile_getObjects").([]any)))
	}),
	"nodeFile_remove": nodeCase(func(b *bench) {
		file, blob := sampleFile("/etc/motd")
		b.refused(fleet.NotFound, "nodeFile_remove", kind(), "/etc/motd")
		b.call("nodeFile_set", kind(), file, blob)
		b.call("nodeFile_remove", kind(), "/etc/motd")
		b.same("files", 0, len(b.call("nodeFile_getObjects").([]any)))
	}),
	"nodeFile_getObjects": nodeCase(func(b *bench) {
		file, blob := sampleFile("/etc/motd")
		b.call("nodeFile_set", kind(), file, blob)
		got := b.call("nodeFile_getObjects", kind()).([]any)[0].(map[string]any)
		b.same("a file", []any{kind(), "/etc/motd", "0644", int64(6), "no"}, []any{got["nodeType"], got["path"], got["mode"], got["size"], got["signed"]})
	}),
	"nodeFile_getList": nodeCase(func(b *bench) {
		file, blob := sampleFile("/etc/motd")
		b.call("nodeFile_set", kind(), file, blob)
		l, err := nodefile.Parse([]byte(b.call("nodeFile_getList", kind()).(string)))
		if err != nil {
			b.Fatal(err)
		}
		b.same("files", 1, len(l.Files))
	}),
	"nodeFile_getStatus":   nodeCase(func(b *bench) { b.same("told", 0, len(b.call("nodeFile_getStatus").([]any))) }),
	"nodeFile_getHostKeys": nodeCase(func(b *bench) { b.same("told", 0, len(b.call("nodeFile_getHostKeys").([]any))) }),
}

// kind is the node type that cases of nodes have.
func kind() string { return strings.ToLower(Sample(fleet.NodeTypes)[0].Str("id")) }

func sampleFile(path string) (file map[string]any, blob string) {
	f := nodefile.File{}
	data, err := f.Seal([]byte("hello\n"), nil)
	if err != nil {
		panic(err) // it is short
	}
	return map[string]any{"path": path, "mode": "0644", "owner": "root", "group": "root", "size": f.Size, "sha256": f.SHA256}, base64.StdEncoding.EncodeToString(data)
}
