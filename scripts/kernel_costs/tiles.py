"""What attention's tiles imply that each of its kernels moves (kernels/attention/attention_cuda.cuh,
attention_bwd_cuda.cu): a block takes 64 queries, or as many keys as a tile has, of one head, and
reads all of the other side that its mask lets it see."""

from . import work

QUERIES = 64
WIDE = 4  # bytes of statistics


def _keys(precision, head_size, kernel):
    """Of a tile: in float32 half as many fit, and by queries two wide ones of heads above 64."""
    if precision == "f32" or (head_size > 64 and kernel != "attention backward by keys"):
        return 32
    return 64


def _cuts(rows, size):
    """(first, one past the last) of each tile."""
    return [(i, min(rows, i + size)) for i in range(0, rows, size)]


def _seen_by_queries(n):
    """Keys that each tile of queries reads, all tiles together."""
    q, k = n["queries"], n["keys"]
    if not n.get("causal"):
        return len(_cuts(q, QUERIES)) * k
    return sum(max(0, min(k, last + k - q)) for _, last in _cuts(q, QUERIES))


def _queries_of_keys(n, size):
    """Queries that each tile of keys reads, all tiles together; they are read by tiles, too."""
    q, k = n["queries"], n["keys"]
    if not n.get("causal"):
        return len(_cuts(k, size)) * q
    first_query = [max(0, first - (k - q)) // QUERIES * QUERIES for first, _ in _cuts(k, size)]
    return sum(max(0, q - first) for first in first_query)


def implied_bytes(kernel, n, precision):
    """Bytes of KERNEL, a launch's name, at sizes N; None for kernels that have no tiles."""
    q, k, narrow = n["queries"], n["keys"], work.NARROW[precision]
    row = n["head_size"] * narrow
    statistics = 2 * WIDE * q
    if kernel == "attention forward":
        of_head = row * (2 * q + 2 * _seen_by_queries(n)) + statistics
    elif kernel == "attention backward by queries":
        # keys and values twice; a row's statistics and two numbers for the pass by keys
        of_head = row * (3 * q + 4 * _seen_by_queries(n)) + 2 * statistics
    elif kernel == "attention backward by keys":
        queries = _queries_of_keys(n, _keys(precision, n["head_size"], kernel))
        of_head = row * (4 * k + 2 * queries) + 2 * 2 * WIDE * queries
    else:
        return None
    return n["segments"] * n["heads"] * of_head
