#!/bin/bash
# A budget axis at its smallest scale, on the sample in the repository: a longer pretraining goes on
# from a shorter one and ends with the bits of one that did not; killed and resumed too; a budget
# that is added later costs its own steps alone.
#   budget.sh CLOZE SOURCE WORK
set -euo pipefail
cloze=$1 source=$2 work=$3
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
rm -rf "$work" && mkdir -p "$work"
cp "$source"/experiments/quickstart/sample/* "$work"
"$cloze" corpus --tokenizer "$work/tokenizer.json" --out "$work/pretrain.h5" "$work/pretrain.txt"

# With lines every three steps, of which neither 2 nor 8 is one: they are the last of their stages.
run() { "$cloze" run "$source/experiments/t5/budget.yaml" --scale test --seeds 1 data="$work" \
  stages.pretrain.train.log_steps=3 "$@"; }
fail() { echo "budget.sh: $*" >&2; exit 1; }
# folder RUN ROW: of the pretraining of seed 1.
folder() { python3 -c 'import json, sys
print(next(e["folder"] for e in json.load(open(sys.argv[1] + "/plan.json"))
           if (e["seed"], e["name"], e["stage"]) == (1, sys.argv[2], "pretrain")))' "$1" "$2"; }

# points FOLDER: step, curve and value of each point that TensorBoard shows of its event files.
points() { python3 - "$1" <<'P'
import glob, struct, sys
def fields(b):  # of a protocol buffer: number and value
    def varint():
        nonlocal at
        v = shift = 0
        while True:
            v |= (b[at] & 127) << shift; shift += 7; at += 1
            if b[at - 1] < 128: return v
    at = 0
    while at < len(b):
        key = varint()
        size = {0: 0, 1: 8, 5: 4}.get(key & 7)
        if size is None: size = varint()
        yield key >> 3, varint() if key & 7 == 0 else b[at:at + size]
        at += size
shown = []
for name in sorted(glob.glob(sys.argv[1] + "/events.out.tfevents.*")):
    data = open(name, "rb").read()
    while data:
        n = struct.unpack("<Q", data[:8])[0]
        event, data = dict(fields(data[12:12 + n])), data[16 + n:]
        if 7 in event: shown = [p for p in shown if p[0] < event.get(2, 0)]  # a session starts
        if 5 in event:
            point = dict(fields(dict(fields(event[5]))[1]))
            shown.append((event[2], point[1].decode(), struct.unpack("<f", point[2])[0]))
assert len(shown) == len({p[:2] for p in shown}), "a point is there twice"
for p in sorted(shown): print(*p)
P
}

run --out "$work/all" > "$work/all.txt" 2> "$work/all.err"
[ "$(ls "$work/all/stages" | wc -l)" = 20 ] || fail "expected 6 + 7 + 7 stages"
grep -q "going on at step 2 of 8" "$work/all.err" || fail "no stage went on: $(cat "$work/all.err")"
sed -n 4p "$work/all.txt" | grep -q "no_pretraining" || fail "the report does not begin with the control"
grep -q "classify by budget (pretrain.train.steps)" "$work/all.txt" || fail "no table over the budget"
grep -q "classify over million tokens of pretrain" "$work/all/report.html" || fail "no figure over tokens"
python3 - "$work/all/report.html" <<'P' || fail "the page is no XML, or lacks a figure"
import sys
import xml.etree.ElementTree as tree
page = tree.fromstring(open(sys.argv[1], encoding="utf-8").read().split("\n", 1)[1])
names = [f.text for f in page.iter("figcaption")]
assert names[:3] == ["classify over million tokens of pretrain", "classify over seconds of pretrain",
                     "classify at 8"], names
P
[ "$("$cloze" report "$work/all" --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["axis"]["values"])')" = "['2', '8']" ] || fail "the JSON form has no axis"

# Three processes, which take what waits for nothing: the same bytes, and each stage once.
run --jobs 3 --out "$work/jobs" > /dev/null 2> "$work/jobs.err"
cmp "$work/all/result.json" "$work/jobs/result.json"
[ "$(grep -c "^\[[0-9]*/20\]" "$work/jobs.err")" = 20 ] || fail "not each stage once: $(cat "$work/jobs.err")"

# What fails says where, and leaves no process.
run --jobs 3 --out "$work/bad" stages.pretrain.optimizer.learning_rate=1e30 > /dev/null 2> "$work/bad.err" && fail "1e30 is a rate"
grep -q "seed 1, row .*, stage pretrain" "$work/bad.err" || fail "no place in: $(cat "$work/bad.err")"
! pgrep -f "$work/bad" > /dev/null || fail "a process is left"

# The longer budget alone, which goes on from nothing.
run --out "$work/alone" 'axis.values=[8]' > /dev/null 2> "$work/alone.err"
grep -q "going on at step" "$work/alone.err" && fail "went on from nothing"
for row in prefix_lm bert_style deshuffling; do
  long=$(folder "$work/all" $row@8) alone=$(folder "$work/alone" $row@8)
  [ "$long" = "$alone" ] || fail "$row: another key: $long, $alone"
  cmp "$work/all/$long/model/model.safetensors" "$work/alone/$alone/model/model.safetensors"
  cmp "$work/all/$long/metrics.jsonl" "$work/alone/$alone/metrics.jsonl"
  points "$work/all/$long" > "$work/long.points"
  points "$work/alone/$alone" > "$work/alone.points"
  cmp "$work/long.points" "$work/alone.points"
  [ "$(grep -c pretrain/loss "$work/alone.points")" = 4 ] || fail "expected steps 1, 3, 6 and 8: $(cat "$work/alone.points")"
  python3 - "$work/all/$long" "$work/alone/$alone" "$work/all/$(folder "$work/all" $row@2)" <<'P'
import json, sys
long, alone, short = (json.load(open(f + "/result.json")) for f in sys.argv[1:])
assert long["metrics"] == alone["metrics"], (long, alone)
m, s = long["measured"], short["measured"]
assert m["earlier_steps"] == 2 and m["earlier_seconds"] == s["seconds"], (m, s)
assert "earlier_steps" not in alone["measured"] and "earlier_steps" not in s
P
done

# Without the shorter one's checkpoint, with a damaged one and with damaged lines, the bits are the
# same.
cp "$work/alone/$(folder "$work/alone" bert_style@8)/metrics.jsonl" "$work/alone.metrics"
for how in none damaged lines; do
  cp -r "$work/all" "$work/$how"
  long=$work/$how/$(folder "$work/all" bert_style@8)
  rm -rf "$work/$how/result.json" "$long"
  short="$work/$how/$(folder "$work/all" bert_style@2)/checkpoint"
  case $how in
    none) rm -f "$short.h5" "$short.prev.h5" ;;
    damaged) rm -f "$short.prev.h5" && echo damaged > "$short.h5" ;;
    lines) sed -i '1s/.*/damaged/' "$(dirname "$short")/metrics.jsonl" ;;
  esac
  mkdir -p "$long" && echo '{"steps": 2, "seconds": 1}' > "$long/earlier.json" # of a killed run
  run --out "$work/$how" > /dev/null 2> "$work/$how.err"
  grep -q "going on at step" "$work/$how.err" && fail "$how: went on from nothing"
  [ $how = none ] || grep -q "begins at its first step" "$work/$how.err" || fail "no warning: $(cat "$work/$how.err")"
  cmp "$work/all/result.json" "$work/$how/result.json"
  cmp "$work/alone.metrics" "$long/metrics.jsonl"
  ! grep -q earlier "$long/result.json" || fail "$how: nothing was taken over, but the result says so"
done

# One more budget: the others stay, and it goes on from the longest.
run --out "$work/all" 'axis.values=[2, 8, 20]' > "$work/more.txt" 2> "$work/more.err" && fail "a finished run was changed"
grep -q "another run" "$work/more.err" || fail "no reason in: $(cat "$work/more.err")"
rm "$work/all/result.json"
run --out "$work/all" 'axis.values=[2, 8, 20]' > "$work/more.txt" 2> "$work/more.err"
grep -q "going on at step 8 of 20" "$work/more.err" || fail "did not go on: $(cat "$work/more.err")"
[ "$(grep -c "\[.*pretrain" "$work/more.err")" = 3 ] || fail "more than the new budget was trained: $(cat "$work/more.err")"
grep -q "0 of .* stages no longer belong" "$work/more.err" || fail "stages were lost: $(cat "$work/more.err")"

# The last steps of the shorter ones are no steps of its own.
python3 - "$work/all/$(folder "$work/all" bert_style@20)/metrics.jsonl" <<'P'
import json, sys
steps = [json.loads(line)["step"] for line in open(sys.argv[1])]
assert steps == [1, 3, 6, 9, 12, 15, 18, 20], steps
P

# Stopped again and again while it goes on.
stops=0
until timeout --signal=TERM $((2 + stops / 3)) "$cloze" run "$source/experiments/t5/budget.yaml" --scale test --seeds 1 data="$work" stages.pretrain.train.log_steps=3 --out "$work/stopped" > /dev/null 2>&1; do
  stops=$((stops + 1))
  [ $stops -lt 100 ] || fail "does not end"
done
python3 - "$work/stopped/result.json" "$work/none/result.json" <<'P'
import json, sys
a, b = (json.load(open(f)) for f in sys.argv[1:])
assert a == b, "another result after stops"
P
echo "$stops stops"
