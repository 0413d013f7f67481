package action

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestApply(t *testing.T) {
	const none, always = string(fleet.None), string(fleet.Always)
	product := fleet.Product{Type: fleet.LocalbootProduct, ID: "firefox", ProductVersion: "128.0", PackageVersion: "2"}
	type state struct{ Status, Version, Package, Request, Last, Result, Progress string }
	old := state{fleet.Installed, "115.0", "1", "", "", "", "half done"}
	fresh := state{}
	tests := []struct {
		name    string
		before  state
		request fleet.Action // standing when the result is recorded
		action  fleet.Action
		failed  string // the result's text
		want    state
	}{
		{"setup", old, fleet.Setup, fleet.Setup, "", state{fleet.Installed, "128.0", "2", none, "setup", fleet.Successful, ""}},
		{"setup of something new", fresh, "", fleet.Setup, "", state{fleet.Installed, "128.0", "2", none, "setup", fleet.Successful, ""}},
		{"update", old, fleet.Update, fleet.Update, "", state{fleet.Installed, "128.0", "2", none, "update", fleet.Successful, ""}},
		{"uninstall", old, fleet.Uninstall, fleet.Uninstall, "", state{fleet.NotInstalled, "", "", none, "uninstall", fleet.Successful, ""}},
		{"once", old, fleet.Once, fleet.Once, "", state{fleet.Installed, "115.0", "1", none, "once", fleet.Successful, ""}},
		{"custom", old, fleet.Custom, fleet.Custom, "", state{fleet.Installed, "115.0", "1", none, "custom", fleet.Successful, ""}},
		{"custom of something new", fresh, fleet.Custom, fleet.Custom, "", state{fleet.NotInstalled, "", "", none, "custom", fleet.Successful, ""}},
		{"always", old, fleet.Always, fleet.Always, "", state{fleet.Installed, "115.0", "1", always, "always", fleet.Successful, ""}},
		{"setup failed", old, fleet.Setup, fleet.Setup, "exit code 1", state{fleet.Unknown, "115.0", "1", none, "setup", fleet.Failed, "exit code 1"}},
		{"setup of something new failed", fresh, fleet.Setup, fleet.Setup, "exit code 1", state{fleet.Unknown, "", "", none, "setup", fleet.Failed, "exit code 1"}},
		{"update failed", old, fleet.Update, fleet.Update, "a\nb", state{fleet.Unknown, "115.0", "1", none, "update", fleet.Failed, "a b"}},
		{"uninstall failed", old, fleet.Uninstall, fleet.Uninstall, "x", state{fleet.Unknown, "115.0", "1", none, "uninstall", fleet.Failed, "x"}},
		{"once failed", old, fleet.Once, fleet.Once, "x", state{fleet.Installed, "115.0", "1", none, "once", fleet.Failed, "x"}},
		{"custom failed", old, fleet.Custom, fleet.Custom, "x", state{fleet.Installed, "115.0", "1", none, "custom", fleet.Failed, "x"}},
		{"always failed", old, fleet.Always, fleet.Always, "x", state{fleet.Installed, "115.0", "1", always, "always", fleet.Failed, "x"}},
		{"requested meanwhile", old, fleet.Uninstall, fleet.Setup, "", state{fleet.Installed, "128.0", "2", "uninstall", "setup", fleet.Successful, ""}},
		{"long reason", old, fleet.Setup, fleet.Setup, strings.Repeat("ü", 300), state{fleet.Unknown, "115.0", "1", none, "setup", fleet.Failed, strings.Repeat("ü", 252) + "..."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			poc := fleet.ProductOnClient{
				InstallationStatus: tt.before.Status, ProductVersion: tt.before.Version, PackageVersion: tt.before.Package,
				ActionProgress: tt.before.Progress, ActionRequest: tt.request, ActionSequence: 4, TargetConfiguration: "installed",
			}
			r := Result{Status: fleet.Successful}
			if tt.failed != "" {
				r = Result{Status: fleet.Failed, Text: tt.failed}
			}
			row := Apply(poc, Job{HostID: "pc1.example.org", Product: product, Action: tt.action}, r)
			checked, err := fleet.ProductsOnClients.Check(row, fleet.Creating)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(checked, row); d != "" {
				t.Errorf("the row is not canonical: %s", d)
			}
			if got := fleet.ProductsOnClients.IdentString(row); got != "firefox;LocalbootProduct;pc1.example.org" {
				t.Errorf("the row is that of %s", got)
			}
			if row["targetConfiguration"] != "installed" || (row["actionRequest"] == none) != (row["actionSequence"] == int64(-1)) {
				t.Errorf("row %v", row)
			}
			got := state{row.Str("installationStatus"), row.Str("productVersion"), row.Str("packageVersion"), row.Str("actionRequest"),
				row.Str("lastAction"), row.Str("actionResult"), row.Str("actionProgress")}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			for _, name := range []string{"productVersion", "packageVersion", "actionProgress"} {
				if row[name] == nil {
					t.Errorf("%s has no value, which a service takes for \"leave alone\"", name)
				}
			}
		})
	}
}

// Whatever a script or a server writes, it becomes one printable line that the
// column holds.
func TestShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := short(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")))
		if len([]rune(text)) > maxShort || strings.ContainsAny(text, "\n\r\x00\x1b") || strings.TrimSpace(text) != text || short(text) != text {
			t.Fatalf("%q", text)
		}
	})
}

func TestVariable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := variable(rapid.String().Draw(t, "id"))
		if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			t.Fatalf("%q", name)
		}
	})
}
