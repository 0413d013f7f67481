#!/bin/sh
# Installs the files beside it on a bare node, below the folder ROOT (default /).
# Edit feed.conf first; a feed.conf that is there already stays.
set -eu
ROOT=${1:-}
HERE=$(dirname "$0")
mkdir -p "$ROOT/usr/local/sbin" "$ROOT/etc/fernwerk" "$ROOT/etc/cron.d"
for F in fernwerk-feed gen_certif; do
  cp "$HERE/$F" "$ROOT/usr/local/sbin/.$F.new"
  chmod 755 "$ROOT/usr/local/sbin/.$F.new"
  mv -f "$ROOT/usr/local/sbin/.$F.new" "$ROOT/usr/local/sbin/$F"
done
[ -f "$ROOT/etc/fernwerk/feed.conf" ] || cp "$HERE/feed.conf" "$ROOT/etc/fernwerk/feed.conf"
chmod 644 "$ROOT/etc/fernwerk/feed.conf"
cp "$HERE/fernwerk-feed.cron" "$ROOT/etc/cron.d/fernwerk-feed"
chmod 644 "$ROOT/etc/cron.d/fernwerk-feed"
if [ -d "$ROOT/etc/systemd/system" ]; then
  cp "$HERE/fernwerk-feed.service" "$ROOT/etc/systemd/system/"
  mkdir -p "$ROOT/etc/systemd/system/multi-user.target.wants"
  ln -sf ../fernwerk-feed.service "$ROOT/etc/systemd/system/multi-user.target.wants/fernwerk-feed.service"
fi
