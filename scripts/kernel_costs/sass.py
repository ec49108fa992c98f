"""The machine code of kernels: its loops, and how many instructions of them go to which unit."""

import os
import re
import shutil
import subprocess

FUNCTION = re.compile(r"^\s*Function : (\S+)")
CODE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
PREDICATE = re.compile(r"^@!?U?P\w+\s+")
BRANCH = re.compile(r"^BRA(?:\.\w+)*\s+(?:!?U?P\w+,\s*)?`?\(?(?:\.L_\S+|0x([0-9a-f]+))")

# By how an instruction begins; the first that fits. What is left counts as "other".
UNITS = [
    ("tensor", r"HMMA|IMMA|BMMA|DMMA|[HIQ]GMMA"),
    ("special", r"MUFU"),
    ("shared", r"LDS|STS|LDSM|STSM|ATOMS|LDGSTS|LDGDEPBAR"),
    ("global", r"LDG|STG|LD\b|ST\b|ATOMG?\b|RED\b|CCTL|UBLKCP|UTMA"),
    ("local", r"LDL|STL"),
    ("shuffle", r"SHFL|VOTE|MATCH|REDUX"),
    ("double", r"DADD|DMUL|DFMA|DSETP"),
    ("convert", r"F2F|F2I|I2F|I2I|FRND|F2FP"),
    ("float", r"FADD|FMUL|FFMA|FSETP|FSEL|FMNMX|FSET|FCHK|FSWZADD|HADD2|HMUL2|HFMA2|HSETP2|HMNMX2"),
    ("branch", r"BRA|BRX|BSSY|BSYNC|EXIT|CALL|RET|WARPSYNC|BREAK|YIELD|NANOSLEEP|BMOV|JMP"),
    ("barrier", r"BAR|DEPBAR|MEMBAR|ERRBAR|SYNCS|FENCE"),
    (
        "integer",
        r"IADD|IMAD|IMUL|ISETP|IMNMX|VIMNMX|VIADD|LEA|LOP|SHF|SHL|SHR|SEL|PRMT|BFE|BFI|FLO|POPC|IABS|"
        r"SGXT|BREV|PLOP|P2R|R2P|ISCADD|MOV|CS2R|U[A-Z]",
    ),
]
UNITS = [(unit, re.compile(r"(?:%s)" % pattern)) for unit, pattern in UNITS]


def find_tool():
    """(cuobjdump, folder with nvdisasm), or None where they are not."""
    for folder in [os.path.dirname(shutil.which("cuobjdump") or "")] + _wheels():
        path = os.path.join(folder, "cuobjdump")
        if folder and os.access(path, os.X_OK):
            return path, folder
    return None


def _wheels():
    root = os.path.join(os.path.dirname(__file__), "..", "..", ".venv", "lib")
    found = []
    for at, folders, files in os.walk(os.path.realpath(root)):
        if os.path.basename(at) == "bin" and "cuobjdump" in files:
            found.append(at)
        if at.count(os.sep) - os.path.realpath(root).count(os.sep) >= 5:
            folders.clear()
    return found


def dump(tool, architecture, path):
    """The text of the object PATH for ARCHITECTURE."""
    program, folder = tool
    environment = {**os.environ, "PATH": folder + os.pathsep + os.environ.get("PATH", "")}
    done = subprocess.run(
        [program, "-sass", "-arch", architecture, path],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (path, done.stderr.strip()))
    return done.stdout


def functions(text):
    """{mangled name: [(address, instruction), ...]}"""
    found, now = {}, None
    for line in text.split("\n"):
        head, code = FUNCTION.match(line), CODE.match(line)
        if head:
            now = found[head.group(1)] = []
        elif code and now is not None:
            now.append((int(code.group(1), 16), PREDICATE.sub("", code.group(2))))
    return found


def unit_of(instruction):
    for unit, pattern in UNITS:
        if pattern.match(instruction):
            return unit
    return "other"


def inner_loops(code):
    """Slices of CODE, the loops that hold no other: from where a branch goes back to, to it. The
    last instruction of a function, which branches to itself, is none."""
    spans = []
    for address, instruction in code:
        branch = BRANCH.match(instruction)
        if branch and branch.group(1) and int(branch.group(1), 16) < address:
            spans.append((int(branch.group(1), 16), address))
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[x for x in code if a <= x[0] <= b] for a, b in sorted(set(inner))]


def access_bytes(instruction):
    """Of a lane, where it accesses memory; 0 otherwise."""
    if unit_of(instruction) not in ("global", "shared"):
        return 0
    name = instruction.split()[0]
    if "LDSM" in name or "STSM" in name:
        return 4 * int((re.search(r"\.M88\.(\d)", name) or re.search(r"()(1)", "1")).group(1) or 1)
    width = re.search(r"\.(128|64|U16|S16|U8|S8)\b", name)
    return (
        {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}[width.group(1)] if width else 4
    )


def mix(code):
    """Instructions by unit, and all."""
    units = {}
    for _, instruction in code:
        unit = unit_of(instruction)
        units[unit] = units.get(unit, 0) + 1
    return {**units, "all": len(code)}


def hottest(code):
    """The inner loop with most of a kernel's work: that with tensor instructions, else that which
    accesses most bytes, else the longest; a kernel without loops is taken as one."""
    body = [x for x in code if not x[1].startswith("NOP")]
    loops = inner_loops(body) or [body]

    def work(loop):
        tensor = sum(unit_of(x) == "tensor" for _, x in loop)
        return tensor, sum(access_bytes(x) for _, x in loop), len(loop)

    return max(loops, key=work)


def describe(code):
    """What the report keeps of a function."""
    loop = hottest(code)
    accesses = [access_bytes(x) for _, x in loop]
    return {
        "instructions": len(code),
        "loops": len(inner_loops(code)),
        "loop": mix(loop),
        "loop_bytes": sum(accesses),  # of a lane
        "local": mix(code).get("local", 0),
        "atomics": sum(bool(re.match(r"(?:RED|ATOMG?|ATOMS)\b", x)) for _, x in code),
    }
