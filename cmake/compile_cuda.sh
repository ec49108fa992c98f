#!/bin/sh
# Runs nvcc and keeps what ptxas says of registers and spills:
#   compile_cuda.sh TEXT NVCC OPTIONS...
# What nvcc says is shown only when it fails.
text=$1
shift
if "$@" >"$text" 2>&1; then exit 0; fi
cat "$text" >&2
exit 1
