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
for words in "PET@10" "iPET@20" "What members forget" "calibrated" "per cent" \
  "^  naive_bayes  *[0-9].* ± .* ± " "most frequent label of the test texts (25.00)"; do
  grep -q -- "$words" one/report.txt || fail "the report does not say '$words'"
done
# Intervals draw source packages: the first test text's is 2048-qt.
find one -name 'predictions.*.jsonl' > predictions
[ -s predictions ] || fail "there are no predictions"
while read -r file; do
  head -1 "$file" | grep -q '"group": "2048-qt"' || fail "$file does not name the source package"
done < predictions
[ -s one/report.html ] || fail "there is no report.html"

began=$(date +%s%3N)
run --jobs 2 --out two > /dev/null
span=$(($(date +%s%3N) - began))
same one two

# A killed run goes on; members that are done are not computed again. It is killed at instants within
# half of what it takes, begun anew whenever it has ended, until something was partly done.
look() { # members of the run that are done, and what their files are
  find killed -name logits.h5 -path '*members*' -exec stat -c '%n %i %.Y %s' {} + 2> /dev/null |
    sort > done.now || true
}
stay() { # those that were done before are the same files
  [ ! -s done.before ] || [ -z "$(comm -23 done.before done.now)" ] ||
    fail "was computed twice: $(comm -23 done.before done.now)"
}
kills=0 partly=0 tries=0
: > done.before
while [ "$kills" -lt 6 ] || [ "$partly" -lt 2 ]; do
  tries=$((tries + 1))
  [ "$tries" -le 60 ] || fail "of $kills kills none met a run that was partly done"
  at=$((span * (5 + tries * 37 % 50) / 100)) # milliseconds
  if timeout --signal=KILL "$(printf '%d.%03d' $((at / 1000)) $((at % 1000)))" \
    "$cloze" run experiments/quickstart-pet.yaml --scale test data="$work/sample" --jobs 2 \
    --out killed > /dev/null 2>&1; then
    look && stay
    same one killed
    rm -rf killed
    : > done.before
    continue
  fi
  kills=$((kills + 1))
  look && stay
  [ ! -s done.now ] || partly=$((partly + 1))
  mv done.now done.before
done
run --out killed > /dev/null
look && stay
same one killed
echo "quickstart_pet: the same metrics with one process, with two, and killed: $kills kills," \
  "$partly with members done"
