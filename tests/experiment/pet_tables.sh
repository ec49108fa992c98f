#!/bin/sh
# PET's tables and ablations at scale `test`: every row of Table 1, and of both ablations, goes from
# the sample in the repository to a report.
#
#   pet_tables.sh CLOZE SOURCE WORK
set -eu
cloze=$1 source=$2 work=$3
export OMP_WAIT_POLICY=passive
rm -rf "$work"
mkdir -p "$work"
cd "$work"
CLOZE="$cloze" "$source/scripts/prepare_debian.sh" --sample "$work/sample" > /dev/null
ln -s "$source/experiments" experiments

fail() {
  echo "pet_tables: $*" >&2
  exit 1
}
# run NAME WORDS...: the report of NAME has a line with all of its rows
run() {
  name=$1
  shift
  "$cloze" run "experiments/pet/$name.yaml" --scale test data="$work/sample" --out "$name" \
    > "$name.txt" 2> "$name.log" || fail "$name: $(tail -1 "$name.log")"
  for words; do
    grep -q -- "$words" "$name/report.txt" || fail "the report of $name does not say '$words'"
  done
}
run table1_yahoo unsupervised iPET@0 supervised@10 iPET@10 PET@1000 "the paper.s .*63.80 *66.20 *69.20 *72.70"
run table4_mnli weighted uniform 41.8
run generations M0 M4 skipping
run auxiliary_loss with@10 without@1000 "with@10  *pet .*draws of T  *1e-4 " \
  "without@1000  *plain .*draws of T  *0 " "Each pattern" "cloze predict --abstain P"
run dbpedia14 zero_shot sentence_encoder@10 PET@10

# A masked LM out of an encoder, as what the quickstart's second model is made by.
"$cloze" corpus --tokenizer experiments/quickstart/random_bert/tokenizer.json \
  --out sample/minilm.h5 sample/pretrain.txt > /dev/null
"$cloze" run experiments/mlm/minilm.yaml --scale test data="$work/sample" --out mlm > mlm.txt 2>&1 ||
  fail "minilm: $(tail -1 mlm.txt)"
grep -q "loss of everything" mlm/report.txt || fail "minilm has no loss"
whole=$(python3 -c 'import json
print(next(e["folder"] for e in json.load(open("mlm/plan.json")) if e["stage"] == "whole"))')
"$cloze" export "mlm/$whole" --out minilm_mlm > export.txt 2>&1 || fail "$(tail -1 export.txt)"
"$cloze" inspect minilm_mlm | grep -q masked_lm || fail "what minilm leaves is no masked LM"

# Official sets have no header: the same numbers from such files, and neither layout is taken for
# the other.
head -1 sample/pet_section.train.tsv | tr '\t' , > columns
for part in train test; do
  tail -n +2 "sample/pet_section.$part.tsv" | cut -f1,2 > "$part.tsv"
done
headless() {
  "$cloze" run experiments/pet/table4_mnli.yaml --scale test data="$work/sample" \
    common.examples.train=train.tsv common.examples.test=test.tsv \
    common.examples.tests.mismatched=test.tsv "$@"
}
headless "common.examples.columns='$(cat columns)'" --out headless > /dev/null 2>&1
cmp table4_mnli/result.json headless/result.json || fail "a file without a header has other numbers"
if headless --out taken 2> taken.log > /dev/null; then fail "a record was taken for a header"; fi
grep -q "t.*.tsv:1: .*the key examples.columns" taken.log || fail "taken: $(cat taken.log)"
if headless "common.examples.columns='$(cat columns)'" --out taken2 \
  common.examples.train=sample/pet_section.train.tsv 2> taken.log > /dev/null; then
  fail "a header was taken for a record"
fi
grep -q "train.tsv:1: the first line names the columns" taken.log || fail "taken: $(cat taken.log)"
echo "pet_tables: four files from rows to reports"
