#!/usr/bin/env bash
# Gathers the protobuf files that ours import into build/proto-deps, from the Go
# modules that own them and at the versions our go.mod requires. The Buf
# registry is not needed, and a dependency's messages cannot drift from its code.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=build/proto-deps
stamp=$out/.stamp
want=$(cat go.mod tools/proto/go.mod tools/proto/deps.sh tools/proto/printproto/*.go | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0

# Directory of a module in the main module's build list.
dir() { go mod download "$1" && go list -m -f '{{.Dir}}' "$1"; }

rm -rf "$out"
mkdir -p "$out"

sdk=$(dir github.com/cosmos/cosmos-sdk)
ibc=$(dir github.com/cosmos/ibc-go/v11)
cosmos_proto=$(dir github.com/cosmos/cosmos-proto)
gogo=$(dir github.com/cosmos/gogoproto)
gateway=$(cd tools/proto && dir github.com/grpc-ecosystem/grpc-gateway)

cp -r "$sdk"/proto/{amino,cosmos,tendermint} "$out/"
cp -r "$ibc"/proto/ibc "$out/"
cp -r "$cosmos_proto"/proto/cosmos_proto "$out/"
install -D "$gogo"/gogoproto/gogo.proto "$out/gogoproto/gogo.proto"
cp -r "$gateway"/third_party/googleapis/google "$out/"
chmod -R u+w "$out"
# ics23 publishes no protobuf files with its Go module: print them from the
# descriptors compiled into it.
mkdir -p "$out/cosmos/ics23/v1"
(cd tools/proto && go run ./printproto cosmos/ics23/v1/proofs.proto) >"$out/cosmos/ics23/v1/proofs.proto"
find "$out" -type f ! -name '*.proto' -delete

echo "$want" >"$stamp"
