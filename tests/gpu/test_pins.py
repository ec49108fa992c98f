#!/usr/bin/env python3
"""The pins against themselves: the emulator's results agree with the emulator's, results that are
not agree no more, and those that cards have left in the repository still do.

  test_pins.py PINS_EMU
"""

import json
import lzma
import pathlib
import subprocess
import sys
import tempfile

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "experiments/results/gpu"


def compare(program, path):
    done = subprocess.run([program, "compare", path], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit("pins compare ended with %d: %s" % (done.returncode, done.stderr))
    found = json.loads(done.stdout)
    assert (done.returncode == 1) == (found["pins_that_differ"] > 0), found["pins_that_differ"]
    return {p["pin"]: p for p in found["pins"]}


def offsets(data):
    """{pin: (offset of its bytes, how many)}."""
    at = data.index(b"\n") + 1
    out = {}
    while at < len(data):
        end = data.index(b"\n", at)
        size, name = data[at:end].decode().split(" ", 1)
        out[name] = (end + 1, int(size))
        at = end + 1 + int(size)
    return out


def expect_planted(program, path, whole):
    """A changed bit is found in every pin that is judged; at the place that it has."""
    changed = bytearray(whole)
    places = offsets(whole)
    for at, size in places.values():
        changed[at + size // 2 + 1] ^= 0x40
    path.write_bytes(changed)
    for name, p in compare(program, path).items():
        at, size = places[name]
        if p["verdict"] == "not judged":
            assert p["different"] == 1, p
        elif p["bad"] != 1:  # a bit of a NaN's, or of what is flushed
            assert p["nan_of_other_bits"] + p["at_flush"] == 1, p


def without(whole, names):
    """Those results, as a card leaves them that lacks the instructions NAMES begin with."""
    out = whole[: whole.index(b"\n") + 1]
    for name, (at, size) in offsets(whole).items():
        absent = name.startswith(names)
        out += b"%d %s\n" % (0 if absent else size, name.encode())
        out += b"" if absent else whole[at : at + size]
    return out


def expect_absent(program, path, whole):
    """Of a card that is not Hopper wgmma is named as absent; of no card ldmatrix is."""
    path.write_bytes(without(whole, "wgmma "))
    found = compare(program, path)
    absent = [n for n, p in found.items() if p["verdict"] == "not on this card"]
    assert absent == [n for n in found if n.startswith("wgmma ")] and len(absent) == 6, absent
    assert all(found[n]["values"] == 0 for n in absent), found
    assert all(p["verdict"] in ("same", "not judged") for n, p in found.items() if n not in absent)
    expect_refused(program, path, without(whole, "ldmatrix"))


def expect_refused(program, path, data):
    path.write_bytes(data)
    done = subprocess.run([program, "compare", path], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr, done


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "pins"
        subprocess.run([program, "run", path, "7"], check=True)
        whole = path.read_bytes()
        for p in compare(program, path).values():
            assert p["different"] == 0 and p["values"] > 0, p
        expect_planted(program, path, whole)
        expect_absent(program, path, whole)
        expect_refused(program, path, whole[: len(whole) // 2])
        expect_refused(program, path, b"something else\n")
        for packed in sorted(RESULTS.glob("*.pins.xz")):
            path.write_bytes(lzma.decompress(packed.read_bytes()))
            for p in compare(program, path).values():
                assert p["bad"] == 0, (packed.name, p)
            print("%s agrees" % packed.name)


if __name__ == "__main__":
    main()
