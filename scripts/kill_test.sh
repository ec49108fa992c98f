#!/bin/bash
# Kills `cloze run` until N kills have landed, letting it go on after each, and compares what
# every finished run leaves with an undisturbed run: `metrics` of result.json, every stage's
# metrics, and every saved model, byte for byte. Kills take turns: one at any instant of a run,
# then one at some instant of a stage of each kind that the experiment has, seen by the stage's
# folder. Every kind has to be hit, or the test fails.
#
#   scripts/kill_test.sh N FILE [words for cloze run, but not --out]
#
# Environment: CLOZE (default build/bin/cloze), SEED (of the instants; default the time), OUT
# (scratch folder, default a new one below /tmp, removed after). Exit code: 0 all the same, 1
# something differs or a run failed, 2 wrong usage.
set -u
case "${1-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;; esac
if [ $# -lt 2 ] || ! [ "$1" -ge 1 ] 2>/dev/null; then sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; fi
n=$1; shift
cloze=${CLOZE:-build/bin/cloze}
out=${OUT:-$(mktemp -d /tmp/cloze-kill-XXXXXX)}
mkdir -p "$out"
[ -n "${OUT:-}" ] || trap 'rm -rf "$out"' EXIT
RANDOM=${SEED:=$(date +%s)}
echo "SEED=$SEED"

now() { date +%s%N; }
# shellcheck source=scripts/run_facts.bash
. "$(dirname "$0")/run_facts.bash"

began=$(now)
"$cloze" run "$@" --out "$out/whole" > "$out/log" 2>&1 || { echo "the undisturbed run failed:"; tail -5 "$out/log"; exit 1; }
took=$(( ($(now) - began) / 1000000 )) # ms
facts "$out/whole" > "$out/want"
[ "$(grep -c 'safetensors\|predictions' "$out/want")" -gt 0 ] || { echo "nothing to compare in $out/whole"; exit 1; }

kills=0 finished=0 starts=0 turn=0
declare -A where longest # kills by kind of stage; the longest stage of a kind, ms
exec {nap}<> <(:)        # read -t on it sleeps without starting a process
for f in "$out"/whole/stages/*/result.json; do
  kind=$(basename "$(dirname "$f")") && kind=${kind%-*}
  ms=$(sed -n '/"measured"/,$s/^ *"seconds": \([0-9.]*\).*/\1/p' "$f" | awk '{printf "%d", 1000 * $1 + 1}')
  [ "$ms" -le "${longest[$kind]:-0}" ] || longest[$kind]=$ms
  where[$kind]=0
done
kinds=("${!longest[@]}")

check() {
  facts "$out/killed" > "$out/got"
  if ! diff "$out/want" "$out/got" > "$out/diff"; then
    echo "after $kills kills the run differs from the undisturbed one:"; head -20 "$out/diff"; exit 1
  fi
  finished=$((finished + 1))
  rm -rf "$out/killed"
}
# The kind of stage that is being worked on; nothing when none is.
working() {
  local f kind=
  for f in "$out"/killed/stages/*; do
    [ ! -d "$f" ] || [ -f "$f/result.json" ] || { kind=${f##*/}; kind=${kind%-*}; }
  done
  echo "$kind"
}
# Returns when a stage of the kind has begun that was not done before, or when the run has ended.
wait_for_stage() {
  local f
  while kill -0 $pid 2>/dev/null; do
    for f in "$out"/killed/stages/"$1"-*; do [ ! -d "$f" ] || [ -f "$f/result.json" ] || return 0; done
    read -rt 0.001 -u "$nap"
  done
}
while [ "$kills" -lt "$n" ] || [[ " ${where[*]} " == *" 0 "* ]]; do
  if [ "$starts" -ge $((20 * (n + ${#kinds[@]}))) ]; then
    printf 'after %d starts and %d kills a kind of stage was never hit:' "$starts" "$kills"
    for s in "${!where[@]}"; do printf ' %s %d' "$s" "${where[$s]}"; done
    echo; exit 1
  fi
  starts=$((starts + 1))
  aim=${kinds[$((turn % (${#kinds[@]} + 1)))]:-any}
  "$cloze" run "$@" --out "$out/killed" > "$out/log" 2>&1 &
  pid=$!
  span=$((took + took / 10))
  [ "$aim" = any ] || { wait_for_stage "$aim"; span=${longest[$aim]}; }
  wait_ms=$(( (RANDOM * 32768 + RANDOM) % (span + 1) ))
  read -rt "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))" -u "$nap"
  if kill -9 $pid 2>/dev/null; then
    wait $pid 2>/dev/null
    hit=$(working)
    if [ -f "$out/killed/result.json" ]; then hit=report; fi
    where[${hit:-between}]=$(( ${where[${hit:-between}]:-0} + 1 ))
    kills=$((kills + 1))
    if [ "$aim" = any ] || [ "$aim" = "$hit" ]; then turn=$((turn + 1)); fi
  else
    wait $pid || { echo "a run failed by itself after $kills kills:"; tail -5 "$out/log"; exit 1; }
    check
  fi
done
"$cloze" run "$@" --out "$out/killed" > "$out/log" 2>&1 || { echo "the run failed after $kills kills:"; tail -5 "$out/log"; exit 1; }
check
printf '%d kills in %d starts (undisturbed: %d.%03d s), %d runs finished, all identical; killed in' "$kills" "$starts" $((took / 1000)) $((took % 1000)) "$finished"
for s in "${!where[@]}"; do printf ' %s %d' "$s" "${where[$s]}"; done
echo
