# Sourced by kill_test.sh and same_results.sh: what two runs of the same experiment may not differ
# in. `facts FOLDER` prints a line `SHA-256  path` for the metrics of the run, for every stage's
# result without times, the folder of the model that it started from and the hashes of both, and
# for every file of weights, metrics and predictions.
facts() (
  cd "$1" || return 1
  sed -n '/"metrics"/,$p' result.json | sha256sum | sed 's!-$!result.json!'
  for f in stages/*/result.json; do
    sed '/"config_hash"/d; /^  "hash"/d; /"measured": {/,/}/d' "$f" | sha256sum | sed "s!-\$!$f!"
  done
  find . -name '*.safetensors' -o -name 'metrics.jsonl' -o -name 'predictions.*' | sort | xargs sha256sum
)
