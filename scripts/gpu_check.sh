#!/bin/bash
# What only a card can say, in one call: its ceilings and PyTorch's times on it, its instructions
# beside the emulator's models of them, every op's tests, NVIDIA's checkers, training beside the cpu,
# and the speed of kernels and steps beside the ceilings. Each part's results are written as soon as
# they are there: one JSON file for a card and a text with the gates, which is printed at the end.
# docs/gpu_check.md tells how to run it on a machine that has nothing of Cloze's.
#
#   scripts/gpu_check.sh [--quick] [--only PART] [--bundle FILE | --build FOLDER] [--rebuild-module]
#       [--device D] [--seconds N] [--sanitizer PROGRAM] [--out FOLDER] [PART...]
#
# --quick takes two minutes, all of it nine; --seconds another time. --bundle: a file of
# scripts/gpu_bundle.sh, or the folder that it was unpacked to; default: build/gpu_bundle.tar.gz if
# it is there, else what was built in build/release. --rebuild-module compiles those of the
# repository's kernels that were changed with the nvcc here and links the module anew. PART is ceilings (card, copy, launch,
# products-MODEL), opponents, pins, ops, sanitizer, curves, t5-small, kernels, steps, cudnn or compiled.
# FOLDER is $OUT where that is set, else experiments/results/gpu. --device emu rehearses all parts
# without a card. Leaves the card's settings alone. Exit code: 0 all parts were done, 1 some were
# not well, 2 wrong usage (also a bundle or a build folder that has no programs), which is said before
# a card is looked for, 3 no card. A missed gate is no failure.
set -u
die() { echo "gpu_check.sh: $1" >&2 && exit "${2-1}"; }
device=cuda out=${OUT:+$(realpath -m -- "$OUT")} bundle='' build='' rebuild=false given=() names=()
# value NAME VALUE: of an option that needs one, which another option is not
value() {
  case "${2-}" in '' | --*) die "$1 needs a value; --help" 2 ;; esac
}
# file_of NAME: a program by its name is looked for on the path, any other file from here on
file_of() { case "$1" in */*) realpath -m -- "$1" ;; *) echo "$1" ;; esac; }
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    --quick) given+=(--quick) ;;
    --only) value "$@" && names+=("$2") && shift ;;
    --seconds) value "$@" && given+=("$1=$2") && shift ;;
    --sanitizer) value "$@" && given+=("$1=$(file_of "$2")") && shift ;;
    --bundle) value "$@" && bundle=$(realpath -m -- "$2") && shift ;;
    --build) value "$@" && build=$(realpath -m -- "$2") && shift ;;
    --device) value "$@" && device=$2 && shift ;;
    --out) value "$@" && out=$(realpath -m -- "$2") && shift ;;
    --rebuild-module) rebuild=true ;;
    -*) die "unknown option $1; --help" 2 ;;
    *) names+=("$1") ;;
  esac
  shift
done
[ -z "$bundle" ] || [ -z "$build" ] || die "--bundle and --build name programs both; --help" 2
cd "$(dirname "$0")/.." || exit 2
out=${out:-$PWD/experiments/results/gpu}
# gpu_parts PROGRAMS [--check]: runs the parts, or looks at what was given alone
gpu_parts() {
  PYTHONDONTWRITEBYTECODE=1 python3 scripts/gpu_parts.py --programs "$1" --out "$out" \
    --device "$device" ${given[@]+"${given[@]}"} "${@:2}" -- ${names[@]+"${names[@]}"}
}
command -v python3 >/dev/null || die "there is no python3 here"
gpu_parts "$bundle$build" --check || exit
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

if [ -z "$bundle$build" ]; then
  if [ -f build/gpu_bundle.tar.gz ]; then bundle=$PWD/build/gpu_bundle.tar.gz; else build=$PWD/build/release; fi
fi
if [ -n "$bundle" ]; then
  programs=$bundle
  if [ -f "$bundle" ]; then
    tar -C "$work" -xzf "$bundle" 2>"$work/said" ||
      die "$bundle cannot be unpacked: $(head -1 "$work/said")" 2
    programs=$work/cloze_gpu
  fi
  [ -f "$programs/bundle.json" ] || die "$bundle is no bundle of scripts/gpu_bundle.sh" 2
  commit=$(sed -n 's/.*"commit": "\([^"]*\)".*/\1/p' "$programs/bundle.json")
  export CLOZE_BUNDLE=$programs CLOZE_COMMIT=${CLOZE_COMMIT:-$commit}
else
  programs=$build
  [ -x "$programs/bin/cloze" ] ||
    die "$build has no program; build it, or pack and name a bundle" 2
fi
if [ "$device" = cuda ] && { ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L >/dev/null 2>&1; }; then
  die "no NVIDIA card on this machine" 3
fi

# compile_kernels TO NVCC ARCH: objects of this working tree's kernels; of those whose sources are as
# they were when the bundle was made, the bundle's. In all processors at once.
compile_kernels() {
  local to=$1 nvcc=$2 arch=$3 changed=() source name options
  mapfile -t options <"$parts/nvcc_options"
  while read -r source; do
    name=$(basename "$source" .cu).o
    if sha256sum --status -c "$parts/objects/$name.sources" 2>/dev/null; then
      cp "$parts/objects/$name" "$to/"
    else
      changed+=("$source")
    fi
  done < <(find kernels -name '*_cuda.cu' | sort)
  echo "== kernels to compile: ${changed[*]:-none}"
  [ "${#changed[@]}" -gt 0 ] || return 0
  # shellcheck disable=SC2016 # expanded by the shell of each file
  printf '%s\0' "${changed[@]}" | xargs -0 -P "$(nproc)" -I{} bash -c '
    object=$1/$(basename "$2" .cu).o
    "${@:3}" -c "$2" -o "$object" >"$object.txt" 2>&1 || { cat "$object.txt" >&2; exit 1; }' \
    - "$to" {} "$nvcc" "${options[@]}" -gencode "arch=$arch" -I.
}

# The module of this working tree's kernels, for the card that is here.
rebuild_module() {
  local nvcc parts=$programs/rebuild capability arch=compute_90a,code=sm_90a objects=$work/objects
  [ -d "$parts" ] || parts=$programs/gpu/module
  [ -f "$parts/host.o" ] || die "$programs has nothing to link a module from (gpu_module_parts)"
  nvcc=$(command -v nvcc || find /usr/local/cuda*/bin -name nvcc 2>/dev/null | tail -1)
  [ -n "$nvcc" ] || die "--rebuild-module: there is no nvcc here"
  if [ "$device" = cuda ]; then
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader --id=0 | tr -d .)
    [ "$capability" = 90 ] || arch=compute_$capability,code=sm_$capability
  fi
  mkdir -p "$objects"
  compile_kernels "$objects" "$nvcc" "$arch" || die "--rebuild-module: a kernel was not compiled"
  local libraries=()
  while read -r folder; do libraries+=(-L "$folder"); done < <(
    ls -d /usr/local/cuda*/lib64 2>/dev/null
    python3 -c 'import glob, sysconfig
print("\n".join(glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/lib")))' 2>/dev/null)
  "$nvcc" -shared -cudart static -o "$work/libcloze_cuda.so" "$parts/host.o" "$objects"/*.o \
    "$parts/libcz_kernels.a" -Xlinker "--version-script=$parts/exports.map" \
    -Xlinker "-rpath=\$ORIGIN" "${libraries[@]}" -Xlinker -l:libcublasLt.so.13 -lpthread -ldl -lrt -lm ||
    die "--rebuild-module: the module was not linked"
  # beside the old one, so that a build folder keeps its own
  mkdir -p "$work/modules" && mv "$work/libcloze_cuda.so" "$work/modules/"
  export CLOZE_MODULES=$work/modules CLOZE_COMMIT="${CLOZE_COMMIT:-unknown}+kernels"
}
if $rebuild; then
  began=$(date +%s)
  rebuild_module
  echo "== the module was made anew in $(($(date +%s) - began)) s"
fi

gpu_parts "$programs"
