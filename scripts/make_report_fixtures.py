#!/usr/bin/env python3
"""Makes tests/fixtures/report/report.csv and report.json: what a report must say of the made-up
run of tests/experiment/setup.c, worked out by NumPy and SciPy. The sentences under `remarks` are
written here by hand. report.txt beside them was read against these numbers.

  make_report_fixtures.py FOLDER
"""

import json
import sys

import numpy as np
import scipy
from scipy import stats

ROWS = ["a", "b", '<c>&"', "d"]
SEEDS = [4, 5, 9]
PAPER = [3, 1, 2, 2.5]
ONE = np.array([[10, 12, 14], [11, 15, 16], [30, 31.5, 34.2], [21, 22.5, 22]])
TWO = np.array([[1, 2, 3], [4, 4, 4], [2, 3, 7], [5, 6, 9]], dtype=float)
COLUMNS = [  # name, unit, note, paper's column, its noise, baseline, values
    ("one", "%", 'x < y, or "z"', "P", 0.25, 20, ONE),
    ("two", None, None, None, None, None, TWO),
    ("three", None, None, None, None, (20 + 3) / 2, (ONE + TWO) / 2),
]
REMARKS = [
    'one: a, b, d do not beat copying the input (20.00) by more than the interval; <c>&" does; in the mean d is above it.',
    'one: <c>&" is above, d is above a beyond the noise of the seeds.',
    "one: rank agreement with the paper's P over 4 rows: Spearman -0.40, Kendall -0.33 (one order in 24 agrees fully by chance).",
    "two: d is above a beyond the noise of the seeds.",
    'three: a, b, d do not beat copying the input (11.50) by more than the interval; <c>&" does; in the mean d is above it.',
    'three: b is above, <c>&" is above, d is above a beyond the noise of the seeds.',
]


def interval(x):
    n = len(x)
    return {
        "mean": np.mean(x),
        "deviation": np.std(x, ddof=1),
        "half_interval": stats.t.ppf(0.975, n - 1) * stats.sem(x),
        "seeds": n,
    }


def cell(column, row):
    name, _, _, paper, _, baseline, values = column
    ours = interval(values[row])
    difference = interval(values[row] - values[0]) if row else None
    return {
        "row": ROWS[row],
        "column": name,
        "values": list(values[row]),
        "ours": ours,
        "difference": difference,
        "excludes_zero": bool(abs(difference["mean"]) > difference["half_interval"])
        if difference
        else None,
        "beats_baseline": None
        if baseline is None
        else bool(ours["mean"] - ours["half_interval"] > baseline),
        "paper": PAPER[row] if paper else None,
    }


def described(column):
    name, unit, note, paper, noise, baseline, values = column
    means = values.mean(axis=1)
    rank = {
        "spearman": stats.spearmanr(means, PAPER)[0],
        "kendall": stats.kendalltau(means, PAPER)[0],
        "rows": len(ROWS),
    }
    return {
        "name": name,
        "unit": unit,
        "note": note,
        "paper": paper,
        "paper_noise": noise,
        "baseline": baseline,
        "baseline_kind": None if baseline is None else "copy",
        "rank_agreement": rank if paper else None,
    }


def quoted(text):
    return '"' + text.replace('"', '""') + '"' if '"' in text else text


def real(x):
    return "" if x is None else "%.10g" % x


def said(x):
    return "" if x is None else "yes" if x else "no"


def csv_line(column, row):
    c, d = cell(column, row), described(column)
    ours, difference = c["ours"], c["difference"] or {"mean": None, "half_interval": None}
    fields = [quoted(c["row"]), c["column"], column[1] or "", str(len(SEEDS))]
    fields += [real(ours[k]) for k in ("mean", "deviation", "half_interval")] + [
        real(difference[k]) for k in ("mean", "half_interval")
    ]
    fields += [
        said(c["excludes_zero"]),
        d["baseline_kind"] or "",
        real(d["baseline"]),
        said(c["beats_baseline"]),
        real(c["paper"]),
    ]
    return ",".join(fields + [real(v) for v in c["values"]])


def main(folder):
    header = "row,column,unit,seeds,mean,deviation,half_interval,difference,difference_half_interval,excludes_zero,baseline_kind,baseline,"
    header += "beats_baseline,paper" + "".join(",seed_%d" % s for s in SEEDS)
    with open(folder + "/report.csv", "w") as f:
        f.write(
            "\n".join([header] + [csv_line(c, r) for c in COLUMNS for r in range(len(ROWS))]) + "\n"
        )
    report = {
        "title": 'a <made> up & "run"',
        "source": "nowhere",
        "baseline": "a",
        "seeds": SEEDS,
        "stages_done": 24,
        "stages": 24,
        "columns": [described(c) for c in COLUMNS],
        "cells": [cell(c, r) for c in COLUMNS for r in range(len(ROWS))],
        "costs": [
            {"row": r, "steps": 7 + i, "tokens": 1500, "seconds": 4, "seeds": 3}
            for i, r in enumerate(ROWS)
        ],
        "remarks": REMARKS,
    }
    made_with = "numpy %s, scipy %s" % (np.__version__, scipy.__version__)
    with open(folder + "/report.json", "w") as f:
        json.dump({"made_with": made_with, "report": report}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
