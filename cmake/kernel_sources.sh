#!/bin/sh
# Copies objects of kernels with the sums of the sources that each was made of:
#   kernel_sources.sh ROOT TO OBJECT...
# TO gets OBJECT and OBJECT.sources, which `sha256sum -c` reads in ROOT, the repository. Where these
# sources are as they were, nobody need compile them again.
set -e
root=$(realpath "$1") to=$2
shift 2
rm -rf "$to"
mkdir -p "$to"
for object; do
  cp "$object" "$to/"
  tr -s ' \134' '\n' <"$object.d" | grep '^/.*\.\(cu\|cuh\|h\)$' | xargs realpath | sort -u |
    sed -n "s|^$root/||p" | (cd "$root" && xargs sha256sum) >"$to/$(basename "$object").sources"
done
