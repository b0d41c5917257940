#!/usr/bin/env bash
# Generates the Go code of proto/ with pinned tools: buf from tools/buf, plugins
# from tools/proto.
#
#   generate.sh [write]   format proto/, then write the generated code
#   generate.sh check     fail if formatting, lint or generated code is off
#   generate.sh lint      buf lint only
#   generate.sh breaking [ref]   compare proto/ with a git ref (default: main)
#
# ONLY=proto/mesh/provider limits formatting and generation to one folder, for
# when another one does not compile at the moment.
set -euo pipefail
cd "$(dirname "$0")/../.."

mode=${1:-write}
buf=tools/buf/node_modules/.bin/buf
bin=$PWD/build/bin
tmp=

cleanup() { if [ -n "$tmp" ]; then rm -rf "$tmp"; fi; }
trap cleanup EXIT

prepare() {
  mkdir -p build
  exec 9>build/.proto.lock # one at a time: the tools and imports are shared
  flock 9
  if [ ! -x "$buf" ] || [ tools/buf/package-lock.json -nt tools/buf/node_modules/.package-lock.json ]; then
    (cd tools/buf && npm ci --no-audit --no-fund --loglevel=error >&2)
  fi
  tools/proto/deps.sh
  (cd tools/proto && go build -o "$bin/" \
    github.com/cosmos/gogoproto/protoc-gen-gocosmos \
    github.com/grpc-ecosystem/grpc-gateway/protoc-gen-grpc-gateway)
  exec 9>&-
}

# generate DIR: writes what proto/ generates below DIR, with go_package paths cut
# down to paths inside the repository.
generate() {
  mkdir -p "$1/raw"
  PATH=$bin:$PATH "$buf" generate proto ${ONLY:+--path "$ONLY"} --template proto/buf.gen.gogo.yaml --output "$1/raw"
  mv "$1/raw/github.com/mesh-security/mesh" "$1/tree"
}

# generated DIR: the generated files below DIR, relative to it.
generated() { (cd "$1" && find . -path ./build -prune -o -path '*/node_modules' -prune -o \
  \( -name '*.pb.go' -o -name '*.pb.gw.go' \) -print | sort); }

prepare
case $mode in
write)
  "$buf" format -w proto ${ONLY:+--path "$ONLY"}
  tmp=$(mktemp -d build/proto-gen.XXXXXX)
  generate "$tmp"
  # Code whose .proto is gone must go too; what did not change keeps its date, so
  # that nothing is rebuilt for it.
  if [ -z "${ONLY:-}" ]; then
    comm -13 <(generated "$tmp/tree") <(generated .) | xargs -r rm -f
  fi
  generated "$tmp/tree" | while read -r file; do
    cmp -s "$tmp/tree/$file" "$file" && continue
    mkdir -p "$(dirname "$file")"
    cp "$tmp/tree/$file" "$file"
    echo "wrote ${file#./}"
  done
  ;;
check)
  "$buf" format -d --exit-code proto
  "$buf" lint proto
  tmp=$(mktemp -d build/proto-gen.XXXXXX)
  generate "$tmp"
  bad=$(
    comm -13 <(generated "$tmp/tree") <(generated .)
    generated "$tmp/tree" | while read -r file; do
      cmp -s "$tmp/tree/$file" "$file" || echo "$file"
    done
  )
  if [ -n "$bad" ]; then
    echo "generated code is not current, run 'make proto':" >&2
    echo "$bad" >&2
    exit 1
  fi
  echo "generated code is current"
  ;;
lint)
  "$buf" lint proto
  ;;
breaking)
  tmp=$(mktemp -d build/proto-old.XXXXXX)
  git archive "${2:-main}" proto buf.work.yaml | tar -x -C "$tmp"
  mkdir -p "$tmp/build"
  cp -r build/proto-deps "$tmp/build/"
  "$buf" breaking proto --against "$tmp/proto"
  ;;
*)
  echo "unknown mode: $mode" >&2
  exit 2
  ;;
esac
