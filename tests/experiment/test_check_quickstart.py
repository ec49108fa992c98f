#!/usr/bin/env python3
"""scripts/check_quickstart.py counts kernels, promises and distinct results, on made-up runs: a
program that writes what OPENBLAS_CORETYPE says stands for cloze.

test_check_quickstart.py SCRIPTS"""

import os
import subprocess
import sys
import tempfile

CLOZE = """#!/usr/bin/env python3
import json, os, sys
mean = {"Haswell": 70, "Zen": 70, "Sandybridge": 70.0000001}[os.environ["OPENBLAS_CORETYPE"]]
beats = "fails" not in os.environ
number = {"mean": mean, "half_interval": 1, "seeds": 2}
cell = {"ours": number, "lead": number, "beats_baseline": beats, "beats_strongest": beats,
        "strongest_kind": "keyword", "over_control": number}
control = {**cell, "beats_baseline": False, "over_control": None}
out = sys.argv[sys.argv.index("--out") + 1]
os.makedirs(out)
with open(os.path.join(out, "result.json"), "w") as file:
    rows = {"row": {"table": {"column": cell}}, "none": {"table": {"column": control}}}
    json.dump({"metrics": rows}, file)
"""

# The script's, but for processors without these instructions.
WRAPPER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import check_quickstart
check_quickstart.processor_flags = lambda: {"avx", "avx2", "fma"}
sys.exit(check_quickstart.main())
"""


def check(scripts, folder, name, status, *lines, **environment):
    out = os.path.join(folder, name)
    words = ["--cloze", os.path.join(folder, "cloze"), "--out", out, "--seeds", "2"]
    done = subprocess.run(
        [sys.executable, "-c", WRAPPER, scripts, *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    said = done.stdout.splitlines()
    if done.returncode != status or not all(line in said for line in lines):
        sys.exit(f"{name}: status {done.returncode}, wanted {status} and {lines} in:\n{done.stdout}")
    return said


def main(scripts):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "cloze")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CLOZE)
        os.chmod(path, 0o755)
        distinct = "3 kernels checked, 2 gave distinct results"
        said = check(scripts, folder, "kept", 0, distinct, "0 promises broken")
        if not any(line.endswith(": Haswell, Zen") for line in said):
            sys.exit("the two kernels with the same bits are not named together: %s" % said)
        check(scripts, folder, "broken", 1, distinct, "3 promises broken", fails="1")


if __name__ == "__main__":
    main(sys.argv[1])
