"""Cloze's random streams for the host in Python, written from their definitions: hash64 of
runtime/base/hash.h, Philox 4x32-10 (Salmon et al. 2011), Lemire's rejection and Fisher and Yates's
shuffle as runtime/device/random.h has them. For fixtures that select what the program selects.

usage: import cloze_random    (cloze_random.py is no program; scripts beside it import it)"""

import sys

if __name__ == "__main__":
    sys.exit(print(__doc__))

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1


def _mix(x):
    """The finaliser of MurmurHash3."""
    x = ((x ^ x >> 33) * 0xFF51AFD7ED558CCD) & MASK64
    x = ((x ^ x >> 33) * 0xC4CEB9FE1A85EC53) & MASK64
    return x ^ x >> 33


def hash64(data, seed=0):
    h = _mix(seed ^ (0x9E3779B97F4A7C15 * (len(data) + 1)) & MASK64)
    for i in range(0, len(data), 8):
        word = int.from_bytes(data[i : i + 8], "little")
        h = _mix(h ^ _mix((word + 0x9E3779B97F4A7C15) & MASK64)) * 5 + 0x52DCE729 & MASK64
    return _mix(h)


def philox(counter, key):
    c, k0, k1 = list(counter), key & MASK32, key >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k0, p1 & MASK32, p0 >> 32 ^ c[3] ^ k1, p0 & MASK32]
        k0, k1 = k0 + 0x9E3779B9 & MASK32, k1 + 0xBB67AE85 & MASK32
    return c


class Stream:
    """The stream (seed, name, a, b); fewer than 2^34 numbers of it."""

    def __init__(self, seed, name, a, b):
        self.seed, self.op = seed, hash64(name.encode()) & MASK32
        self.a, self.b, self.quad, self.ready = a, b, 0, []

    def u32(self):
        if not self.ready:
            self.ready = philox([self.quad, self.op, self.a, self.b], self.seed)
            self.quad += 1
        return self.ready.pop(0)

    def u64(self):
        high = self.u32()
        return high << 32 | self.u32()

    def below(self, n):
        while True:
            product = self.u64() * n
            if product & MASK64 >= (1 << 64) % n:
                return product >> 64

    def uniform(self):
        return (self.u64() >> 11) * 2.0**-53

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
