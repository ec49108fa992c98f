#!/bin/sh
# `cloze pet` on a CSV of twenty lines, with the random model: what it composes is small, so that
# with the small real model it is a matter of less than a minute; what it leaves is what docs/pet.md
# and its usage say; and files whose first line is a record give the same numbers.
#
#   pet_twenty.sh CLOZE SOURCE WORK PYTHON
set -eu
cloze=$1 source=$2 work=$3 python=$4
export OMP_WAIT_POLICY=passive
rm -rf "$work"
mkdir -p "$work"
cd "$work"
model=$source/experiments/quickstart/random_bert
fail() {
  echo "pet_twenty: $*" >&2
  exit 1
}

cat > pattern.yaml <<'END'
fields: {a: text}
label_column: kind
labels: [question, remark]
words: {question: [query, what], remark: [information]}
patterns: ["{mask} : {a*}", "{a*} ( {mask} )", "{a*} || In summary, it is about {mask} ."]
END
quickstart=$source/experiments/quickstart
cp "$quickstart/own_task.csv" "$quickstart/own_task.test.csv" .
sample=$quickstart/sample/section.train.tsv
{ echo text && head -60 "$sample" | cut -f1; } > unlabelled.tsv # no column of labels
pet() {
  "$cloze" pet --model "$model" --pattern pattern.yaml "$@" > log.txt 2>&1 ||
    fail "$(tail -2 log.txt)"
}
pet --train own_task.csv --unlabeled unlabelled.tsv --test own_task.test.csv --out with

# Steps of training and tokens of all stages together: the small real model takes some 45 ms for a
# step of 16 such texts on one thread, and reads 60,000 tokens a second.
"$python" - with <<'END'
import glob, json, sys
out = sys.argv[1]
stages = [json.load(open(p))["metrics"] for p in glob.glob(out + "/run/stages/*/result.json")]
steps = sum(s["steps"] for s in stages)
tokens = sum(s["input_tokens"] for s in stages)
scored = sum(s["scored_tokens"] for s in stages)
assert len(stages) == 4, len(stages)
assert steps == 3 * 120 + 400 + 400, steps
assert 100000 < tokens < 16 * 48 * steps, tokens
assert 1000 < scored < 120000, scored
m = json.load(open(out + "/result.json"))["metrics"]
for name in ("supervised", "ensemble", "student"):
    judged = m[name]
    assert set(judged["coverage"]) == {"100", "90", "80", "50"}, name
    for percent, accuracy in judged["coverage"].items():
        p = judged["abstain_for"][percent]
        assert 0.5 <= p <= 1 and 0 <= accuracy <= 1, (name, percent)
    last = 1
    for p in sorted(judged["abstain"], key=int): # a higher P answers no more
        answered = judged["abstain"][p]["coverage"]
        assert 0 <= answered <= last, (name, p)
        last = answered
    assert judged["abstain"]["50"]["coverage"] == 1 # two labels: the larger has a half at least
assert [x["pattern"] for x in m["members"]] == [0, 1, 2]
lines = [json.loads(l) for l in open(out + "/predictions.jsonl")]
assert [l["row"] for l in lines] == list(range(8))

# What --abstain P answers in the test file is what the result says it would.
for p, said in m["student"]["abstain"].items():
    n = sum(max(l["probabilities"].values()) >= int(p) / 100 for l in lines)
    assert abs(n / 8 - said["coverage"]) < 1e-12, (p, n, said)
print("pet_twenty: %d steps, %d tokens trained on, %d scored" % (steps, tokens, scored))
END

grep -q "surest 80 % of them: [0-9.]*, with --abstain 0\.[0-9]*$" with/student/README.md ||
  fail "the student does not say what abstaining brings: $(cat with/student/README.md)"

# The same files without their first line.
for name in own_task own_task.test; do tail -n +2 "$name.csv" > "$name.bare.csv"; done
tail -n +2 unlabelled.tsv | sed 's/$/\t/' > unlabelled.bare.tsv # all columns, none of the labels
pet --train own_task.bare.csv --unlabeled unlabelled.bare.tsv --test own_task.test.bare.csv \
  --columns text,kind --out without
cmp with/result.json without/result.json || fail "files without a header have other numbers"
cmp with/predictions.jsonl without/predictions.jsonl || fail "and other predictions"
cmp with/label_next.jsonl without/label_next.jsonl || fail "and another order"
sed 's/,[a-z]*$//' own_task.test.bare.csv > texts.csv
"$cloze" predict --model without/student --input texts.csv --columns text --out answers.jsonl
[ "$(wc -l < answers.jsonl)" = 8 ] || fail "$(wc -l < answers.jsonl) answers to 8 texts"
if "$cloze" pet --model "$model" --pattern pattern.yaml --train own_task.bare.csv \
  --unlabeled unlabelled.bare.tsv --test own_task.test.bare.csv --out no > log.txt 2>&1; then
  fail "a record was taken for a header"
fi
grep -q "own_task.test.bare.csv:1: .*--columns of a command" log.txt || fail "$(tail -2 log.txt)"
echo "pet_twenty: the same with and without a line that names the columns"
