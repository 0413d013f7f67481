package methods_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A host cannot write itself the seat that another has.
func TestSeat_IsNotTakenByWritingIt(t *testing.T) {
	svc := catalog.New(licensedFleet(t, time.Now), methods.Ports{})
	call := func(id, method string, args ...any) (any, error) {
		return svc.Call(t.Context(), methods.Actor{Role: methods.Host, ID: id}, method, methods.Pos(args...))
	}
	seat := func(id, license string) fleet.Row {
		return fleet.Row{"softwareLicenseId": license, "licensePoolId": "office", "clientId": id}
	}
	if _, err := call(own, "licenseOnClient_insertObject", seat(own, "l1")); err != nil {
		t.Fatalf("a free seat: %v", err)
	}
	if _, err := call(own, "licenseOnClient_updateObjects", []any{seat(own, "l1")}); err != nil {
		t.Fatalf("its own seat: %v", err)
	}
	for _, license := range []string{"l1", "l1*", "*", "l9", "L1"} {
		for _, method := range []string{"licenseOnClient_insertObject", "licenseOnClient_createObjects", "licenseOnClient_updateObjects"} {
			if _, err := call(others, method, seat(others, license)); err == nil {
				t.Errorf("%s of %s: allowed", method, license)
			}
		}
		for _, base := range []any{nil, seat(others, license)} {
			change := map[string]any{"class": "licenseOnClient", "base": base, "mine": map[string]any(seat(others, license))}
			if base != nil {
				change["mine"].(map[string]any)["notes"] = "changed"
			}
			if v, err := call(others, "replica_push", others, map[string]any{"changes": []any{change}}); err == nil {
				t.Log(asText(t, v))
			}
		}
	}
	held, err := svc.Call(t.Context(), methods.Actor{Role: methods.Administrator}, "licenseOnClient_getIdents", methods.Params{})
	if d := cmp.Diff([]any{"l1;office;" + own}, held); d != "" || err != nil {
		t.Errorf("seats (-want +got):\n%s%v", d, err)
	}
}
