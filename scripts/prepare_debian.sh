#!/bin/bash
# Makes the default data: texts of Debian's package index, a vocabulary trained on them, and the
# corpus that pretraining reads.
#
#   scripts/prepare_debian.sh [OUT]            fetches the whole sets into OUT (default data/debian), some 20 MB over the network
#   scripts/prepare_debian.sh --sample [OUT]   takes the sample in the repository instead (default data/sample): no network, no Python
#
# OUT receives pretrain.txt and the .tsv files that scripts/fetch_debian_text.py lists (of the sample
# pet_*.test.tsv have the dev and test rows, pet_*.train.tsv the train rows), tokenizer.json, and
# pretrain.h5. A step whose result is newer than what it is made from is
# skipped, and each result is moved to its place once it is whole, so this can be stopped and run
# again. $CLOZE names the program (default: the release build, else `cloze` on the PATH); $PYTHON
# the interpreter (default: .venv's).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
sample=$root/experiments/quickstart/sample
vocabulary=8192 # ids

die() {
  echo "prepare_debian.sh: $*" >&2
  exit 1
}

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }

from_sample=false out=
for word in "$@"; do
  case "$word" in
    --sample) from_sample=true ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && die "unknown option $word" ;;
    *) [ -z "$out" ] || die "one folder, not two: $out $word" && out=$word ;;
  esac
done
if [ -z "$out" ]; then
  out=data/debian
  $from_sample && out=data/sample
fi

cloze=${CLOZE-}
if [ -z "$cloze" ]; then
  cloze=$root/build/release/bin/cloze
  [ -x "$cloze" ] || cloze=$(command -v cloze) || die "the program is not built: cmake --preset release && cmake --build --preset release"
fi
python=${PYTHON-$root/.venv/bin/python}
[ -n "${PYTHON-}" ] || [ -x "$python" ] || python=python3

mkdir -p "$out"
exec 9>"$out/.lock"
flock -n 9 || die "another prepare_debian.sh works in $out"

# newer RESULT SOURCE...: RESULT is there and no SOURCE is newer.
newer() {
  local result=$1 source
  [ -s "$result" ] || return 1
  shift
  for source in "$@"; do
    [ ! "$source" -nt "$result" ] || return 1
  done
}

# German is in it because models translate into it.
texts=("$out/pretrain.txt" "$out/en_de.train.tsv" "$out/en_de_synopsis.train.tsv")

copy_sample() {
  local f
  for f in "$sample"/*; do
    newer "$out/$(basename "$f")" "$f" && continue
    cp "$f" "$out/.copy" && mv "$out/.copy" "$out/$(basename "$f")"
  done
}

# grouped FILE: its header names the column of source packages, which older versions left out.
grouped() { head -1 "$1" | grep -q $'\tsource$'; }

# The labelled sets with a header: columns `text`, the label's name, and of test files `source`, for
# prompts.
head_sample() {
  local label split
  for label in section language; do
    for split in train test; do
      local from=("$out/$label.$split.tsv") source=
      [ $split = train ] || from+=("$out/$label.dev.tsv") source=$'\tsource'
      newer "$out/pet_$label.$split.tsv" "${from[@]}" &&
        { [ $split = train ] || grouped "$out/pet_$label.$split.tsv"; } && continue
      { printf 'text\t%s%s\n' $label "$source" && cut -f1-3 "${from[@]}"; } >"$out/.head"
      mv "$out/.head" "$out/pet_$label.$split.tsv"
    done
  done
}

if $from_sample; then
  copy_sample
  head_sample
elif newer "$out/MANIFEST.json" && newer "$out/pet_language.test.tsv" &&
  grouped "$out/pet_language.test.tsv"; then
  echo "prepare_debian.sh: $out has the texts"
else
  /usr/bin/python3 "$here/fetch_debian_text.py" "$out"
fi
$from_sample || newer "$out/tokenizer.json" "${texts[@]}" || {
  "$python" -c 'import sentencepiece, tokenizers' 2>/dev/null || die "$python lacks the packages sentencepiece and tokenizers: run scripts/install_deps.sh"
  echo "prepare_debian.sh: training a vocabulary of $vocabulary ids"
  "$python" "$here/train_vocabulary.py" "${texts[@]}" --size "$vocabulary" --out "$out/tokenizer.json"
}
newer "$out/pretrain.h5" "$out/pretrain.txt" "$out/tokenizer.json" ||
  "$cloze" corpus --tokenizer "$out/tokenizer.json" --out "$out/pretrain.h5" "$out/pretrain.txt"
echo "prepare_debian.sh: $out is ready"
