#!/bin/sh
# Runs each fuzz target of the module for the given time: test/fuzz.sh 10s
set -eu

time=${1:-10s}
targets=$(grep -rEo '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sort) || {
	echo "no fuzz target found" >&2
	exit 1
}
echo "$targets" | while IFS=: read -r file func; do
	name=${func#func }
	echo "== ${file%/*} $name"
	go test -run='^$' -fuzz="^$name\$" -fuzztime="$time" "${file%/*}" </dev/null
done
