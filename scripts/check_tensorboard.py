#!/usr/bin/env python3
"""Reads event files that Cloze wrote with TensorBoard's own reader and compares what it shows.

    python scripts/check_tensorboard.py PATH/TO/test_events

The program writes a run that was killed in the middle of a record at step 20 and resumed after
step 12. Exit 77 (skipped), with the reason, when the package `tensorboard` is missing.
"""

import struct
import subprocess
import sys
import tempfile

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))


def f32(x):
    """X as float32, which is what an event file keeps."""
    return struct.unpack("f", struct.pack("f", x))[0]


def main():
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as missing:
        print(f"skipped: {missing}")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        run = EventAccumulator(folder).Reload()
        tags = sorted(run.Tags()["scalars"])
        loss = [(e.step, e.value) for e in run.Scalars("train/loss")]
        accuracy = [(e.step, e.value) for e in run.Scalars("eval/accuracy")]
    want_loss = [(s, f32(1.0 / s) if s < 13 else 100.0 + s) for s in range(1, 26)]
    assert tags == ["eval/accuracy", "train/loss"], tags
    assert loss == want_loss, loss
    assert accuracy == [(10, 0.5), (20, 0.875)], accuracy
    print(f"TensorBoard shows {len(loss)} + {len(accuracy)} points, the orphaned ones forgotten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
