#!/bin/bash
# Packs what scripts/gpu_check.sh runs on a machine with a card that has nothing of Cloze's: the
# program, the CUDA module, tests, the probe, the pins with the emulator's models, and every library
# they need but glibc and NVIDIA's. Without MPI; built in build/gpu.
#
#   scripts/gpu_bundle.sh [--build FOLDER] [--out FILE]
#
# FILE is build/gpu_bundle.tar.gz. --build packs what FOLDER has been built to, as it is. There,
# scripts/gpu_check.sh --bundle FILE unpacks and uses it. The bundle also holds what the module is
# linked from, so that gpu_check.sh --rebuild-module can compile changed kernels there.
# Exit code 1: something is missing, too large for the way there, or newer than that machine's glibc.
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;; esac
die() { echo "gpu_bundle.sh: $1" >&2 && exit "${2-1}"; }
build='' out=build/gpu_bundle.tar.gz
while [ $# -gt 0 ]; do
  case "$1" in
    --build) build=${2:?gpu_bundle.sh: --build FOLDER} && shift ;;
    --out) out=${2:?gpu_bundle.sh: --out FILE} && shift ;;
    *) die "unknown option $1; --help" 2 ;;
  esac
  shift
done
out=$(realpath -m -- "$out")
[ -z "$build" ] || build=$(realpath -e -- "$build")
cd "$(dirname "$0")/.."
most_bytes=$((60 << 20)) newest_glibc=2.39
targets=(cloze cloze_cuda test_ops pins pins_emu probe gpu_module_parts)

if [ -z "$build" ]; then
  build=$PWD/build/gpu
  cmake --preset release -B "$build" -DCZ_MPI=OFF -DCZ_CUDA=ON
  cmake --build "$build" --target "${targets[@]}"
fi

work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
top=$work/cloze_gpu
mkdir -p "$top"/{bin,lib,modules,rebuild} "$top/lib/cxx"

# program NAME: finds it in the build folder, whose tests lie in folders of their own
program() { find "$build" -name "$1" -type f -perm -u+x ! -path '*/CMakeFiles/*' -print -quit; }
for name in cloze test_ops pins pins_emu probe; do
  file=$(program "$name")
  [ -n "$file" ] || die "$build has no $name"
  cp "$file" "$top/bin/"
done
cp "$build/modules/libcloze_cuda.so" "$top/modules/" || die "$build has no module"
cp -r "$build"/gpu/module/. "$top/rebuild/" || die "$build has no target gpu_module_parts"

# glibc's own parts and NVIDIA's are those of the machine there. libstdc++ and libgcc_s are taken
# along for a machine without any: NVIDIA's tools may need newer ones in the same process.
glibc='^(ld-linux.*|lib(c|m|mvec|pthread|dl|rt|resolv|util|anl|nsl|BrokenLocale|thread_db)\.so.*)$'
nvidia='^lib(cublas|cuda|cudnn|nv).*'
cxx='^lib(stdc\+\+|gcc_s)\.so.*'
libraries() { ldd "$@" | awk '$2 == "=>" { print $1, $3 " " $4 }'; }
while read -r name path _; do
  [[ $name =~ $glibc || $name =~ $nvidia ]] && continue
  [[ $path == /* ]] || die "$name is missing here"
  [[ $name =~ $cxx ]] && to=$top/lib/cxx || to=$top/lib
  cp -L "$path" "$to/$name"
done < <(libraries "$top"/bin/* "$top"/modules/* | sort -u)
find "$top/lib" "$top/modules" -name '*.so*' -exec strip --strip-unneeded {} +
strip "$top"/bin/*
strip --strip-debug "$top"/rebuild/*.[oa] "$top"/rebuild/objects/*.o

symbols=$(find "$top"/{bin,lib,modules} -type f -exec objdump -T {} + 2>/dev/null |
  grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
[ "$(printf '%s\n' "GLIBC_$newest_glibc" "$symbols" | sort -V | tail -1)" = "GLIBC_$newest_glibc" ] ||
  die "a library needs $symbols; that machine has $newest_glibc"
nvcc=$(sed -n 's/^CZ_NVCC:FILEPATH=//p' "$build/CMakeCache.txt")
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit=$commit-changed
cat >"$top/bundle.json" <<END
{"commit": "$commit", "built": "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "newest_symbol": "$symbols",
 "compiler": "$(cc --version | head -1)",
 "nvcc": "$("$nvcc" --version | sed -n 's/.*, V//p')"}
END

# It must stand on its own: nothing but itself, glibc and NVIDIA's libraries.
while read -r name path _; do
  [[ $name =~ $glibc || $name =~ $nvidia || $path == "$top"/* ]] ||
    die "$name would be looked for outside the bundle: $path"
done < <(LD_LIBRARY_PATH=$top/lib:$top/lib/cxx libraries "$top"/bin/* "$top"/modules/* | sort -u)
env -i LD_LIBRARY_PATH="$top/lib:$top/lib/cxx" "$top/bin/cloze" --version

mkdir -p "$(dirname "$out")"
tar -C "$work" --owner=0 --group=0 -cf - cloze_gpu | gzip -9 >"$out.tmp"
bytes=$(stat -c %s "$out.tmp")
[ "$bytes" -lt "$most_bytes" ] || die "$out.tmp has $bytes bytes; $most_bytes are allowed"
mv "$out.tmp" "$out"
echo "gpu_bundle.sh: $out, $((bytes >> 10)) KiB, $(find "$top/lib" -type f | wc -l) libraries, up to $symbols"
