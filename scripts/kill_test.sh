#!/bin/bash
# Kills `cloze run` at random instants until N kills have landed, letting it go on after each, and compares what every finished run leaves with an
# undisturbed run: `metrics` of result.json, every stage's metrics, and every saved model, byte for byte.
#
#   scripts/kill_test.sh N FILE [words for cloze run, but not --out]
#
# Environment: CLOZE (default build/bin/cloze), SEED (of the instants; default the time), OUT (scratch folder, default a new one below /tmp, removed after).
# Exit code: 0 all the same, 1 something differs or a run failed, 2 wrong usage.
set -u
if [ $# -lt 2 ] || ! [ "$1" -ge 1 ] 2>/dev/null; then sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; fi
n=$1; shift
cloze=${CLOZE:-build/bin/cloze}
out=${OUT:-$(mktemp -d /tmp/cloze-kill-XXXXXX)}
[ -n "${OUT:-}" ] || trap 'rm -rf "$out"' EXIT
RANDOM=${SEED:=$(date +%s)}
echo "SEED=$SEED"

now() { date +%s%N; }
# What may not differ: the metrics and the weights, not times; a stage's hash knows the folder of the model it starts from.
facts() {
  (cd "$1" && sed -n '/"metrics"/,$p' result.json &&
    for f in stages/*/result.json; do echo "$f"; sed '/"config_hash"/d; /"measured": {/,/}/d' "$f"; done &&
    find . -name '*.safetensors' -o -name 'metrics.jsonl' -o -name 'predictions.*' | sort | xargs sha256sum)
}

began=$(now)
"$cloze" run "$@" --out "$out/whole" > "$out/log" 2>&1 || { echo "the undisturbed run failed:"; tail -5 "$out/log"; exit 1; }
took=$(( ($(now) - began) / 1000000 )) # ms
facts "$out/whole" > "$out/want"
[ "$(grep -c 'safetensors\|predictions' "$out/want")" -gt 0 ] || { echo "nothing to compare in $out/whole"; exit 1; }

kills=0 finished=0 starts=0
declare -A where
check() {
  facts "$out/killed" > "$out/got"
  if ! diff "$out/want" "$out/got" > "$out/diff"; then
    echo "after $kills kills the run differs from the undisturbed one:"; head -20 "$out/diff"; exit 1
  fi
  finished=$((finished + 1))
  rm -rf "$out/killed"
}
while [ "$kills" -lt "$n" ]; do
  starts=$((starts + 1))
  "$cloze" run "$@" --out "$out/killed" > "$out/log" 2>&1 &
  pid=$!
  wait_ms=$(( (RANDOM * 32768 + RANDOM) % (took + took / 10 + 1) ))
  sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
  if kill -9 $pid 2>/dev/null; then
    wait $pid 2>/dev/null
    if [ -f "$out/killed/result.json" ]; then stage=report; else
      stage=$(ls -t "$out/killed/stages" 2>/dev/null | head -1 | sed 's/-[0-9a-f]*$//')
    fi
    where[${stage:-start}]=$(( ${where[${stage:-start}]:-0} + 1 ))
    kills=$((kills + 1))
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
