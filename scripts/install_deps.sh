#!/bin/bash
# Installs what Cloze needs on Debian 12 and nothing else: a compiler, libraries, and one Python
# package in .venv of this folder.
#
#   scripts/install_deps.sh                 to build, test, and prepare the default data
#   scripts/install_deps.sh --debian-only   without the Python package (PyPI): the sample of the data then still works
#   scripts/install_deps.sh --ci            also clang, clang-tidy and cppcheck, for .ci/run
#   scripts/install_deps.sh --cuda          also a CUDA toolkit from PyPI (1.3 GB), to build the CUDA module where there is none in /usr/local
#   scripts/install_deps.sh --oracles       also the Python packages that make the fixtures of tests/ (some 3 GB, no program needs them)
#
# Run it as root, or as a user who may use sudo. What is there already is left alone, so a second
# run takes a second.
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;; esac
cd "$(dirname "$0")/.."

# package: what for
DEBIAN=(
  build-essential         # C11 compiler
  cmake ninja-build pkg-config
  libopenblas-openmp-dev  # matrix products; the pthread variant is slower beside OpenMP loops
  libdnnl-dev             # products of bfloat16 on processors with units for them
  libhdf5-dev             # corpora and checkpoints
  libopenmpi-dev openmpi-bin # several processes
  libfyaml-dev            # experiment files
  libjansson-dev          # JSON
  libutf8proc-dev libpcre2-dev # tokenizers
  libcsv-dev              # tasks from CSV files
  libcmocka-dev           # tests
  python3-venv            # the scripts that prepare data
)
CI=(
  clang libclang-rt-14-dev # the second compiler; sanitizers and libFuzzer
  libomp-dev               # clang's OpenMP
  clang-tidy cppcheck      # scripts/lint.sh
)

die() {
  echo "install_deps.sh: $*" >&2
  exit 1
}

missing_packages() {
  local p
  for p in "${DEBIAN[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || echo "$p"
  done
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

install_debian() {
  local -a wanted
  mapfile -t wanted < <(missing_packages)
  [ ${#wanted[@]} -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "not root, and there is no sudo. Have root run: apt-get install ${wanted[*]}"
  echo "installing from Debian: ${wanted[*]}"
  # Old lists often do; they are brought up to date when they don't. What apt says of the first
  # try is noise then.
  as_root apt-get install -y --no-install-recommends "${wanted[@]}" >/dev/null 2>&1 && return 0
  as_root apt-get update -q || die "apt-get update failed; is there a network, and do the package sources of this machine work?"
  as_root apt-get install -y -q --no-install-recommends "${wanted[@]}" || die "apt-get could not install: ${wanted[*]}"
}

# What requirements file $1 names is in .venv, in the versions it names.
have_python() {
  .venv/bin/python - "$1" 2>/dev/null <<'PYTHON'
import importlib.metadata, re, sys
for line in open(sys.argv[1]):
    name, _, version = re.sub(r"#.*", "", line).strip().partition("==")
    if name:
        found = importlib.metadata.version(name)  # raises when it is missing
        if version not in ("", found):
            sys.exit(1)
PYTHON
}

install_python() {
  [ -x .venv/bin/python ] || python3 -m venv .venv || die "python3 -m venv .venv failed"
  have_python "$1" && return 0
  echo "installing from PyPI into .venv: $(sed 's/#.*//' "$1" | xargs)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1" ||
    die "pip could not install $1 (no network?). scripts/install_deps.sh --debian-only does without it."
}

command -v apt-get >/dev/null || die "this machine has no apt-get. Install what Debian calls: ${DEBIAN[*]}"
if [ $# -gt 1 ]; then
  echo "install_deps.sh: one option at a time, not '$*'" >&2
  exit 2
fi
case "${1-}" in
  "") install_debian && install_python scripts/requirements.txt ;;
  --debian-only) install_debian ;;
  --ci)
    DEBIAN+=("${CI[@]}")
    install_debian && install_python scripts/requirements.txt
    ;;
  --cuda)
    install_debian && install_python scripts/requirements.txt && install_python scripts/requirements-cuda.txt
    ;;
  --oracles) install_debian && install_python scripts/requirements-oracles.txt ;;
  *)
    echo "install_deps.sh: $1 is no option; --help lists them" >&2
    exit 2
    ;;
esac
echo "install_deps.sh: everything is there"
