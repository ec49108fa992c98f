#!/bin/bash
# Compiles every header of kernels/ by itself as C11, as C++17 and, where nvcc is installed, as CUDA.
#
#   scripts/check_kernel_headers.sh
#
# CUDA files and the emulator include these headers; this keeps what C++ refuses out of them.
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;; esac
cd "$(dirname "$0")/.."
warnings=(-fopenmp -Wall -Wextra -Wpedantic -Wno-unused-parameter -Werror)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

mapfile -t headers < <(find kernels -name '*.h' | sort)

# compile LANGUAGE COMPILER HEADERS...: a file that includes them, twice to prove their guards.
compile() {
  local language=$1 compiler=$2
  shift 2
  {
    printf '#include "%s"\n' "$@" "$@"
    echo 'extern int one;'
  } >"$out/one.$language"
  "$compiler" "${options[@]}" -I. -c "$out/one.$language" -o "$out/one.o" ||
    { echo "$* does not compile by $compiler as $language" >&2 && exit 1; }
}

# check LANGUAGE COMPILER OPTIONS...: each header alone; by nvcc, which is slow, all in one file.
check() {
  local language=$1 compiler=$2 options=("${@:3}") header
  if ! command -v "$compiler" >/dev/null; then
    echo "no $compiler: headers are not compiled with it"
    return
  fi
  if [ "$language" = cu ]; then
    compile cu "$compiler" "${headers[@]}"
  else
    for header in "${headers[@]}"; do compile "$language" "$compiler" "$header"; done
  fi
  echo "$compiler: ${#headers[@]} headers"
}

for compiler in gcc clang; do check c "$compiler" -std=c11 "${warnings[@]}"; done
for compiler in g++ clang++; do check cpp "$compiler" -std=c++17 "${warnings[@]}"; done
check cu nvcc -std=c++17 -Xcompiler -fopenmp -Werror all-warnings
