"""What the parts of gpu_check.sh share: a check's programs, time and results, how a program is run
within them, and which ops there are to test."""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import gpu_table

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACES = ("bin", "gpu", "tests/ops")
LEAST = 3  # seconds with which something is begun
SHARE = 20  # seconds that a run may take where its share of what is left is less
SHOWN = 1500  # characters of what a program said, where it failed


class Failed(Exception):
    """What a part could not do; what it has found so far is kept."""


class Check:
    """What all parts share: where programs are, how long there is, what was found."""

    def __init__(self, arguments, work):
        self.programs = pathlib.Path(arguments.programs).resolve()
        self.device, self.quick = arguments.device, arguments.quick
        self.emulated = arguments.device != "cuda"
        self.sanitizer = arguments.sanitizer
        self.work, self.out = work, pathlib.Path(arguments.out).resolve()
        self.ends = time.monotonic() + arguments.seconds
        self.part_ends = self.ends
        self.environment = environment(self.programs, work)
        modules = self.environment["CZ_MODULE_PATH"]
        self.results = gpu_table.Results(self.out, self.quick, self.emulated, modules)
        self.lock = threading.Lock()
        self.workers = max(1, min(8, (os.cpu_count() or 2) // 2))

    def left(self):
        """Seconds until the part must end."""
        return self.part_ends - time.monotonic()

    def program(self, name):
        for place in PLACES:
            path = self.programs / place / name
            if path.is_file():
                return str(path)
        raise Failed("there is no program '%s' in %s" % (name, self.programs))

    def run(self, words, seconds=None, extra=None):
        """(exit code or None when the time was up, what it wrote, what it said)."""
        limit = self.left() if seconds is None else min(seconds, self.left())
        if limit <= 0:
            return None, "", "there was no time left"
        return run_limited(words, limit, {**self.environment, **(extra or {})})

    def note(self, part, value):
        """Keeps what is known of a part by now, on disk too."""
        with self.lock:
            self.results.put(part, value)

    def cloze_json(self, *words, seconds=None):
        code, out, said = self.run([self.program("cloze"), *words, "--json"], seconds)
        if code != 0:
            raise Failed(reason(code, said, out))
        return json.loads(out)

    def pool(self, jobs, seconds, done):
        """Runs JOBS, (name, words, environment), some at a time, each for SECONDS() at most;
        DONE(name, code, out, said, seconds) of each as it ends. Those for which there is no time
        end with None."""

        def one(job):
            name, words, extra = job
            began = time.monotonic()
            code, out, said = self.run(words, seconds(), extra)
            with self.lock:
                done(name, code, out, said, time.monotonic() - began)

        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(one, jobs))

    def shares(self, n):
        """For `pool`: what is left of the time in equal shares of those of N jobs that are still to
        begin, and SHARE where that is more: of jobs that take longer than their shares, all of
        them, none would come to its end. Where the cheapest come first, each has at least the mean
        of those behind it, and all come to their end if there is time for all."""
        waiting = iter(range(n, 0, -1))

        def share():
            with self.lock:
                left = self.left()
                return min(left, max(SHARE, left * self.workers / next(waiting)))

        return share


def environment(programs, work):
    """Of our own programs: their libraries, the module, a cache that begins empty and gets all
    algorithms of products, since none that are committed are looked at."""
    out = dict(os.environ, OMP_WAIT_POLICY="passive", XDG_CACHE_HOME=str(work / "cache"))
    out["CZ_CUDA_ALGORITHMS"] = str(work / "committed")  # which is not there
    out["CZ_MODULE_PATH"] = os.environ.get("CLOZE_MODULES") or str(programs / "modules")
    own = [programs / "lib"] if (programs / "lib").is_dir() else []
    if own and not has_cxx():
        own.append(programs / "lib/cxx")
    folders = [str(p) for p in own] + nvidia_folders() + [os.environ.get("LD_LIBRARY_PATH", "")]
    out["LD_LIBRARY_PATH"] = ":".join(f for f in folders if f)
    return out


def has_cxx():
    """Whether the system has a libstdc++ of its own, which its tools were made with."""
    for program in ("ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"):
        try:
            done = subprocess.run([program, "-p"], capture_output=True, text=True, timeout=30)
        except OSError:
            continue
        return "libstdc++.so.6" in done.stdout and "libgcc_s.so.1" in done.stdout
    return False


def nvidia_folders():
    """Folders with cuBLASLt 13 or cuDNN 9: of toolkits, and of the wheels of the python3 that runs
    this and of the plain one."""
    found = sorted(pathlib.Path("/usr/local").glob("cuda*/lib64"), reverse=True)
    ask = (
        "import sysconfig, site, sys\n"
        "print('\\n'.join([sysconfig.get_path('purelib'), *site.getsitepackages(), "
        "site.getusersitepackages()]))"
    )
    for python in {sys.executable, shutil.which("python3") or sys.executable}:
        try:
            done = subprocess.run([python, "-c", ask], capture_output=True, text=True, timeout=30)
        except OSError:
            continue
        for folder in done.stdout.split("\n"):
            if folder:
                found += sorted(pathlib.Path(folder).glob("nvidia/*/lib"), reverse=True)
    drivers = [f for f in ("/usr/local/nvidia/lib64", "/usr/local/nvidia/lib") if os.path.isdir(f)]
    wanted = ("libcublasLt.so.13", "libcudnn.so.9")
    return drivers + [
        str(f) for f in dict.fromkeys(found) if any((f / name).exists() for name in wanted)
    ]


def run_limited(words, seconds, env):
    process = subprocess.Popen(
        [str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace", env=env, cwd=ROOT,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, said = process.communicate(timeout=seconds)
        return process.returncode, out, said
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, said = process.communicate()
        return None, out, said + "\n(ended after %.0f s)" % seconds


def reason(code, said, out=""):
    text = (said.strip() or out.strip())[-SHOWN:]
    return "%s: %s" % ("the time was up" if code is None else "exit code %d" % code, text)


BY_CUDNN = "attention_cudnn"  # its library need not be there; it has a part of its own


def op_names():
    text = (ROOT / "kernels/ops.def").read_text(encoding="utf-8")
    return [op for op in re.findall(r"^CZ_OP\((\w+)\)", text, re.M) if op != BY_CUDNN]


# those whose tests take longest, so that none of them is begun last
SLOW = ("attention", "cross_entropy", "linear", "norm", "label_words", "activation")


def by_length(ops):
    return sorted(ops, key=lambda op: SLOW.index(op) if op in SLOW else len(SLOW))


def op_environment(check, op, dtype, cases):
    out = {"CZ_TEST_DEVICE": check.device, "CZ_TEST_OPS": op, "CZ_TEST_DTYPES": dtype,
           "CZ_TEST_CASES": str(cases), "CZ_TEST_SEED": "1", "OMP_NUM_THREADS": "2"}  # fmt: skip
    if check.emulated:
        out["CZ_TEST_INDEX"] = "0"
    return out


def some_ops(check):
    return ["add", "cast"] if check.emulated else by_length(op_names())
