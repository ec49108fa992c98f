#!/bin/bash
# What only a card can say, in one call: today the probe of the card, its ceilings and PyTorch's
# times on it. Each part's JSON is written as soon as it is done, and all that are done stand in
# one file per card, with a table beside it.
#
#   scripts/gpu_check.sh [--quick] [--out FOLDER] [PART...]
#
# PART is card, copy, launch, products-MODEL (t5-small, t5-base, roberta-large), or an opponent
# (scripts/gpu_opponents.py --help lists them); default: all, in the order of their worth. --quick
# takes two minutes, all of it eight. FOLDER is $OUT where that is set, else
# experiments/results/gpu. Needs nvcc and cuBLASLt on the machine, PyTorch for the opponents; leaves
# the card's settings alone. Exit code: 0 all parts done, 1 some failed, 3 no card.
set -u
case "${1-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;; esac
quick= out=${OUT:-} parts=()
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=--quick ;;
    --out) out=$(realpath -m -- "${2:?gpu_check.sh: --out FOLDER}") && shift ;;
    -*) echo "gpu_check.sh: unknown option $1; --help" >&2 && exit 2 ;;
    *) parts+=("$1") ;;
  esac
  shift
done
cd "$(dirname "$0")/.." || exit 2
out=${out:-experiments/results/gpu}
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L >/dev/null 2>&1; then
  echo "gpu_check.sh: no NVIDIA card on this machine" >&2
  exit 3
fi
if [ "${#parts[@]}" = 0 ]; then
  parts=(card copy launch products-t5-base products-t5-small products-roberta-large sdpa t5_step
    pet_step norms adamw cross_entropy flex)
  [ -z "$quick" ] || parts=(card copy launch products-t5-base sdpa t5_step norms adamw)
fi
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

"$nvcc" -O2 -std=c++17 -gencode=arch=compute_90a,code=sm_90a \
  -gencode=arch=compute_80,code=compute_80 tests/gpu/probe.cu -o "$work/probe" -lcublasLt || exit 1

run_part() {
  case "$1" in
    card | copy | launch) "$work/probe" "$1" ;;
    products-*) "$work/probe" products "${1#products-}" $quick ;;
    *) timeout 150 python3 scripts/gpu_opponents.py "$1" $quick ;;
  esac
}

failed=0
for part in "${parts[@]}"; do
  began=$(date +%s)
  if run_part "$part" >"$work/$part.json" 2>"$work/$part.err"; then
    echo "== $part: $(($(date +%s) - began)) s"
  else
    echo "== $part FAILED: $(tail -3 "$work/$part.err")" && failed=1
    rm -f "$work/$part.json"
  fi
  python3 scripts/gpu_table.py "$work" "$out" ${quick:+--quick} || failed=1
done
exit "$failed"
