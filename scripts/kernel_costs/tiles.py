"""What attention's tiles imply that each of its kernels moves (kernels/attention/attention_cuda.cuh,
attention_bwd_cuda.cu): a block takes a tile of queries, or of keys, of one head, and reads all of the
other side that its mask lets it see. How many rows a tile has is told by the grid of the launch that
was counted, and stands in the kernels alone."""

from . import work

WIDE = 4  # bytes of statistics
SIZES = (16, 32, 64, 128, 256)  # of a tile: 16 rows a warp


def tile_rows(kernel, rows, segments):
    """Rows of a tile of a counted KERNEL, which has rows / size + segments blocks a head (blocks_of
    in attention_cuda.cuh). Of fewer rows than a tile has, any size that holds them."""
    blocks = kernel["grid"][0]
    for size in SIZES:
        if rows // size + segments == blocks:
            return size
    text = "%d blocks of '%s' over %d rows and %d segments are of no tile of %s rows"
    sizes = ", ".join(str(size) for size in SIZES)
    raise ValueError(text % (blocks, kernel["kernel"], rows, segments, sizes))


def _cuts(rows, size):
    """(first, one past the last) of each tile."""
    return [(i, min(rows, i + size)) for i in range(0, rows, size)]


def _seen_by_queries(n, size):
    """Keys that each tile of SIZE queries reads, all tiles together."""
    q, k = n["queries"], n["keys"]
    if not n.get("causal"):
        return len(_cuts(q, size)) * k
    return sum(max(0, min(k, last + k - q)) for _, last in _cuts(q, size))


def _queries_of_keys(n, size, queries):
    """Queries that each tile of SIZE keys reads, all tiles together; they are read by tiles of
    QUERIES, too."""
    q, k = n["queries"], n["keys"]
    if not n.get("causal"):
        return len(_cuts(k, size)) * q
    first_query = [max(0, first - (k - q)) // queries * queries for first, _ in _cuts(k, size)]
    return sum(max(0, q - first) for first in first_query)


BY_QUERIES = ("attention forward", "attention backward by queries")


def implied_bytes(kernel, kernels, n, precision):
    """Bytes of KERNEL, one of the counted KERNELS of a pass, at sizes N; None for kernels that have
    no tiles."""
    if kernel["kernel"] not in (*BY_QUERIES, "attention backward by keys"):
        return None
    q, k, narrow = n["queries"], n["keys"], work.NARROW[precision]
    by_queries = next(each for each in kernels if each["kernel"] in BY_QUERIES)
    tile = tile_rows(by_queries, n["segments"] * q, n["segments"])
    row = n["head_size"] * narrow
    statistics = 2 * WIDE * q
    if kernel["kernel"] == "attention forward":
        of_head = row * (2 * q + 2 * _seen_by_queries(n, tile)) + statistics
    elif kernel["kernel"] == "attention backward by queries":
        # keys and values twice; a row's statistics and two numbers for the pass by keys
        of_head = row * (3 * q + 4 * _seen_by_queries(n, tile)) + 2 * statistics
    else:
        queries = _queries_of_keys(n, tile_rows(kernel, n["segments"] * k, n["segments"]), tile)
        of_head = row * (4 * k + 2 * queries) + 2 * 2 * WIDE * queries
    return n["segments"] * n["heads"] * of_head
