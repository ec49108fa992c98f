"""What cards can do at most, and how many warps of a kernel one of their multiprocessors holds.

Sources: NVIDIA A100 80GB datasheet and "NVIDIA A100 Tensor Core GPU Architecture" (table 4); "NVIDIA
H100 Tensor Core GPU Architecture" (table of H100 SXM5) and H100 datasheet; H200 datasheet (the same
chip with other memory). Tensor rates are dense, without sparsity. The clock is the highest, that of
the published float32 rate: 19.5 TFLOP/s = 108 x 64 x 2 x 1.41 GHz; 66.9 = 132 x 128 x 2 x 1.98.
Rates per clock: CUDA C++ Programming Guide, throughput of native arithmetic instructions (16 special
functions) and shared memory (32 banks of 4 bytes), compute capabilities 8.0 and 9.0; four schedulers
issue one warp instruction each. Limits of a multiprocessor: the guide's table of technical
specifications; units of allocation: NVIDIA's occupancy calculator."""

CARDS = {
    "A100": {
        "architecture": "sm_80",
        "multiprocessors": 108,
        "clock": 1.41e9,
        "bytes_per_s": 2.039e12,
        "tensor": {"f32": 19.5e12, "bf16": 312e12, "fp16": 312e12},
    },
    "H100 SXM": {
        "architecture": "sm_90a",
        "multiprocessors": 132,
        "clock": 1.98e9,
        "bytes_per_s": 3.35e12,
        "tensor": {"f32": 66.9e12, "bf16": 989.4e12, "fp16": 989.4e12},
    },
    "H200": {
        "architecture": "sm_90a",
        "multiprocessors": 132,
        "clock": 1.98e9,
        "bytes_per_s": 4.8e12,
        "tensor": {"f32": 66.9e12, "bf16": 989.4e12, "fp16": 989.4e12},
    },
}
SPECIAL_PER_CLOCK = 16  # exponentials, reciprocals and the like of a multiprocessor
WAVEFRONTS_PER_CLOCK = 1
ISSUES_PER_CLOCK = 4

WARP = 32
MULTIPROCESSORS = {
    "sm_80": {"warps": 64, "blocks": 32, "registers": 65536, "shared": 164 * 1024},
    "sm_90a": {"warps": 64, "blocks": 32, "registers": 65536, "shared": 228 * 1024},
}
REGISTER_UNIT = 256  # of a warp
SHARED_UNIT = 128
SHARED_RESERVED = 1024  # of every block, for the system
WARPS_UNIT = 4  # registers are shared out among four partitions


def _up(x, unit):
    return (x + unit - 1) // unit * unit


def resident(architecture, registers, threads, shared):
    """(warps, why): how many warps of blocks of THREADS a multiprocessor holds, and what limits them:
    "threads", "blocks", "registers" or "shared". REGISTERS of a thread, SHARED bytes of a block."""
    m = MULTIPROCESSORS[architecture]
    warps = _up(threads, WARP) // WARP
    blocks = {"threads": m["warps"] // warps, "blocks": m["blocks"]}
    of_warp = _up(max(registers, 1) * WARP, REGISTER_UNIT)
    blocks["registers"] = m["registers"] // of_warp // WARPS_UNIT * WARPS_UNIT // warps
    blocks["shared"] = m["shared"] // (_up(shared, SHARED_UNIT) + SHARED_RESERVED)
    why = min(blocks, key=blocks.get)
    return blocks[why] * warps, why
