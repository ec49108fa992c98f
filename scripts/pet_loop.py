"""What oracles of PET's training share: order of texts, drawn heads, the loop of updates.

Written from docs/pet.md 1.3; random draws are the program's, from their definition
(cloze_random.py).

usage: import pet_loop      (pet_loop.py is no program; scripts beside it import it)"""

import sys

if __name__ == "__main__" and {"-h", "--help"} & set(sys.argv[1:]):
    sys.exit(print(__doc__))

import math
import struct

import cloze_random
import torch


def key_of(seed, generation, pattern, repetition):
    """A member's seed."""
    return cloze_random.hash64(struct.pack("<3i", generation, pattern, repetition), seed)


def batches(n, size, seed):
    """Endless (epoch, text): a new order each epoch; a batch that reaches into the next epoch
    takes the first of its order that it does not hold yet, which the others follow."""
    epoch, batch = 0, []
    order = list(range(n))
    cloze_random.Stream(seed, "data.prepared", 0, 0).shuffle(order)
    while True:
        while order:
            batch.append((epoch, order.pop(0)))
            if len(batch) == size:
                yield batch
                batch = []
        epoch += 1
        order = list(range(n))
        cloze_random.Stream(seed, "data.prepared", epoch, 0).shuffle(order)
        held = [i for _, i in batch]
        first = [i for i in order if i not in held][: (size - len(batch)) % size]
        order = first + [i for i in order if i not in first]


def normals(name, seed, n):
    """Box and Muller's, an element a quad of Philox."""
    op = cloze_random.hash64(name.encode()) & cloze_random.MASK32
    for i in range(n):
        a, b, c, d = cloze_random.philox([i, op, 0, 0], seed)
        u, v = (((high << 21) + (low >> 11)) * 2.0**-53 for high, low in ((a, b), (c, d)))
        yield math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)


def draw_classifier(model, seed):
    """Pooler and classifier of a BERT as Cloze draws what a folder has not."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith(("bert.pooler.", "classifier.")):
                drawn = list(normals(name, seed, p.numel()))
                p.copy_(torch.tensor(drawn, dtype=p.dtype).view_as(p) * 0.3)
                if name.endswith("bias"):
                    p.zero_()


def optimizer_of(model, rate):
    """No decay of biases and gains: LayerNorm.weight, in RoBERTa's head layer_norm.weight."""
    plain = [p for n, p in model.named_parameters()
             if "bias" in n or n.lower().replace("_", "").endswith("layernorm.weight")]
    decayed = [p for p in model.parameters() if all(p is not q for q in plain)]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.999), eps=1e-8)


def train(model, rate, updates, loss_of_step, idle=0):
    """docs/pet.md 1.3: AdamW, gradient norm at most 1, rate falling to 0 behind the last of so many
    UPDATES, and IDLE ones with the rate 0 behind them. Gives each update's loss and norm.
    clip_grad_norm_ divides by the norm plus 1e-6, this by the norm."""
    optimizer, losses, norms = optimizer_of(model, rate), [], []
    for step in range(updates + idle):
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.0, 1 - step / updates)
        optimizer.zero_grad()
        loss = loss_of_step()
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.sqrt(sum((g**2).sum() for g in gradients))
        for g in gradients:
            g.mul_(min(1.0, 1.0 / float(norm)))
        optimizer.step()
        losses.append(float(loss))
        norms.append(float(norm))
    return {"losses": losses, "norms": norms}
