#!/usr/bin/env python3
"""Makes tests/fixtures/safetensors/library.safetensors with the safetensors library, and checks
files that Cloze wrote.

    make_safetensors_fixture.py make FILE      write the fixture; library versions go into its
                                               __metadata__
    make_safetensors_fixture.py check FOLDER   load what `test_safetensors write FOLDER` left there
                                               and compare with the known values

Needs numpy and safetensors; torch for BF16. Element i of a tensor whose dtype is D holds (i - 3)
/ 8, exact in every format.
"""

import json
import os
import sys

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))


def values(torch, shape, dtype):
    n = 1
    for d in shape:
        n *= d
    return ((torch.arange(n, dtype=torch.float64) - 3) / 8).reshape(shape).to(dtype)


def table(torch):
    return {
        "a.f32": ((2, 3), torch.float32),
        "b.f64": ((5,), torch.float64),
        "c.bf16": ((3, 1, 2), torch.bfloat16),
        "d.f16": ((7,), torch.float16),
        "empty": ((0, 4), torch.float32),
        "scalar": ((), torch.float32),
        "ids": ((4,), torch.int64),
    }


def make(path):
    import safetensors
    import torch
    from safetensors.torch import save_file

    tensors = {name: values(torch, shape, dtype) for name, (shape, dtype) in table(torch).items()}
    about = {"format": "pt", "safetensors": safetensors.__version__, "torch": torch.__version__}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_file(tensors, path, metadata=about)


def check(folder):
    import torch
    from safetensors import safe_open

    def same(path, names):
        with safe_open(path, framework="pt") as f:
            assert f.metadata() == {"format": "pt"}, f.metadata()
            assert sorted(f.keys()) == sorted(names), (f.keys(), names)
            for name in names:
                shape, dtype = table(torch)[name]
                got, want = f.get_tensor(name), values(torch, shape, dtype)
                assert (
                    got.dtype == want.dtype and got.shape == want.shape and torch.equal(got, want)
                ), name
        print(f"{path}: {len(names)} tensors equal")

    every = [n for n in table(torch)]
    same(os.path.join(folder, "one", "model.safetensors"), every)
    with open(os.path.join(folder, "many", "model.safetensors.index.json"), encoding="utf-8") as f:
        index = json.load(f)
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 1 and sorted(index["weight_map"]) == sorted(every)
    for shard in shards:
        same(
            os.path.join(folder, "many", shard),
            [n for n, s in index["weight_map"].items() if s == shard],
        )


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    make(sys.argv[2]) if sys.argv[1] == "make" else check(sys.argv[2])
