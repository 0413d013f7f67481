"""An independent client of opsi's protocol.

It is written from the protocol's facts with Debian's own libraries (requests,
msgpack, lz4), shares no code with Fernwerk's client, and does on the wire what
opsi's service client and client agent do. Each check prints one line of JSON;
package opsi (opsi_test.go) starts the server and reads them.
"""

import hashlib
import gzip
import json
import os
import re
import socket
import ssl
import sys
import time
import traceback
import urllib.parse
import xml.etree.ElementTree as ET
import zlib

import lz4.frame
import msgpack
import requests

URL = os.environ["PEER_URL"]
CA = os.environ["PEER_CA"]
HOST = os.environ["PEER_HOST"]
KEY = os.environ["PEER_KEY"]
OTP_HOST = os.environ["PEER_OTP_HOST"]
OTP = os.environ["PEER_OTP"]
MAC = os.environ["PEER_MAC"]
UUID = os.environ["PEER_UUID"]
ADMIN = ("admin", os.environ["PEER_PASSWORD"])
DEPOT = os.environ["PEER_DEPOT"]

CHECKS = []


def check(f):
    CHECKS.append(f)
    return f


def session(user=HOST, password=KEY):
    """A session of requests, as the service client has one."""
    s = requests.Session()
    s.verify = CA
    s.trust_env = False
    if user is not None:
        s.auth = (user.encode(), password.encode())
    s.headers["User-Agent"] = "opsiclientd/4.3.3.21"
    s.headers["X-opsi-session-lifetime"] = "150"
    return s


class Service:
    """The service client: MessagePack and lz4 if the server's version allows."""

    def __init__(self, s, compress_above=0):
        self.s, self.id, self.above = s, 0, compress_above

    def raw(self, body, compress=None):
        headers = {"Content-Type": "application/msgpack", "Accept": "application/msgpack, application/json",
                   "Accept-Encoding": "lz4, deflate, gzip"}
        data = msgpack.packb(body, use_bin_type=True)
        if compress or compress is None and len(data) > self.above:
            headers["Content-Encoding"] = "lz4"
            data = lz4.frame.compress(data, block_linked=True)
        r = self.s.post(URL + "/rpc", data=data, headers=headers, stream=True)
        data = r.raw.read()  # not decoded by the library
        if r.headers.get("Content-Encoding") == "lz4":
            data = lz4.frame.decompress(data)
        elif r.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        elif r.headers.get("Content-Encoding") == "deflate":
            data = zlib.decompress(data)
        if "msgpack" in r.headers.get("Content-Type", ""):
            return r, msgpack.unpackb(data, raw=False)
        return r, json.loads(data)

    def call(self, method, *params):
        self.id += 1
        r, answer = self.raw({"jsonrpc": "2.0", "id": self.id, "method": method, "params": list(params)})
        assert r.status_code == 200, (method, r.status_code, answer)
        assert answer["id"] == self.id, answer
        if answer.get("error"):
            raise RuntimeError("%s: %s" % (method, answer["error"]))
        return answer["result"]


def post(s, body, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    headers.setdefault("Content-Type", "application/json")
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return s.post(URL + "/rpc", data=data, headers=headers)


@check
def greeting():
    r = session().head(URL + "/rpc")
    assert r.status_code in (200, 405), r.status_code
    version = re.search(r"opsi\D*(\d+(?:\.\d+)+)", r.headers["Server"])
    assert tuple(int(n) for n in version.group(1).split(".")) >= (4, 3, 18, 15), r.headers["Server"]
    assert abs(int(r.headers["x-date-unix-timestamp"]) - time.time()) < 5
    cookie = r.headers["Set-Cookie"]
    assert re.match(r"opsiconfd-session=[0-9A-Za-z_-]{16,1024};", cookie), cookie  # opsi: 32 hexadecimal digits; its clients send back what came
    assert "secure" in cookie.lower() and "samesite=strict" in cookie.lower() and "path=/" in cookie.lower(), cookie


@check
def session_lifetime():
    r = session().head(URL + "/rpc")
    age = int(re.search(r"(?i)max-age=(\d+)", r.headers["Set-Cookie"]).group(1))
    assert age == 150, "150 s were asked for, Max-Age is %d" % age


@check
def authority():
    for path in ("/ssl/ca-certs.pem", "/ssl/opsi-ca-cert.pem"):
        r = session(None).get(URL + path, timeout=5)
        assert r.status_code == 200, (path, r.status_code)
        context = ssl.create_default_context(cadata=r.text)
        assert context.get_ca_certs(), path
        host, port = re.match(r"https://(.*):(\d+)", URL).groups()
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=host) as tls:
                assert tls.getpeercert()["subject"]


@check
def messagepack_and_lz4():
    service = Service(session())
    interface = service.call("backend_getInterface")
    assert len(interface) > 100
    r, answer = service.raw({"jsonrpc": "2.0", "id": 1, "method": "backend_getInterface", "params": []})
    assert r.headers["Content-Encoding"] == "lz4" and r.headers["Content-Type"] == "application/msgpack", r.headers
    assert answer["jsonrpc"] == "2.0"
    small = service.raw({"jsonrpc": "2.0", "id": 1, "method": "accessControl_authenticated", "params": []})[0]
    assert "Content-Encoding" not in small.headers, small.headers
    # What real interface users look at.
    m = [m for m in interface if m["name"] == "productOnClient_getObjects"][0]
    assert m["params"] == ["*attributes", "**filter"], m
    for key in ("name", "params", "args", "varargs", "keywords", "defaults", "deprecated", "alternative_method", "doc", "annotations"):
        assert key in m, (key, m)


@check
def compressed_json():
    call = json.dumps({"id": 7, "method": "backend_getInterface", "params": []}).encode()
    bare = zlib.compressobj(wbits=-15)
    for name, data in (("gzip", gzip.compress(call)), ("deflate", zlib.compress(call)), ("deflate", bare.compress(call) + bare.flush()),
                       ("lz4", lz4.frame.compress(call, block_linked=True, content_checksum=True))):
        for wish in ("gzip", "deflate", "gzip, deflate", "identity"):
            r = post(session(), data, Content_Encoding=name, Accept_Encoding=wish)
            assert r.status_code == 200 and r.json()["id"] == 7 and r.json()["error"] is None, (name, wish, r.status_code, r.text[:200])
            assert r.headers.get("Content-Encoding", "identity") in wish, (wish, r.headers)
    r = post(session(), call, Content_Encoding="gzip")
    assert r.status_code == 400, r.status_code


@check
def chunked_request():
    def parts():
        yield b'{"id": 1, "method": "accessControl_auth'
        yield b'enticated", "params": []}'
    r = session().post(URL + "/rpc", data=parts(), headers={"Content-Type": "application/json; charset=utf-8"})
    assert r.json()["result"] is True, r.text


@check
def sessions():
    s = session()
    assert post(s, {"id": 1, "method": "accessControl_authenticated", "params": []}).json()["result"] is True
    token = s.cookies["opsiconfd-session"]
    alone = session(None)
    # As opsi-script may send it: with garbage before.
    for cookie in ("opsiconfd-session=" + token, "NULL; opsiconfd-session=" + token, "a=b; ;x; opsiconfd-session=" + token + "; z"):
        r = post(alone, {"id": 1, "method": "accessControl_authenticated", "params": []}, Cookie=cookie)
        assert r.status_code == 200 and r.json()["result"] is True, (cookie, r.status_code, r.text)
    r = session(None).post(URL + "/session/logout", headers={"Cookie": "opsiconfd-session=" + token})
    assert r.status_code == 200, r.status_code
    r = post(session(None), {"id": 1, "method": "accessControl_authenticated", "params": []}, Cookie="opsiconfd-session=" + token)
    assert r.status_code == 401, r.status_code


@check
def refusals():
    for s in (session(None), session(HOST, "0" * 32), session("nobody.example.org", KEY)):
        r = post(s, {"id": 3, "method": "backend_info", "params": []})
        assert r.status_code == 401, r.status_code
        body = r.json()
        assert body["id"] is None and body["result"] is None and isinstance(body["error"], str), body
        assert r.headers["WWW-Authenticate"].startswith("Basic"), r.headers
        assert 0 < len(r.headers["x-opsi-error"]) <= 64, r.headers
    r = post(session(), "no json")
    assert r.status_code == 400, r.status_code
    r = session().post(URL + "/rpc", data=b"\xc1", headers={"Content-Type": "application/msgpack"})
    assert r.status_code == 400, r.status_code


@check
def names_of_a_host():
    for name in (HOST.upper(), HOST + ".", MAC, "{hardware_address}" + MAC, "{system_uuid}" + UUID):
        s = session(name, KEY)
        r = post(s, {"id": 1, "method": "accessControl_authenticated", "params": []})
        assert r.status_code == 200 and r.json()["result"] is True, (name, r.status_code, r.text)
        if name[0] in "{" or name == MAC:
            assert r.headers.get("x-opsi-new-host-id") == HOST, (name, r.headers)


@check
def one_time_password():
    r = session(OTP_HOST, OTP).head(URL + "/rpc")
    assert r.status_code == 200, r.status_code
    key = r.headers["x-opsi-new-host-key"]
    assert re.fullmatch("[0-9a-f]{32}", key), key
    r = session(OTP_HOST, OTP).head(URL + "/rpc")
    assert r.status_code == 401, r.status_code
    assert session(OTP_HOST, key).head(URL + "/rpc").status_code == 200


@check
def json_rpc_versions():
    s = session()
    r = post(s, {"id": 5, "method": "accessControl_authenticated", "params": []}).json()
    assert r == {"id": 5, "result": True, "error": None}, r
    r = post(s, {"jsonrpc": "2.0", "id": "x", "method": "accessControl_authenticated", "params": []}).json()
    assert r["jsonrpc"] == "2.0" and r["id"] == "x" and r["result"] is True and not r.get("error"), r
    r = post(s, {"jsonrpc": "2.0", "id": 1, "method": "no_such_method", "params": []})
    assert r.status_code == 200 and r.json()["error"]["data"]["class"], r.text
    assert isinstance(r.json()["error"]["message"], str) and "result" not in r.json() or r.json()["result"] is None, r.text
    r = post(s, {"id": 1, "method": "host_getObjects", "params": ["too", "many", "of", "them"]})
    assert r.status_code == 200 and r.json()["error"]["message"], r.text
    batch = [{"id": n, "method": "host_getIdents", "params": ["str", {"id": HOST}]} for n in range(3)]
    r = post(s, batch).json()
    assert [a["id"] for a in r] == [0, 1, 2] and r[0]["result"] == [HOST], r
    # Positional, by name, and the filter as the last one.
    for params in ([[], {"id": HOST}], {"attributes": [], "filter": {"id": HOST}}, {"attributes": [], "id": HOST}, {"id": HOST}):
        r = post(s, {"jsonrpc": "2.0", "id": 1, "method": "host_getObjects", "params": params}).json()
        assert not r.get("error") and len(r["result"]) == 1, (params, r)
        assert r["result"][0]["type"] == "OpsiClient" and r["result"][0]["ident"] == HOST, r
    r = s.post(URL + "/rpc/anything", json={"id": 1, "method": "accessControl_authenticated", "params": []})
    assert r.json()["result"] is True, r.text


@check
def content_types():
    call = json.dumps({"id": 1, "method": "accessControl_authenticated", "params": []}).encode()
    for sent in ("application/json", "application/json; charset=UTF-8", "application/json-rpc", "gzip-application/json-rpc", "text/plain", None):
        headers = {"Content-Type": sent, "Accept": "*/*"}
        data = call
        if sent and sent.startswith("gzip"):
            data, headers["Content-Encoding"] = gzip.compress(call), "gzip"
        r = session().post(URL + "/rpc", data=data, headers=headers)
        assert r.status_code == 200 and r.json()["result"] is True, (sent, r.status_code, r.text)
    # Without a type it is JSON, and what is accepted decides about the answer.
    r = session().post(URL + "/rpc", data=call, headers={"Content-Type": None, "Accept": "application/msgpack"})
    assert msgpack.unpackb(r.content, raw=False)["result"] is True, r.headers
    # With one the answer is of that type, whatever is accepted.
    r = session().post(URL + "/rpc", data=call, headers={"Content-Type": "application/json", "Accept": "application/msgpack"})
    assert r.json()["result"] is True, r.headers


@check
def many_sessions_of_one_host():
    """A host that never keeps its cookie is not locked out."""
    for n in range(100):
        r = post(session(), {"id": n, "method": "accessControl_authenticated", "params": []})
        assert r.status_code == 200, (n, r.status_code, r.text)


@check
def one_connection_for_long():
    s = session()
    for n in range(50):
        assert post(s, {"id": n, "method": "host_getIdents", "params": []}).json()["id"] == n
        assert s.get(URL + "/depot/tool/data.gz", stream=True).raw.read()
    assert len(s.cookies) == 1


@check
def large_objects():
    s = Service(session(*ADMIN))
    rows = [{"type": "OpsiClient", "id": "many%04d.example.org" % n, "description": "x" * 200, "notes": "Größe €"} for n in range(1000)]
    r, answer = s.raw({"jsonrpc": "2.0", "id": 1, "method": "host_createObjects", "params": [rows]}, compress=True)
    assert r.status_code == 200 and not answer.get("error"), answer
    got = s.call("host_getObjects", ["id", "notes"], {"id": "many*"})
    assert len(got) == 1000 and all(h["notes"] == "Größe €" for h in got)
    s.call("host_deleteObjects", got)
    assert s.call("host_getIdents", "str", {"id": "many*"}) == []


@check
def action_order():
    s = Service(session(*ADMIN))
    s.call("setProductActionRequestWithDependencies", "tool", HOST, "setup")
    rows = s.call("productOnClient_getObjectsWithSequence", [], {"clientId": [HOST], "productType": "LocalbootProduct"})
    assert [(r["productId"], r["actionRequest"], r["actionSequence"]) for r in rows] == [("tool", "setup", 0)], rows
    s.call("productOnClient_updateObjects", [{"type": "ProductOnClient", "productId": "tool", "productType": "LocalbootProduct", "clientId": HOST, "actionRequest": "setup"}])


@check
def call_by_get():
    s = session()
    call = urllib.parse.quote(json.dumps({"id": 4, "method": "host_getIdents", "params": ["str", {"id": HOST}]}))
    r = s.get(URL + "/rpc?" + call)
    assert r.status_code == 200 and r.json()["result"] == [HOST], (r.status_code, r.text)
    assert r.headers["Content-Type"].startswith("application/json"), r.headers
    r = s.get(URL + "/rpc?" + call, headers={"Accept": "application/msgpack"})
    assert msgpack.unpackb(r.content, raw=False)["result"] == [HOST], r.headers


@check
def filters_and_idents():
    s = Service(session(*ADMIN))
    s.call("group_createObjects", [{"type": "HostGroup", "id": "north"}, {"type": "HostGroup", "id": "north-1", "parentGroupId": "north"},
                                   {"type": "ProductGroup", "id": "north-2"}])
    ids = lambda rows: sorted(r["id"] for r in rows)
    assert ids(s.call("group_getObjects", [], {"id": "north*"})) == ["north", "north-1", "north-2"]
    assert ids(s.call("group_getObjects", [], {"id": ["north", "north-1"]})) == ["north", "north-1"]
    assert ids(s.call("group_getObjects", [], {"type": "HostGroup", "id": "north*", "parentGroupId": None})) in (["north"], ["north", "north-1"])
    assert ids(s.call("group_getObjects", [], {"type": "HostGroup", "id": []})) == ids(s.call("group_getObjects", [], {"type": "HostGroup"}))
    row = s.call("group_getObjects", ["id"], {"id": "north-1"})[0]
    assert row["id"] == "north-1" and row["ident"] and row.get("description") is None, row
    p = {"objectId": HOST, "configId": "north.config"}
    s.call("config_createObjects", {"type": "UnicodeConfig", "id": "north.config", "possibleValues": ["a", "b"], "defaultValues": ["a"], "editable": True, "multiValue": False})
    s.call("configState_create", "north.config", HOST, ["b"])
    assert s.call("configState_getIdents", "str", p) == ["north.config;" + HOST]
    assert s.call("configState_getIdents", "dict", p) == [p]
    assert s.call("configState_getIdents", "list", p) == [["north.config", HOST]]
    assert s.call("configState_getIdents", "tuple", p) == [["north.config", HOST]]
    values = s.call("configState_getValues", ["north.*"], [HOST], True)
    assert values == {HOST: {"north.config": ["b"]}}, values
    s.call("configState_delete", "north.config", HOST)
    assert s.call("configState_getValues", ["north.config"], [HOST], True) == {HOST: {"north.config": ["a"]}}


@check
def null_and_update():
    s = Service(session(*ADMIN))
    host = {"type": "OpsiClient", "id": "null.example.org", "description": "d", "notes": "n"}
    s.call("host_createObjects", host)
    s.call("host_updateObject", {"type": "OpsiClient", "id": "null.example.org", "description": None, "notes": "m"})
    row = s.call("host_getObjects", [], {"id": "null.example.org"})[0]
    assert row["description"] == "d" and row["notes"] == "m", row
    s.call("host_insertObject", {"type": "OpsiClient", "id": "null.example.org", "opsiHostKey": row["opsiHostKey"]})
    row = s.call("host_getObjects", [], {"id": "null.example.org"})[0]
    assert not row["description"] and not row["notes"], row
    s.call("host_delete", "null.example.org")
    assert s.call("host_getObjects", [], {"id": "null.example.org"}) == []


@check
def ordinary_event():
    s = Service(session())
    s.s.head(URL + "/rpc")
    assert abs(time.mktime(time.strptime(s.call("getServiceTime", False), "%Y-%m-%d %H:%M:%S.%f")) - time.time()) < 24 * 3600
    to = s.call("configState_getClientToDepotserver", [], [HOST])
    assert to == [{"clientId": HOST, "depotId": DEPOT, "alternativeDepotIds": []}], to
    s.call("configState_getValues", ["clientconfig.configserver.url", "clientconfig.depot.drive", "clientconfig.depot.id", "clientconfig.depot.user",
                                     "clientconfig.suspend_bitlocker_on_reboot", "clientconfig.wan_vpn", "opsiclientd.*"], [HOST], True)
    attributes = ["actionRequest", "installationStatus", "actionSequence", "productVersion"]
    rows = s.call("productOnClient_getObjects", attributes,
                  {"productType": "LocalbootProduct", "clientId": HOST, "actionRequest": ["setup", "uninstall", "update", "always", "once", "custom"]})
    assert [r["productId"] for r in rows] == ["tool"], rows
    assert rows[0]["actionRequest"] == "setup" and rows[0]["type"] == "ProductOnClient" and rows[0]["ident"] == "tool;LocalbootProduct;" + HOST, rows
    assert s.call("productOnDepot_getObjects", [], {"depotId": DEPOT, "productId": ["tool"]})[0]["productVersion"] == "1"
    assert s.call("product_getObjects", ["id", "name"], {"id": ["tool"]})[0]["name"] == "tool"
    depots = s.call("host_getObjects", [], {"type": "OpsiDepotserver", "id": [DEPOT]})
    assert len(depots) == 1 and re.match("webdavs://[^/]+/depot$", depots[0]["depotWebdavUrl"]), depots
    s.call("configState_getClientToDepotserver", [], [HOST], True, ["tool"])
    rows[0].update({"installationStatus": "installed", "actionRequest": "none", "actionProgress": "", "actionResult": "successful",
                    "lastAction": "setup", "productVersion": "1", "packageVersion": "1"})
    s.call("productOnClient_updateObjects", rows)
    after = s.call("productOnClient_getObjects", [], {"clientId": HOST, "productId": "tool"})[0]
    assert after["installationStatus"] == "installed" and after["actionRequest"] in ("none", None) and after["modificationTime"], after
    assert s.call("productOnClient_getIdents", "dict", {"clientId": HOST, "productId": "tool"})[0]["productId"] == "tool"
    s.call("log_write", "clientconnect", "one\nGröße €\n", HOST, False)
    assert "Größe €" in s.call("log_read", "clientconnect", HOST), "the log"
    s.call("backend_exit")
    assert s.s.post(URL + "/session/logout").status_code == 200


@check
def own_only():
    s = Service(session())
    other = s.call("host_getObjects", [], {"id": OTP_HOST})
    if other:
        for secret in ("opsiHostKey", "oneTimePassword", "notes", "description", "hardwareAddress", "lastSeen"):
            assert not other[0].get(secret), (secret, other)
    for method, params in (("productOnClient_create", ["tool", "LocalbootProduct", OTP_HOST]), ("host_delete", [HOST]),
                           ("configState_create", ["x", OTP_HOST, ["y"]]), ("log_write", ["instlog", "x", OTP_HOST, False])):
        r, answer = s.raw({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert answer.get("error"), (method, answer)


@check
def config_sync_reads():
    """The calls of opsi's replicator, in its order."""
    s = Service(session())
    licensing = s.call("backend_getLicensingInfo", False, False, False)
    assert "vpn" in licensing["available_modules"], licensing
    assert s.call("backend_info")["opsiVersion"], "opsiVersion"
    ids = {"productId": ["tool"]}
    for method, filters in (
        ("productOnClient_getObjects", {"clientId": HOST}), ("productDependency_getObjects", ids),
        ("productPropertyState_getObjects", {"objectId": HOST, "productId": "opsi-client-agent", "propertyId": "setup_after_install"}),
        ("host_getObjects", {"type": "OpsiConfigserver"}), ("productOnDepot_getObjects", {"depotId": [DEPOT], "productId": ["tool"], "productType": ["LocalbootProduct"]}),
        ("host_getObjects", {"type": "OpsiDepotserver", "id": [DEPOT]}), ("host_getObjects", {"type": "OpsiClient", "id": [HOST]}),
        ("product_getObjects", {"id": ["tool"], "type": None}), ("config_getObjects", {}), ("group_getObjects", {"type": None, "id": []}),
        ("productProperty_getObjects", ids), ("productOnClient_getObjects", {"productType": ["LocalbootProduct"], "productId": ["tool"], "clientId": [HOST]}),
        ("productPropertyState_getObjects", {"productId": ["tool"], "objectId": [HOST, DEPOT]}), ("configState_getObjects", {"objectId": [HOST, DEPOT]}),
        ("objectToGroup_getObjects", {"objectId": ["tool", HOST]}), ("licenseOnClient_getObjects", {"clientId": HOST}),
        ("licensePool_getObjects", {"productIds": ["tool"]}),
    ):
        rows = s.call(method, [], filters)
        assert isinstance(rows, list), (method, rows)
    assert len(s.call("product_getObjects", [], {"id": ["tool"], "type": None})) == 1
    me = s.call("host_getObjects", [], {"type": "OpsiClient", "id": [HOST]})[0]
    assert me["opsiHostKey"] == KEY, "a host may read its own key"
    hardware = s.call("auditHardware_getConfig")
    assert hardware and all(c["Class"]["Opsi"] and c["Values"] for c in hardware), hardware[:1]


@check
def config_sync_writes():
    s = Service(session())
    s.call("auditHardwareOnHost_setObsolete", HOST)
    s.call("auditHardwareOnHost_updateObjects", [{"type": "AuditHardwareOnHost", "hostId": HOST, "hardwareClass": "BIOS", "name": "b", "vendor": "v", "version": "1", "state": 1}])
    assert len(s.call("auditHardwareOnHost_getObjects", [], {"hostId": HOST, "hardwareClass": "BIOS"})) == 1
    software = {"name": "editor", "version": "1", "subVersion": "", "language": "", "architecture": "x64"}
    s.call("auditSoftware_updateObjects", [dict(software, type="AuditSoftware")])
    s.call("auditSoftwareOnClient_setObsolete", HOST)
    s.call("auditSoftwareOnClient_updateObjects", [dict(software, type="AuditSoftwareOnClient", clientId=HOST, state=1)])
    assert len(s.call("auditSoftwareOnClient_getObjects", [], {"clientId": HOST, "state": 1})) == 1
    s.call("host_updateObject", {"type": "OpsiClient", "id": HOST, "systemUUID": UUID})
    s.call("productPropertyState_updateObjects", [{"type": "ProductPropertyState", "productId": "tool", "propertyId": "greeting", "objectId": HOST, "values": ["hey"]}])
    assert s.call("productPropertyState_getValues", ["tool"], ["greeting"], [HOST], True)[HOST]["tool"]["greeting"] == ["hey"]
    s.call("log_write", "instlog", "x" * 20000, HOST, False)


@check
def product_caching():
    s = Service(session())
    slot = s.call("depot_acquireTransferSlot", DEPOT, HOST, None, "opsiclientd_product_sync")
    assert slot["slot_id"] and slot["retention"] > 0, slot
    again = s.call("depot_acquireTransferSlot", DEPOT, HOST, slot["slot_id"], "opsiclientd_product_sync")
    assert again["slot_id"] == slot["slot_id"], again
    s.call("depot_releaseTransferSlot", DEPOT, HOST, slot["slot_id"], "opsiclientd_product_sync")
    s.call("productOnClient_updateObjects", [{"type": "ProductOnClient", "productId": "tool", "productType": "LocalbootProduct", "clientId": HOST, "actionProgress": "caching"}])


def propfind(s, path, depth="1"):
    body = b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
    r = s.request("PROPFIND", URL + path, data=body, headers={"Depth": depth, "Content-Type": "text/xml"})
    assert r.status_code == 207, (path, r.status_code, r.text)
    found = {}
    for response in ET.fromstring(r.content).iter("{DAV:}response"):
        href = urllib.parse.unquote(urllib.parse.urlparse(response.find("{DAV:}href").text).path)
        size = response.find(".//{DAV:}getcontentlength")
        folder = response.find(".//{DAV:}resourcetype/{DAV:}collection") is not None
        found[href.rstrip("/")] = None if folder else int(size.text)
    return found


@check
def webdav():
    s = session()
    top = propfind(s, "/depot/tool")
    assert top["/depot/tool"] is None and top["/depot/tool/sub dir"] is None, top
    assert top["/depot/tool/tool.files"] > 0, top
    assert "/depot/tool/sub dir/größe #1%.txt" not in top, top
    below = propfind(s, "/depot/tool/" + urllib.parse.quote("sub dir") + "/")
    assert below["/depot/tool/sub dir/größe #1%.txt"] == len("contents of it"), below
    assert list(propfind(s, "/depot/tool/tool.files", "0").values()) == [top["/depot/tool/tool.files"]]
    path = URL + "/depot/tool/" + urllib.parse.quote("sub dir/größe #1%.txt")
    assert s.get(path).content == b"contents of it"
    r = s.head(path)
    assert r.headers["Content-Length"] == "14" and r.headers.get("Accept-Ranges") == "bytes", r.headers
    for span, want in (("bytes=0-7", b"contents"), ("bytes=9-", b"of it"), ("bytes=-2", b"it")):
        r = s.get(path, headers={"Range": span})
        assert r.status_code == 206 and r.content == want, (span, r.status_code, r.content)
        assert r.headers["Content-Range"].endswith("/14"), r.headers
    assert s.get(path, headers={"Range": "bytes=99-"}).status_code == 416
    assert s.get(URL + "/depot/tool/nothing").status_code == 404
    # opsi looks names up in any case.
    r = s.get(URL + "/depot/TOOL/Tool.Files")
    assert r.status_code == 200, "names in another case: %d" % r.status_code
    # A compressed file of the depot is not to be unpacked on the way.
    r = s.get(URL + "/depot/tool/data.gz", headers={"Accept-Encoding": "gzip, deflate, lz4"}, stream=True)
    assert "Content-Encoding" not in r.headers and gzip.decompress(r.raw.read()) == b"packed", r.headers


@check
def webdav_list_of_files():
    s = session()
    text = s.get(URL + "/depot/tool/tool.files").content.decode()
    sums = {}
    for line in text.splitlines():
        m = re.fullmatch(r"(d|f|l) '(.*)' (\d+)(?: (?:([0-9a-f]{32})|'(.*)'))?", line)
        assert m, line
        if m.group(1) == "f":
            sums[m.group(2)] = (int(m.group(3)), m.group(4))
    assert len(sums) >= 3, text
    for name, (size, md5) in sums.items():
        data = s.get(URL + "/depot/tool/" + urllib.parse.quote(name), stream=True).raw.read()
        assert len(data) == size and hashlib.md5(data).hexdigest() == md5, name


@check
def webdav_refuses():
    s = session()
    r = s.put(URL + "/depot/tool/x", data=b"x")
    assert r.status_code in (401, 403, 405), r.status_code  # opsi: 401, whoever asks
    for method in ("DELETE", "MKCOL"):
        assert s.request(method, URL + "/depot/tool/x").status_code in (401, 403, 405), method
    assert session(None).get(URL + "/depot/tool/tool.files").status_code == 401
    assert s.get(URL + "/depot/tool/" + "%2e%2e/" * 6 + "etc/passwd").status_code in (400, 403, 404)


def main():
    for f in CHECKS:
        line = {"check": f.__name__, "error": ""}
        try:
            f()
        except Exception:
            line["error"] = traceback.format_exc(limit=-2)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
