#!/bin/bash
# The default data are read for prompts: what prepare_debian.sh makes of the sample in the repository,
# by the names in its header. Words are some that the small vocabulary of the fixtures has.
#
#   sample.sh CLOZE ROOT WORK
set -euo pipefail
cloze=$1 root=$2 work=$3
rm -rf "$work" && mkdir -p "$work"
CLOZE=$cloze "$root/scripts/prepare_debian.sh" --sample "$work" >"$work/log"
fail() { echo "sample.sh: $*" >&2; exit 1; }

# check LABEL SPLIT ROWS: all of them have a text and a label that the committed file declares.
check() {
  local label=$1 split=$2 rows=$3 file=$4
  sed "s/^words:.*//; \$a words: {${words[$label]}}" "$root/experiments/pet/patterns/$file.yaml" \
    >"$work/$file.yaml"
  "$cloze" prompt check --model "$root/tests/fixtures/prompts/bert.json" --json \
    --pattern "$work/$file.yaml" --data "$work/pet_$label.$split.tsv" >"$work/$label.json"
  grep -q "\"records\": $rows," "$work/$label.json" || fail "pet_$label.$split.tsv: not $rows records"
  grep -q '"unlabelled": 0,' "$work/$label.json" || fail "pet_$label.$split.tsv: some have no label"
}

declare -A words=(
  [section]="games: the, science: bad, sound: great, graphics: okay, fonts: yes, mail: time, math: most, \
database: same, video: such, web: with"
  [language]="python: the, perl: bad, ruby: great, java: okay, javascript: yes, haskell: time, rust: most, \
golang: same, php: such, ocaml: with, lisp: any, gnu-r: just"
)
check section train "$(grep -c . "$root/experiments/quickstart/sample/section.train.tsv")" debian_sections
check section test "$(cat "$root"/experiments/quickstart/sample/section.{test,dev}.tsv | grep -c .)" \
  debian_sections
check language train "$(grep -c . "$root/experiments/quickstart/sample/language.train.tsv")" \
  debian_language
echo "the sample is read"
