#!/usr/bin/env python3
"""Makes tests/fixtures/report/report.csv and report.json: what a report must say of the made-up
run of tests/experiment/setup.c, worked out by NumPy, SciPy and statsmodels; and examples.json:
predictions of the same run and what they add to the noise. The sentences under `remarks` are
written here by hand. report.txt beside them was read against these numbers.

  make_report_fixtures.py FOLDER
"""

import json
import sys

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

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
    'one: <c>&" is above, d is above a beyond the noise of seeds and examples.',
    'three: b is above, <c>&" is above, d is above a beyond the noise of seeds and examples.',
    'one: a, b, d do not beat copying the input (20.00) by more than the interval; <c>&" does; '
    'in the mean d is above it.',
    "one: rank agreement with the paper's P over 4 rows: Spearman -0.40, Kendall -0.33 (one "
    "order in 24 agrees fully by chance).",
    'two: no verdict for a, b, <c>&", d: the noise of the test examples is not known (the column '
    'also holds a value that is no score).',
    'three: a, b, d do not beat copying the input (11.50) by more than the interval; <c>&" does; '
    'in the mean d is above it.',
]


def interval(x, known):
    """The noise of the seeds. KNOWN: there are predictions, whose examples are all alike in the
    made-up run and add 0."""
    n = len(x)
    error = stats.sem(x)
    return {
        "mean": np.mean(x),
        "deviation": np.std(x, ddof=1),
        "half_interval": stats.t.ppf(0.975, n - 1) * error,
        "seeds": n,
        "error": {
            "seeds": error,
            "examples": 0 if known else None,
            "total": error,
            "freedom": n - 1,
        },
    }


def corrected():
    """Holm's correction of all differences of the table whose noise of examples is known."""
    scored = [(name, values) for name, *_, baseline, values in COLUMNS if baseline is not None]
    p = [
        stats.ttest_rel(values[row], values[0]).pvalue
        for _, values in scored
        for row in range(1, len(ROWS))
    ]
    holm = np.array(multipletests(p, method="holm")[1]).reshape(len(scored), len(ROWS) - 1)
    return {name: holm[i] for i, (name, _) in enumerate(scored)}


def beats(lead):
    return None if lead is None else bool(lead["mean"] - lead["half_interval"] > 0)


def cell(column, row):
    name, _, _, paper, _, baseline, values = column
    known = baseline is not None
    ours = interval(values[row], known)
    difference = interval(values[row] - values[0], known) if row else None
    lead = interval(values[row] - baseline, known) if known else None
    p = corrected()[name][row - 1] if row and known else None
    return {
        "row": ROWS[row],
        "column": name,
        "values": list(values[row]),
        "ours": ours,
        "difference": difference,
        "lead": lead,
        "p_holm": p,
        "differs": None if p is None else bool(p <= 0.05),
        "beats_baseline": beats(lead),
        "strongest_kind": None if baseline is None else "copy",  # the only one there is
        "strongest_lead": lead,
        "beats_strongest": beats(lead),
        "undefined": None,
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
        "strongest": baseline,
        "strongest_kind": None if baseline is None else "copy",
        "baselines": {} if baseline is None else {"copy": baseline},
        "interval_covers_examples": baseline is not None,
        "rank_agreement": rank if paper else None,
    }


def quoted(text):
    return '"' + text.replace('"', '""') + '"' if '"' in text else text


def real(x):
    return "" if x is None else "%.10g" % x


def said(x):
    return "" if x is None else "yes" if x else "no"


def fields_of(interval, deviation):
    if interval is None:
        return [""] * (7 if deviation else 6)
    error = interval["error"]
    return [
        real(v)
        for v in [interval["mean"]]
        + ([interval["deviation"]] if deviation else [])
        + [error[k] for k in ("seeds", "examples", "total", "freedom")]
        + [interval["half_interval"]]
    ]


def csv_line(column, row):
    c, d = cell(column, row), described(column)
    lead = c["lead"] or {"mean": None, "half_interval": None}
    fields = [quoted(c["row"]), c["column"], column[1] or "", str(len(SEEDS))]
    fields += fields_of(c["ours"], True) + fields_of(c["difference"], False)
    fields += [real(c["p_holm"]), said(c["differs"])]
    for _ in ("simple", "strongest"):
        fields += [d["baseline_kind"] or "", real(d["baseline"])]
        fields += [real(lead["mean"]), real(lead["half_interval"]), said(c["beats_baseline"])]
    fields += [real(c["paper"]), ""]
    return ",".join(fields + [real(v) for v in c["values"]])


HEADER = (
    "row,column,unit,seeds,mean,deviation,seeds_error,examples_error,error,freedom,half_interval,"
    "difference,difference_seeds_error,difference_examples_error,difference_error,"
    "difference_freedom,difference_half_interval,p_holm,differs,baseline_kind,baseline,lead,"
    "lead_half_interval,beats_baseline,strongest_kind,strongest,strongest_lead,"
    "strongest_lead_half_interval,beats_strongest,paper,undefined"
)


def cluster_error(x, group):
    """The mean as a regression on a constant, with errors that are robust to clusters."""
    fit = sm.OLS(x, np.ones(len(x))).fit(cov_type="cluster", cov_kwds={"groups": group})
    return float(fit.bse[0])


def mixed(x):
    """SplitMix64's mixing function."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def hash_of(text):
    """cz_hash_text (runtime/base/hash.c) of an ASCII text: 64 bits, words read little-endian."""
    mask = (1 << 64) - 1

    def mix(x):
        x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & mask
        x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & mask
        return x ^ x >> 33

    data = text.encode()
    h = mix(0x9E3779B97F4A7C15 * (len(data) + 1) & mask)
    for i in range(0, len(data), 8):
        word = int.from_bytes(data[i : i + 8], "little")
        h = mix(h ^ mix((word + 0x9E3779B97F4A7C15) & mask)) * 5 + 0x52DCE729 & mask
    return mix(h)


def least_share_error(x):
    """Agresti and Coull: two right and two wrong examples more."""
    m = len(x) + 4
    share = (x.sum() / 100 + 2) / m
    return 100 * np.sqrt(share * (1 - share) / m)


def least_difference_error(d):
    """Agresti and Min: half an example more of each kind."""
    m = len(d) + 2
    d = np.append(d / 100, [np.sqrt(0.5), -np.sqrt(0.5)])
    return 100 * np.sqrt((d**2).sum() / m - (d.sum() / m) ** 2) / np.sqrt(m)


def weights(key, replicates):
    """Poisson numbers with mean 1, keyed by cluster and replicate."""
    replicate = np.arange(replicates, dtype=np.uint64)
    keys = np.full(replicates, key, dtype=np.uint64)
    u = (mixed(mixed(keys) ^ replicate) >> np.uint64(11)) * 2.0**-53
    return stats.poisson.ppf(u, 1)


def f1_scores(wanted, said, draws):
    """F1 of class 1 in each replicate; NaN where nothing is drawn."""
    both = ((wanted == 1) & (said == 1)) @ draws
    either = (wanted == 1) @ draws + (said == 1) @ draws
    score = np.where(either > 0, 200 * both / np.maximum(either, 1), 0)
    return np.where(draws.sum(axis=0) > 0, score, np.nan)


def examples(rng):
    """Predictions of every row and seed on 40 records of 12 groups, and what they add to the
    noise: of a row's mean over seeds, of its difference to the first row, of its lead over the
    baseline; for accuracy, for its mean with ROUGE-1, and for F1 by the bootstrap."""
    n, rows, seeds = 40, len(ROWS), len(SEEDS)
    group = np.sort(np.concatenate([np.arange(12), rng.integers(0, 12, n - 12)]))
    hard = rng.normal(0, 1, 12)[group]
    wanted = rng.integers(0, 2, n)
    right = rng.normal(size=(rows, seeds, n)) + hard + 0.5 * np.arange(rows)[:, None, None] > 0
    said = np.where(right, wanted, 1 - wanted)
    rouge = np.round(rng.uniform(0, 100, (rows, seeds, n)), 3)
    base_right = rng.uniform(size=n) < 0.4
    base_said = np.where(base_right, wanted, 1 - wanted)
    base_rouge = np.round(rng.uniform(0, 60, n), 3)
    accuracy, base_accuracy = 100.0 * right, 100.0 * base_right

    def contrasts(x, base):
        mean = x.mean(axis=1)
        return [mean, mean - mean[0], mean - base]

    least = [
        [(least_difference_error if k else least_share_error)(v) for v in each]
        for k, each in enumerate(contrasts(accuracy, base_accuracy))
    ]

    def closed(x, base, share):
        """SHARE of the column is accuracy, which has a least error."""
        found = [[cluster_error(v, group) for v in each] for each in contrasts(x, base)]
        return np.maximum(found, share * np.array(least)).tolist()

    keys = ["source %d" % k for k in range(12)]
    draws = np.stack([weights(hash_of(k), 1000) for k in keys])[group]  # [n][1000]

    scores = np.array(
        [
            np.mean([f1_scores(wanted, said[r, k], draws) for k in range(seeds)], axis=0)
            for r in range(rows)
        ]
    ).T
    lead = f1_scores(wanted, base_said, draws)
    drawn = [scores, scores - scores[:, :1], scores - lead[:, None]]
    return {
        "group": [int(g) for g in group],
        "keys": keys,
        "wanted": wanted.tolist(),
        "said": said.tolist(),
        "rouge1": rouge.tolist(),
        "base_said": base_said.tolist(),
        "base_rouge1": base_rouge.tolist(),
        "accuracy_errors": closed(accuracy, base_accuracy, 1),
        "mean_errors": closed((accuracy + rouge) / 2, (base_accuracy + base_rouge) / 2, 0.5),
        "f1_errors": [
            [float(e) for e in np.nanstd(v, axis=0, ddof=1) * np.sqrt(12 / 11)] for v in drawn
        ],
    }


def main(folder):
    header = HEADER + "".join(",seed_%d" % s for s in SEEDS)
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
        "comparisons": len(corrected()) * (len(ROWS) - 1),
        "columns": [described(c) for c in COLUMNS],
        "cells": [cell(c, r) for c in COLUMNS for r in range(len(ROWS))],
        "costs": [
            {
                "row": r,
                "steps": 7 + i,
                "tokens": 1500,
                "scored_tokens": 0,
                "seconds": 4,
                "seeds": 3,
                "text_tokens": None,
                "mean_inputs": None,
                "mean_targets": None,
            }
            for i, r in enumerate(ROWS)
        ],
        "remarks": REMARKS,
    }
    versions = [np, scipy, statsmodels]
    made_with = ", ".join("%s %s" % (m.__name__, m.__version__) for m in versions)
    with open(folder + "/report.json", "w") as f:
        json.dump({"made_with": made_with, "report": report}, f, indent=1)
        f.write("\n")
    with open(folder + "/examples.json", "w") as f:
        made = {"made_with": made_with, **examples(np.random.default_rng(8))}
        json.dump(made, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
