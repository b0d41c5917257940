#!/usr/bin/env bash
# Runs every fuzz target of the repository for some time each (first argument,
# as go test's -fuzztime takes it; default 60s), or those whose name matches
# the second. What fails is written below testdata/fuzz of its package: commit
# it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-60s}
only=${2:-.}
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT

# One line for each target: its package's directory and its name.
targets=$(git ls-files -co --exclude-standard -- '*_test.go' | xargs grep -Eo '^func Fuzz[A-Za-z0-9_]+' |
  sed -E 's#/[^/]+_test\.go:func # #' | sort -u | grep -E "$only" || true)
[ -n "$targets" ] || { echo "no fuzz target matches '$only'" >&2; exit 1; }

# Time that is up at the wrong moment fails a target with nothing but this, and no input: golang/go#75804, mended in Go 1.27.
time_was_up() { [ "$(sed -n '/^--- FAIL: /,/^FAIL$/p' "$1" | sed '1d;$d')" = '    context deadline exceeded' ]; }

failed=
package=
while read -r dir target; do
  if [ "$dir" != "$package" ]; then
    # Instrumented and linked once for all targets of the package.
    go test -vet=off -c -fuzz . -o "$bin/fuzz.test" "./$dir"
    package=$dir
  fi
  echo "--- $dir $target"
  (cd "$dir" && "$bin/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" \
    -test.fuzzcachedir "$(go env GOCACHE)/fuzz/github.com/mesh-security/mesh/$dir") </dev/null 2>&1 |
    tee "$bin/log" || time_was_up "$bin/log" || failed="$failed $target"
done <<<"$targets"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
