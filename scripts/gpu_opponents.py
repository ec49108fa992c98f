#!/usr/bin/env python3
"""Times what PyTorch does on this card, the opponents of our kernels and steps.

  gpu_opponents.py [--quick] [--compiled] PART...      a line of JSON for each part when it is done

Parts: sdpa, flex, norms, adamw, cross_entropy, t5_step, pet_step. --compiled times what
torch.compile makes of them, which takes minutes, and of a part that has nothing to compile nothing;
without it nothing is compiled. Each time is the median of events around one call on random data,
after warming up; every output is checked to be finite. An opponent that does not run on this card
or in this version is reported with its error, not left out. Exit code: 3 no card, 2 wrong usage.
"""

import argparse
import json
import statistics
import sys

PARTS = ("sdpa", "flex", "norms", "adamw", "cross_entropy", "t5_step", "pet_step")


def median_ms(torch, call, runs, warm=3):
    """Milliseconds of CALL on the card."""
    for _ in range(warm):
        call()
    times = []
    for _ in range(runs):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def expect_finite(torch, *tensors):
    for t in tensors:
        if not bool(torch.isfinite(t).all()):
            raise RuntimeError("a result is not finite")


def attempt(torch, out, name, work):
    """Keeps what WORK returns, or why it did not work."""
    try:
        out[name] = work()
    except Exception as error:  # an opponent's failure is a finding, not ours
        out[name] = {"error": "%s: %s" % (type(error).__name__, str(error).split("\n")[0][:300])}
    torch.cuda.empty_cache()


# (name, batch, heads, length, head size, with a bias as T5 has it)
ATTENTION = (
    ("t5-base encoder", 32, 12, 512, 64, True),
    ("t5-small encoder", 8, 8, 512, 64, True),
    ("roberta-large pet", 16, 16, 256, 64, False),
)


def attention_flop(batch, heads, length, size):
    """Of forward; backward has two and a half times as many."""
    return 4.0 * batch * heads * length * length * size


def time_attention(torch, run, inputs, flop, runs):
    """Forward alone, and with backward."""
    y = run()
    dy = torch.randn_like(y)
    y.backward(dy)
    expect_finite(torch, y, *(x.grad for x in inputs if x.grad is not None))

    def both():
        for x in inputs:
            x.grad = None
        run().backward(dy)

    with torch.no_grad():
        forward = median_ms(torch, run, runs)
    total = median_ms(torch, both, runs)
    return {
        "forward_ms": forward,
        "forward_backward_ms": total,
        "forward_tflop_per_s": 1e-9 * flop / forward,
        "forward_backward_tflop_per_s": 1e-9 * 3.5 * flop / total,
    }


def attention_inputs(torch, batch, heads, length, size, bias):
    shape = (batch, heads, length, size)
    q, k, v = (
        torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        for _ in range(3)
    )
    b = None
    if bias:  # one for all of the batch, with a gradient, as T5's relative positions need
        b = torch.randn((1, heads, length, length), device="cuda", dtype=torch.bfloat16)
        b.requires_grad_(True)
    return q, k, v, b


def sdpa(torch, quick, compiled):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if compiled:
        return {}
    backends = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH")
    out = {}
    for name, batch, heads, length, size, bias in ATTENTION[: 1 if quick else None]:
        flop = attention_flop(batch, heads, length, size)
        for backend in backends:

            def work():
                q, k, v, b = attention_inputs(torch, batch, heads, length, size, bias)
                inputs = [x for x in (q, k, v, b) if x is not None]
                mask = None if b is None else b.expand(batch, heads, length, length)
                with sdpa_kernel([getattr(SDPBackend, backend)]):
                    return time_attention(
                        torch,
                        lambda: torch.nn.functional.scaled_dot_product_attention(
                            q, k, v, attn_mask=mask
                        ),
                        inputs,
                        flop,
                        11,
                    )

            attempt(torch, out, "%s, %s" % (name, backend), work)
    return out


def flex(torch, quick, compiled):
    from torch.nn.attention.flex_attention import flex_attention

    if not compiled:
        return {}
    attention = torch.compile(flex_attention)
    out = {}
    for name, batch, heads, length, size, bias in ATTENTION[: 1 if quick else None]:

        def work():
            q, k, v, b = attention_inputs(torch, batch, heads, length, size, bias)

            def modify(score, _, h, i, j):
                return score + b[0, h, i, j]

            inputs = [x for x in (q, k, v, b) if x is not None]
            return time_attention(
                torch,
                lambda: attention(q, k, v, score_mod=modify if bias else None),
                inputs,
                attention_flop(batch, heads, length, size),
                11,
            )

        attempt(torch, out, name, work)
    return out


def norms(torch, quick, compiled):
    functional = torch.nn.functional
    out = {}
    for rows, columns in ((16384, 768), (4096, 1024))[: 1 if quick else None]:
        for name in ("rms_norm", "layer_norm"):

            def work():
                x = torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16)
                dy, g = torch.randn_like(x), torch.ones(columns, device="cuda").bfloat16()
                x.requires_grad_(True), g.requires_grad_(True)
                plain = lambda: getattr(functional, name)(x, (columns,), g)
                run = torch.compile(plain) if compiled else plain

                def both():
                    x.grad = g.grad = None
                    run().backward(dy)

                both()
                expect_finite(torch, x.grad, g.grad)
                with torch.no_grad():
                    forward = median_ms(torch, run, 21)
                total = median_ms(torch, both, 21)
                fewest = 2.0 * rows * columns * 2  # bytes: read x, write y
                return {
                    "forward_ms": forward,
                    "forward_backward_ms": total,
                    "forward_gb_per_s": 1e-6 * fewest / forward,
                }

            label = "%s %d x %d%s" % (name, rows, columns, ", compiled" * compiled)
            attempt(torch, out, label, work)
    return out


def adamw(torch, quick, compiled):
    out = {}
    if compiled:
        return out
    sizes = (("t5-base", 222903552), ("roberta-large", 355359744))
    for name, count in sizes[: 1 if quick else None]:

        def work():
            pieces = [
                torch.randn(count // 200, device="cuda", requires_grad=True) for _ in range(200)
            ]
            for p in pieces:
                p.grad = torch.randn_like(p)
            o = torch.optim.AdamW(pieces, lr=1e-4, fused=True)
            ms = median_ms(torch, o.step, 11)
            expect_finite(torch, *pieces)
            n = sum(p.numel() for p in pieces)
            # float32: read value, gradient and two moments, write value and two moments
            return {"parameters": n, "ms": ms, "gb_per_s": 1e-6 * 28 * n / ms}

        attempt(torch, out, name, work)
    return out


def cross_entropy(torch, quick, compiled):
    out = {}
    rows, width, vocabulary = 32 * 114, 768, 32128

    def work():
        x = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        w = (0.05 * torch.randn(vocabulary, width, device="cuda")).bfloat16()
        w.requires_grad_(True)
        target = torch.randint(vocabulary, (rows,), device="cuda")

        def loss():
            return torch.nn.functional.cross_entropy((x @ w.T).float(), target)

        run = torch.compile(loss) if compiled else loss

        def both():
            x.grad = w.grad = None
            run().backward()

        both()
        expect_finite(torch, x.grad, w.grad)
        torch.cuda.reset_peak_memory_stats()
        ms = median_ms(torch, both, 11)
        flop = 6.0 * rows * width * vocabulary
        return {
            "ms": ms,
            "tflop_per_s": 1e-9 * flop / ms,
            "peak_bytes": torch.cuda.max_memory_allocated(),
        }

    attempt(torch, out, "t5-base 32 x 114" + ", compiled" * compiled, work)
    return out


def time_step(torch, model, run_loss, runs):
    """A training step with autocast in bf16, float32 masters and fused AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = run_loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    expect_finite(torch, step())
    torch.cuda.reset_peak_memory_stats()
    ms = median_ms(torch, step, runs)
    expect_finite(torch, step())
    return {"ms": ms, "peak_bytes": torch.cuda.max_memory_allocated()}


def t5_step(torch, quick, compiled):
    from transformers import T5Config, T5ForConditionalGeneration

    batch = 32
    out = {}

    def work():
        config = T5Config(
            vocab_size=32128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12,
            dropout_rate=0.1, use_cache=False,
        )
        model = T5ForConditionalGeneration(config).cuda().train()
        ids = torch.randint(3, 32000, (batch, 512), device="cuda")
        labels = torch.randint(3, 32000, (batch, 114), device="cuda")
        run = torch.compile(model) if compiled else model
        result = time_step(
            torch, model, lambda: run(input_ids=ids, labels=labels).loss, 5 if quick else 9
        )
        result["tokens_per_s"] = 1e3 * batch * (512 + 114) / result["ms"]
        return result

    attempt(torch, out, "t5-base %d x 512/114%s" % (batch, ", compiled" * compiled), work)
    return out


def pet_step(torch, quick, compiled):
    """As published: logits of the whole vocabulary at every position, 4 texts of 256 at a time with
    4 accumulations. Well made: 16 at once, logits at the mask alone."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    batch, length, words = 16, 256, 4
    out = {}

    def model_of():
        config = RobertaConfig(
            vocab_size=50265, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
            intermediate_size=4096, max_position_embeddings=514, type_vocab_size=1,
        )
        return RobertaForMaskedLM(config).cuda().train()

    def data():
        ids = torch.randint(10, 50000, (batch, length), device="cuda")
        mask = torch.randint(1, length - 1, (batch,), device="cuda")
        return ids, mask, torch.randint(words, (batch,), device="cuda")

    def chosen(logits, mask, label):
        at = logits[torch.arange(len(mask), device="cuda"), mask][:, 100 : 100 + words]
        return torch.nn.functional.cross_entropy(at.float(), label)

    def published():
        model, (ids, mask, label) = model_of(), data()

        def loss():
            total = 0
            for i in range(0, batch, 4):
                part = slice(i, i + 4)
                logits = model(input_ids=ids[part]).logits
                total = total + chosen(logits, mask[part], label[part]) / 4
            return total

        return time_step(torch, model, loss, 5)

    def well_made():
        model, (ids, mask, label) = model_of(), data()
        body = torch.compile(model.roberta) if compiled else model.roberta

        def loss():
            hidden = body(input_ids=ids).last_hidden_state
            at = hidden[torch.arange(batch, device="cuda"), mask]
            return torch.nn.functional.cross_entropy(
                model.lm_head(at)[:, 100 : 100 + words].float(), label
            )

        return time_step(torch, model, loss, 9)

    if not compiled:
        attempt(torch, out, "roberta-large 16 x 256, as published", published)
    attempt(torch, out, "roberta-large 16 x 256, well made" + ", compiled" * compiled, well_made)
    return out


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS, nargs="+", metavar="PART")
    parser.add_argument("--quick", action="store_true", help="one shape each")
    parser.add_argument("--compiled", action="store_true", help="by torch.compile, else not")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError as error:
        sys.exit("gpu_opponents.py: %s" % error)
    if not torch.cuda.is_available():
        print("gpu_opponents.py: no CUDA card here", file=sys.stderr)
        return 3
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda}
    for part in arguments.part:
        result = {}
        try:
            result = globals()[part](torch, arguments.quick, arguments.compiled)
        except Exception as error:  # the next part may work
            result = {"error": "%s: %s" % (type(error).__name__, str(error)[:300])}
        result["versions"] = versions
        print(json.dumps({"part": part, "result": result}, allow_nan=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
