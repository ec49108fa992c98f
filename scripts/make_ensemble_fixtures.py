#!/usr/bin/env python3
"""Makes tests/fixtures/ensemble.json: what PET's and iPET's arithmetic gives on random members and
texts, computed here from its definitions with NumPy, and by SciPy and scikit-learn where they have
it (divergences, softmax, logistic regression).

    python3 scripts/make_ensemble_fixtures.py [OUTPUT]

Needs numpy, scipy and scikit-learn; their versions are recorded in the file."""

import itertools
import json
import pathlib
import re
import sys
import warnings

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))

import cloze_random
import numpy as np
import scipy
import sklearn
from scipy.special import log_softmax, softmax
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.naive_bayes import MultinomialNB


def scores(rng, *shape, scale=3.0):
    """Float32, as members' scores are kept; of few digits, so that there are ties."""
    return (np.round(rng.normal(0, scale, shape) * 64) / 64).astype(np.float32)


def flat(x):
    return [float(v) for v in np.asarray(x, dtype=np.float64).ravel()]


def ints(x):
    return [int(v) for v in np.asarray(x).ravel()]


def ensemble_cases(rng):
    """Means of members, soft targets, and what the published distillation loss prints
    (Schick and Schuetze 2021, 3.3; Hinton et al. 2015)."""
    for case in range(12):
        members, n, classes = rng.integers(1, 6), rng.integers(1, 7), rng.integers(2, 6)
        s = scores(rng, members, n, classes)
        accuracy = rng.integers(0, 11, members) / 10
        if case == 3:
            accuracy[:] = 0.7  # the mean of members that weigh alike
        if accuracy.sum() == 0:
            accuracy[0] = 0.1
        temperature = [2.0, 1.0, 0.5, 20.0][case % 4]
        uniform, weighted = s.astype(np.float64).mean(0), np.average(
            s.astype(np.float64), axis=0, weights=accuracy
        )
        target = softmax(weighted / temperature, axis=1)
        student = scores(rng, n, classes).astype(np.float64)
        predicted = log_softmax(student / temperature, axis=1)
        kl = scipy.special.rel_entr(target, np.exp(predicted)).sum()
        yield {
            "members": int(members),
            "n": int(n),
            "classes": int(classes),
            "scores": flat(s),
            "accuracy": flat(accuracy),
            "temperature": temperature,
            "uniform": flat(uniform),
            "weighted": flat(weighted),
            "labels": ints(weighted.argmax(1)),
            "targets": flat(target),
            "cross_entropy": float(-(target * predicted).sum() * temperature**2 / n),
            "divergence": float(kl * temperature**2 / n),
        }


def accuracy_cases(rng):
    for n in (1, 4, 10, 50):
        s, wanted = scores(rng, n, 3), rng.integers(0, 3, n)
        yield {
            "scores": flat(s),
            "wanted": ints(wanted),
            "accuracy": float((s.argmax(1) == wanted).mean()),
        }


def calibration_cases(rng):
    """Means that are subtracted; Zhao et al. 2021: classes of diag(p_cf)^-1 p."""
    for n in (3, 3, 19, 20, 60):
        classes = int(rng.integers(2, 6))
        s = scores(rng, n, classes)
        later = scores(rng, 8, classes)
        p_cf = softmax(s.astype(np.float64), axis=1).mean(0)
        p = softmax(later.astype(np.float64), axis=1) / p_cf
        yield {
            "classes": classes,
            "scores": flat(s),
            "mean": flat(s.astype(np.float64).mean(0)),
            "later": flat(later),
            "probabilities": flat(p / p.sum(1, keepdims=True)),
        }


def agreement_cases(rng):
    """By pairs of members, and Fleiss 1971 by its table of votes."""
    for members, n, classes in ((2, 1, 2), (2, 30, 2), (5, 40, 4), (18, 25, 10), (3, 6, 1)):
        labels = rng.integers(0, classes, (members, n))
        labels[:, rng.random(n) < 0.4] = labels[:1, rng.integers(n)]
        pairs = [
            (labels[a] == labels[b]).mean() for a, b in itertools.combinations(range(members), 2)
        ]
        share = np.bincount(labels.ravel(), minlength=classes) / labels.size
        table = np.array([(labels == c).sum(0) for c in range(classes)])
        per_text = ((table**2).sum(0) - members) / (members * (members - 1))
        chance = (share**2).sum()
        yield {
            "members": members,
            "classes": classes,
            "labels": ints(labels),
            "pairs": float(np.mean(pairs)),
            "kappa": None if len(set(labels.ravel())) == 1
            else float((per_text.mean() - chance) / (1 - chance)),
        }


def judged_cases(rng):
    """Accuracy of the most certain: the mean over every choice among those of equal confidence."""
    for n in (1, 2, 7, 10, 12):
        p = softmax(rng.normal(0, 2, (n, 3)), axis=1)
        p = np.round(p * 8) / 8 if n % 2 == 0 else p  # ties
        p[:, 2] = 1 - p[:, 0] - p[:, 1]
        wanted = rng.integers(0, 3, n)
        confidence, right = p.max(1), p.argmax(1) == wanted
        coverage = {}
        for percent in (100, 90, 80, 50):
            k = -(-n * percent // 100)
            worst = sorted(confidence)[-k]
            above, tied = np.where(confidence > worst)[0], np.where(confidence == worst)[0]
            chosen = [
                right[list(above) + list(c)].mean()
                for c in itertools.combinations(tied, k - len(above))
            ]
            coverage[str(percent)] = [float(np.mean(chosen)), float(worst)]
        bins = []
        for b in range(15):
            inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
            bins.append(
                [int(inside.sum())]
                + ([float(right[inside].mean()), float(confidence[inside].mean())]
                   if inside.any() else [None, None])
            )
        ece = sum(b[0] * abs(b[1] - b[2]) for b in bins if b[0]) / n
        yield {
            "p": flat(p),
            "wanted": ints(wanted),
            "accuracy": float(right.mean()),
            "macro_f1": float(
                f1_score(wanted, p.argmax(1), average="macro", labels=range(3), zero_division=0)
            ),
            "ece": float(ece),
            "coverage": coverage,
            "reliability": bins,
        }


def logistic_cases(rng):
    for n, width, classes, strength in (
        (6, 2, 2, 1.0), (10, 8, 3, 1.0), (40, 5, 4, 100.0), (60, 24, 3, 0.01), (9, 30, 3, 10.0),
        (30, 4, 2, 5.0),
    ):
        y = rng.permutation(np.arange(n) % classes)
        x = (rng.normal(0, 1, (n, width)) + rng.normal(0, 1, (classes, width))[y])
        x = (np.round(x * 256) / 256).astype(np.float32)
        new = (np.round(rng.normal(0, 2, (5, width)) * 256) / 256).astype(np.float32)
        model = LogisticRegression(
            C=strength, tol=1e-13, max_iter=1000, solver="newton-cholesky"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x.astype(np.float64), y)
        yield {
            "classes": classes,
            "width": width,
            "strength": strength,
            "x": flat(x),
            "labels": ints(y),
            "new": flat(new),
            "probabilities": flat(model.predict_proba(new.astype(np.float64))),
        }


def bayes_cases(rng):
    """Of a few labelled texts; words that were not seen do not count, a class may lack texts."""
    vocabulary = "Perl perl6 PERL Größe ДАННЫЕ for the a of X11 x86_64 parsing 7".split()
    for n, classes in ((1, 2), (5, 3), (30, 4)):
        texts = [
            " ".join(vocabulary[int(k)] for k in rng.integers(0, 10, rng.integers(1, 9)))
            for _ in range(n)
        ]
        y = rng.integers(0, classes - (n == 5), n)
        new = [
            ", ".join(vocabulary[int(k)] for k in rng.integers(0, 13, rng.integers(0, 9)))
            for _ in range(6)
        ]
        # letters and digits of ASCII in lower case, any byte beyond it
        count = CountVectorizer(
            lowercase=False,
            tokenizer=lambda t: re.findall(r"[a-z0-9\x80-\U0010ffff]+", re.sub(
                "[A-Z]", lambda m: m.group().lower(), t)),
            token_pattern=None,
        )
        model = MultinomialNB(alpha=1.0).fit(count.fit_transform(texts), y)
        p = np.zeros((6, classes))
        p[:, model.classes_] = model.predict_proba(count.transform(new))
        yield {
            "classes": classes,
            "texts": texts,
            "labels": ints(y),
            "new": new,
            "probabilities": flat(p),
        }


def words(text):
    return re.findall(r"\w+", text.lower())


def shingles(text):
    w = words(text)
    return {tuple(w[i : i + 3]) for i in range(max(1, len(w) - 2))}


def next_cases(rng):
    """Vote entropy, then the ensemble's, then the row; near-duplicates by all pairs."""
    vocabulary = "Perl python-Module library Größe ДАННЫЕ für the a of X11 и parsing データ".split()
    for members, n in ((3, 12), (5, 60), (1, 20), (18, 90)):
        texts = []
        for i in range(n):
            if i and rng.random() < 0.5:  # like an earlier one
                w = texts[int(rng.integers(i))].split()
                for _ in range(int(rng.integers(0, 3))):
                    w.insert(int(rng.integers(len(w) + 1)), vocabulary[int(rng.integers(13))])
                text = (", " if rng.random() < 0.3 else " ").join(w)
                texts.append(text.upper() if rng.random() < 0.2 else text)
            else:
                size = int(rng.integers(0, 24))
                texts.append(" ".join(vocabulary[int(k)] for k in rng.integers(0, 13, size)))
        s = scores(rng, members, n, 4)
        votes = np.array([(s.argmax(2) == c).sum(0) for c in range(4)]).T / members
        vote_entropy = np.round([scipy.stats.entropy(sorted(v)) for v in votes], 12)
        mean = s.astype(np.float64).mean(0)
        entropy = scipy.stats.entropy(softmax(mean, axis=1), axis=1)
        order = sorted(range(n), key=lambda i: (-vote_entropy[i], -entropy[i], i))
        kept = []
        for i in order:
            a = shingles(texts[i])
            near = [
                10 * len(a & shingles(texts[k])) >= 7 * len(a | shingles(texts[k])) for k in kept
            ]
            if not any(near):
                kept.append(i)
        yield {
            "members": members,
            "scores": flat(s),
            "texts": texts,
            "rows": kept,
            "votes": flat(vote_entropy[kept]),
            "entropy": flat(entropy[kept]),
        }


def split(total, classes, order=None):
    """As even as it goes; what is left over one each to the first."""
    counts = [0] * classes
    for i in range(total):
        counts[(order or range(classes))[i % classes]] += 1
    return counts


def draw_cases(rng):
    """Draws of T, by a file's hashes and labels; -1 is none. Texts of the test set have hashes
    below 5."""
    for case in range(9):
        n, classes, t = int(rng.integers(5, 60)), int(rng.integers(1, 5)), int(rng.integers(0, 20))
        hashes, labels = ints(rng.integers(0, 80, n)), ints(rng.integers(-1, classes, n))
        seed = int(rng.integers(1 << 62))
        free = [
            i for i in range(n) if hashes[i] >= 5 and hashes[i] not in hashes[:i]
        ]
        kind = ("paper", "balanced", "random")[case % 3]
        rows = []
        if kind == "random":
            pool = [i for i in free if labels[i] >= 0]
            cloze_random.Stream(seed, "draw of T, any", 0, 0).shuffle(pool)
            rows = pool[:t]
        else:
            order = list(range(classes))
            if kind == "balanced":
                cloze_random.Stream(seed, "draw of T, labels", 0, 0).shuffle(order)
            for c, count in enumerate(split(t, classes, order)):
                pool = [i for i in free if labels[i] == c]
                if kind == "balanced":
                    cloze_random.Stream(seed, "draw of T", c, 0).shuffle(pool)
                rows += pool[:count]
        yield {
            "kind": case % 3,
            "classes": classes,
            "t": t,
            "seed": seed,
            "hashes": hashes,
            "labels": labels,
            "rows": sorted(rows),
        }


def set_cases(rng):
    """Sets of iPET (Schick and Schuetze 2021, 3.4): successive draws without replacement with
    probabilities proportional to confidence, by Gumbel noise of the program's streams."""
    for case in range(12):
        n, classes, members = 40, int(rng.integers(2, 5)), int(rng.integers(3, 9))
        zero_shot, fidelity = case % 4 == 3, case % 3
        members = members + 2 if fidelity == 1 else members
        generation = 1 + case // 4 if zero_shot else int(rng.integers(1, 4))
        labelled = [0] * classes if zero_shot else ints(rng.integers(0, 3, classes))
        labelled[0] += not zero_shot
        t, even, seed = sum(labelled), case % 5 == 4, int(rng.integers(1 << 62))
        accuracy = (rng.integers(0, 5, members // 2 + 1) / 4)[np.arange(members) // 2]
        accuracy[-1] = accuracy[-2] = accuracy[0] = accuracy[1] = 0.5
        hashes, in_t = ints(rng.integers(0, 60, n)), list(range(0 if zero_shot else 6))
        s = scores(rng, members, n, classes, scale=1.5)
        of = int(rng.integers(members))
        pattern, repetition = of // 2, of % 2
        key = pattern << 16 | repetition
        others = [m for m in range(members) if m != of]
        cloze_random.Stream(seed, "iPET, teachers", generation, key).shuffle(others)
        teachers = sorted(others[: max(1, round(len(others) * 0.25))])
        weights = np.ones(len(teachers)) if zero_shot else accuracy[teachers]
        if weights.sum() == 0:
            weights += 1
        mean = np.average(s[teachers].astype(np.float64), axis=0, weights=weights)
        log_p = log_softmax(mean, axis=1)
        if zero_shot:
            wanted = split(10 * 5 ** (generation - 1), classes)
        elif even:
            wanted = split(t * 5**generation - t, classes)
        else:
            wanted = [c * 5**generation - c for c in labelled]
        free = [i for i in range(n) if hashes[i] not in in_t and hashes[i] not in hashes[:i]]
        stream = cloze_random.Stream(seed, "iPET, texts", generation, key)
        taken = {}
        for c in range(classes):
            likely = zero_shot and generation == 1
            if c == 0 or likely:
                noise = [-np.log(-np.log1p(-stream.uniform())) for _ in range(n)]
            pool = [i for i in free if i not in taken]
            if likely:
                fit = mean if fidelity == 0 else log_p
                pool = sorted(pool, key=lambda i: -fit[i, c])[: max(12, wanted[c])]
            else:
                pool = [i for i in pool if mean[i].argmax() == c]
            pool.sort(key=lambda i: -(log_p[i, c] + noise[i]))
            taken.update((i, c) for i in pool[: wanted[c]])
        yield {
            "fidelity": fidelity,
            "even": even,
            "generation": generation,
            "member": of,
            "members": members,
            "classes": classes,
            "likely": 12,
            "seed": seed,
            "labelled": labelled,
            "in_t": in_t,
            "hashes": hashes,
            "accuracy": flat(accuracy),
            "scores": flat(s),
            "wanted": wanted,
            "rows": sorted(taken),
            "labels": [taken[i] for i in sorted(taken)],
        }


def main():
    rng = np.random.default_rng(11)
    groups = {
        "ensembles": ensemble_cases,
        "accuracies": accuracy_cases,
        "calibration": calibration_cases,
        "agreement": agreement_cases,
        "judged": judged_cases,
        "logistic": logistic_cases,
        "next": next_cases,
        "bayes": bayes_cases,
        "draws": draw_cases,
        "sets": set_cases,
    }
    out = {"versions": {m.__name__: m.__version__ for m in (np, scipy, sklearn)}}
    for name, cases in groups.items():
        out[name] = list(cases(rng))
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/ensemble.json")
    text = json.dumps(out, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
