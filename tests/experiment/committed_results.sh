#!/bin/bash
# What a README of experiments/results says of a run stands in the run's files: every number with
# its noise, A ± B, is in the report.txt beside it.
#   committed_results.sh RESULTS
set -euo pipefail
checked=0
for report in "$1"/*/report.txt; do
  while read -r number; do
    grep -qF -- "$number" "$report" || { echo "$number of README.md is not in $report" >&2; exit 1; }
    checked=$((checked + 1))
  done < <(grep -oE '[0-9]+\.[0-9]+ ± [0-9]+\.[0-9]+' "$(dirname "$report")/README.md")
done
[ "$checked" -ge 10 ] || { echo "only $checked numbers were found" >&2; exit 1; }
