// Package nodefile keeps the files of node types: the lists, the contents, and how
// the files are on each host. See package nodefile (fleet) for what is said.
//
//	nodeFileList     a node type's list, as administrators gave it
//	nodeFileBlob     which contents are kept for a type; they lie sealed among the
//	                 cluster's secrets, public ones too
//	nodeFileHost     what a host told last
//	nodeHostKey      a public key of a host's SSH server
//
// A host hears of the list of the type that it joined as, and of no other. Where it
// believes signed lists only, it fetches the list as a target, and is given here
// the contents that the server's list or the signed one names. So a content is kept
// until neither does.
//
// A key of an SSH server that takes the place of another is believed, since the
// host proved itself by its certificate; it is noted in the host's history, and
// said with the keys.
package nodefile

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

type list struct {
	NodeType  string `col:"nodeType,ident,lower,owner=nodeType.id"`
	Text      string `col:"text"`
	Sum       string `col:"sum"`
	ChangedAt string `col:"changedAt,time"`
	ChangedBy string `col:"changedBy"`
}

type blob struct {
	NodeType string `col:"nodeType,ident"`
	Sum      string `col:"sum,ident"`
}

type host struct {
	HostID string `col:"hostId,ident,lower,owner=host.id"`
	List   string `col:"list"` // digest of the list that it follows
	Signed bool   `col:"signed"`
	Report string `col:"report"` // JSON of the report
	Told   string `col:"told,time"`
}

type hostKey struct {
	HostID string `col:"hostId,ident,lower,owner=host.id"`
	Kind   string `col:"kind,ident"`
	Blob   string `col:"blob"`
	Since  string `col:"since,time"`
	Former string `col:"former"` // fingerprint of the key whose place it took
}

var (
	lists    = fleet.LocalClass[list]("nodeFileList")
	blobs    = fleet.LocalClass[blob]("nodeFileBlob")
	hosts    = fleet.LocalClass[host]("nodeFileHost")
	hostKeys = fleet.LocalClass[hostKey]("nodeHostKey")
)

// Classes are for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{lists, blobs, hosts, hostKeys} }

// Vault keeps contents sealed.
type Vault interface {
	Keep(tx *store.Tx, name string, plain []byte) error
	Find(tx *store.Tx, name string) ([]byte, error) // nil for none
	Forget(tx *store.Tx, name string) error
}

// Config is what Files work with.
type Config struct {
	Store *store.Store
	Vault Vault
	// Identity is the node type that a host joined as; counts is false for one that
	// is gone or revoked.
	Identity func(tx *store.Tx, hostID string) (nodeType string, counts bool, err error)
	// Claimed tells whether the node type is the host's own word, as that of a machine
	// that joined by a token for any: it is given no secrets.
	Claimed func(tx *store.Tx, hostID string) (bool, error)
	// Signed is the content of a target that was signed offline; NotFound for none.
	Signed func(tx *store.Tx, name string) ([]byte, error)
	// Names are the names of a host in tunnels, the best one first.
	Names func(tx *store.Tx) (map[string][]string, error)
	Every time.Duration // hosts ask again
	Log   *slog.Logger
}

// Files is the part.
type Files struct {
	Config
	pace *pace
}

// New makes Files. It has nothing to serve by itself.
func New(c Config) *Files { return &Files{c, newPace()} }

func (f *Files) own(tx *store.Tx, nodeType string) (*nodefile.List, list, error) {
	r, err := tx.ByKey(lists, nodeType)
	if err != nil || r == nil {
		return &nodefile.List{NodeType: nodeType}, list{NodeType: nodeType, Sum: noFiles(nodeType)}, err
	}
	var row list
	lists.Decode(r, &row)
	l, err := nodefile.Parse([]byte(row.Text))
	return l, row, err
}

// noFiles is the digest of a type's list without files.
func noFiles(nodeType string) string {
	text, err := (&nodefile.List{NodeType: nodeType}).Bytes()
	if err != nil {
		return "" // the type was let in when the host joined
	}
	return nodefile.Sum(text)
}

// signed is the list that was signed offline; nil for none.
func (f *Files) signed(tx *store.Tx, nodeType string) (*nodefile.List, string, error) {
	if f.Signed == nil {
		return nil, "", nil
	}
	data, err := f.Signed(tx, nodefile.Target(nodeType))
	if fleet.CodeOf(err) == fleet.NotFound {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	l, err := nodefile.Parse(data)
	if err == nil && l.NodeType != nodeType {
		err = fleet.Errorf(fleet.Invalid, "the list signed for %s is that of %s", nodeType, l.NodeType)
	}
	return l, nodefile.Sum(data), err
}

func secretName(nodeType, sum string) string { return "nodefile " + nodeType + " " + sum }

// Set implements [port.NodeFiles].
func (f *Files) Set(tx *store.Tx, by store.Origin, nodeType string, file nodefile.File, data []byte) error {
	fail := func(err error) error {
		return fleet.Errorf(fleet.CodeOf(err), "cannot give nodes of type %s %s: %w", nodeType, file.Path, err)
	}
	if err := known(tx, nodeType); err != nil {
		return fail(err)
	}
	if err := file.Check(); err != nil {
		return fail(err)
	}
	if _, err := file.Open(data); err != nil {
		return fail(fleet.Errorf(fleet.Invalid, "%w", err))
	}
	l, row, err := f.own(tx, nodeType)
	if err != nil {
		return fail(err)
	}
	before, there := l.Find(file.Path)
	if err := f.put(tx, by, l.With(file), row); err != nil {
		return fail(err)
	}
	if err := f.Vault.Keep(tx, secretName(nodeType, file.SHA256), data); err != nil {
		return fail(err)
	}
	if err := tx.Put(blobs, blobs.Encode(blob{nodeType, file.SHA256})); err != nil {
		return fail(err)
	}
	details := fleet.Row{"path": file.Path, "mode": file.Mode.String(), "owner": file.Owner, "group": file.Group, "size": file.Size, "sha256": file.SHA256, "secret": file.Secret,
		"block": file.Block, "restart": strings.Join(file.Restart, " ")}
	if there {
		details["before"] = before.SHA256
	}
	if err := tx.Note(fleet.NodeTypes.Name, nodeType, "file", details); err != nil {
		return fail(err)
	}
	return f.sweep(tx, nodeType)
}

// Remove implements [port.NodeFiles].
func (f *Files) Remove(tx *store.Tx, by store.Origin, nodeType, path string) error {
	l, row, err := f.own(tx, nodeType)
	if err != nil {
		return err
	}
	if _, there := l.Find(path); !there {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot take %s from nodes of type %s: it is not in the list", path, nodeType), "list all with: fernwerk node-file list %s", nodeType)
	}
	if err := f.put(tx, by, l.Without(path), row); err != nil {
		return err
	}
	if err := tx.Note(fleet.NodeTypes.Name, nodeType, "file removed", fleet.Row{"path": path}); err != nil {
		return err
	}
	return f.sweep(tx, nodeType)
}

func known(tx *store.Tx, nodeType string) error {
	r, err := tx.ByKey(fleet.NodeTypes, nodeType)
	if err == nil && r == nil {
		err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "there is no such node type"), "list all with: fernwerk node-type list")
	}
	return err
}

func (f *Files) put(tx *store.Tx, by store.Origin, l *nodefile.List, row list) error {
	text, err := l.Bytes()
	if err != nil {
		return err
	}
	row.Text, row.Sum, row.ChangedAt, row.ChangedBy = string(text), nodefile.Sum(text), tx.Stamp(), by.Actor
	return tx.Put(lists, lists.Encode(row))
}

// sweep forgets the contents that no list names.
func (f *Files) sweep(tx *store.Tx, nodeType string) error {
	own, signed, err := f.List(tx, nodeType)
	if err != nil {
		return err
	}
	kept, err := store.All[blob](tx, blobs, fleet.Filter{"nodeType": nodeType})
	if err != nil {
		return err
	}
	for _, b := range kept {
		if own.Holds(b.Sum) || signed != nil && signed.Holds(b.Sum) {
			continue
		}
		if err := f.Vault.Forget(tx, secretName(nodeType, b.Sum)); err != nil {
			return err
		}
		if err := tx.Remove(blobs, blobs.Encode(b)); err != nil {
			return err
		}
	}
	return nil
}

// List implements [port.NodeFiles].
func (f *Files) List(tx *store.Tx, nodeType string) (own, signed *nodefile.List, err error) {
	if own, _, err = f.own(tx, nodeType); err == nil {
		signed, _, err = f.signed(tx, nodeType)
	}
	return own, signed, err
}

// Types implements [port.NodeFiles].
func (f *Files) Types(tx *store.Tx) (all []string, err error) {
	rows, err := store.All[list](tx, lists, nil)
	for _, r := range rows {
		all = append(all, r.NodeType)
	}
	return all, err
}

// Blob is a content for a host: only one that a list of its own type names.
func (f *Files) Blob(ctx context.Context, hostID, sum string) (data []byte, err error) {
	if err := f.pace.mayFetch(hostID); err != nil {
		return nil, err
	}
	err = f.Store.View(ctx, func(tx *store.Tx) error {
		nodeType, counts, err := f.Identity(tx, hostID)
		if err != nil {
			return err
		}
		refused := fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot give %s this content: no file of its node type has it", hostID), "see: fernwerk node-file list")
		if !counts || nodeType == "" {
			return refused
		}
		own, signed, err := f.List(tx, nodeType)
		if err != nil {
			return err
		}
		if !own.Holds(sum) && (signed == nil || !signed.Holds(sum)) {
			return refused
		}
		if secret := func(l *nodefile.List) bool {
			return l != nil && slices.ContainsFunc(l.Files, func(f nodefile.File) bool { return f.Secret && f.SHA256 == sum })
		}; secret(own) || secret(signed) {
			if claimed, err := f.Claimed(tx, hostID); err != nil {
				return err
			} else if claimed {
				return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot give %s a secret of node type %s: that it is of this type is its own word", hostID, nodeType),
					"have it join by a token for the type, or approve it: fernwerk token create --node-type %s", nodeType)
			}
		}
		if data, err = f.Vault.Find(tx, secretName(nodeType, sum)); err == nil && data == nil {
			err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "the content with the digest %.12s is signed, and was not handed in yet", sum), "hand it in with: fernwerk node-file set %s PATH --from FILE", nodeType)
		}
		return err
	})
	return data, err
}
