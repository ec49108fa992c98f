#!/usr/bin/env python3
"""Makes tests/fixtures/noise.json: intervals of two sources of noise, Holm's correction, errors of
clusters, and scores of examples that are drawn again, by SciPy, statsmodels, scikit-learn and
sacreBLEU.

  make_noise_fixtures.py FILE
"""

import json
import sys

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))

import numpy as np
import sacrebleu
import scipy
import sklearn
import statsmodels
import statsmodels.api as sm
from scipy import stats
from sklearn import metrics
from statsmodels.stats.multitest import multipletests


def sums(rng):
    """Two samples: Welch's test adds the squares of their standard errors."""
    cases = []
    for n, m in [(2, 2), (2, 500), (3, 8), (3, 384), (5, 40), (10, 3)]:
        a, b = rng.normal(40, rng.uniform(0.1, 9), n), rng.normal(0, rng.uniform(0.1, 30), m)
        t = stats.ttest_ind(a, b, equal_var=False)
        low, high = t.confidence_interval(0.95)
        cases.append(
            {
                "x": list(a),
                "examples": float(stats.sem(b)),
                "freedom": m - 1,
                "total": float((high - low) / 2 / stats.t.ppf(0.975, t.df)),
                "total_freedom": float(t.df),
                "half": float((high - low) / 2),
                # of the mean of A being 0 under the same error
                "p": float(
                    2 * stats.t.sf(abs(a.mean()) / np.hypot(stats.sem(a), stats.sem(b)), t.df)
                ),
            }
        )
    return cases


def holm(rng):
    cases = []
    for n in (1, 2, 5, 20):
        p = rng.uniform(0, 1, n) ** 4
        cases.append({"p": list(p), "adjusted": list(multipletests(p, method="holm")[1])})
    tied = [0.01, 0.01, 0.04, 0.03, 0.9]
    cases.append({"p": tied, "adjusted": list(multipletests(tied, method="holm")[1])})
    return cases


def clusters(rng):
    """The mean as a regression on a constant, with errors that are robust to clusters."""
    cases = []
    for n, groups in [(6, 6), (10, 3), (40, 40), (100, 17), (384, 60)]:
        group = np.concatenate([np.arange(groups), rng.integers(0, groups, n - groups)])
        x = rng.normal(50, 9, n) + 7 * rng.normal(0, 1, groups)[group]
        fit = sm.OLS(x, np.ones(n)).fit(cov_type="cluster", cov_kwds={"groups": group})
        cases.append(
            {
                "cluster": [int(g) for g in group],
                "x": list(x),
                "error": float(fit.bse[0]),
                "freedom": groups - 1,
            }
        )
    return cases


def shares():
    """Agresti and Coull's, Agresti and Min's, worked out from whole examples."""
    cases = []
    for right, n in [(8, 8), (0, 8), (3, 7), (250, 500)]:
        x = np.array([1] * (right + 2) + [0] * (n - right + 2))
        cases.append({"sum": right, "n": n, "error": float(x.std() / np.sqrt(len(x)))})
    pairs = []
    for up, down, n in [(0, 0, 8), (3, 1, 8), (40, 12, 200)]:
        d = np.array([1] * up + [-1] * down + [0] * (n - up - down))
        d = np.concatenate([d, d, [1, -1, 0, 0]])  # twice, so that halves are whole
        pairs.append(
            {
                "sum": up - down,
                "squares": up + down,
                "n": n,
                "error": float(d.std() / np.sqrt(n + 2)),
            }
        )
    return {"one": cases, "two": pairs}


def mixed(x):
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & mask
    return x ^ x >> 31


def weight(cluster, replicate):
    u = (mixed(mixed(cluster) ^ replicate) >> 11) * 2.0**-53
    return int(stats.poisson.ppf(u, 1)) if u > 0 else 0


def weights(rng):
    keys = [0, 1, 2**63, 2**64 - 1] + [int(k) for k in rng.integers(0, 2**62, 60)]
    return {
        "clusters": [str(k) for k in keys],
        "weights": [[weight(k, r) for k in keys] for r in (0, 1, 999)],
    }


def bleu(rows, w):
    total = (np.array(rows) * np.array(w)[:, None]).sum(axis=0)
    score = sacrebleu.BLEU.compute_bleu(
        correct=[int(v) for v in total[2:6]],
        total=[int(v) for v in total[6:10]],
        sys_len=int(total[0]),
        ref_len=int(total[1]),
        smooth_method="exp",
    )
    return float(score.score)


def number(x):
    return None if np.isnan(x) else float(x)


def drawn(rng):
    cases = []
    for k in range(6):
        n = int(rng.integers(5, 60))
        w = [weight(int(c), k) for c in rng.integers(0, 2**40, n)]
        if k == 0:
            w = [1] * n
        wanted = rng.integers(0, 3, n)
        said = np.where(rng.uniform(size=n) < 0.6, wanted, rng.integers(0, 3, n))
        two_w, two_p = np.minimum(wanted, 1), np.minimum(said, 1)
        x = rng.integers(0, 6, n) / 1.0
        y = x + rng.normal(0, 1, n).round(1)
        share = rng.choice([0.0, 100.0], n)
        total = np.sort(rng.integers(4, 12, (n, 4)))[:, ::-1]
        rows = np.concatenate(
            [total[:, :1], rng.integers(4, 14, (n, 1)), rng.integers(0, 4, (n, 4)), total], axis=1
        )
        r = np.repeat(np.arange(n), w)
        cases.append(
            {
                "weights": w,
                "mean": [share.reshape(-1, 1).tolist(), float(np.average(share, weights=w))],
                "f1": [
                    np.stack([two_p, two_w], 1).tolist(),
                    100 * metrics.f1_score(two_w, two_p, sample_weight=w),
                ],
                "macro_f1": [
                    np.stack([said, wanted, np.full(n, 3)], 1).tolist(),
                    100
                    * metrics.f1_score(
                        wanted, said, labels=[0, 1, 2], average="macro", sample_weight=w
                    ),
                ],
                "mcc": [
                    np.stack([said, wanted, np.full(n, 3)], 1).tolist(),
                    100 * metrics.matthews_corrcoef(wanted, said, sample_weight=w),
                ],
                "pearson": [
                    np.stack([x, y], 1).tolist(),
                    number(100 * np.corrcoef(x[r], y[r])[0, 1]),
                ],
                "spearman": [
                    np.stack([x, y], 1).tolist(),
                    number(100 * stats.spearmanr(x[r], y[r])[0]),
                ],
                "bleu": [rows.tolist(), bleu(rows, w)],
            }
        )
    return cases


def main(path):
    rng = np.random.default_rng(8)
    versions = [np, scipy, statsmodels, sklearn, sacrebleu]
    made = {
        "made_with": ", ".join("%s %s" % (m.__name__, m.__version__) for m in versions),
        "sums": sums(rng),
        "holm": holm(rng),
        "clusters": clusters(rng),
        "shares": shares(),
        "weights": weights(rng),
        "drawn": drawn(rng),
    }
    with open(path, "w", encoding="utf-8") as f:
        json.dump(made, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
