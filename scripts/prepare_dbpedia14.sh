#!/bin/bash
# Makes train.csv and test.csv of fourteen classes of Wikipedia's articles for prompts: texts with a
# header, every seventh line of the file a test text, whatever its class.
#
#   scripts/prepare_dbpedia14.sh FILE [OUT]   FILE: `train.csv` of dbpedia14, lines `LABEL,TEXT`
#                                             without quotes (KEAML-JLU/DeepTextClustering,
#                                             data/dbpedia; CC BY-SA 3.0 and GFDL); OUT: data/dbpedia14
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

die() {
  echo "prepare_dbpedia14.sh: $*" >&2
  exit 1
}

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }

case "${1-}" in
  -h | --help) usage && exit 0 ;;
  "" | -*) usage >&2 && die "the file is missing" ;;
esac
file=$1 out=${2:-$root/data/dbpedia14}
[ -s "$file" ] || die "$file: no such file"
bad=$(awk -F, '!/^[0-9]+,/ || NF != 2 || /"/ { print NR; exit }' "$file")
[ -z "$bad" ] || die "$file:$bad: not LABEL,TEXT without quotes"

mkdir -p "$out"
for part in test train; do
  {
    echo "label,text"
    awk -v part="$part" '(NR % 7 == 0) == (part == "test")' "$file"
  } >"$out/.$part"
  mv "$out/.$part" "$out/$part.csv"
done
echo "$out: $(($(wc -l <"$out/train.csv") - 1)) texts to learn from, $(($(wc -l <"$out/test.csv") - 1)) to judge by"
