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
run table1_yahoo unsupervised iPET_0 supervised_10 iPET_10 PET_1000 70.7
run table4_mnli weighted uniform 41.8
run generations M0 M4 skipping
run auxiliary_loss with@10 without@1000
echo "pet_tables: four files from rows to reports"
