#!/bin/bash
# clang-tidy (.clang-tidy says which checks, and why) and cppcheck over the C files of kernels,
# runtime and trainers, on all cores. Prints findings and nothing else; the exit code is 1 when there
# are any. CUDA kernels have the warnings of two compilers and the emulator's checks instead.
#
#   scripts/lint.sh              all files
#   scripts/lint.sh FILE.c ...   some, for work
#
# Reads compile_commands.json of build/release: `cmake --preset release` is enough.
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;; esac
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
build=build/release

die() {
  echo "lint.sh: $*" >&2
  exit 2
}

for tool in clang-tidy cppcheck; do
  command -v $tool >/dev/null || die "no $tool; scripts/install_deps.sh --ci installs it"
done
[ -s $build/compile_commands.json ] || die "no $build: run cmake --preset release"

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# The project's own C files, without tests; gcc's flags that clang does not know go.
python3 - "$root" "$out" $build/compile_commands.json "$@" <<'PYTHON'
import json, os, sys
root, out, commands, *chosen = sys.argv[1:]
chosen = [os.path.realpath(c) for c in chosen]
rooms = [os.path.join(root, d, "") for d in ("kernels", "runtime", "trainers")]
entries = [e for e in json.load(open(commands)) if e["file"].startswith(tuple(rooms)) and e["file"].endswith(".c")]
if chosen:
    entries = [e for e in entries if e["file"] in chosen]
if not entries:
    sys.exit("lint.sh: no such file is compiled")
entries = list({e["file"]: e for e in reversed(entries)}.values())  # some are compiled for several modules
for e in entries:
    e["command"] = e["command"].replace(" -Wno-format-truncation", "")
json.dump(entries, open(os.path.join(out, "compile_commands.json"), "w"))
open(os.path.join(out, "files"), "w").writelines(e["file"] + "\0" for e in entries)
PYTHON

found=0
cppcheck -j "$(nproc)" --project="$out/compile_commands.json" --std=c11 \
  --enable=warning,portability --suppressions-list=scripts/cppcheck_suppressions.txt \
  --inline-suppr --quiet --error-exitcode=1 \
  --template='{file}:{line}: {message} [{id}]' 2>&1 || found=1
# Standard error has clang's counts of warnings in system headers.
xargs -0 -a "$out/files" -n 1 -P "$(nproc)" clang-tidy -p "$out" -quiet 2>"$out/errors" || found=1
if [ $found -ne 0 ]; then
  grep -v 'warnings\? generated\|Suppressed\|^Use -\|treated as error' "$out/errors" >&2 || true
fi
exit $found
