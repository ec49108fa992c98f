#!/bin/bash
# From a fresh clone to the first table: installs what is needed, builds, fetches the data, and
# runs experiments/quickstart.yaml.
#
#   scripts/quickstart.sh [key=value ...]     words go to `cloze run`, for example --seeds 2
#
# Every step skips what is done, and a stopped run goes on where it was: run the same command again.
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;; esac
cd "$(dirname "$0")/.."

scripts/install_deps.sh
cmake --preset release
cmake --build --preset release
scripts/prepare_debian.sh
exec build/release/bin/cloze run experiments/quickstart.yaml "$@"
