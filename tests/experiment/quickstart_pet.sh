#!/bin/sh
# The second quickstart at scale `test`: from the sample in the repository and a random model to a
# report, with one process, with two, and killed again and again: the same metrics, byte for byte.
#
#   quickstart_pet.sh CLOZE SOURCE WORK
set -eu
cloze=$1 source=$2 work=$3
export OMP_WAIT_POLICY=passive
rm -rf "$work"
mkdir -p "$work"
cd "$work"
CLOZE="$cloze" "$source/scripts/prepare_debian.sh" --sample "$work/sample" > /dev/null
ln -s "$source/experiments" experiments

fail() {
  echo "quickstart_pet: $*" >&2
  exit 1
}
run() { "$cloze" run experiments/quickstart-pet.yaml --scale test data="$work/sample" "$@"; }
same() { cmp "$1/result.json" "$2/result.json" || fail "$1 and $2 have other metrics"; }

run --out one > one.txt
for words in "PET@10" "iPET@20" "What members forget" "calibrated" "naive Bayes" "per cent" \
  "^  naive_bayes  *[0-9].* ± .* ± "; do
  grep -q -- "$words" one/report.txt || fail "the report does not say '$words'"
done
# Intervals draw source packages: the first test text's is 2048-qt.
find one -name 'predictions.*.jsonl' > predictions
[ -s predictions ] || fail "there are no predictions"
while read -r file; do
  head -1 "$file" | grep -q '"group": "2048-qt"' || fail "$file does not name the source package"
done < predictions
[ -s one/report.html ] || fail "there is no report.html"

run --jobs 2 --out two > /dev/null
same one two

# A killed run goes on; members that are done are not computed again.
seconds=0.3
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  timeout --signal=KILL "$seconds" "$cloze" run experiments/quickstart-pet.yaml --scale test \
    data="$work/sample" --jobs 2 --out killed > /dev/null 2>&1 && break
  find killed -name logits.h5 -path '*members*' -exec stat -c '%n %Y %s' {} + 2> /dev/null |
    sort > "done.$i" || true
done
run --out killed > /dev/null
same one killed
while read -r name time size; do
  [ "$(stat -c '%Y %s' "$name")" = "$time $size" ] || fail "$name was computed twice"
done < done.1
echo "quickstart_pet: the same metrics with one process, with two, and killed"
