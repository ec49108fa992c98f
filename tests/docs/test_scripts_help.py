#!/usr/bin/env python3
"""Asks every script of a folder for help, as one who has installed nothing: Python starts without
site packages. Each must print a line of usage, with its own name, and what it is for, and end
with 0 without touching a file.

  test_scripts_help.py FOLDER
"""

import os
import subprocess
import sys
import tempfile


def problem(path, option):
    """What is wrong with the answer of the script PATH to OPTION, or None."""
    name = os.path.basename(path)
    program = [sys.executable, "-S"] if name.endswith(".py") else ["bash"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                program + [os.path.relpath(path, os.path.realpath(folder)), option],
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
            )
        except subprocess.TimeoutExpired:
            return "does not answer within a minute"
        left = os.listdir(folder)
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        return "ends with %d: %s" % (done.returncode, done.stderr.strip()[-200:])
    if done.stderr:
        return "writes to standard error: " + done.stderr[-200:]
    if left:
        return "leaves files: " + " ".join(left)
    if not any(name in line and len(line.split()) < 40 for line in lines):
        return "shows no line of usage, which has its name"
    if len(done.stdout.split()) < 15:
        return "does not say what it is for"
    return None


def main():
    folder = os.path.abspath(sys.argv[1])
    names = sorted(n for n in os.listdir(folder) if n.endswith((".py", ".sh")))
    wrong = 0
    for name in names:
        for option in ("--help", "-h"):
            what = problem(os.path.join(folder, name), option)
            if what:
                print("%s %s %s" % (name, option, what))
                wrong += 1
    print("%d scripts asked, %d answers wrong" % (len(names), wrong))
    return 1 if wrong or len(names) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
