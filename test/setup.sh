#!/bin/sh
# Installs what the tests need and this machine lacks: PostgreSQL, Samba, bind, OpenVPN, schedulers, rsync, packers, wget,
# gpg. Only as root and with apt-get; elsewhere it says what is missing, and the tests that need it are left out.
set -eu

missing=
[ -n "$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || command -v postgres >/dev/null || missing="$missing postgresql"
[ -x /usr/sbin/smbd ] || command -v smbd >/dev/null || missing="$missing samba"
[ -x /usr/sbin/named ] || command -v named >/dev/null || missing="$missing bind9"
command -v dig >/dev/null || missing="$missing bind9-dnsutils"
for tool in rsync zstd cpio bzip2 smbclient; do
	command -v $tool >/dev/null || missing="$missing $tool"
done
# A bare node, and who reads its scripts.
for tool in wget gpg openssl dash shellcheck; do
	command -v $tool >/dev/null || missing="$missing $tool"
done
# Tunnels, in networks of the tests' own.
command -v nft >/dev/null || missing="$missing nftables"
command -v ping >/dev/null || missing="$missing iputils-ping"
command -v openvpn >/dev/null || missing="$missing openvpn"
command -v iperf3 >/dev/null || missing="$missing iperf3"
# An independent opsi client, test/opsi; also what opsi clients execute.
/usr/bin/python3 -c 'import requests, msgpack, lz4' 2>/dev/null || missing="$missing python3-requests python3-msgpack python3-lz4"
# A real browser, for the agent's page.
command -v chromium >/dev/null || missing="$missing chromium"
# Real schedulers, test/require/oar and slurm.
[ -x /usr/sbin/oar-server ] || missing="$missing oar-server oar-server-pgsql oar-user oar-user-pgsql oar-node openssh-server libjson-perl"
[ -x /usr/sbin/slurmctld ] || missing="$missing slurm-wlm munge"
# Real resolvers, internal/kit/resolver: they are unpacked only, for installed ones would change how this machine resolves
# names, and exclude each other.
unpacked=/var/cache/fernwerk-test
unpack() {
	if [ -d "$unpacked/$1" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		return 0
	fi
	mkdir -p "$unpacked/part"
	if (cd "$unpacked/part" && { apt-get -q download "$1" || { apt-get update && apt-get -q download "$1"; }; } >log 2>&1 &&
		dpkg -x "$1"_*.deb tree && mv tree "../$1"); then
		echo "unpacked: $1"
	else
		echo "missing: $1 (tests that need it are left out)"
		cat "$unpacked/part/log"
	fi
	rm -rf "$unpacked/part"
}
for package in systemd-resolved resolvconf openresolv; do
	unpack $package
done
command -v dbus-daemon >/dev/null || missing="$missing dbus-daemon"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing:$missing (tests that need them are left out; run as root on Debian to install them)"
	exit 0
fi
echo "installing:$missing"
log=$(mktemp)
# Words of $missing are separate arguments.
# shellcheck disable=SC2086
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends install $missing; } >"$log" 2>&1 </dev/null; then
	cat "$log" >&2
	rm -f "$log"
	exit 1
fi
rm -f "$log"
