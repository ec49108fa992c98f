#!/usr/bin/env python3
"""scripts/kernel_report.py reads what ptxas, cuobjdump and the emulator write, and holds it to its
targets: on small texts of each.

test_kernel_report.py SCRIPTS"""

import contextlib
import copy
import io
import json
import pathlib
import re
import os
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(sys.argv[1]).resolve().parent
sys.path.insert(0, sys.argv.pop(1))
import kernel_report
from kernel_costs import (
    bounds,
    cards,
    compare,
    counts,
    page,
    ptxas,
    report,
    sass,
    steps,
    targets,
    tiles,
    work,
)

PTXAS = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4stepIfEvN46_GLOBAL__N__51120274_8_x_cu_00e5b9d06arraysE' for 'sm_80'
ptxas info    : Function properties for _Z4stepIfEvN46_GLOBAL__N__51120274_8_x_cu_00e5b9d06arraysE
    104 bytes stack frame, 244 bytes spill stores, 276 bytes spill loads
ptxas info    : Used 64 registers, used 1 barriers, 344 bytes smem, 528 bytes cmem[0]
ptxas info    : Compile time = 5.415 ms
ptxas info    : Compiling entry function '_Z4sumsI13__nv_bfloat16EvPfPKT_l' for 'sm_90a'
ptxas info    : Function properties for _Z4sumsI13__nv_bfloat16EvPfPKT_l
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 28 registers, used 1 barriers
"""

# Two loops; the second reads 16 bytes at once. Control words stand in lines of their own.
SASS = """
Fatbin elf code:
================
arch = sm_90a

\tcode for sm_90a
\t\tFunction : _Z4sumsI13__nv_bfloat16EvPfPKT_l
\t.headerflags\t@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                     /* 0x00000a00ff017624 */
                                                                              /* 0x000fe400078e00ff */
        /*0010*/                   LDG.E.U16 R4, desc[UR16][R6.64] ;          /* 0x000000100604797a */
        /*0020*/                   FADD R2, R4, R2 ;                          /* 0x0000000204027221 */
        /*0030*/              @!P2 BRA 0x10 ;                                 /* 0xfffffffc0008a947 */
        /*0040*/                   LDG.E.128 R4, desc[UR16][R6.64] ;          /* 0x000000100604797a */
        /*0050*/               @P0 FADD R4, R4, R23 ;                         /* 0x0000001704040221 */
        /*0060*/                   MUFU.EX2 R25, R4 ;                         /* 0x0000000400197308 */
        /*0070*/                   IMAD.WIDE.U32 R2, R11, 0x4, R18 ;          /* 0x000000040b027825 */
        /*0080*/                   STS.128 [R16], R4 ;                        /* 0x0000000410007388 */
        /*0090*/                   SHFL.BFLY PT, R5, R4, 0x8, 0x1f ;          /* 0x0d001f0004057f89 */
        /*00a0*/                   ISETP.GE.U32.AND P2, PT, R2, UR9, PT ;     /* 0x0000000902007c0c */
        /*00b0*/              @!P2 BRA 0x40 ;                                 /* 0xfffffffc0008a947 */
        /*00c0*/                   EXIT ;                                     /* 0x000000000000794d */
        /*00d0*/                   BRA 0xd0;                                  /* 0xfffffffc00fc7947 */
        /*00e0*/                   NOP;                                       /* 0x0000000000007918 */
\t\t..........
"""


def traffic(moved=0, least=None, requests=1):
    least = moved if least is None else least
    of = {"requests": requests if moved else 0, "lanes": 32 * requests if moved else 0}
    return {**of, "bytes": 32 * moved, "moved": moved, "least": least}


def kernel(name="sums", **others):
    kinds = {kind: traffic() for kind in counts.GLOBAL + counts.SHARED}
    events = dict.fromkeys(("mma", "copy", "shuffle", "vote", "syncwarp", "barrier"), 0)
    line = {"kernel": name, "launches": 1, "blocks": 4, "threads": 1024, "grid": [4, 1, 1]}
    line.update(block=[256, 1, 1], shared_bytes=0, read_bytes=32000, written_bytes=32000)
    line.update(kinds, global_load=traffic(1000), global_store=traffic(1000), **events)
    line.update(functions=["_Z4sumsI13__nv_bfloat16EvPfPKT_l"], lines=[])
    return {**line, **others}


def one_pass(*kernels, op="norm", name="x", bytes_of=64000):
    of = {"set": "rows", "op": op, "name": name, "pass": "forward", "precision": "bf16"}
    return {**of, "bytes": bytes_of, "gflop": 0, "kernels": list(kernels)}


# of 64000 bytes in 16 bits, as the kernel above moves
CAST = {"op": "cast", "name": "x", "rows": 125, "width": 128}
LINEAR = {"op": "linear", "name": "x", "rows": 100, "width": 100, "outputs": 110}


class Ptxas(unittest.TestCase):
    def test_version(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIsNone(ptxas.version(folder))
            with open(os.path.join(folder, "CMakeCache.txt"), "w", encoding="utf-8") as f:
                f.write("CZ_CUDA:STRING=ON\nCZ_NVCC:FILEPATH=%s/nvcc\n" % folder)
            self.assertIsNone(ptxas.version(folder))
            for name, text in (("nvcc", ""), ("ptxas", "echo Cuda tools, release 13.7, V13.7.99")):
                path = os.path.join(folder, name)
                with open(path, "w", encoding="utf-8") as f:
                    f.write("#!/bin/sh\n%s\n" % text)
                os.chmod(path, 0o755)
            self.assertEqual(ptxas.version(folder), "13.7.99")

    def test_numbers(self):
        found = ptxas.parse(PTXAS)
        self.assertEqual(len(found), 2)
        step = found["sm_80", "_Z4stepIfEvN46_GLOBAL__N__51120274_8_x_cu_00e5b9d06arraysE"]
        self.assertEqual(
            (step["registers"], step["spill_stores"], step["spill_loads"]), (64, 244, 276)
        )
        self.assertEqual((step["stack"], step["static_shared"]), (104, 344))

    def test_one_text_from_both_compilers(self):
        nvcc = "_Z8averagesN50_GLOBAL__N__416d3a87_17_adafactor_cuda_cu_0a134f2a6arraysE"
        gcc = "_ZL8averagesN12_GLOBAL__N_16arraysE"
        texts = ptxas.demangle([nvcc, gcc])
        self.assertEqual(texts[nvcc], texts[gcc])

    def test_short(self):
        for mangled, text in (
            ("_Z4sumsI13__nv_bfloat16EvPfPKT_l", "sums<bf16>"),
            ("_ZL8averagesN12_GLOBAL__N_16arraysE", "averages"),
            ("_Z4passIN12_GLOBAL__N_14stepI6__halfEEEvT_ll", "pass<step<fp16> >"),
        ):
            self.assertEqual(ptxas.short(ptxas.demangle([mangled])[mangled]), text)

    def test_spills(self):
        def files(function):
            x = {"spill_stores": 8, "spill_loads": 0}
            return {"x_cuda": {("sm_80", function): x}}

        functions = ("void f<__nv_bfloat16>(float*)", "g(float)", "void f<float, 4>(__half*)")
        for function in functions:
            self.assertEqual(len(targets.of_spills(files(function))), 1, function)


class Sass(unittest.TestCase):
    def test_loops(self):
        code = sass.functions(SASS)["_Z4sumsI13__nv_bfloat16EvPfPKT_l"]
        self.assertEqual(len(code), 15)
        self.assertEqual([len(loop) for loop in sass.inner_loops(code)], [3, 8])
        described = sass.describe(code)
        self.assertEqual((described["loops"], described["loop_bytes"]), (2, 32))
        mix = {"all": 8, "global": 1, "shared": 1, "float": 1, "special": 1, "integer": 2}
        self.assertEqual(described["loop"], {**mix, "shuffle": 1, "branch": 1})

    def test_an_outer_loop_is_none(self):
        code = [(16 * i, x) for i, x in enumerate(["NOP", "FADD", "BRA 0x10", "BRA 0x0", "EXIT"])]
        self.assertEqual([len(x) for x in sass.inner_loops(code)], [2])

    def test_units(self):
        for instruction, unit in (
            ("HMMA.16816.F32.BF16 R4, R8, R16, R4", "tensor"),
            ("HGMMA.64x64x16.F32.BF16 R24, gdesc[UR4]", "tensor"),
            ("HFMA2.MMA R25, -RZ, RZ, 0.9, -0.002", "float"),
            ("LDSM.16.M88.4 R4, [R2]", "shared"),
            ("LDGSTS.E.BYPASS.128 [R3], [R4.64]", "shared"),
            ("F2FP.BF16.F32.PACK_AB R4, R5, R6", "convert"),
            ("STL [R1], R4", "local"),
            ("LDC.64 R2, c[0x0][0x260]", "other"),
            ("UIADD3 UR7, UP0, UR8, UR4, URZ", "integer"),
            ("BAR.SYNC.DEFER_BLOCKING 0x0", "barrier"),
        ):
            self.assertEqual(sass.unit_of(instruction), unit, instruction)
        self.assertEqual(sass.access_bytes("LDSM.16.M88.4 R4, [R2]"), 16)
        self.assertEqual(sass.access_bytes("LDG.E.64 R4, [R2.64]"), 8)
        self.assertEqual(sass.access_bytes("STG.E [R2.64], R4"), 4)


class Occupancy(unittest.TestCase):
    def test_limits(self):
        self.assertEqual(cards.resident("sm_80", 32, 256, 0), (64, "threads"))
        self.assertEqual(cards.resident("sm_80", 64, 256, 0), (32, "registers"))
        self.assertEqual(cards.resident("sm_90a", 255, 128, 0), (8, "registers"))
        self.assertEqual(cards.resident("sm_90a", 32, 32, 0), (32, "blocks"))
        # 227 KB a block are one block of either; 100 KB are two of Hopper's 228 and one of 164
        self.assertEqual(cards.resident("sm_90a", 32, 256, 227 * 1024), (8, "shared"))
        self.assertEqual(cards.resident("sm_90a", 32, 256, 100 * 1024), (16, "shared"))
        self.assertEqual(cards.resident("sm_80", 32, 256, 100 * 1024), (8, "shared"))


class Counts(unittest.TestCase):
    def test_read(self):
        of = {k: v for k, v in one_pass().items() if k not in ("kernels", "precision")}
        refusal = {"set": "rows", "op": "add", "name": "", "refused": "op add has no kernel"}
        lines = [json.dumps(x) for x in (of, kernel("a"), kernel("b"), refusal)]
        passes = counts.read(lines, "bf16")
        self.assertEqual([k["kernel"] for k in passes[0]["kernels"]], ["a", "b"])
        self.assertEqual((passes[1]["kernels"], passes[1]["precision"]), ([], "bf16"))

    def test_ratios(self):
        k = kernel(global_load=traffic(1200, 1000), shared_load=traffic(30, 20))
        self.assertEqual(counts.moved_bytes(k), 32 * 2200)
        self.assertAlmostEqual(counts.efficiency(k), 2000 / 2200)
        self.assertAlmostEqual(counts.rereading(k), 1.1)
        self.assertAlmostEqual(counts.conflict_factor(k), 1.5)


class Targets(unittest.TestCase):
    def missed(self, *kernels, **others):
        return [miss.text for miss in targets.of_pass(one_pass(*kernels, **others))]

    def test_what_is_right(self):
        self.assertEqual(self.missed(kernel(shared_load=traffic(100))), [])

    def test_sectors(self):
        line = {"line": "x.cu:3", "kind": "global_load", **traffic(1200, 1000)}
        found = self.missed(kernel(global_load=traffic(1200, 1000), lines=[line]))
        self.assertEqual(len(found), 2)  # more sectors are more bytes, too
        self.assertIn("0.909 of its sectors", found[0])
        self.assertIn("x.cu:3 global_load 1200 moved, 1000 would do", found[0])

    def test_rereading(self):
        found = self.missed(kernel(global_load=traffic(1200)))
        self.assertEqual(len(found), 1)
        self.assertIn("1.100 times its compulsory bytes", found[0])
        # that of attention depends on its tiles
        self.assertEqual(self.missed(kernel(global_load=traffic(1200)), op="attention"), [])

    def test_conflicts(self):
        self.assertIn(
            "bank-conflict factor 2.000", self.missed(kernel(shared_load=traffic(80, 40)))[0]
        )

    def test_atomics(self):
        self.assertIn("atomics", self.missed(kernel(atomic=traffic(1)))[0])

    def test_small_parts_are_left_out(self):
        bad = kernel(
            "b", global_load=traffic(90, 30), global_store=traffic(), read_bytes=96, written_bytes=0
        )
        self.assertEqual(self.missed(kernel("a"), bad), [])
        self.assertEqual(len(self.missed(bad)), 0)  # scalars
        self.assertEqual(len(self.missed({**bad, "global_load": traffic(900, 300)})), 2)

    def test_growth(self):
        short = one_pass(kernel(read_bytes=1000, written_bytes=1000))
        long = one_pass(kernel(read_bytes=2000, written_bytes=2000))
        square = one_pass(kernel(read_bytes=2000, written_bytes=4000))
        self.assertEqual(targets.of_growth(short, long), [])
        self.assertIn("order S^2", targets.of_growth(short, square)[0].text)

    def test_precisions_with_one_text_are_one_line(self):
        of = one_pass(kernel(atomic=traffic(1)), op="cast")
        passes = [{**of, "precision": p} for p in ("bf16", "fp16")]
        sizes = {("rows", "cast", "x"): CAST}
        found = report.missed(passes, sizes, {})
        text = "cast x forward (bf16, fp16), kernel 'sums' uses atomics"
        self.assertEqual(found[:2], ([text], []))

    def test_turns(self):
        # 64 registers: 32 warps of a multiprocessor, four blocks of 256 threads
        function = "_Z4sumsI13__nv_bfloat16EvPfPKT_l"
        texts = ptxas.demangle([function])
        x = {"registers": 64, "spill_stores": 0, "spill_loads": 0}
        files = {"norm_cuda": {(a, texts[function]): x for a in cards.MULTIPROCESSORS}}
        for name, grid, multiprocessors, misses in (
            ("norm forward", 12, 3, 0),
            ("norm forward", 13, 3, 2),
            ("norm backward", 12, 2, 2),
            ("sums", 100, 3, 0),
        ):
            counted = one_pass(kernel(name, grid=[grid, 1, 1]))
            counted["multiprocessors"] = multiprocessors
            found = targets.of_turns(counted, files, texts)
            self.assertEqual([m.measure for m in found], ["turns"] * misses, (name, grid))
            if misses:
                room = "%d blocks on sm_80, where %d are resident" % (grid, 4 * multiprocessors)
                self.assertIn(room, found[0].text)
        found = targets.of_turns(counted | one_pass(kernel("norm forward")), {}, texts)
        self.assertEqual([m.measure for m in found], ["registers"] * 2)

    def test_two_launches_that_read_the_same(self):
        """Neither reads anything twice, both together do."""
        one = kernel("a", global_store=traffic(), written_bytes=0)
        two = kernel("b")
        counted = one_pass(one, two, op="cast")
        self.assertEqual(targets.of_pass(counted), [])
        found = targets.of_arrays(counted, CAST)
        self.assertEqual([m.key() for m in found], [("cast forward", "pass")])
        self.assertIn("1.500 times the 64000 bytes of its arrays, the limit is 1.05", found[0].text)
        self.assertIn("a 32000; b 64000", found[0].text)
        self.assertEqual(targets.of_arrays(one_pass(two, op="cast"), CAST), [])
        new = report.missed([counted], {("rows", "cast", "x"): CAST}, {})[0]
        self.assertEqual(len(new), 1, new)

    def test_a_pass_that_is_known_to(self):
        first = kernel("a", global_store=traffic(), written_bytes=0)
        counted = one_pass(first, kernel("b"), op="cast")
        targets.KNOWN["cast forward", "pass"] = (1.5, "so it is")
        try:
            new, known, stale, _ = report.missed([counted], {("rows", "cast", "x"): CAST}, {})
            self.assertEqual((len(new), len(known)), (0, 1))
            self.assertFalse([line for line in stale if "'cast forward', pass" in line])
            new, known, stale, _ = report.missed([], {}, {})
            self.assertTrue([line for line in stale if "'cast forward', pass" in line])
        finally:
            del targets.KNOWN["cast forward", "pass"]

    def test_what_is_cleared_is_moved(self):
        n = {"rows": 4, "masks": 1, "vocabulary": 8, "width": 1024, "classes": 1, "words": 1}
        counted = {**one_pass(op="label_words"), "pass": "backward"}
        moved, arrays = targets.bytes_of_pass(counted, n)
        self.assertEqual(moved, (4 * 8 + 2 * 4) * 1024)
        self.assertEqual(arrays, work.bytes_of("label_words", True, n, "bf16"))
        self.assertEqual(targets.bytes_of_pass(counted, {**n, "added": True})[0], 2 * 4 * 1024)

    def test_account(self):
        """Every byte of what the program says is in work.py."""
        self.assertEqual(targets.of_bytes(one_pass(op="cast"), CAST), [])
        found = targets.of_bytes(one_pass(op="cast", bytes_of=64002), CAST)
        self.assertEqual(found[0].text, "work.py has 64000 bytes, the program 64002")
        n = {"op": "adamw", "name": "x", "rows": 2, "width": 8}
        for said, missed in ((16 * 30 + 48, 0), (16 * 32 + 48, 1)):
            of = one_pass(op="adamw", bytes_of=said)
            self.assertEqual(len(targets.of_bytes(of, n)), missed)

    def test_known_up_to_a_value(self):
        targets.KNOWN["sums", "rereading"] = (1.1, "so it is")
        try:
            for moved, new, known in ((1200, 0, 1), (1300, 1, 0), (1000, 0, 0)):
                passes = [one_pass(kernel(global_load=traffic(moved)), op="linear")]
                n = {"rows": 100, "width": 100, "outputs": 110}
                found = report.missed(passes, {("rows", "linear", "x"): n}, {})
                self.assertEqual([len(x) for x in found[:2]], [new, known])
                stale = [line for line in found[2] if line.startswith("'sums', rereading, ")]
                self.assertEqual(len(stale), 0 if new + known else 1)
        finally:
            del targets.KNOWN["sums", "rereading"]

    def test_known_spills(self):
        targets.KNOWN["f<float>", "spills"] = (8, "so it is")
        try:
            for bytes_of, known, stale in ((8, 1, 0), (0, 0, 1)):
                x = {"spill_stores": bytes_of, "spill_loads": 0}
                found = report.missed([], {}, {"x_cuda": {("sm_80", "void f<float>(int)"): x}})
                self.assertEqual([len(lines) for lines in found[:2]], [0, known])
                self.assertEqual(sum("'f<float>', spills" in line for line in found[2]), stale)
        finally:
            del targets.KNOWN["f<float>", "spills"]


class Bounds(unittest.TestCase):
    def test_components(self):
        times = bounds.seconds("A100", "bf16", {"memory": 2.039e12, "tensor": 156e12})
        self.assertEqual(times["memory"], 1)
        self.assertEqual(bounds.largest(times), (1, "memory"))
        clock = 108 * 1.41e9
        times = bounds.seconds(
            "A100", "bf16", {"special": 16 * clock, "shared": clock, "issue": clock}
        )
        self.assertEqual((times["special"], times["shared"], times["issue"]), (1, 1, 0.25))

    def test_grows_with_bytes(self):
        n = {"op": "add", "name": "x", "rows": 4, "width": 64}
        counted = bounds.Counted([one_pass(kernel(), op="add")], {("rows", "add", "x"): n})
        found = counted.bound("H200", "add", "forward", "bf16", {**n, "rows": 400})
        self.assertEqual(found["by"], "memory")
        self.assertAlmostEqual(found["seconds"], 100 * 64000 / 4.8e12)
        self.assertIsNone(counted.bound("H200", "add", "backward", "bf16", n))
        self.assertIsNone(counted.bound("H200", "cast", "forward", "bf16", n))

    def test_products_of_the_library(self):
        n = {"op": "linear", "name": "x", "rows": 4, "width": 64, "outputs": 64}
        counted = bounds.Counted([one_pass(op="linear")], {("rows", "linear", "x"): n})
        large = {"rows": 8192, "width": 8192, "outputs": 8192}
        found = counted.bound("H200", "linear", "forward", "bf16", large)
        self.assertEqual(found["by"], "tensor")
        self.assertAlmostEqual(found["seconds"], 2 * 8192**3 / 989.4e12)


class Work(unittest.TestCase):
    def test_an_op_without_an_account(self):
        with self.assertRaisesRegex(ValueError, "'swirl'.*work.bytes_of"):
            work.bytes_of("swirl", False, {"rows": 4, "width": 64}, "bf16")


    def test_special_functions(self):
        n = {"segments": 1, "heads": 1, "queries": 8, "keys": 4, "head_size": 64}
        names = ("attention backward by queries", "attention backward by keys", "sums of columns")
        passed = one_pass(*(kernel(name) for name in names), op="attention")
        passed["pass"] = "backward"
        found = [bounds.special_of(passed, k, n) for k in passed["kernels"]]
        self.assertEqual(found, [64, 32, 0])
        passed = one_pass(kernel(), op="activation")
        n = {"rows": 4, "width": 8}
        self.assertEqual(bounds.special_of(passed, passed["kernels"][0], n), 64)


def attention_kernels(n, queries, keys):
    """Those of a pass with tiles of so many QUERIES and KEYS, as their launches are counted."""

    def launched(name, rows, size):
        blocks = n["segments"] * rows // size + n["segments"]
        return {"kernel": name, "grid": [blocks, n["heads"], 1]}

    return [
        launched("attention forward", n["queries"], queries),
        launched("attention backward by queries", n["queries"], queries),
        launched("attention backward by keys", n["keys"], keys),
        {"kernel": "sums of columns", "grid": [1, 1, 1]},
    ]


class Tiles(unittest.TestCase):
    def implied(self, n, queries, keys, precision):
        kernels = attention_kernels(n, queries, keys)
        return [tiles.implied_bytes(k, kernels, n, precision) for k in kernels]

    def test_bytes(self):
        n = {"segments": 2, "heads": 3, "queries": 128, "keys": 192, "head_size": 64}
        forward = 2 * 3 * (128 * (2 * 128 + 2 * 2 * 192) + 8 * 128)
        by_queries = 2 * 3 * (128 * (3 * 128 + 4 * 2 * 192) + 16 * 128)
        # three tiles of keys, six in float32
        by_keys = 2 * 3 * (128 * (4 * 192 + 2 * 3 * 128) + 16 * 3 * 128)
        found = self.implied(n, 64, 64, "bf16")
        self.assertEqual(found, [forward, by_queries, by_keys, None])
        wide = 2 * 3 * (256 * (4 * 192 + 2 * 6 * 128) + 16 * 6 * 128)
        self.assertEqual(self.implied(n, 64, 32, "f32")[2], wide)

    def test_another_tile(self):
        """The constants of the kernels are seen in their launches."""
        n = {"segments": 2, "heads": 3, "queries": 128, "keys": 192, "head_size": 64}
        forward = 2 * 3 * (128 * (2 * 128 + 2 * 192) + 8 * 128)
        self.assertEqual(self.implied(n, 128, 64, "bf16")[0], forward)
        by_keys = 2 * 3 * (128 * (4 * 192 + 2 * 12 * 128) + 16 * 12 * 128)
        self.assertEqual(self.implied(n, 128, 16, "bf16")[2], by_keys)
        with self.assertRaisesRegex(ValueError, "7 blocks of 'attention forward' over 256 rows"):
            self.implied(n, 48, 64, "bf16")

    def test_as_launched(self):
        """A tile of the committed counts is that of the source, 16 queries of each warp."""
        source = (ROOT / "kernels/attention/attention_cuda.cuh").read_text(encoding="utf-8")
        warps = int(re.search(r"CZ_ATTENTION_WARPS = (\d+)", source).group(1))
        self.assertIn("CZ_ATTENTION_QUERIES = 16 * CZ_ATTENTION_WARPS", source)
        lists = json.loads((ROOT / "experiments/bench/counted.json").read_text(encoding="utf-8"))
        shapes = {e["name"]: e for entries in lists.values() for e in entries if e["op"] == "attention"}  # fmt: skip
        committed = ROOT / "experiments/results/kernels/kernels.json"
        kernels = json.loads(committed.read_text(encoding="utf-8"))["kernels"]
        launched = [k for k in kernels if k["kernel"] in tiles.BY_QUERIES]
        self.assertTrue(launched)
        for k in launched:
            n = shapes[k["name"]]
            size = tiles.tile_rows(k, n["segments"] * n["queries"], n["segments"])
            self.assertEqual(size, 16 * warps, k["name"])

    def test_causal(self):
        n = {
            "segments": 1,
            "heads": 1,
            "queries": 128,
            "keys": 128,
            "head_size": 64,
            "causal": True,
        }
        found = self.implied(n, 64, 64, "bf16")
        self.assertEqual(found[0], 128 * (2 * 128 + 2 * (64 + 128)) + 8 * 128)
        # the second tile of keys is seen by the second half of the queries alone
        self.assertEqual(found[2], 128 * (4 * 128 + 2 * (128 + 64)) + 16 * (128 + 64))
        self.assertEqual(work.units_of("attention", n), 128 * 129 / 2)


class Steps(unittest.TestCase):
    def test_calls(self):
        calls = {}
        for times, op, pass_name, _ in steps.STEPS["T5-small 8 x 512/114"]:
            calls[op, pass_name] = calls.get((op, pass_name), 0) + times
        # what `cloze graph` plans for t5-small
        self.assertEqual(calls["linear", "forward"], 96)
        self.assertEqual(calls["linear", "backward"], 96)
        self.assertEqual(calls["norm", "forward"], 32)
        self.assertEqual(calls["norm", "recompute"], 30)
        self.assertEqual(calls["attention", "forward"], 18)
        self.assertEqual(calls["dropout", "forward"], 16)
        self.assertEqual(calls["dropout", "recompute"], 12)
        self.assertEqual(calls["cross_entropy", "backward"], 1)

    def parameters(self, name):
        return next(n["rows"] * n["width"] for _, op, _, n in steps.STEPS[name] if op == "adamw")

    def test_parameters(self):
        for name, millions in (
            ("T5-small 8 x 512/114", 60.5),
            ("T5-base 8 x 512/114", 222.9),
            ("RoBERTa-large PET 16 x 128", 355.4),
        ):
            self.assertAlmostEqual(self.parameters(name) / 1e6, millions, delta=0.1)


class Committed(unittest.TestCase):
    """--check beside what is committed."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.json, self.page = (self.path(x) for x in ("out/kernels.json", "kernels.md"))
        for name in ("shapes.json", "bench.json"):
            with open(self.path(name), "w", encoding="utf-8") as f:
                json.dump({"rows": [CAST]}, f)
        self.passes, self.version = [one_pass(kernel(), op="cast")], "13.0"
        self.tool, self.known = None, {}
        mangled = self.passes[0]["kernels"][0]["functions"][0]
        x = {"registers": 40, "spill_stores": 0, "spill_loads": 0, "mangled": mangled}
        function = ptxas.demangle([mangled])[mangled]
        self.files = {"cast_cuda": {("sm_80", function): x}}

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_report(self, *words):
        """(exit code, what it prints)."""
        files = [("--shapes", "shapes.json"), ("--bench", "bench.json"), ("--out", "out")]
        words = ["kernel_report.py", "--build", "b", "--page", self.page, *words]
        words += [x for option, name in files for x in (option, self.path(name))]
        said = io.StringIO()
        with contextlib.ExitStack() as made_up:
            for module, name, value in (
                (kernel_report, "missing_parts", lambda build: None),
                (sys, "argv", words),
                (counts, "count", lambda *a: copy.deepcopy(self.passes)),
                (ptxas, "read", lambda build: self.files),
                (ptxas, "version", lambda build: self.version),
                (sass, "find_tool", lambda: self.tool),
                (targets, "KNOWN", self.known),
            ):
                made_up.enter_context(mock.patch.object(module, name, value))
            made_up.enter_context(contextlib.redirect_stdout(said))
            code = kernel_report.main()
        return code, said.getvalue()

    def check(self, code, *texts):
        found, said = self.run_report("--check")
        self.assertEqual(found, code, said)
        for text in texts + (("made anew by: scripts/kernel_report.py --build b",) if code else ()):
            self.assertIn(text, said)

    def alter(self, change):
        """The committed JSON with CHANGE(whole)."""
        with open(self.json, encoding="utf-8") as f:
            whole = json.load(f)
        change(whole)
        with open(self.json, "w", encoding="utf-8") as f:
            f.write(report.text_of(whole))

    def test_the_same(self):
        self.assertEqual(self.run_report()[0], 0)
        self.check(0)
        self.assertEqual(sorted(os.listdir(self.folder))[1:3], ["kernels.md", "out"])

    def test_without_one(self):
        self.check(1, "No such file")

    def test_each_count(self):
        """Whatever is altered is named with both values."""
        for measure in compare.COUNTED:
            self.run_report()
            with open(self.json, encoding="utf-8") as f:
                value = json.load(f)["kernels"][0][measure]
            self.alter(lambda w: w["kernels"][0].update({measure: "other"}))
            name = "cast x forward (bf16); 'sums'"
            self.check(1, "%s: %s is other there, %s here" % (name, measure, value))

    def test_other_parts(self):
        for change, text in (
            (lambda w: w["passes"][0].update(ratio=2), "pass cast x forward (bf16): ratio is 2 "),
            (lambda w: w["bench"][0].update(bounds={}), "rows: cast x forward (bf16): bounds is"),
            (lambda w: w["steps"]["T5-base 8 x 512/114"].update(flop=1), "flop is 1 there"),
            (lambda w: w["cards"]["H100 SXM"].update(clock=1), "card H100 SXM: clock is 1 there"),
            (lambda w: w["kernels"].append({**w["kernels"][0], "kernel": "gone"}),
             "cast x forward (bf16); 'gone': is not counted any more"),
            (lambda w: w["kernels"].append(w["kernels"][0]), "'sums', number 2: is not counted"),
            (lambda w: w["kernels"].clear(), "cast x forward (bf16); 'sums': is not in it"),
            (lambda w: w["missed"].append("a miss"), "missed: a miss: is not counted any more"),
            (lambda w: w["known"].append("a known one"), "known: a known one: is not counted any"),
            (lambda w: w["without_kernels"].append("add"), "ops without kernels: names is "),
        ):  # fmt: skip
            self.run_report()
            self.alter(change)
            self.check(1, text)

    def test_lines_of_targets(self):
        """What misses one is compared, but not the numbers of its source's lines."""
        line = {"line": "x.cu:3", "kind": "global_load", **traffic(1200, 1200)}
        self.passes = [one_pass(kernel(global_load=traffic(1200), lines=[line]), op="linear")]
        self.passes[0]["bytes"] = work.bytes_of("linear", False, LINEAR, "bf16")
        with open(self.path("shapes.json"), "w", encoding="utf-8") as f:
            json.dump({"rows": [LINEAR]}, f)
        self.known["sums", "rereading"] = (1.1, "so it is")
        self.run_report()
        self.check(0, "x.cu:3 global_load 1200 moved")
        line["line"] = "x.cu:4"
        self.check(0, "x.cu:4 global_load 1200 moved")
        self.alter(lambda w: w["known"].clear())
        self.check(1, "known: linear x forward (bf16), kernel 'sums' moves 1.1", ": is not in it")
        self.run_report()
        self.known["sums", "rereading"] = (1.1, "so it is not")
        self.check(1, "so it is: is not counted any more", "so it is not: is not in it")

    def test_instructions(self):
        """They are not compared; that there are any is."""
        self.assertIn("instructions of loops are left out", self.run_report()[1])
        self.check(0, "instructions of loops are not compared")
        self.tool = "cuobjdump", "folder"
        self.check(1, "code is False there, and here is what reads machine code")
        self.tool = None
        self.alter(lambda w: w.update(code=True))
        self.check(1, "code is True, and no kernel has some")
        self.run_report()
        self.alter(lambda w: w["kernels"][0]["architectures"]["sm_80"].update(code={}))
        self.check(1, "code is False, and a kernel has some")

    def test_another_form(self):
        self.run_report()
        self.alter(lambda w: w.pop("passes"))
        self.check(1, "it is of another form: passes")
        self.run_report()
        self.alter(lambda w: w["kernels"][0].pop("op"))
        self.check(1, "is no report of this program: KeyError: 'op'")
        with open(self.json, "w", encoding="utf-8") as f:
            f.write("{")
        self.check(1, "Expecting property name")

    def test_counts_that_changed(self):
        self.run_report()
        k = self.passes[0]["kernels"][0]
        k["global_load"], k["shuffle"] = traffic(1001), 7
        self.check(1, "moved_bytes is 64000 there, 64032 here", "shuffle is 0 there, 7 here")

    def test_page(self):
        self.run_report()
        with open(self.page, encoding="utf-8") as f:
            lines = f.read().split("\n")
        lines[3] += " "
        with open(self.page, "w", encoding="utf-8") as f:
            f.write("\n".join(lines))
        self.check(1, "kernels.md: line 4 is not the one")
        self.run_report()
        with open(self.page, "a", encoding="utf-8") as f:
            f.write("more")
        self.check(1, "kernels.md: line %d is not the one" % len(lines))

    def test_registers_of_one_version(self):
        self.run_report()
        of = next(iter(self.files["cast_cuda"].values()))
        of["registers"], of["spill_loads"] = 41, 0
        self.check(1, "cast x forward (bf16); 'sums' on sm_80: registers is 40 there, 41 here")
        for version in ("13.1", None):
            self.version = version
            text = "registers and spills are not compared: they are of ptxas 13.0 there, "
            self.check(0, text + (version or "of unknown version") + " here")
        self.run_report()  # of an unknown version
        of["registers"] = 42
        self.check(0, "they are of ptxas of unknown version there, of unknown version here")


    def test_spills_of_one_version(self):
        """Of another ptxas than the report's, what its spills miss is noted, and what is known to
        spill and does not; new ones and stale ones of one ptxas are failures."""
        of = next(iter(self.files["cast_cuda"].values()))
        spills = "cast_cuda.cu sums<bf16> on sm_80 spills: 8 bytes of stores, 0 of loads"
        self.run_report()
        of["spill_stores"] = 8
        self.check(1, spills, "spill_bytes is 0 there, 8 here", "missed: %s: is not in it" % spills)
        self.version, noted = "13.1", "no more than a note, since the report is of another ptxas: "
        self.check(0, noted + spills)
        self.version, self.known["sums<bf16>", "spills"] = "13.0", (8, "so it is")
        self.run_report()
        self.check(0, "known: %s. so it is" % spills)
        of["spill_stores"] = 0
        stale = "'sums<bf16>', spills, is known to miss its target"
        self.check(1, stale)
        self.version = "13.1"
        self.check(0, noted + stale)

    def test_turns_of_one_version(self):
        """How many blocks are resident at once is by registers, which are ptxas'."""
        self.passes = [one_pass(kernel("norm forward", grid=[8, 1, 1]), op="cast")]
        self.passes[0]["multiprocessors"] = 1
        (of,) = self.files["cast_cuda"].values()
        (function,) = (name for _, name in self.files["cast_cuda"])
        self.files["cast_cuda"]["sm_90a", function] = of
        of["registers"] = 32
        self.run_report()
        self.check(0)
        of["registers"] = 64
        text = "has 8 blocks on sm_80, where 4 are resident at once (registers)"
        self.check(1, "cast x forward (bf16), kernel 'norm forward' " + text)
        self.version = "13.1"
        self.check(0, "another ptxas: cast x forward (bf16), kernel 'norm forward' " + text)


class Page(unittest.TestCase):
    def test_made(self):
        n = {"op": "add", "name": "x", "rows": 4, "width": 64}
        passes = [one_pass(kernel(), op="add")]
        files = {"add_cuda": {}}
        misses = ["a miss"], ["a known one"]
        whole = report.make(passes, {("rows", "add", "x"): n}, files, {"a": [n]}, misses, "/none")
        text = page.make(json.loads(json.dumps(whole)))
        self.assertIn("| a | add x | forward |", text)
        self.assertIn("- a miss", text)
        self.assertIn("- a known one", text)
        self.assertIn("Without activation, adamw, add, attention", text)


if __name__ == "__main__":
    unittest.main()
