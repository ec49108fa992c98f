"""Bounds: the least time that a card's published rates leave to what was counted. Never a time: what
a kernel takes is measured on a card."""

from . import cards, counts, work

COMPONENTS = ("memory", "tensor", "special", "shared", "issue")


def seconds(card, precision, quantities):
    """The time of each component. QUANTITIES: bytes of global memory, flop of tensor instructions,
    special functions, wavefronts of shared memory, and warp instructions."""
    c = cards.CARDS[card]
    clocks = c["multiprocessors"] * c["clock"]
    rates = {
        "memory": c["bytes_per_s"],
        "tensor": c["tensor"][precision],
        "special": clocks * cards.SPECIAL_PER_CLOCK,
        "shared": clocks * cards.WAVEFRONTS_PER_CLOCK,
        "issue": clocks * cards.ISSUES_PER_CLOCK,
    }
    return {name: quantities.get(name, 0) / rates[name] for name in COMPONENTS}


def largest(times):
    """(seconds, component) of the largest."""
    name = max(COMPONENTS, key=lambda component: times[component])
    return times[name], name


def of_kernel(kernel, special=0):
    """Quantities of one counted kernel. SPECIAL is what the model of the op says of it."""
    return {
        "memory": counts.compulsory_bytes(kernel),
        "tensor": counts.mma_flop(kernel),
        "special": special,
        "shared": counts.wavefronts(kernel),
        "issue": counts.seen_instructions(kernel),
    }


def of_product(m, n, k, narrow, c_bytes):
    return {
        "memory": narrow * (m * k + k * n) + (c_bytes or narrow) * m * n,
        "tensor": 2 * m * n * k,
    }


def _scaled(quantities, by_bytes, by_units):
    return {
        name: x * (by_bytes if name == "memory" else by_units) for name, x in quantities.items()
    }


def main_kernel(counted):
    """The kernel with most of the pass's work."""
    return max(
        counted["kernels"],
        key=lambda k: (k["mma"], counts.moved_bytes(k) + 128 * counts.wavefronts(k)),
    )


def special_of(counted, kernel, n):
    """Special functions of one kernel of a counted pass at the sizes N that were counted."""
    found = work.special_of(counted["op"], counted["pass"] == "backward", n)
    return found.get(kernel["kernel"], found.get(None, 0) if kernel is main_kernel(counted) else 0)


class Counted:
    """Counted passes by op and variant, and bounds at any sizes from the one of the nearest."""

    def __init__(self, passes, sizes):
        """SIZES: {(set, name, op): sizes} of the list that was counted."""
        self.found = {}
        for p in passes:
            if "refused" in p:
                continue
            n = sizes[p["set"], p["op"], p["name"]]
            key = (work.variant(p["op"], n), p["pass"], p["precision"])
            self.found.setdefault(key, []).append((n, p))

    def nearest(self, op, pass_name, precision, n):
        """(sizes, pass) of the same variant, of the width that is nearest; None without any."""
        found = self.found.get((work.variant(op, n), pass_name, precision))
        if not found:
            return None
        return min(found, key=lambda f: abs(f[0].get("width", 0) - n.get("width", 0)))

    def parts(self, op, pass_name, precision, n):
        """[(what, quantities)] of the launches and products of one pass at sizes N, or None where
        its kernels were not counted."""
        backward = pass_name == "backward"
        narrow = work.NARROW[precision]
        found = self.nearest(op, pass_name, precision, n)
        whole = [
            ("product %d x %d x %d" % (a, b, k), of_product(a, b, k, narrow, c))
            for a, b, k, c in work.products_of(op, backward, n)
        ]
        if not found:
            return None
        cleared = work.cleared_of(op, backward, n, precision)
        if cleared:
            whole.append(("clearing", {"memory": cleared}))
        of, counted = found
        by_bytes = by_units = work.units_of(op, n) / work.units_of(op, of)
        if not whole:
            by_bytes = work.bytes_of(op, backward, n, precision)
            by_bytes /= work.bytes_of(op, backward, of, precision)
        launches = []
        for k in counted["kernels"]:
            quantities = of_kernel(k, special_of(counted, k, of))
            launches.append((k["kernel"], _scaled(quantities, by_bytes, by_units)))
        return whole + launches

    def bound(self, card, op, pass_name, precision, n):
        """{"seconds", "by"} of a pass: the sum of its launches' bounds, and the component that has
        most of it. None where its kernels were not counted."""
        parts = self.parts(op, pass_name, precision, n)
        if parts is None:
            return None
        total, shares = 0, dict.fromkeys(COMPONENTS, 0)
        for _, quantities in parts:
            time, name = largest(seconds(card, precision, quantities))
            total += time
            shares[name] += time
        return {"seconds": total, "by": max(COMPONENTS, key=lambda x: shares[x])}
