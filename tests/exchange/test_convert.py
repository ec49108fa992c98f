"""scripts/convert_pickle.py: names and numbers of what it writes, and what it refuses. Exit status
77 where torch or safetensors is missing.

    test_convert.py ROOT"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import safetensors.torch
    import torch
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
FAMILIES = ROOT / "tests/fixtures/families"
TIED = {  # family: the names under which old files hold a tensor once more
    "bert_mlm": {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    "gpt2_lm": {"lm_head.weight": "transformer.wte.weight"},
}


class Leaves:
    """What a pickle may not do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


class Convert(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.path = pathlib.Path(self.scratch.name)
        self.source = self.path / "source"
        self.source.mkdir()

    def convert(self, code=0):
        run = subprocess.run(
            [sys.executable, ROOT / "scripts/convert_pickle.py", self.source, self.path / "out"],
            text=True,
            capture_output=True,
            check=False,
        )
        self.assertEqual(run.returncode, code, run.stderr)
        if code:
            self.assertFalse((self.path / "out").exists())
        return run.stdout + run.stderr

    def check_written(self, family, want):
        got = safetensors.torch.load_file(self.path / "out/model.safetensors")
        self.assertEqual(sorted(got), sorted(want), family)
        for name, x in want.items():
            self.assertTrue(torch.equal(got[name], x), name)
        with safetensors.safe_open(self.path / "out/model.safetensors", framework="pt") as f:
            self.assertEqual(f.metadata(), {"format": "pt"})
        shutil.rmtree(self.path / "out")

    def test_families(self):
        for family, tied in TIED.items():
            want = safetensors.torch.load_file(FAMILIES / family / "model.safetensors")
            state = want | {alias: want[name] for alias, name in tied.items()}
            torch.save(state, self.source / "pytorch_model.bin")
            (self.source / "vocab.txt").write_text("a\n")
            said = self.convert()
            for alias in tied:
                self.assertIn(f"{alias}: the same tensor as", said)
            self.assertTrue((self.path / "out/vocab.txt").exists())
            self.assertFalse((self.path / "out/pytorch_model.bin").exists())
            self.check_written(family, want)

    def test_shards(self):
        """An alias in another file than its tensor has memory of its own."""
        want = safetensors.torch.load_file(FAMILIES / "gpt2_lm/model.safetensors")
        state = want | {"lm_head.weight": want["transformer.wte.weight"]}
        names = sorted(state)
        places = {}
        for k, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :])):
            file = f"pytorch_model-0000{k + 1}-of-00002.bin"
            torch.save({n: state[n] for n in part}, self.source / file)
            places |= dict.fromkeys(part, file)
        index = self.source / "pytorch_model.bin.index.json"
        index.write_text(json.dumps({"weight_map": places}))
        self.convert()
        self.check_written("gpt2_lm", want)
        for extra, message in (
            ({"gone": "pytorch_model-00001-of-00002.bin"}, "gone is not in pytorch_model-00001"),
            ({"gone": "nowhere.bin"}, "gone lies in nowhere.bin, which is missing"),
            ({"gone": "../x.bin"}, "'../x.bin', which is no file of this folder"),
        ):
            index.write_text(json.dumps({"weight_map": places | extra}))
            self.assertIn(message, self.convert(code=1))

    def test_views_are_copied(self):
        """Parts of one memory that are not the same tensor are two tensors."""
        table = torch.arange(12.0).reshape(3, 4)
        want = {"a": table[:2], "b": table.t().contiguous().t(), "c": table[1:], "d": table}
        torch.save(dict(want), self.source / "pytorch_model.bin")
        self.convert()
        self.check_written("views", {k: x.contiguous() for k, x in want.items()})

    def test_refused(self):
        file, mark = self.source / "pytorch_model.bin", self.path / "mark"
        self.assertIn("neither pytorch_model.bin nor", self.convert(code=1))
        torch.save({"a": Leaves(str(mark))}, file)
        self.convert(code=1)
        self.assertFalse(mark.exists())
        torch.save([torch.zeros(1)], file)
        self.assertIn("holds a list, not tensors by name", self.convert(code=1))
        torch.save({"a": torch.zeros(1), "b": "text"}, file)
        self.assertIn("'b' is a str, not a tensor", self.convert(code=1))
        torch.save({"a": torch.zeros(1000)}, file)
        file.write_bytes(file.read_bytes()[:2000])
        self.assertIn("pytorch_model.bin: ", self.convert(code=1))

    def test_nothing_is_written_over(self):
        torch.save({"a": torch.zeros(1)}, self.source / "pytorch_model.bin")
        (self.path / "out").mkdir()
        self.convert()  # an empty folder is taken
        said = subprocess.run(
            [sys.executable, ROOT / "scripts/convert_pickle.py", self.source, self.path / "out"],
            text=True,
            capture_output=True,
            check=False,
        )
        self.assertEqual(said.returncode, 1)
        self.assertIn("exists and is not an empty folder", said.stderr)


unittest.main()
