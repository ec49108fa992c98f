"""The ops of a whole training step, from the model's sizes: [(how often, op, pass, sizes)]. Dropout
is 0.1, the optimizer AdamW after a norm of all gradients; a norm takes in the addition and the
dropout before it, as the graph fuses them (`cloze graph`), and what is cheap is computed again in
backward. Of a tied table the head, the first in backward, writes the whole gradient, and embeddings
add to it. Other additions to a gradient that another op wrote before are not counted."""

from . import work

POSITIONS = 514  # of RoBERTa


def _both(times, op, sizes):
    return [(times, op, "forward", sizes), (times, op, "backward", sizes)]


def _update(elements):
    n = {"rows": elements // 1024, "width": 1024}
    return [
        (1, "sumsq", "forward", n),
        (1, "clip", "forward", {}),
        (1, "adamw", "forward", n),
    ]


def t5(layers, d, ff, heads, vocabulary, segments, inputs, targets):
    """T5 with ReLU and tied embeddings, heads of 64."""
    steps = []
    for stack, length, products in (("encoder", inputs, 4), ("decoder", targets, 6)):
        t, decoder = segments * length, stack == "decoder"
        cross = 2 * layers if not decoder else 0  # the decoder's keys and values, of encoder rows
        rows = {"rows": t, "width": d}
        steps += _both(products * layers + cross, "linear", {**rows, "outputs": d})
        steps += _both(layers, "linear", {**rows, "outputs": ff, "relu": True})
        steps += _both(layers, "linear", {"rows": t, "width": ff, "outputs": d})
        sublayers = (3 if decoder else 2) * layers
        steps += _both(1, "norm", rows)
        steps += _both(sublayers, "norm", {**rows, "residual": True})
        steps += [(sublayers, "norm", "recompute", {**rows, "residual": True})]
        steps += _both(2, "dropout", rows)
        steps += _both(layers, "dropout", {"rows": t, "width": ff})
        steps += [(layers, "dropout", "recompute", {"rows": t, "width": ff})]
        steps += _both(1, "embedding", {**rows, "vocabulary": vocabulary, "added": True})
        head = {"segments": segments, "heads": heads, "head_size": d // heads, "queries": length}
        own = {**head, "keys": length, "position_bias": True}
        steps += _both(layers, "attention", {**own, "causal": True} if decoder else own)
        if decoder:
            steps += _both(layers, "attention", {**head, "keys": inputs})
    loss = {"rows": segments * targets, "vocabulary": vocabulary, "width": d}
    steps += [(1, "cross_entropy", "backward", loss)]  # which computes the loss, too
    attention = 4 * d * d
    parameters = layers * (attention + 2 * d * ff + 2 * d) + layers * (
        2 * attention + 2 * d * ff + 3 * d
    )
    return steps + _update(parameters + vocabulary * d + 2 * d + 2 * 32 * heads)


def roberta(layers, d, ff, heads, vocabulary, examples, length):
    """RoBERTa, fine-tuned on patterns: one masked word an example."""
    t = examples * length
    rows, masks = {"rows": t, "width": d}, {"rows": examples, "width": d}
    steps = _both(1, "embedding", {**rows, "vocabulary": vocabulary, "added": True})
    steps += _both(1, "embedding", {**rows, "vocabulary": POSITIONS})
    steps += _both(1, "add", rows)
    steps += _both(1, "norm", {**rows, "layer": True})
    steps += _both(1, "dropout", rows)
    steps += _both(4 * layers, "linear", {**rows, "outputs": d, "bias": True})
    steps += _both(layers, "linear", {**rows, "outputs": ff, "bias": True})
    steps += _both(layers, "activation", {"rows": t, "width": ff})
    steps += _both(layers, "linear", {"rows": t, "width": ff, "outputs": d, "bias": True})
    steps += _both(2 * layers, "norm", {**rows, "residual": True, "layer": True})
    head = {"segments": examples, "heads": heads, "head_size": d // heads}
    steps += _both(layers, "attention", {**head, "queries": length, "keys": length})
    steps += _both(1, "gather", {**masks, "of": t})
    steps += _both(1, "linear", {**masks, "outputs": d, "bias": True})
    steps += _both(1, "activation", masks)
    steps += _both(1, "norm", {**masks, "layer": True})
    words = {"rows": examples, "masks": examples, "vocabulary": vocabulary, "width": d}
    steps += _both(1, "label_words", {**words, "classes": 4, "words": 2})
    layer = 4 * d * d + 2 * d * ff + 9 * d + ff
    parameters = layers * layer + (vocabulary + POSITIONS + 1) * d + 2 * d + d * d + 3 * d + vocabulary
    return steps + _update(parameters)


T5_SMALL = {"layers": 6, "d": 512, "ff": 2048, "heads": 8, "vocabulary": 32128}
T5_BASE = {"layers": 12, "d": 768, "ff": 3072, "heads": 12, "vocabulary": 32128}
ROBERTA_LARGE = {"layers": 24, "d": 1024, "ff": 4096, "heads": 16, "vocabulary": 50265}
STEPS = {
    "T5-small 8 x 512/114": t5(**T5_SMALL, segments=8, inputs=512, targets=114),
    "T5-base 8 x 512/114": t5(**T5_BASE, segments=8, inputs=512, targets=114),
    "T5-base 128 x 512/114": t5(**T5_BASE, segments=128, inputs=512, targets=114),
    "RoBERTa-large PET 16 x 128": roberta(**ROBERTA_LARGE, examples=16, length=128),
    "RoBERTa-large PET 16 x 256": roberta(**ROBERTA_LARGE, examples=16, length=256),
}


def bound(counted, card, precision, step):
    """{"seconds", "flop", "by_op": {op: {"seconds", "times"}}, "missing": [op, ...]} of a step."""
    by_op, missing = {}, set()
    for times, op, pass_name, n in step:
        of = "forward" if pass_name == "recompute" else pass_name
        # gradients, and what updates parameters, have 32 bits
        of_precision = "f32" if op in ("sumsq", "clip") else precision
        found = counted.bound(card, op, of, of_precision, n)
        if found is None:
            missing.add(op)
            continue
        entry = by_op.setdefault(op, {"seconds": 0, "calls": 0})
        entry["seconds"] += times * found["seconds"]
        entry["calls"] += times
    total = sum(entry["seconds"] for entry in by_op.values())
    return {"seconds": total, "by_op": by_op, "missing": sorted(missing)}


def model_flop(step):
    """Of matrix products and attention, as a training step's account has them: attention's backward
    twice its forward."""
    total = 0
    for times, op, pass_name, n in step:
        if pass_name == "recompute":
            continue
        for m, k, o, _ in work.products_of(op, pass_name == "backward", n):
            # cross_entropy's backward computes the logits, too, in place of its forward
            total += times * 2 * m * k * o
        if op == "attention":
            scores = work.units_of(op, n)
            total += times * scores * n["head_size"] * (8 if pass_name == "backward" else 4)
    return total
