#!/bin/bash
# Shows that this tree computes what another commit computes, byte for byte, on this machine: for
# changes that move, rename and restructure. Builds COMMIT below build/same, runs the same
# experiments with both programs, and compares the `metrics` of every result.json, every
# metrics.jsonl, all predictions and all saved weights.
#
#   scripts/same_results.sh COMMIT           quickstart at scale test, the same stopped and resumed
#                                            many times, and own_task
#   scripts/same_results.sh COMMIT --whole   and the quickstart as README runs it (data/debian,
#                                            seven minutes each)
#
# Environment: JOBS (of the build; default 2). Exit code: 0 all the same, 1 something differs, 2
# wrong usage.
set -euo pipefail
case "${1-}" in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
  "" | -*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 2 ;;
esac
cd "$(dirname "$0")/.."
commit=$(git rev-parse --verify --quiet "$1^{commit}") ||
  { echo "same_results.sh: no commit $1" >&2 && exit 2; }
whole=${2-}
root=$PWD same=$PWD/build/same
mkdir -p "$same"

# The other commit's program, built once.
old=$same/$commit
if [ ! -x "$old/build/release/bin/cloze" ]; then
  rm -rf "$old"
  git clone --quiet --shared . "$old"
  git -C "$old" checkout --quiet "$commit"
  (cd "$old" && cmake --preset release -DCZ_TESTS=OFF && cmake --build --preset release \
    -j "${JOBS-2}") >/dev/null
fi
cmake --build --preset release -j "${JOBS-2}" --target cloze >/dev/null
CLOZE=$root/build/release/bin/cloze scripts/prepare_debian.sh --sample >/dev/null

# shellcheck source=scripts/run_facts.bash
. scripts/run_facts.bash

# Without a stage's folder, whose name is a hash that a change of structure may change.
nameless_facts() { facts "$1" | sed 's!  .*/!  !' | sort; }

# run_with PROGRAM OUT FILE [words]
run_with() {
  local program=$1 out=$2
  shift 2
  rm -rf "$out"
  "$program" run "$@" --out "$out" >"$out.log" 2>&1 || { tail -5 "$out.log" && return 1; }
}

# The same, stopped by a signal every two seconds and resumed until it is done.
run_stopped() {
  local program=$1 out=$2 stops=0
  shift 2
  rm -rf "$out"
  until timeout --signal=TERM 2 "$program" run "$@" --out "$out" >"$out.log" 2>&1; do
    stops=$((stops + 1))
    [ "$stops" -lt 200 ] || { tail -5 "$out.log" && return 1; }
  done
  echo "    ($stops stops)"
}

differ=0
compare() {
  local name=$1 how=$2
  shift 2
  echo "== $name"
  (cd "$old" && "$how" "$old/build/release/bin/cloze" "$same/old-$name" "$@")
  "$how" "$root/build/release/bin/cloze" "$same/new-$name" "$@"
  nameless_facts "$same/old-$name" >"$same/old-$name.facts"
  nameless_facts "$same/new-$name" >"$same/new-$name.facts"
  sha256sum <"$same/old-$name.facts" | sed "s/ .*/  $(git rev-parse --short "$commit")/"
  sha256sum <"$same/new-$name.facts" | sed "s/ .*/  this tree ($(git describe --always --dirty))/"
  cmp -s "$same/old-$name.facts" "$same/new-$name.facts" ||
    { echo "   DIFFERS: diff $same/{old,new}-$name.facts" && differ=1; }
}
for data in sample debian; do
  [ -d "data/$data" ] && [ ! -e "$old/data/$data" ] || continue
  mkdir -p "$old/data" && ln -s "$root/data/$data" "$old/data/$data"
done
compare test run_with experiments/quickstart.yaml --scale test
compare stopped run_stopped experiments/quickstart.yaml --scale test
compare own_task run_with experiments/quickstart/own_task.yaml
if [ "$whole" = --whole ]; then
  [ -f data/debian/pretrain.h5 ] || scripts/prepare_debian.sh
  compare whole run_with experiments/quickstart.yaml
fi
[ "$differ" = 0 ] && echo "all the same"
exit "$differ"
