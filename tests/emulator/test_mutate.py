#!/usr/bin/env python3
"""mutate.py on kernels of which it is known which barriers they need.

    test_mutate.py BUILD
"""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def verdicts(name):
    """Exit code, and what is said of each barrier of NAME.cu, in its order."""
    words = [sys.executable, HERE / "mutate.py", "--build", sys.argv[1], "--kernel",
             HERE / f"{name}.cu", "--program", f"test_{name}_checked"]
    done = subprocess.run(words, capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="")
    return done.returncode, [line for line in done.stdout.splitlines() if f"{name}.cu:" in line]


def check(name, code, texts):
    got, said = verdicts(name)
    assert got == code and len(said) == len(texts), f"exit code {got}, {len(said)} barriers"
    for line, text in zip(said, texts):
        assert text in line, f"'{text}' is not in: {line}"


def expect_environment():
    """A program that has no device says what is wrong with a variable, too, and ends."""
    program = pathlib.Path(sys.argv[1]) / "tests/emulator/test_mutated_checked"
    done = subprocess.run([program], capture_output=True, text=True,
                          env={**os.environ, "CZ_EMULATOR_ORDER": "3"})  # fmt: skip
    assert done.returncode == 2, done
    assert done.stderr.startswith("emulator: CZ_EMULATOR_ORDER is '3'; it takes 0, 1, 2 or"), done


def main():
    expect_environment()
    check("mutated", 0, ["that nobody has written", "survives, as its comment says", "races with",
                         "that nobody has written", "read of 4 bytes"])
    check("mutated_wrong", 1, ["SURVIVES", "survives, as its comment says",
                               "NOTICED, and its comment says it is not"])


if __name__ == "__main__":
    main()
