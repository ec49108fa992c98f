#!/usr/bin/env python3
"""Writes tests/fixtures/scores.json: random cases and what the usual Python packages make of
them.

    python scripts/make_score_fixtures.py [OUTPUT]

Needs numpy, scipy, scikit-learn, sacrebleu and rouge-score; their versions are recorded in the
file. SQuAD's scores and the calibration error have no such package and are computed here from
their definitions (Rajpurkar et al. 2016, section 6.1; Guo et al. 2017, equation 3).
"""

import json
import math
import random
import re
import string
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))

import numpy as np
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU
from scipy import stats
from sklearn import metrics

WORDS = (
    "the a an The of cat sat on mat Haus Straße Über größer naïve café it's don't l'eau e-mail "
    "well-known U.S. Mr. 1,000 3.14 1990. 5-6 50% $5 €9 £3 "
    "2 10 x=y a+b <b> &amp; &quot;yes&quot; <skipped> C++ ^ ` ~ | “quoted” «ja» … – — ¿que? ¡si! "
    "(see) [1] {x} a_b @home #tag 日本語 です。 東京、 ½ ² Ⅳ ٣ "
    "١٫٥ 😀 →x e\u0301t\u00e9 \u212aelvin \u0130stanbul THE A An ’a the’ .5 5. , . ! ? ; : - -- ' \""
).split()
SPACES = [" "] * 12 + ["  ", "\t", "\u00a0", "\u3000", "\u2009", "\n", "-\n"]


def text(rng, longest, words=WORDS, spaces=SPACES):
    """A text of up to LONGEST pieces, sometimes with odd spaces at its ends."""
    pieces = [rng.choice(words) + rng.choice(spaces) for _ in range(rng.randrange(longest + 1))]
    return "".join(pieces) if rng.random() < 0.3 else "".join(pieces).rstrip()


def noisy(rng, source):
    """SOURCE with some words dropped, doubled, swapped or replaced, so that a score is neither 0
    nor 1."""
    out = []
    for piece in re.findall(r"\S+\s*|\s+", source):
        draw = rng.random()
        out += (
            []
            if draw < 0.1
            else [piece, piece]
            if draw < 0.15
            else [rng.choice(WORDS) + " "]
            if draw < 0.3
            else [piece]
        )
    if len(out) > 3 and rng.random() < 0.5:
        i = rng.randrange(len(out) - 1)
        out[i], out[i + 1] = out[i + 1], out[i]
    return "".join(out)


def number(x):
    """A float for JSON; null when it is not defined."""
    return None if math.isnan(x) else float(x)


def label_cases(rng):
    for i in range(40):
        n, classes = rng.randrange(1, 40), rng.choice([2, 2, 2, 3, 5])
        wanted = [rng.randrange(classes) for _ in range(n)] if i % 8 else [i % classes] * n
        predicted = [
            w if rng.random() < 0.5 else rng.randrange(-1 if i % 2 else 0, classes) for w in wanted
        ]
        opposed = [1 - w if p < 0 else p for p, w in zip(predicted, wanted)]
        yield {
            "wanted": wanted,
            "predicted": predicted,
            "classes": classes,
            "accuracy": metrics.accuracy_score(wanted, predicted),
            "f1": metrics.f1_score(wanted, opposed, pos_label=1, zero_division=0)
            if classes == 2
            else None,
            "f1_macro": metrics.f1_score(
                wanted, predicted, labels=range(classes), average="macro", zero_division=0
            ),
            "matthews": metrics.matthews_corrcoef(wanted, predicted),
        }


def number_cases(rng):
    for i in range(30):
        n = rng.randrange(2, 40)
        x = [rng.gauss(3, 10) if i % 3 else float(rng.randrange(5)) for _ in range(n)]
        y = (
            [0.5 * a + rng.gauss(0, 3) if i % 3 == 1 else float(rng.randrange(4)) for a in x]
            if i % 7
            else [1.5] * n
        )
        yield {
            "x": x,
            "y": y,
            "pearson": number(stats.pearsonr(x, y).statistic),
            "spearman": number(stats.spearmanr(x, y).statistic),
            "kendall": number(stats.kendalltau(x, y).statistic),
        }


def calibration_cases(rng):
    for _ in range(10):
        n, bins = rng.randrange(1, 100), rng.choice([1, 10, 15])
        confidence = [
            rng.choice([0.0, 1.0, 0.5, rng.random(), rng.randrange(11) / 8 % 1]) for _ in range(n)
        ]
        right = [int(rng.random() < c) for c in confidence]
        c, r, total = np.array(confidence), np.array(right), 0.0
        for b in range(bins):
            inside = (c > b / bins) & (c <= (b + 1) / bins) if b else c <= 1 / bins
            if inside.any():
                total += inside.mean() * abs(r[inside].mean() - c[inside].mean())
        yield {"confidence": confidence, "right": right, "bins": bins, "error": float(total)}


def answer_words(answer):
    kept = "".join(c for c in answer.lower() if c not in string.punctuation)
    return re.sub(r"\b(?:the|an|a)\b", " ", kept).split()


def squad_cases(rng):
    for _ in range(60):
        references = [
            text(rng, 10, rng.choice([WORDS, WORDS[:12]])) for _ in range(rng.randrange(1, 4))
        ]
        prediction = (
            noisy(rng, rng.choice(references))
            if rng.random() < 0.6
            else rng.choice(["", "the", rng.choice(references).upper(), text(rng, 5)])
        )
        said, exact, best = answer_words(prediction), 0.0, 0.0
        for reference in references:
            want = answer_words(reference)
            common = sum((Counter(said) & Counter(want)).values())
            exact = max(exact, float(said == want))
            best = max(best, 2 * common / (len(said) + len(want)) if common else 0.0)
        yield {"prediction": prediction, "references": references, "exact": exact, "f1": best}


def rouge_cases(rng):
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=False)
    for i in range(60):
        reference = (
            text(rng, 30, rng.choice([WORDS, WORDS[:9]]), SPACES + ["\n"] * 4)
            if i % 10
            else ["", "the", "\n\n", "...", "a\nb"][i // 10 % 5]
        )
        prediction = noisy(rng, reference) if i % 5 else text(rng, 12, WORDS[:9])
        scores = scorer.score(reference, prediction)
        yield {
            "reference": reference,
            "prediction": prediction,
            "scores": [[scores[k].precision, scores[k].recall, scores[k].fmeasure] for k in kinds],
        }


def bleu_cases(rng):
    for i in range(24):
        references = [text(rng, 15 if i % 4 else 3) for _ in range(rng.randrange(1, 6))]
        predictions = [noisy(rng, r) if i % 6 else text(rng, 4) for r in references]
        scores = {}
        for tokens in ["13a", "intl", "none"]:
            bleu = BLEU(tokenize=tokens, smooth_method="exp", effective_order=False)
            s = bleu.corpus_score(predictions, [references])
            scores[tokens] = {
                "score": s.score,
                "precisions": s.precisions,
                "brevity": s.bp,
                "correct": s.counts,
                "total": s.totals,
                "lengths": [s.sys_len, s.ref_len],
                "first": bleu.tokenizer(predictions[0].rstrip()).split(),
            }
        yield {"references": references, "predictions": predictions, "scores": scores}


def student_cases(rng):
    for freedom in [1, 2, 3, 4, 5, 9, 10, 29, 30, 99, 1000, 2.5]:
        for p in [0.975, 0.95, 0.5, 0.6, 0.01, 0.9995]:
            yield {
                "freedom": freedom,
                "p": p,
                "t": float(stats.t.ppf(p, freedom)),
                "cdf_at_p": float(stats.t.cdf(p, freedom)),
            }


def interval_cases(rng):
    for n in [2, 3, 4, 5, 10, 40]:
        x = [rng.gauss(50, 5) for _ in range(n)]
        y = [a + rng.gauss(1, 0.5) for a in x]
        d = np.array(x) - np.array(y)
        low, high = stats.t.interval(0.95, n - 1, loc=d.mean(), scale=stats.sem(d))
        yield {
            "x": x,
            "y": y,
            "mean": float(d.mean()),
            "deviation": float(d.std(ddof=1)),
            "low": float(low),
            "high": float(high),
        }


def main():
    rng = random.Random(20240607)
    groups = {
        "labels": label_cases,
        "numbers": number_cases,
        "calibration": calibration_cases,
        "squad": squad_cases,
        "rouge": rouge_cases,
        "bleu": bleu_cases,
        "student": student_cases,
        "intervals": interval_cases,
    }
    out = {
        "made_by": "scripts/make_score_fixtures.py",
        "python": sys.version.split()[0],
        "versions": {
            p: version(p)
            for p in ["numpy", "scipy", "scikit-learn", "sacrebleu", "rouge-score", "regex"]
        },
    }
    out.update({name: list(cases(rng)) for name, cases in groups.items()})
    target = Path(
        sys.argv[1]
        if len(sys.argv) > 1
        else Path(__file__).resolve().parent.parent / "tests/fixtures/scores.json"
    )
    target.write_text(
        json.dumps(out, ensure_ascii=True, separators=(",", ":")).replace('},{"', '},\n{"') + "\n"
    )
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
