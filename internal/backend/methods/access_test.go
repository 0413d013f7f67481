package methods_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	samples "github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/access"
)

var rewrite = flag.Bool("update", false, "write testdata/access.txt anew")

const (
	own    = "pc1.example.org" // as in the samples
	others = "pc2.example.org"
)

// branch is the host group with own in it, and not others.
const branch = "branch"

// actors are one of each role, people bound to a group with a host in it and one
// out of it, and a host that reaches for another host.
var actors = []struct {
	column string
	methods.Actor
	touches string // the host whose objects it touches
}{
	{"administrator", methods.Actor{Role: methods.Administrator, ID: "admin"}, own},
	{"operator", methods.Actor{Role: methods.Operator, ID: "otto"}, own},
	{"reader", methods.Actor{Role: methods.Reader, ID: "rita"}, own},
	{"depot", methods.Actor{Role: methods.Depot, ID: "depot1.example.org"}, own},
	{"operator-in", methods.Actor{Role: methods.Operator, ID: "bound"}, own},
	{"operator-out", methods.Actor{Role: methods.Operator, ID: "bound"}, others},
	{"reader-in", methods.Actor{Role: methods.Reader, ID: "boundreader"}, own},
	{"reader-out", methods.Actor{Role: methods.Reader, ID: "boundreader"}, others},
	{"host", methods.Actor{Role: methods.Host, ID: own}, own},
	{"host-other", methods.Actor{Role: methods.Host, ID: own}, others},
}

// secrets are values of secret columns, by the host that may read them itself.
var secrets = map[string][]string{
	own:    {"0123456789abcdef0123456789abcdef", "one-time-own", "KEY-OWN", "audit-key-own"},
	others: {"abcdef0123456789abcdef0123456789", "one-time-other", "KEY-OTHER", "audit-key-other"},
	"":     {"1123456789abcdef0123456789abcdef", "2123456789abcdef0123456789abcdef", "POOL-KEY", "otp-secret", "share-password"},
}

// sample is one object of a class and type that belongs to the host, where
// objects of the class belong to one.
func sample(c *fleet.Class, typ, host string) fleet.Row {
	for _, r := range samples.Sample(c) {
		if typ == "" || c.Type(r) == typ {
			return belonging(c, r, host)
		}
	}
	return nil
}

func belonging(c *fleet.Class, r fleet.Row, host string) fleet.Row {
	key := 0
	if host == others {
		key = 1
	}
	for name, v := range r {
		if v == own {
			r[name] = host
		}
	}
	mine := []string{own, others}[key]
	switch {
	case c == fleet.Hosts && r["type"] == fleet.OpsiClient:
		r["opsiHostKey"], r["oneTimePassword"] = secrets[mine][0], secrets[mine][1]
	case c == fleet.LicensesOnClients:
		r["licenseKey"] = secrets[mine][2]
	case c == fleet.AuditSoftwareOnClients:
		r["licenseKey"] = secrets[mine][3]
	case c == fleet.LicensesInPools:
		r["licenseKey"] = "POOL-KEY"
	case c == fleet.Users:
		r["otpSecret"] = "otp-secret"
	}
	return r
}

type bench struct {
	t *testing.T
	s *store.Store
	b methods.Backend
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(context.Background(), db, time.Now, append(catalog.Classes(), access.Accounts)...)
	if err != nil {
		t.Fatal(err)
	}
	accounts := access.New(s, slog.New(slog.DiscardHandler), time.Now).Accounts("server.example.org")
	ports := methods.Ports{
		Logs:      &logs{},
		Reach:     away{},
		Accounts:  accounts,
		Enrolment: joins{}, Updates: published{}, NodeFiles: kept{},
		Depot: depot{}, Certificates: depot{}, Trust: signed{}, Feed: depot{},
		Authority: func() []byte { return []byte("PEM") },
		Nodes:     present{}, Tunnels: present{}, Mesh: meshed, MeshAuthority: signers{},
		Resources: batch,
		Info:      map[string]any{"version": "test"},
	}
	b := &bench{t, s, catalog.New(s, ports)}
	b.fill()
	return b
}

// fill makes the fleet what it was: every class with objects of both hosts.
func (b *bench) fill() {
	b.t.Helper()
	admin := methods.Actor{Role: methods.Administrator, ID: "anna"}
	if _, err := b.b.Call(b.t.Context(), admin, "user_setCredentials", methods.Pos("pcpatch", "share-password")); err != nil {
		b.t.Fatal(err)
	}
	err := b.s.Update(context.Background(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		for _, c := range fleet.Classes() {
			for _, host := range []string{own, others} {
				for _, r := range samples.Sample(c) {
					if err := tx.Put(c, belonging(c, r, host)); err != nil {
						return err
					}
				}
			}
		}
		if _, err := tx.Delete(depots.Intents, nil); err != nil {
			return err
		}
		if err := tx.Put(depots.Intents, intent("firefox")); err != nil {
			return err
		}
		// So that the clients' depot has what they are asked to install.
		err := tx.Put(fleet.ProductsOnDepots, fleet.Row{"productId": "firefox", "productType": fleet.LocalbootProduct,
			"productVersion": "115.0", "packageVersion": "1", "depotId": "server.example.org"})
		if err != nil {
			return err
		}
		for _, r := range []fleet.Row{{"type": fleet.HostGroup, "id": branch}, {"type": fleet.HostGroup, "id": "elsewhere"}} {
			if err := tx.Put(fleet.Groups, r); err != nil {
				return err
			}
		}
		for group, host := range map[string]string{branch: own, "elsewhere": others} {
			if err := tx.Put(fleet.Memberships, fleet.Row{"groupType": fleet.HostGroup, "groupId": group, "objectId": host}); err != nil {
				return err
			}
		}
		for _, a := range people {
			if err := tx.Put(access.Accounts, access.Accounts.Encode(a)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// secretHash is that of "secret", cheap to check.
const secretHash = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$XrjnWhpGJE4zdrpPcbs8R26g0CRTtp9Sz374sv8QW5I"

// people are the accounts of the actors.
var people = []access.Account{
	{Name: "spare", Role: "reader", Password: secretHash},
	{Name: "second", Role: "administrator", Password: secretHash},
	{Name: "admin", Role: "administrator", Password: secretHash},
	{Name: "otto", Role: "operator", Password: secretHash},
	{Name: "rita", Role: "reader", Password: secretHash},
	{Name: "bound", Role: "operator", Groups: []string{branch}, Password: secretHash},
	{Name: "boundreader", Role: "reader", Groups: []string{branch}, Password: secretHash},
}

// logs keeps logs in memory.
type logs struct{ kept sync.Map }

func (*logs) Limits() methods.LogLimits {
	return methods.LogLimits{Size: 10, Types: []string{"instlog"}}
}

func (l *logs) Write(typ, object string, data []byte, _ bool) error {
	l.kept.Store(typ+object, data)
	return nil
}

func (l *logs) Read(typ, object string, _ int64) ([]byte, error) {
	data, _ := l.kept.Load(typ + object)
	b, _ := data.([]byte)
	return b, nil
}

// handArguments are for the methods that are written by hand.
var handArguments = map[string]func(host string) []any{
	"backend_getInterface":                          func(string) []any { return nil },
	"backend_info":                                  func(string) []any { return nil },
	"backend_exit":                                  func(string) []any { return nil },
	"backend_getLicensingInfo":                      func(string) []any { return nil },
	"accessControl_authenticated":                   func(string) []any { return nil },
	"accessControl_userIsAdmin":                     func(string) []any { return nil },
	"accessControl_userIsReadOnlyUser":              func(string) []any { return nil },
	"accessControl_getUserGroups":                   func(string) []any { return nil },
	"userIsReadOnlyUser":                            func(string) []any { return nil },
	"feed_publish":                                  func(string) []any { return []any{"script"} },
	"feed_getState":                                 func(string) []any { return nil },
	"getServiceTime":                                func(string) []any { return nil },
	"user_getCredentials":                           func(h string) []any { return []any{"pcpatch", h} },
	"user_setCredentials":                           func(string) []any { return []any{"pcpatch", "share-password"} },
	"getClientIDs":                                  func(string) []any { return nil },
	"getClientsOnDepot":                             func(string) []any { return []any{"server.example.org"} },
	"getClientsWithProducts":                        func(string) []any { return []any{"firefox"} },
	"getClientsWithActionRequest":                   func(string) []any { return []any{"setup"} },
	"getClientsWithOutdatedProduct":                 func(string) []any { return []any{"firefox"} },
	"getSoftwareAuditDataCount":                     func(string) []any { return nil },
	"getHardwareAuditDataCount":                     func(string) []any { return nil },
	"setProductActionRequest":                       func(h string) []any { return []any{"firefox", h, "setup"} },
	"setupWhereInstalled":                           func(string) []any { return []any{"firefox"} },
	"setupWhereNotInstalled":                        func(string) []any { return []any{"firefox"} },
	"setupWhereFailed":                              func(string) []any { return []any{"firefox"} },
	"updateWhereInstalled":                          func(string) []any { return []any{"firefox"} },
	"uninstallWhereInstalled":                       func(string) []any { return []any{"firefox"} },
	"setActionRequestWhereOutdated":                 func(string) []any { return []any{"setup", "firefox"} },
	"setActionRequestWhereOutdatedWithDependencies": func(string) []any { return []any{"setup", "firefox"} },
	"setProductActionRequestForHostGroup":           func(string) []any { return []any{"Office", "firefox", "none"} },
	"setProductActionRequestForProductGroup":        func(string) []any { return []any{"Office", "basics", "none"} },
	"setProductPropertyForHostGroup":                func(string) []any { return []any{"firefox", "language", "en", "Office"} },
	"groupname_exists":                              func(string) []any { return []any{"Office"} },
	"group_rename":                                  func(string) []any { return []any{"Office", fmt.Sprintf("g%d", time.Now().UnixNano())} },
	"getKioskProductInfosForClient":                 func(h string) []any { return []any{h} },
	"getDomain":                                     func(string) []any { return nil },
	"getOpsiCACert":                                 func(string) []any { return nil },
	"getDepotId":                                    func(h string) []any { return []any{h} },
	"getProductOrdering":                            func(string) []any { return []any{"depot1.example.org"} },
	"backend_getSystemConfiguration":                func(string) []any { return nil },
	"productOnClient_getActionGroups":               func(h string) []any { return []any{h} },
	"productOnClient_updateObjectsWithDependencies": func(h string) []any {
		return []any{[]any{sample(fleet.ProductsOnClients, "", h)}}
	},
	"log_write":                               func(h string) []any { return []any{"instlog", "text", h} },
	"log_read":                                func(h string) []any { return []any{"instlog", h} },
	"journal_getEntries":                      func(h string) []any { return []any{h} },
	"account_list":                            func(string) []any { return nil },
	"account_self":                            func(string) []any { return nil },
	"account_create":                          func(string) []any { return []any{fmt.Sprintf("n%d", time.Now().UnixNano()), "reader"} },
	"account_delete":                          func(string) []any { return []any{"spare"} },
	"account_setRole":                         func(string) []any { return []any{"spare", "operator"} },
	"account_setPassword":                     func(string) []any { return []any{nil, nil, "secret"} },
	"account_beginTotp":                       func(string) []any { return []any{"secret"} },
	"account_confirmTotp":                     func(string) []any { return []any{"000000"} },
	"account_removeTotp":                      func(string) []any { return []any{nil, "secret"} },
	"token_create":                            func(string) []any { return nil },
	"token_getObjects":                        func(string) []any { return nil },
	"token_revoke":                            func(string) []any { return []any{"token"} },
	"host_getPending":                         func(string) []any { return nil },
	"host_approve":                            func(string) []any { return []any{"0123456789abcdef"} },
	"host_deny":                               func(string) []any { return []any{"0123456789abcdef"} },
	"host_revoke":                             func(h string) []any { return []any{h} },
	"host_setKeyLogins":                       func(h string) []any { return []any{h, true} },
	"host_getClones":                          func(string) []any { return nil },
	"host_keepIdentity":                       func(h string) []any { return []any{h} },
	"configState_getValues":                   func(h string) []any { return []any{[]any{}, []any{h}} },
	"configState_getClientToDepotserver":      func(h string) []any { return []any{[]any{}, []any{h}} },
	"productPropertyState_getValues":          func(h string) []any { return []any{[]any{}, []any{}, []any{h}} },
	"productOnClient_getObjectsWithSequence":  func(h string) []any { return []any{[]any{}, map[string]any{"clientId": h}} },
	"setProductActionRequestWithDependencies": func(h string) []any { return []any{"firefox", h, "none"} },
	"auditHardware_getConfig":                 func(string) []any { return nil },
	"auditHardwareOnHost_setObsolete":         func(h string) []any { return []any{h} },
	"auditSoftwareOnClient_setObsolete":       func(h string) []any { return []any{h} },
	"licenseOnClient_getOrCreateObject":       func(h string) []any { return []any{h, "pool1"} },
	"host_getWANMode":                         func(host string) []any { return []any{host} },
	"host_select":                             func(host string) []any { return []any{"id = " + host} },
	"licenseOnClient_reserve":                 func(h string) []any { return []any{h, "pool1"} },
	"licenseOnClient_release":                 func(h string) []any { return []any{h, "pool1"} },
	"licensePool_getUsage":                    func(string) []any { return nil },
	"changeWANConfig":                         func(h string) []any { return []any{true, h} },
	"depot_acquireTransferSlot":               func(h string) []any { return []any{"depot1.example.org", h} },
	"depot_releaseTransferSlot":               func(h string) []any { return []any{"depot1.example.org", h, "none"} },
	"productOnClient_generateSequence":        func(h string) []any { return []any{[]any{sample(fleet.ProductsOnClients, "", h)}} },
	"productOnClient_addDependencies":         func(h string) []any { return []any{[]any{sample(fleet.ProductsOnClients, "", h)}} },
	"host_renameOpsiClient":                   func(h string) []any { return []any{h, fmt.Sprintf("n%d.example.org", time.Now().UnixNano())} },
	"getDepotSelectionAlgorithm":              func(string) []any { return nil },
	"accessControl_getCaller":                 func(string) []any { return nil },
	"depotTree_getStates":                     func(string) []any { return []any{"depot1.example.org"} },
	"depotTree_begin":                         func(string) []any { return []any{intent("editor")} },
	"depotTree_announce":                      func(string) []any { return []any{intent("firefox")} },
	"depotTree_commit":                        func(string) []any { return []any{intent("firefox"), installed} },
	"depotTree_drop":                          func(string) []any { return []any{intent("firefox")} },
	"depotTree_undo":                          func(string) []any { return []any{intent("firefox")} },
	"depot_getCertificate":                    func(string) []any { return []any{"depot1.example.org", "request"} },
	"depot_installPackage":                    func(string) []any { return []any{"firefox_1-1.opsi"} },
	"depot_uninstallPackage":                  func(string) []any { return []any{"firefox"} },
	"depot_createPackageContentFile":          func(string) []any { return []any{"firefox"} },
	"depot_getMD5Sum":                         func(string) []any { return []any{"firefox_1-1.opsi"} },
	"depot_createMd5SumFile":                  func(string) []any { return []any{"firefox_1-1.opsi", "firefox_1-1.opsi.md5"} },
	"depot_getDiskSpaceUsage":                 func(string) []any { return []any{"/"} },
	"replica_pull":                            func(h string) []any { return []any{h, map[string]any{}} },
	"replica_push": func(h string) []any {
		return []any{h, map[string]any{"id": "p", "changes": []any{map[string]any{"class": "productOnClient", "mine": sample(fleet.ProductsOnClients, "", h)}}}}
	},
}

// joins is a server on which everything about joining can be done: who may is
// asked here, and the rest where it is done.
type joins struct{}

func (joins) CreateToken(*store.Tx, string, port.JoinToken, time.Duration) (string, port.JoinToken, error) {
	return "fw1", port.JoinToken{ID: "token"}, nil
}
func (joins) Tokens(*store.Tx) ([]port.JoinToken, error) {
	return []port.JoinToken{{ID: "token"}}, nil
}
func (joins) RevokeToken(*store.Tx, string) error { return nil }
func (joins) Pending(*store.Tx) ([]port.PendingHost, error) {
	return []port.PendingHost{{ID: "1"}}, nil
}
func (joins) Approve(*store.Tx, string, string) (string, error) { return own, nil }
func (joins) Deny(*store.Tx, string) error                      { return nil }
func (joins) Revoke(*store.Tx, string, string) error            { return nil }
func (joins) KeyLogins(*store.Tx, string, bool) error           { return nil }
func (joins) Clones(*store.Tx) ([]port.CloneHost, error) {
	return []port.CloneHost{{ID: own}}, nil
}
func (joins) KeepIdentity(*store.Tx, string) error { return nil }

// away is a network on which no host is.
type away struct{}

func (away) Ask(context.Context, fleet.Row, string, []any) (any, error) {
	return nil, fleet.Errorf(fleet.Unavailable, "nobody there")
}
func (away) Reachable(context.Context, fleet.Row) bool { return false }
func (away) Wake(context.Context, fleet.Row) error     { return nil }

func init() {
	one := func(first ...any) func(string) []any {
		return func(h string) []any { return append(first[:len(first):len(first)], []any{h}) }
	}
	for name, args := range map[string]func(string) []any{
		"start": one(), "shutdown": one(), "reboot": one(), "uptime": one(), "getActiveSessions": one(), "reachable": one(),
		"processActionRequests": one(), "fireEvent": one("timer"), "showPopup": one("hello"), "execute": one("true"),
		"opsiclientdRpc": one("uptime", []any{}),
	} {
		handArguments["hostControl_"+name], handArguments["hostControlSafe_"+name] = args, args
	}
}

// intent is a change of the depot which calls as such, below.
func intent(product string) fleet.Row {
	return fleet.Row{"depotId": "depot1.example.org", "product": product, "staging": product + "-1"}
}

// installed is what a depot commits.
var installed = map[string]any{
	"tree":    fleet.Row{"depotId": "depot1.example.org", "product": "firefox", "productVersion": "115.0", "packageVersion": "1"},
	"product": samples.Sample(fleet.Products)[0],
}

// depot is a depot server that has all that is asked of it.
type depot struct{}

func (depot) InstallFile(context.Context, methods.Actor, string, methods.DepotInstall) error {
	return nil
}
func (depot) Uninstall(context.Context, methods.Actor, string, bool) error { return nil }
func (depot) ContentFile(context.Context, string) error                    { return nil }
func (depot) MD5(context.Context, string) (string, error)                  { return "sum", nil }
func (depot) WriteMD5(context.Context, string, string) error               { return nil }
func (depot) Sign([]byte, []string) ([]byte, error)                        { return nil, nil }
func (depot) DiskSpace(string) (uint64, uint64, error)                     { return 2, 1, nil }

func (depot) Publish(context.Context, store.Origin, string, string, bool) (port.FeedState, error) {
	return port.FeedState{}, nil
}
func (depot) State(context.Context) (port.FeedState, error) { return port.FeedState{}, nil }

// arguments call a method about an object of the host.
func arguments(t *testing.T, m *methods.Method, host string) methods.Params {
	if args := handArguments[m.Name]; args != nil {
		return methods.Pos(args(host)...)
	}
	if m.Class == nil {
		t.Fatalf("%s: handArguments does not say how to call it", m.Name)
	}
	c := m.Class
	typ, name := "", strings.TrimPrefix(m.Name, c.Name+"_")
	for _, one := range c.Types {
		if rest, ok := strings.CutPrefix(name, "create"); ok && rest != "" && strings.HasPrefix(one, rest) {
			typ = one
		}
	}
	r := sample(c, typ, host)
	switch name {
	case "getObjects", "getHashes", "getIdents":
		f := map[string]any{}
		for _, col := range c.Ident() {
			f[col.Name] = r[col.Name]
		}
		return methods.Params{Named: f}
	case "delete":
		named := map[string]any{}
		for _, col := range c.Ident() {
			named[col.Name] = r[col.Name]
		}
		return methods.Params{Named: named}
	}
	if c == fleet.Hosts { // nothing that raises anybody; see TestHost_DoesNotRaiseItself
		delete(r, "opsiHostKey")
		delete(r, "oneTimePassword")
		r["id"] = host
	}
	if !strings.HasPrefix(name, "create") || name == "createObjects" {
		return methods.Pos([]any{r})
	}
	named := map[string]any{}
	for _, p := range m.Params {
		if v := r[p.Name]; v != nil && !p.Rest {
			named[p.Name] = v
		}
		if p.Rest {
			named = map[string]any(r)
		}
	}
	return methods.Params{Named: named}
}

// outcome is what a call comes to: "no", "none" (allowed, but nothing is seen
// or done), "yes", or "secret" (yes, and the answer holds a secret).
func (b *bench) outcome(actor methods.Actor, m *methods.Method, p methods.Params) string {
	b.t.Helper()
	v, err := b.b.Call(b.t.Context(), actor, m.Name, p)
	if fleet.CodeOf(err) == fleet.Denied {
		return "no"
	}
	if m.Name == "account_confirmTotp" && fleet.CodeOf(err) == fleet.NotFound {
		return "yes" // nothing was begun
	}
	if err != nil {
		b.t.Errorf("%s as %s: %v", m.Name, actor.Role, err)
		return "error"
	}
	if m.Writes {
		b.fill()
	}
	text := asText(b.t, v)
	for _, of := range secrets {
		for _, s := range of {
			if strings.Contains(text, s) {
				return "secret"
			}
		}
	}
	if !m.Writes && (text == "[]" || text == "{}" || text == "null") && m.Name != "backend_exit" {
		return "none"
	}
	return "yes"
}

func asText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The whole matrix of methods and roles stands in testdata/access.txt, so that
// whoever changes what a role may do changes a line there, for all to see.
func TestAccess_Matrix(t *testing.T) {
	b := newBench(t)
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "# Who may call what: no; none = nothing is seen; yes; secret = yes, and secrets are in the answer.\n")
	fmt.Fprint(w, "# host-other is a host that calls about another host. Written by: go test -run TestAccess_Matrix -update\n")
	fmt.Fprint(w, "method")
	for _, a := range actors {
		fmt.Fprint(w, "\t", a.column)
	}
	for _, m := range catalog.Table() {
		fmt.Fprint(w, "\n", m.Name)
		for _, a := range actors {
			got := b.outcome(a.Actor, m, arguments(t, m, a.touches))
			fmt.Fprint(w, "\t", got)
			checkRules(t, m, a.column, a.Role, got)
		}
	}
	fmt.Fprintln(w)
	w.Flush()
	golden := filepath.Join("testdata", "access.txt")
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); d != "" {
		t.Errorf("access changed; if it shall, run this test with -update (-%s +now):\n%s", golden, d)
	}
}

// ownAccount are the methods by which everybody keeps his own account.
var ownAccount = map[string]bool{"account_setPassword": true, "account_beginTotp": true, "account_confirmTotp": true, "account_removeTotp": true}

// checkRules are what must hold whatever the matrix is changed to.
func checkRules(t *testing.T, m *methods.Method, column string, role methods.Role, got string) {
	t.Helper()
	trusted := role == methods.Administrator || role == methods.Depot
	switch {
	case role == methods.Reader && m.Writes && got != "no" && !ownAccount[m.Name]:
		t.Errorf("a reader may call %s", m.Name)
	case got == "secret" && !trusted && column != "host":
		t.Errorf("%s tells a secret to %s", m.Name, column)
	case strings.HasSuffix(column, "-out") && got != "no" && got != "none" && takesHost(t, m):
		t.Errorf("%s: somebody bound to groups calls it about a host outside: %s", m.Name, got)
	case column == "host-other" && m.Writes && m.Class != nil && hostOf(m.Class) != "" && got != "no":
		t.Errorf("a host may call %s about another host: %s", m.Name, got)
	}
}

// takesHost tells whether a call of the method names a host.
func takesHost(t *testing.T, m *methods.Method) bool {
	args := asText(t, arguments(t, m, others))
	return strings.Contains(args, others) && m.Name != "account_create"
}

func TestAccess_WhoeverHasNoRoleIsRefused(t *testing.T) {
	b := newBench(t)
	for _, m := range catalog.Table() {
		for _, role := range []methods.Role{"", "somebody"} {
			if got := b.outcome(methods.Actor{Role: role, ID: own}, m, arguments(t, m, own)); got != "no" {
				t.Errorf("%s as role %q: %s", m.Name, role, got)
			}
		}
	}
}

func hostOf(c *fleet.Class) string {
	if c == fleet.Hosts {
		return "id"
	}
	return c.HostColumn()
}

// Reading everything there is, nobody reads a secret that is not his.
func TestAccess_SecretsStayWithTheirOwners(t *testing.T) {
	b := newBench(t)
	for _, m := range catalog.Table() {
		if m.Writes || m.Class == nil && handArguments[m.Name] == nil {
			continue
		}
		for _, a := range actors {
			if a.Role == methods.Administrator || a.Role == methods.Depot || !m.Allows(a.Role) {
				continue
			}
			p := methods.Params{}
			if handArguments[m.Name] != nil {
				p = arguments(t, m, a.touches)
			}
			v, err := b.b.Call(t.Context(), a.Actor, m.Name, p)
			if err != nil && fleet.CodeOf(err) != fleet.Denied {
				t.Errorf("%s as %s: %v", m.Name, a.column, err)
			}
			text := asText(t, v)
			for of, values := range secrets {
				for _, s := range values {
					if strings.Contains(text, s) && of != a.ID {
						t.Errorf("%s tells %s the secret %s of %q", m.Name, a.column, s, of)
					}
				}
			}
		}
	}
}

// A filter by a secret would tell it, a letter a question.
func TestAccess_FiltersTellNoSecret(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		class  *fleet.Class
		column string
		value  string
	}{
		{fleet.Hosts, "opsiHostKey", "2123456789abcdef0123456789abcdef"},
		{fleet.Hosts, "opsiHostKey", secrets[others][0]},
		{fleet.Hosts, "oneTimePassword", secrets[others][1]},
		{fleet.LicensesInPools, "licenseKey", "POOL-KEY"},
		{fleet.LicensesOnClients, "licenseKey", secrets[others][2]},
		{fleet.Users, "otpSecret", "otp-secret"},
	} {
		ask := func(actor methods.Actor, value any) int {
			v, err := b.b.Call(t.Context(), actor, tt.class.Name+"_getObjects", methods.Params{Named: map[string]any{tt.column: value}})
			if err != nil && fleet.CodeOf(err) != fleet.Denied {
				t.Errorf("%s by %s as %s: %v", tt.class.Name, tt.column, actor.Role, err)
			}
			rows, _ := v.([]fleet.Row)
			return len(rows)
		}
		for _, pattern := range []any{tt.value, tt.value[:1] + "*", "*" + tt.value[1:], []any{"no", tt.value}} {
			if ask(actors[0].Actor, pattern) == 0 {
				t.Errorf("%s %s=%v: not even an administrator finds it", tt.class.Name, tt.column, pattern)
			}
			for _, a := range actors {
				if a.Role == methods.Administrator || a.Role == methods.Depot {
					continue
				}
				rows, err := b.b.Call(t.Context(), a.Actor, tt.class.Name+"_getObjects", methods.Params{Named: map[string]any{tt.column: pattern}})
				if text := asText(t, rows); err == nil && text != "[]" && text != "null" && !(a.Role == methods.Host && onlyOwn(rows, tt.class)) {
					t.Errorf("%s finds %s by %s=%v: %s", a.column, tt.class.Name, tt.column, pattern, text)
				}
			}
		}
	}
}

func onlyOwn(v any, c *fleet.Class) bool {
	rows, _ := v.([]fleet.Row)
	for _, r := range rows {
		if hostOf(c) == "" || r.Str(hostOf(c)) != own {
			return false
		}
	}
	return true
}

func TestHost_DoesNotRaiseItself(t *testing.T) {
	b := newBench(t)
	host := methods.Actor{Role: methods.Host, ID: own}
	before := b.host(own)
	for _, more := range []fleet.Row{
		{"type": fleet.OpsiDepotserver}, {"type": fleet.OpsiConfigserver}, {"type": []any{fleet.OpsiDepotserver}},
		{"opsiHostKey": secrets[others][0]}, {"oneTimePassword": "mine"}, {"opsiHostKey": ""}, {"oneTimePassword": ""},
	} {
		for _, m := range []string{"host_updateObject", "host_updateObjects", "host_insertObject", "host_createObjects"} {
			r := fleet.Row{"id": own, "notes": "raised"}
			for name, v := range more {
				r[name] = v
			}
			_, err := b.b.Call(t.Context(), host, m, methods.Pos([]any{r}))
			now := b.host(own)
			for _, name := range []string{"type", "opsiHostKey", "oneTimePassword"} {
				if now[name] != before[name] {
					t.Errorf("%s of %v: %s is now %v (%v)", m, more, name, now[name], err)
				}
			}
			b.fill()
		}
	}
	for _, m := range []string{"host_createOpsiDepotserver", "host_createOpsiConfigserver", "host_createOpsiClient"} {
		_, err := b.b.Call(t.Context(), host, m, methods.Params{Named: map[string]any{"id": own, "opsiHostKey": secrets[others][0]}})
		if fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("%s: %v", m, err)
		}
	}
	change := map[string]any{"class": "host", "base": map[string]any{"id": own}, "mine": map[string]any{"id": own, "type": fleet.OpsiDepotserver, "opsiHostKey": secrets[others][0], "oneTimePassword": "mine"}}
	for _, of := range []string{fleet.OpsiClient, fleet.OpsiDepotserver} {
		change["mine"].(map[string]any)["type"] = of
		if of == fleet.OpsiDepotserver {
			delete(change["mine"].(map[string]any), "oneTimePassword")
		}
		if _, err := b.b.Call(t.Context(), host, "replica_push", methods.Pos(own, map[string]any{"id": of, "changes": []any{change}})); err != nil {
			t.Logf("push as %s: %v", of, err)
		}
		if d := cmp.Diff(before, b.host(own)); d != "" {
			t.Errorf("a push as %s raised the host (-before +now):\n%s", of, d)
		}
	}
}

// Whoever may not read a credential may not choose it either: he would know it.
func TestOperator_DoesNotRaiseItself(t *testing.T) {
	b := newBench(t)
	operator := methods.Actor{Role: methods.Operator, ID: "otto"}
	for _, r := range []fleet.Row{
		{"id": own, "type": fleet.OpsiClient, "opsiHostKey": secrets[others][0]},
		{"id": own, "type": fleet.OpsiClient, "oneTimePassword": "known"},
		{"id": "depot1.example.org", "depotWebdavUrl": "webdavs://evil.example.org/depot"},
		{"id": "DEPOT1.example.org", "notes": "n"},
		{"id": "depot9.example.org", "type": fleet.OpsiDepotserver},
		{"id": "server9.example.org", "type": fleet.OpsiConfigserver, "opsiHostKey": secrets[others][0]},
	} {
		for _, m := range []string{"host_insertObject", "host_createObjects", "host_updateObject", "host_updateObjects", "host_deleteObjects"} {
			if m == "host_deleteObjects" && r["id"] != "depot1.example.org" {
				continue
			}
			if m == "host_deleteObjects" {
				r = fleet.Row{"id": r["id"]}
			}
			if _, err := b.b.Call(t.Context(), operator, m, methods.Pos([]any{r})); fleet.CodeOf(err) != fleet.Denied {
				t.Errorf("an operator calls %s with %v: %v", m, r, err)
			}
		}
	}
	for _, id := range []string{"depot1.example.org", "*"} {
		if _, err := b.b.Call(t.Context(), operator, "host_delete", methods.Pos(id)); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("an operator deletes %s: %v", id, err)
		}
	}
	if _, err := b.b.Call(t.Context(), operator, "host_createOpsiClient", methods.Params{Named: map[string]any{"id": "depot1.example.org"}}); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("an operator makes a client of a depot: %v", err)
	}
	if _, err := b.b.Call(t.Context(), operator, "host_createOpsiClient", methods.Params{Named: map[string]any{"id": "pc9.example.org"}}); err != nil {
		t.Errorf("an operator cannot make a client: %v", err)
	}
}

func (b *bench) host(id string) (r fleet.Row) {
	b.t.Helper()
	err := b.s.View(b.t.Context(), func(tx *store.Tx) (err error) {
		r, err = tx.Get(fleet.Hosts, fleet.Row{"id": id})
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}
