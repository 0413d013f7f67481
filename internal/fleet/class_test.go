package fleet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassesAreWhole(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Classes() {
		if len(c.Ident()) == 0 {
			t.Errorf("%s has no identity", c.Name)
		}
		for _, o := range c.Owners {
			if !names[o.Class] {
				t.Errorf("%s: owner %s does not come before it", c.Name, o.Class)
			}
		}
		if names[c.Name] {
			t.Errorf("%s stands twice", c.Name)
		}
		names[c.Name] = true
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name  string
		class *Class
		mode  Mode
		in    Row
		want  Row
		err   string
	}{
		{name: "loose values become canonical", class: ConfigStates, in: Row{"configId": "Opsiclientd.X", "objectId": "PC1.Example.org", "values": true},
			want: Row{"configId": "opsiclientd.x", "objectId": "pc1.example.org", "values": []any{true}}},
		{name: "update leaves the rest alone", class: ProductsOnClients, mode: Updating,
			in:   Row{"productId": "a", "productType": "LocalbootProduct", "clientId": "c.d.e", "actionRequest": "setup"},
			want: Row{"productId": "a", "productType": "LocalbootProduct", "clientId": "c.d.e", "actionRequest": "setup"}},
		{name: "unknown attribute", class: Configs, in: Row{"id": "a", "colour": "red"}, err: `cannot use UnicodeConfig: no attribute "colour"`},
		{name: "attribute of another type", class: Hosts, in: Row{"type": OpsiClient, "id": "a.b.c", "isMasterDepot": true}, err: `cannot use OpsiClient: no attribute "isMasterDepot"`},
		{name: "identity missing", class: ConfigStates, in: Row{"configId": "a"}, err: "cannot use configState: attribute objectId is missing"},
		{name: "value not allowed", class: ProductsOnClients, in: Row{"productId": "a", "clientId": "c.d.e", "actionRequest": "destroy"},
			err: `cannot use productOnClient: attribute actionRequest: "destroy" is not one of setup, uninstall, update, always, once, custom, none`},
		{name: "a script stays in the product", class: Products, in: Row{"id": "a", "productVersion": "1", "packageVersion": "1", "setupScript": `..\x`},
			err: `cannot use LocalbootProduct: attribute setupScript: "../x" leaves the product's folder`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.class.Check(tt.in, tt.mode)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err || CodeOf(err) != Invalid {
					t.Fatalf("error %v (%s), want %s", err, CodeOf(err), tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestKeysDiffer(t *testing.T) {
	a := AuditSoftwares.Key(Row{"name": "a;b", "version": "c"})
	b := AuditSoftwares.Key(Row{"name": "a", "version": "b;c"})
	if a == b {
		t.Errorf("two identities share the key %q", a)
	}
}

func TestEncodeDecode(t *testing.T) {
	in := ProductOnClient{ProductID: "firefox", ProductType: LocalbootProduct, ClientID: "pc1.example.org", ActionRequest: Setup, ActionSequence: -1}
	var out ProductOnClient
	ProductsOnClients.Decode(ProductsOnClients.Encode(in), &out)
	if d := cmp.Diff(in, out); d != "" {
		t.Error(d)
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "ac", true}, {"a*a", "a", false},
		{"a*b*c", "axxbyyc", true}, {"a%", "ab", false}, {"a_", "ab", false}, {"A*", "abc", false}, {"*b*b*", "ab", false},
	} {
		if got := Glob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("Glob(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}
