#!/usr/bin/env python3
"""Gathers the parts that gpu_check.sh has finished into one JSON a card, and writes a table.

  gpu_table.py PARTS OUT [--quick]

PARTS has PART.json files; OUT gets CARD.json and CARD.txt, CARD-quick with --quick. Parts that
OUT's file already has and PARTS has not are kept, as long as card, driver and commit are the same.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time


def ask(*words):
    """The first line that a command prints, or "unknown"."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    except OSError:
        return "unknown"
    return done.stdout.split("\n")[0].strip() or "unknown"


def identity():
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "--id=0"]
    name, _, driver = ask(*query).partition(", ")
    commit = os.environ.get("CLOZE_COMMIT") or ask("git", "rev-parse", "--short", "HEAD")
    return {"card": name, "driver": driver or "unknown", "commit": commit}


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def number(x):
    return "%.4g" % x if isinstance(x, float) else str(x)


def rows(part, value):
    """Lines of the table: a product a line, else an entry a line."""
    if isinstance(value, list):
        for p in value:
            yield "%-12s %-8s %-5s %7d x %5d -> %5d  %9.4f ms  %7.1f TFLOP/s" % (
                p["linear"], p["pass"], p["dtype"], p["tokens"], p["in"], p["out"], p["ms"],
                p["tflop_per_s"],
            )
        return
    for name, entry in value.items():
        if isinstance(entry, dict):
            entry = "  ".join("%s %s" % (k, number(v)) for k, v in entry.items())
        yield "%-44s %s" % (name, number(entry))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts")
    parser.add_argument("out")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    who = identity()
    name = re.sub(r"[^a-z0-9]+", "-", who["card"].lower()).strip("-")
    path = os.path.join(arguments.out, name + ("-quick" if arguments.quick else ""))
    whole = read(path + ".json")
    if {k: whole.get(k) for k in who} != who:
        whole = {}
    whole.update(who)
    whole.setdefault("began", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    parts = whole.setdefault("parts", {})
    for file in sorted(os.listdir(arguments.parts)):
        if file.endswith(".json"):
            parts[file[: -len(".json")]] = read(os.path.join(arguments.parts, file))
    lines = ["%s, driver %s, commit %s" % (who["card"], who["driver"], who["commit"])]
    for part, value in parts.items():
        lines += ["", part] + ["  " + line for line in rows(part, value)]
    for end, text in ((".json", json.dumps(whole, indent=1)), (".txt", "\n".join(lines))):
        with open(path + end + ".tmp", "w", encoding="utf-8") as f:
            f.write(text + "\n")
        os.replace(path + end + ".tmp", path + end)
    return 0


if __name__ == "__main__":
    sys.exit(main())
