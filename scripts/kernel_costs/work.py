"""How much work an op has at given sizes: by what its counts grow from the sizes that were counted
to others. Sizes are those of experiments/bench; backward writes its gradients, with `added` adds to
those of weights."""

NARROW = {"f32": 4, "bf16": 2, "fp16": 2}  # bytes of activations and copies of weights
WIDE = 4  # of statistics, losses and gradients of weights
PART = 6 * 4  # a part's row, and hyper, of the optimizers (kernels/common/flat.h, hyper.h)


def _weight(elements, n):
    """Bytes of a weight's gradient: written, or read and written."""
    return WIDE * elements * (2 if n.get("added") else 1)


def _linear(n, backward, c):
    x, w, y = n["rows"] * n["width"], n["outputs"] * n["width"], n["rows"] * n["outputs"]
    bias = WIDE * n["outputs"] if n.get("bias") else 0
    if not backward:
        return c * (x + w + y) + bias
    return c * (2 * x + w + y + (y if n.get("relu") else 0)) + _weight(w, n) + bias


def _rows(n, backward, forward_arrays, backward_arrays, c):
    return c * n["rows"] * n["width"] * (backward_arrays if backward else forward_arrays)


def _gather(n, backward, c):
    read = 4 * n["rows"] + c * n["rows"] * n["width"]
    return read + c * (n["of"] if backward else n["rows"]) * n["width"]


def _embedding(n, backward, c):
    # of the table, and of a gradient that is added to, as many rows as are named at most
    named = min(n["rows"], n["vocabulary"]) * n["width"]
    read = 4 * n["rows"] + c * n["rows"] * n["width"]
    if backward:
        return read + _weight(named if n.get("added") else n["vocabulary"] * n["width"], n)
    return read + c * named


def _cross_entropy(n, backward, c):
    h, w = n["rows"] * n["width"], n["vocabulary"] * n["width"]
    gradients = c * h + _weight(w, n) if backward else 0
    return c * (h + w) + 8 * n["rows"] + 8 + gradients


def _norm(n, backward, c):
    # x, residual, h = x + dropout(residual), y; of backward h, gradients of y and h, x and residual
    rows, width = n["rows"], n["width"]
    layer, residual = bool(n.get("layer")), bool(n.get("residual"))
    gains, statistics = WIDE * width * (2 if layer else 1), WIDE * rows * (2 if layer else 1)
    if not backward:
        return c * rows * width * (4 if residual else 2) + gains + statistics
    arrays = 5 if residual else 3
    return c * rows * width * arrays + statistics + WIDE * width + gains


def _attention(n, backward, c):
    width = n["heads"] * n["head_size"]
    q, k = n["segments"] * n["queries"] * width, n["segments"] * n["keys"] * width
    statistics = 2 * WIDE * n["segments"] * n["queries"] * n["heads"]
    table = WIDE * 32 * n["heads"] if n.get("position_bias") else 0
    spans = 2 * 4 * (n["segments"] + 1)
    if not backward:
        return c * (2 * q + 2 * k) + statistics + table + spans
    return c * (4 * q + 4 * k) + statistics + 2 * table + spans


def _label_words(n, backward, c):
    # rows of x and of the table that are read; all of both gradients, or of the table's those that
    # are added to; numbers of rows, label words, targets, weights of classes
    x, named = n["masks"] * n["width"], min(n["classes"] * n["words"], n["vocabulary"])
    words = named * n["width"]
    scores = WIDE * n["masks"] * n["classes"]
    small = 4 * (2 * n["masks"] + n["classes"] * n["words"]) + scores + 8
    if not backward:
        return c * (x + words) + small
    table = words if n.get("added") else n["vocabulary"] * n["width"]
    gradients = c * n["rows"] * n["width"] + _weight(table, n)
    return c * (x + words) + gradients + small + scores


def _pool(n, c):
    # every row and the mean of each segment, or their gradients; where segments begin and end
    return c * n["segments"] * (n["length"] + 1) * n["width"] + 8 * n["segments"]


def _choices(n, backward):
    # spans of candidates and of questions, the right ones, the denominator, the loss or its gradient;
    # nll or its gradient; scores, backward their gradients too
    candidates = n["questions"] * n["candidates"]
    small = 8 * candidates + 12 * n["questions"] + 2 * WIDE
    return small + WIDE * candidates * (n["tokens"] + (2 if backward else 1))


def _update(n, state, c):
    """Of an optimizer: value, gradient and state, which are read, and of which but the gradient is
    written, and the copy in 16 bits, which is only written."""
    return n["rows"] * n["width"] * (3 * WIDE + c) + 2 * WIDE * state + 2 * PART


def bytes_of(op, backward, n, precision):
    """Bytes of the arrays of a pass, each counted once (cz_kernel_problem_bytes)."""
    c = NARROW[precision]
    if op == "linear":
        return _linear(n, backward, c)
    if op == "activation":
        return _rows(n, backward, 3, 5, c) if n.get("gated") else _rows(n, backward, 2, 3, c)
    if op in ("dropout", "cast"):
        return _rows(n, backward, 2, 2, c)
    if op == "add":
        return _rows(n, backward, 3, 3, c)
    if op == "embedding":
        return _embedding(n, backward, c)
    if op == "gather":
        return _gather(n, backward, c)
    if op == "cache_append":
        return 4 * n["rows"] + 2 * c * n["rows"] * n["width"]
    if op == "cross_entropy":
        return _cross_entropy(n, backward, c)
    if op == "norm":
        return _norm(n, backward, c)
    if op == "attention":
        return _attention(n, backward, c)
    if op == "label_words":
        return _label_words(n, backward, c)
    if op == "pool":
        return _pool(n, c)
    if op == "choices":
        return _choices(n, backward)
    if op == "sumsq":
        return c * n["rows"] * n["width"] + WIDE
    if op == "adamw":
        return _update(n, 2 * n["rows"] * n["width"], c)
    if op == "adafactor":  # of a matrix, sums of its rows and of its columns
        return _update(n, n["rows"] + n["width"], c)
    if op == "clip":  # 13 numbers are read, eight losses among them, and eight written
        return 21 * WIDE
    raise ValueError("what a pass of op '%s' has of bytes is not known (work.bytes_of)" % op)


def units_of(op, n):
    """What else than bytes grows with: elements, logits, or scores."""
    if op == "linear":
        return n["rows"] * n["outputs"]
    if op == "cross_entropy":
        return n["rows"] * n["vocabulary"]
    if op == "attention":
        scores = n["queries"] * n["keys"]
        if n.get("causal"):  # the queries are the last of as many keys
            scores -= n["queries"] * (n["queries"] - 1) // 2
        return n["segments"] * n["heads"] * scores
    if op == "label_words":
        return n["masks"] * n["classes"] * n["words"] * n["width"]
    if op == "pool":
        return n["segments"] * n["length"] * n["width"]
    if op == "choices":
        return n["questions"] * n["candidates"] * n["tokens"]
    if op == "clip":
        return 1
    return n["rows"] * n["width"]


def products_of(op, backward, n):
    """Matrix products (m, n, k, bytes of an element of C: None, those of the dtype) that the
    library computes."""
    if op == "linear":
        t, i, o = n["rows"], n["width"], n["outputs"]
        return [(t, i, o, None), (o, i, t, WIDE)] if backward else [(t, o, i, None)]
    if op == "cross_entropy":
        t, d, v = n["rows"], n["width"], n["vocabulary"]
        logits = [(t, v, d, WIDE)]
        return logits + [(t, d, v, WIDE), (v, d, t, WIDE)] if backward else logits
    return []


def cleared_of(op, backward, n, precision):
    """Bytes that are set to zero before the kernels run, which the emulator does not count."""
    if op == "label_words" and backward:
        table = 0 if n.get("added") else WIDE * n["vocabulary"] * n["width"]
        return table + NARROW[precision] * n["rows"] * n["width"]
    return 0


def special_of(op, backward, n):
    """Special functions of a pass, {kernel: how many}; the name None: the kernel with most of the
    pass's work. Of each score an exponential, in attention's backward two by queries, which go
    through the keys twice, and one by keys; of a logit one for the sum and another for its
    gradient; of an element of GELU, by tanh or by erf, an exponential and a reciprocal. Nothing
    else that grows with the elements needs any."""
    units = units_of(op, n)
    if op == "attention":
        if not backward:
            return {None: units}
        return {"attention backward by queries": 2 * units, "attention backward by keys": units}
    if op == "cross_entropy":
        return {None: units * (2 if backward else 1)}
    if op == "activation":
        return {None: 2 * units}
    return {}


def variant(op, n):
    """What of the sizes chooses another kernel: counts of one variant say nothing of another."""
    if op == "attention":
        flags = ("position_bias", "causal")
        sizes = (n["queries"], n["keys"], n["head_size"])
        return (op, *sizes, *(bool(n.get(f)) for f in flags))
    flags = ("residual", "layer", "gated", "relu", "bias", "added", "scaled")
    return (op, *(bool(n.get(f)) for f in flags))
