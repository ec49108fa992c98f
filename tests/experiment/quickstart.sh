#!/bin/bash
# The quickstart at its smallest scale, on the sample in the repository: it runs, reports, resumes to the same bits, and refuses what it must.
#   quickstart.sh CLOZE SOURCE WORK
set -euo pipefail
cloze=$1 source=$2 work=$3
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
rm -rf "$work" && mkdir -p "$work"
cp "$source"/experiments/quickstart/sample/* "$work"
"$cloze" corpus --tokenizer "$work/tokenizer.json" --out "$work/pretrain.h5" "$work/pretrain.txt"

run() { "$cloze" run "$source/experiments/quickstart.yaml" --scale test data="$work" "$@"; }
fail() { echo "quickstart.sh: $*" >&2; exit 1; }
# refused STATUS TEXT WORD...: the run ends with STATUS and says TEXT.
refused() {
  local status=$1 text=$2 got=0
  [ -n "$text" ] || fail "no text to look for: $*" # grep finds an empty one in everything
  shift 2
  run "$@" > "$work/out.txt" 2>&1 || got=$?
  [ "$got" = "$status" ] || fail "status $got, expected $status: $* $(cat "$work/out.txt")"
  grep -qF -- "$text" "$work/out.txt" || fail "no '$text' in: $(cat "$work/out.txt")"
}

run --out "$work/one" > "$work/one.txt"
for f in experiment.yaml plan.json result.json report.txt report.csv report.html; do [ -s "$work/one/$f" ] || fail "no $f"; done
grep -q "rank agreement" "$work/one.txt" || fail "the report does not speak of the paper"
grep -q "no_pretraining (.*) beyond the noise (corrected for 6 comparisons)" <(head -5 "$work/one.txt") || fail "the report does not begin with the control"
[ "$(ls "$work/one/stages" | wc -l)" = 22 ] || fail "expected 22 stages"
# Two seeds of three rows and the control: no two stages of training end with the same weights.
different=$(sha256sum "$work"/one/stages/{pretrain,finetune}-*/model/model.safetensors | cut -d' ' -f1 | sort -u | wc -l)
[ "$different" = 14 ] || fail "14 stages of training end with $different different models"
run --out "$work/one" > "$work/again.txt" # nothing is left to do
cmp "$work/one.txt" "$work/again.txt"

# Half of the stages gone, and the resolved file run again as it stands: the same metrics.
cp "$work/one/result.json" "$work/before.json"
ls -d "$work"/one/stages/* | sed -n 'n;p' | xargs rm -rf
"$cloze" run "$work/one/experiment.yaml" --out "$work/one" > /dev/null
cmp "$work/one/result.json" "$work/before.json"

"$cloze" report "$work/one" --json > "$work/report.json"
"$cloze" show "$work/one/experiment.yaml" --cost --gflops 10 > /dev/null
refused 2 "this folder holds another run" --out "$work/one" stages.pretrain.train.steps=5
refused 2 "did you mean the stage 'pretrain'?" --out "$work/x" stages.pretrian.train.steps=5
refused 2 "unknown scale 'tset'" --out "$work/x" --scale tset
refused 2 "learning_rat" --out "$work/x" stages.pretrain.optimizer.learning_rat=1
refused 2 "nowhere/tokenizer.json" --out "$work/x" data=nowhere
(flock 9 && refused 1 "one/lock: another process holds this lock" --out "$work/one") 9> "$work/one/lock"
"$cloze" report "$work" > "$work/out.txt" 2>&1 && fail "a report of no run"
grep -qF "is not the folder of a run" "$work/out.txt" || fail "no reason in: $(cat "$work/out.txt")"
