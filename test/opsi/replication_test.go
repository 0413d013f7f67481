package opsi

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/sealed"
	"github.com/fernwerk/fernwerk/test/lab"
)

const (
	pc  = "pc1.example.org"
	key = "0123456789abcdef0123456789abcdef"
)

// exchange is one call and what must come of it.
type exchange struct {
	method string
	params string
	want   shape
}

func (s *service) play(calls []exchange) {
	s.t.Helper()
	for _, x := range calls {
		s.t.Run(x.method, func(t *testing.T) {
			outer := s.t
			s.t = t
			defer func() { s.t = outer }()
			x.want(t, s.call(x.method, strings.NewReplacer("$SERVER", s.server, "$PC", pc).Replace(x.params)))
		})
	}
}

// stock fills a server as an administrator would have: two products, of which
// one needs the other and a licence, and a client that shall get it.
func stock(t *testing.T) *lab.Lab {
	l := lab.New(t)
	server := l.Server.ID
	l.Package("firefox", "115.0", lab.Setup("echo firefox"), lab.Needs("runtime"), lab.Property("language", "de"))
	l.Package("runtime", "3", lab.Setup("echo runtime"))
	l.Package("opsi-script", "4.12", lab.Setup("echo script"))
	l.Call("host_createOpsiClient", pc, key, "a laptop")
	l.Call("user_setCredentials", "pcpatch", "linux123")
	l.Call("group_createProductGroup", "basics", "for everybody")
	l.Call("objectToGroup_create", "ProductGroup", "basics", "firefox")
	l.Call("config_createBool", "license-management.use", "", true)
	l.Call("licenseContract_create", "c1")
	l.Call("licensePool_create", "browsers", "", []any{"firefox"})
	l.Call("softwareLicense_createVolume", "l1", "c1", 2)
	l.Call("softwareLicenseToLicensePool_create", "l1", "browsers", "AAAA-BBBB")
	l.Call("configState_create", "opsiclientd.event_timer.active", pc, true)
	l.Call("configState_create", "clientconfig.depot.drive", server, "dynamic")
	l.Call("productPropertyState_create", "firefox", "language", pc, "en")
	l.Call("setProductActionRequestWithDependencies", "firefox", pc, "setup")
	return l
}

// TestClientAgent plays a whole contact of opsi's client agent: an event, the
// synchronisation of the configuration from the server, the caching of products,
// and the synchronisation back.
func TestClientAgent(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.name, func(t *testing.T) {
			l := stock(t)
			s := connect(t, l, c, pc, key)
			for _, part := range []struct {
				name  string
				calls []exchange
			}{{"event", event}, {"from the server", fromServer}, {"product cache", productCache}, {"to the server", toServer}} {
				t.Run(part.name, func(t *testing.T) {
					s.t = t
					s.play(part.calls)
				})
			}
			s.t = t
			s.greetings()
			s.theEnd(l)
		})
	}
}

// greetings are what is said around the calls.
func (s *service) greetings() {
	s.t.Helper()
	resp, _ := s.do(http.MethodHead, "/rpc", nil, nil)
	version := regexp.MustCompile(`opsi\D+(\d+(\.\d+)+)`).FindStringSubmatch(resp.Header.Get("Server"))
	if resp.StatusCode != http.StatusOK || version == nil || !strings.HasPrefix(version[1], "4.3") {
		s.t.Errorf("%s from %q", resp.Status, resp.Header.Get("Server"))
	}
	if resp.Header.Get("x-date-unix-timestamp") == "" {
		s.t.Error("no time in the header")
	}
	for _, path := range []string{"/ssl/opsi-ca-cert.pem", "/ssl/ca-certs.pem"} {
		_, data := s.do(http.MethodGet, path, nil, nil)
		block, _ := pem.Decode(data)
		if block == nil {
			s.t.Fatalf("%s has no certificate", path)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			s.t.Errorf("%s: %v", path, err)
		}
	}
	// What an old client asks for and a new one does not know is an error that
	// the client goes on from.
	for _, method := range []string{"backend_setOptions", "noSuchMethod"} {
		a := s.try(method, `[{}]`)
		data, _ := a.Error["data"].(map[string]any)
		if a.Error == nil || fmt.Sprint(a.Error["code"]) != "0" || data["class"] != "ValueError" || a.Error["message"] == "" {
			s.t.Errorf("%s: %v", method, a.Error)
		}
	}
	a := s.try("productOnClient_updateObjects", `[[{"type":"ProductOnClient","productId":"firefox","productType":"LocalbootProduct","clientId":"pc2.example.org"}]]`)
	if data, _ := a.Error["data"].(map[string]any); data["class"] != "BackendPermissionDeniedError" {
		s.t.Errorf("another client's object: %v", a.Error)
	}
	a = s.try("licenseOnClient_getOrCreateObject", `["`+pc+`", null, "runtime", null]`)
	if data, _ := a.Error["data"].(map[string]any); data["class"] != "LicenseConfigurationError" {
		s.t.Errorf("a product without a pool: %v", a.Error)
	}
	if resp, _ = s.do(http.MethodPost, "/session/logout", nil, nil); resp.StatusCode != http.StatusOK {
		s.t.Errorf("logout: %s", resp.Status)
	}
}

// theEnd is what the server knows afterwards.
func (s *service) theEnd(l *lab.Lab) {
	s.t.Helper()
	for _, r := range l.Rows("productOnClient_getObjects", []any{}, map[string]any{"clientId": pc, "productId": "firefox"}) {
		got := fmt.Sprintln(r["installationStatus"], r["actionRequest"], r["actionResult"], r["lastAction"], r["productVersion"])
		if got != "installed none successful setup 115.0\n" {
			s.t.Errorf("firefox: %s", got)
		}
	}
	log, err := l.Admin().Call(s.t.Context(), noActor, "log_read", positional("instlog", pc))
	if err != nil || log != "[5] installed\n" {
		s.t.Errorf("log: %q, %v", log, err)
	}
	devices := l.Rows("auditHardwareOnHost_getObjects", []any{}, map[string]any{"hostId": pc})
	if len(devices) != 1 || fmt.Sprint(devices[0]["state"]) != "1" {
		s.t.Errorf("devices: %v", devices)
	}
}

// event is what an event asks before it does anything.
var event = []exchange{
	{"backend_getInterface", `[]`, interfaceShape},
	{"getServiceTime", `[true]`, func(t *testing.T, v any) {
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$`).MatchString(fmt.Sprint(v)) {
			t.Errorf("time %v", v)
		}
	}},
	{"configState_getClientToDepotserver", `[[], ["$PC"]]`, all(values("clientId", pc), func(t *testing.T, v any) {
		has("clientId depotId alternativeDepotIds")(t, v.([]any)[0])
	})},
	{"configState_getValues", `[["clientconfig.configserver.url","clientconfig.depot.drive","clientconfig.depot.id","clientconfig.depot.user","clientconfig.suspend_bitlocker_on_reboot","clientconfig.wan_vpn","opsiclientd.*"],["$PC"],true]`,
		func(t *testing.T, v any) {
			has(pc)(t, v)
			mine := v.(map[string]any)[pc]
			has("clientconfig.configserver.url clientconfig.depot.id clientconfig.depot.user opsiclientd.event_timer.active opsiclientd.global.verify_server_cert")(t, mine)
			is("[dynamic] [true] [false]")(t, fmt.Sprint(mine.(map[string]any)["clientconfig.depot.drive"], mine.(map[string]any)["opsiclientd.event_timer.active"], mine.(map[string]any)["clientconfig.wan_vpn"]))
		}},
	{"objectToGroup_getObjects", `[[], {"groupType":"ProductGroup","groupId":["basics"]}]`, all(objects(1, "ObjectToGroup"), values("objectId", "firefox"))},
	{"productOnClient_getObjects", `[["actionRequest"],{"productType":"LocalbootProduct","clientId":"$PC","actionRequest":["setup","uninstall","update","always","once","custom"],"productId":[]}]`,
		all(values("productId", "firefox", "runtime"), values("actionRequest", "setup", "setup"))},
	{"productOnDepot_getObjects", `[[],{"depotId":"$SERVER","productId":["firefox","runtime"]}]`, objects(2, "ProductOnDepot")},
	{"product_getObjects", `[["id","name"],{"id":["firefox"]}]`, values("id", "firefox")},
	{"configState_getValues", `[["clientconfig.depot.dynamic","clientconfig.depot.protocol","opsiclientd.depot_server.depot_id"],["$PC"]]`, has(pc)},
	{"configState_getClientToDepotserver", `[[],["$PC"],false,["firefox","runtime"]]`, values("alternativeDepotIds", []any{})},
	{"host_getObjects", `[[],{"type":"OpsiDepotserver","id":["$SERVER"]}]`, objects(1, "OpsiConfigserver")}, // a config server is a depot too
	{"user_getCredentials", `["pcpatch","$PC"]`, func(t *testing.T, v any) {
		has("password rsaPrivateKey")(t, v)
		secret, err := sealed.Open(key, fmt.Sprint(v.(map[string]any)["password"]))
		if err != nil || secret != "linux123" {
			t.Errorf("%q, %v", secret, err)
		}
	}},
	{"productOnDepot_getIdents", `["str",{"productId":"opsi-script","depotId":"$SERVER"}]`, func(t *testing.T, v any) {
		if got := fmt.Sprint(v); !strings.HasPrefix(got, "[opsi-script;LocalbootProduct;4.12;1;") {
			t.Error(got)
		}
	}},
	{"log_write", `["clientconnect","[5] connected\n","$PC",false]`, null},
}

// fromServer is the replication of the configuration.
var fromServer = []exchange{
	{"backend_getLicensingInfo", `[false,false,false]`, func(t *testing.T, v any) {
		has("available_modules known_modules modules client_numbers")(t, v)
		if !strings.Contains(fmt.Sprint(v.(map[string]any)["available_modules"]), "vpn") {
			t.Error("no module vpn")
		}
	}},
	{"productOnClient_getObjects", `[[],{"clientId":"$PC","productType":"LocalbootProduct","actionRequest":["setup","uninstall","update","once","custom"]}]`, objects(2, "ProductOnClient")},
	{"productOnClient_getObjects", `[[],{"clientId":"$PC"}]`, objects(2, "ProductOnClient")},
	{"productDependency_getObjects", `[[],{"productId":["firefox","runtime"]}]`, objects(1, "ProductDependency")},
	{"backend_info", `[]`, has("opsiVersion modules realmodules")},
	{"productPropertyState_getObjects", `[[],{"objectId":"$PC","productId":"opsi-client-agent","propertyId":"setup_after_install"}]`, objects(0)},
	{"auditHardware_getConfig", `[]`, hardwareShape},
	{"host_getObjects", `[["id"],{"type":"OpsiConfigserver"}]`, values("type", "OpsiConfigserver")},
	{"productOnDepot_getObjects", `[[],{"depotId":["$SERVER"],"productId":["firefox","runtime","opsi-script"],"productType":["LocalbootProduct"]}]`, objects(3, "ProductOnDepot")},
	{"host_getObjects", `[[],{"type":"OpsiConfigserver","id":["$SERVER"]}]`, all(objects(1, "OpsiConfigserver"), values("opsiHostKey", nil))},
	{"host_getObjects", `[[],{"type":"OpsiClient","id":["$PC"]}]`, all(objects(1, "OpsiClient"), values("opsiHostKey", key), values("description", "a laptop"))},
	{"product_getObjects", `[[],{"id":["firefox","runtime","opsi-script"],"type":null}]`, objects(3, "LocalbootProduct")},
	{"config_getObjects", `[[],{}]`, objects(-1, "UnicodeConfig", "BoolConfig")},
	{"group_getObjects", `[[],{"type":null,"id":[]}]`, objects(1, "ProductGroup")},
	{"productProperty_getObjects", `[[],{"productId":["firefox","runtime","opsi-script"]}]`, objects(1, "UnicodeProductProperty")},
	{"productOnClient_getObjects", `[[],{"productType":["LocalbootProduct"],"productId":["firefox","runtime","opsi-script"],"clientId":["$PC"]}]`, objects(2, "ProductOnClient")},
	{"productPropertyState_getObjects", `[[],{"productId":["firefox","runtime"],"objectId":["$PC","$SERVER"]}]`, objects(-1, "ProductPropertyState")},
	{"configState_getObjects", `[[],{"objectId":["$PC","$SERVER"]}]`, objects(2, "ConfigState")},
	{"objectToGroup_getObjects", `[[],{"objectId":["firefox","runtime","$PC"]}]`, objects(1, "ObjectToGroup")},
	{"licenseOnClient_getObjects", `[[],{"clientId":"$PC"}]`, objects(0)},
	{"licensePool_getObjects", `[[],{"productIds":["firefox"]}]`, objects(1, "LicensePool")},
	{"licenseOnClient_getOrCreateObject", `["$PC",null,"firefox"]`, func(t *testing.T, v any) {
		object(t, v, []string{"LicenseOnClient"})
		is("AAAA-BBBB")(t, v.(map[string]any)["licenseKey"])
	}},
	{"licensePool_getObjects", `[[],{"id":"browsers"}]`, objects(1, "LicensePool")},
	{"softwareLicense_getObjects", `[[],{"id":"l1"}]`, objects(1, "VolumeSoftwareLicense")},
	{"user_getCredentials", `["pcpatch","$PC"]`, has("password rsaPrivateKey")},
	{"productOnClient_getActionGroups", `["$PC"]`, func(t *testing.T, v any) {
		groups := v.([]any)
		if len(groups) != 1 {
			t.Fatalf("%d groups", len(groups))
		}
		has("priority product_on_clients priorities dependencies")(t, groups[0])
		group := groups[0].(map[string]any)["product_on_clients"]
		all(objects(2, "ProductOnClient"), values("productId", "runtime", "firefox"), values("actionSequence", 0, 1))(t, group)
	}},
	{"productOnClient_getObjectsWithSequence", `[[],{"clientId":"$PC","productType":"LocalbootProduct"}]`,
		all(objects(2, "ProductOnClient"), values("productId", "runtime", "firefox"), values("actionSequence", 0, 1))},
}

// productCache is the permission to fetch products, and the progress of it.
var productCache = []exchange{
	{"configState_getClientToDepotserver", `[[],["$PC"]]`, values("clientId", pc)},
	{"depot_acquireTransferSlot", `["$SERVER","$PC",null,"opsiclientd_product_sync"]`, all(has("slot_id retention retry_after"), func(t *testing.T, v any) {
		is("60 <nil>")(t, fmt.Sprint(v.(map[string]any)["retention"], v.(map[string]any)["retry_after"]))
	})},
	{"productOnClient_updateObjects", `[[{"type":"ProductOnClient","productId":"firefox","productType":"LocalbootProduct","clientId":"$PC","actionProgress":"caching","installationStatus":null,"actionRequest":null,"lastAction":null,"actionResult":null,"targetConfiguration":null,"productVersion":null,"packageVersion":null,"modificationTime":null,"actionSequence":null}]]`, null},
	{"productOnClient_getObjects", `[[],{"clientId":"$PC","productId":"firefox"}]`, all(values("actionProgress", "caching"), values("actionRequest", "setup"))},
	{"depot_releaseTransferSlot", `["$SERVER","$PC","forgotten","opsiclientd_product_sync"]`, null},
}

// toServer is what happened without the server.
var toServer = []exchange{
	{"auditHardwareOnHost_setObsolete", `["$PC"]`, null},
	{"auditHardwareOnHost_updateObjects", `[[{"type":"AuditHardwareOnHost","hostId":"$PC","hardwareClass":"CHASSIS","vendor":"Acme","serialNumber":"1","state":1,"firstseen":"2026-01-01 00:00:00","lastseen":"2026-01-02 00:00:00"}]]`, null},
	{"auditSoftware_updateObjects", `[[{"type":"AuditSoftware","name":"Office","version":"16","subVersion":"","language":"","architecture":"x64","windowsSoftwareId":"{office}","windowsDisplayName":"Office","windowsDisplayVersion":"16","installSize":4000000000}]]`, null},
	{"auditSoftwareOnClient_setObsolete", `["$PC"]`, null},
	{"auditSoftwareOnClient_updateObjects", `[[{"type":"AuditSoftwareOnClient","name":"Office","version":"16","subVersion":"","language":"","architecture":"x64","clientId":"$PC","uninstallString":"C:\\x","usageFrequency":-1,"state":1}]]`, null},
	{"host_getObjects", `[[],{"type":"OpsiClient","id":"$PC"}]`, objects(1, "OpsiClient")},
	{"host_updateObject", `[{"type":"OpsiClient","id":"$PC","systemUUID":"12345678-1234-1234-1234-123456789abc"}]`, null},
	{"productOnClient_getObjects", `[[],{"clientId":"$PC"}]`, objects(2, "ProductOnClient")},
	{"productOnDepot_getObjects", `[[],{"productId":"firefox","depotId":"$SERVER"}]`, objects(1, "ProductOnDepot")},
	{"productOnClient_updateObjects", `[[{"type":"ProductOnClient","ident":"firefox;LocalbootProduct;$PC","productId":"firefox","productType":"LocalbootProduct","clientId":"$PC","installationStatus":"installed","actionRequest":"none","lastAction":"setup","actionProgress":"","actionResult":"successful","productVersion":"115.0","packageVersion":"1","modificationTime":"2026-01-02 00:00:00","actionSequence":-1,"targetConfiguration":null}]]`, null},
	{"productOnClient_deleteObjects", `[[{"type":"ProductOnClient","productId":"runtime","productType":"LocalbootProduct","clientId":"$PC"}]]`, null},
	{"licenseOnClient_getObjects", `[[],{"clientId":"$PC"}]`, objects(1, "LicenseOnClient")},
	{"licenseOnClient_updateObjects", `[[{"type":"LicenseOnClient","softwareLicenseId":"l1","licensePoolId":"browsers","clientId":"$PC","licenseKey":"AAAA-BBBB","notes":null}]]`, null},
	{"productPropertyState_getObjects", `[[],{"objectId":"$PC"}]`, all(objects(1, "ProductPropertyState"), values("values", []any{"en"}))},
	{"productPropertyState_updateObjects", `[[{"type":"ProductPropertyState","productId":"firefox","propertyId":"language","objectId":"$PC","values":["fr"]}]]`, null},
	{"configState_getObjects", `[[],{"objectId":"$PC"}]`, all(objects(1, "ConfigState"), values("values", []any{true}))},
	{"configState_updateObjects", `[[{"type":"ConfigState","configId":"opsiclientd.event_timer.active","objectId":"$PC","values":[false]}]]`, null},
	{"log_write", `["instlog","[5] installed\n","$PC",false]`, null},
	{"backend_exit", `[]`, null},
}

func interfaceShape(t *testing.T, v any) {
	t.Helper()
	found := map[string]map[string]any{}
	for _, m := range v.([]any) {
		has("name params args varargs keywords defaults deprecated alternative_method doc annotations")(t, m)
		m := m.(map[string]any)
		found[fmt.Sprint(m["name"])] = m
	}
	is("[*attributes **filter] [self attributes] filter [<nil>]\n")(t,
		fmt.Sprintln(found["host_getObjects"]["params"], found["host_getObjects"]["args"], found["host_getObjects"]["keywords"], found["host_getObjects"]["defaults"]))
}

func hardwareShape(t *testing.T, v any) {
	t.Helper()
	classes := v.([]any)
	if len(classes) < 10 {
		t.Fatalf("%d classes", len(classes))
	}
	for _, c := range classes {
		has("Class Values")(t, c)
		has("Opsi UI")(t, c.(map[string]any)["Class"])
		for _, value := range c.(map[string]any)["Values"].([]any) {
			has("Opsi Type Scope UI")(t, value)
		}
	}
}
