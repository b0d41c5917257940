#!/usr/bin/env bash
# Runs the Quint model of spec/quint, with the Quint of tools/quint.
#
#   run.sh [check]   random behaviours: every invariant holds, every sanity property is seen, or it fails
#   run.sh traces    writes the traces that tests/model plays against the modules
#   run.sh show MIX SEED   shows the behaviour in which an invariant fails
#
# SEED=0 draws another seed, which is printed. TRACES says how many behaviours there are; CHOOSE how many traces are
# written, OUT where.
set -euo pipefail
cd "$(dirname "$0")/../.."

mode=${1:-check}
here=$PWD/tools/quint
spec=spec/quint/mesh.qnt
seed=${SEED:-20261122}
[ "$seed" != 0 ] || seed=$RANDOM$RANDOM
scale=${TRACES:-1000}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if [ ! -x "$here/node_modules/.bin/quint" ] || [ "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ]; then
  (cd "$here" && npm ci --no-audit --no-fund --loglevel=error >&2)
fi

# How behaviours are drawn: action, share in per mille, steps.
configs='step 550 15
slow 250 18
calm 100 22
dead 100 20'
invariants='covered pooled entriesHeld paid powerBacked powerFresh batchesEnd agrees claimsBounded seqs'
sanity=$(grep -o '^  val can[A-Za-z]*' $spec | sed 's/  val //')

# quint ACTION STEPS SEED SAMPLES [OPTION...]: one run.
quint() {
  local action=$1 steps=$2 seed=$3 samples=$4 all=$invariants
  shift 4
  case $action in calm) all="$all converges" ;; dead) all="$all letsGo" ;; esac
  # shellcheck disable=SC2086 # lists of names
  "$here/node_modules/.bin/quint" run $spec --backend=typescript --verbosity="${VERBOSITY:-1}" --step="$action" --max-steps="$steps" \
    --seed="$seed" --max-samples="$samples" --invariants $all --witnesses $sanity "$@"
}

# each COMMAND: runs it for all configs, two at a time, with action, steps and number of behaviours. Their output is in $tmp.
each() {
  local action share steps failed=0 running=()
  while read -r action share steps; do
    if [ ${#running[@]} -ge 2 ]; then
      finish "${running[0]}" || failed=1
      running=("${running[@]:1}")
    fi
    "$1" "$action" "$steps" $((scale * share / 1000)) >"$tmp/$action.log" 2>&1 &
    running+=("$! $action")
  done <<<"$configs"
  for job in "${running[@]}"; do finish "$job" || failed=1; done
  return $failed
}

# finish "PID ACTION": waits for a run and shows what it says if it fails.
finish() {
  wait "${1%% *}" && return
  echo "quint: ${1#* } with seed $seed:" >&2
  cat "$tmp/${1#* }.log" >&2
  return 1
}

sample() { quint "$1" "$2" "$seed" "$3"; }
record() { quint "$1" "$2" "$seed" "$3" --n-traces="$3" --out-itf="$tmp/$1_{seq}.itf.json"; }

# Some properties are seen in one behaviour of a thousand: what a run misses is looked for in twice as many from another seed,
# and again. Never seen means that the model has lost it.
check() {
  local name missing round total=0
  for round in 1 2 3; do
    each sample
    total=$((total + scale)) missing=
    for name in $sanity; do
      cat "$tmp"/*.log | awk -v name="$name" '$1 == name { n += $5 } END { printf "%6d %s\n", n, name; exit n == 0 }' || missing="$missing $name"
    done
    [ -n "$missing" ] || break
    echo "quint: not seen in $scale behaviours with seed $seed:$missing" >&2
    [ "$round" -lt 3 ] || { echo "quint: never seen in $total behaviours" >&2; return 1; }
    sanity=$missing seed=$((seed + 1)) scale=$((scale * 2))
  done
  echo "quint: $total behaviours, the last $scale with seed $seed: no invariant fails, all is seen"
}

traces() {
  local hash
  hash=$(cat spec/quint/mesh.qnt spec/quint/pools.qnt | sha256sum | cut -d' ' -f1)
  each record
  mkdir -p tests/model/testdata
  node "$here/choose.mjs" "$tmp" "${CHOOSE:-200}" "${OUT:-tests/model/testdata/traces.jsonl.gz}" "$hash"
}

show() {
  local steps
  steps=$(awk -v a="$1" '$1 == a { print $3 }' <<<"$configs")
  VERBOSITY=2 quint "$1" "$steps" "$2" "$scale"
}

case $mode in
check) check ;;
traces) traces ;;
show) show "$2" "$3" ;;
*)
  echo "unknown mode: $mode" >&2
  exit 2
  ;;
esac
