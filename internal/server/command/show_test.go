package command

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fernwerk/fernwerk/internal/server/config"
)

// everything is a configuration with another value than the default for each key, but
// those of a depot server.
const everything = `
data = "/srv/fernwerk"
listen = ":4448"
address = "deploy.example.org:4448"
names = ["deploy.example.org", "192.0.2.1"]
id = "deploy.example.org"
database = "postgres://fernwerk@db.example.org/fernwerk"
replica = "left"
depot = "/srv/depot"
audit_keep = 90
log_level = "warn"
log_format = "json"
drain = 7
tunnel_grace = 9
allow_simulation = true

[host_control]
trust = "any"
port = 4442
[host_control.broadcast]
"192.168.1.0/24" = ["192.168.1.255:9"]

[feed]
listen = ":8080"

[acme]
names = ["deploy.example.org"]
directory = "https://acme.example.org/dir"
directory_ca = "/etc/acme.pem"
email = "hostmaster@example.org"
accept_terms = true
http_listen = ":80"

[enrolment]
name = "{type}-{n}"
domain = "grid.example.org"
approve = true
first_boot = "approve"

[dns]
zone = "grid.example.org"
listen = "10.134.0.1:53"
nameservers = ["ns.grid.example.org"]
contact = "root@example.org"
transfer = ["192.0.2.0/24"]
[dns.names]
ns = ["10.134.0.1"]
[dns.aliases]
www = "ns"
[dns.keys.fernwerk]
algorithm = "hmac-sha512"
secret_file = "/etc/fernwerk/dns.key"
[[dns.update]]
server = "192.0.2.53:5353"
zone = "grid.example.org"
reverse = ["134.10.in-addr.arpa"]
key = "fernwerk"

[scheduler]
use = ["oar", "slurm", "exec"]
[scheduler.oar]
bin = "/opt/oar"
prefix = ["sudo", "-n"]
limit = 30
[scheduler.slurm]
bin = "/opt/slurm"
prefix = ["sudo"]
limit = 31
[scheduler.exec]
program = ["/usr/local/sbin/nodes", "--cluster", "a"]
limit = 32

[mesh]
enabled = true
at = ["left.example.org", "right.example.org:4244"]
port = 4245
refresh = 30
device = "mesh0"
program = "/opt/fernwerk-mesh"
[[mesh.allow]]
to = "vnode"
from = "lab"
proto = "tcp"
ports = "22"

[[tunnel]]
name = "vpns"
remote = "left.example.org"
remotes = ["right.example.org"]
port = 4243
proto = "udp"
extra = ["verb 4"]
serve = true
listen = "192.0.2.1"
device = "tun7"
network = "10.135.0.0/16"
keepalive = [1, 4]
max_clients = 50
mtu = 1400
apart = true
`

// What check-config prints is a configuration that says the same.
func TestShow_LeavesNothingOut(t *testing.T) {
	load := func(text string) (c config.Config) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "fernwerkd.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := config.Load(path, &c); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return c
	}
	want := load(everything)
	for _, name := range unset(reflect.ValueOf(want), "") {
		switch name {
		case "ConfigServer", "HostKeyFile", "CAFingerprint": // of a depot server
		case "MetricsToken": // a secret, which is printed as xxxxx
		case "Mesh.NoInterface": // not beside device
		default:
			t.Errorf("the test says nothing of %s", name)
		}
	}
	var out bytes.Buffer
	if err := show(&out, want); err != nil {
		t.Fatal(err)
	}
	if got := load(out.String()); !reflect.DeepEqual(got, want) {
		t.Errorf("it prints\n%s\nwhich is\n%+v\nand not\n%+v", out.String(), got, want)
	}
}

// unset are the keys of a file that have no value.
func unset(v reflect.Value, path string) (names []string) {
	for i := range v.NumField() {
		f, field := v.Type().Field(i), v.Field(i)
		switch tag := f.Tag.Get("toml"); {
		case tag == "" || tag == "-":
		case field.Kind() == reflect.Struct && field.NumField() > 0 && field.Type().Field(0).Tag.Get("toml") != "":
			names = append(names, unset(field, path+f.Name+".")...)
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct && field.Len() > 0:
			names = append(names, unset(field.Index(0), path+f.Name+".")...)
		case field.IsZero():
			names = append(names, path+f.Name)
		}
	}
	return names
}
