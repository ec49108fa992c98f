"""Makes Hugging Face's T5 compute in float64 throughout: import this before building a model.

T5 there drops to float32 in two places even when the model is float64: the mean square of the
norm and the softmax. Both casts are taken out here (and only the casts), or nothing could agree
to more than eight digits.

usage: import hf_float64      (hf_float64.py is no program; scripts beside it import it)"""

import sys

if __name__ == "__main__" and {"-h", "--help"} & set(sys.argv[1:]):
    sys.exit(print(__doc__))

import torch, transformers


def norm_in_float64(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


transformers.models.t5.modeling_t5.T5LayerNorm.forward = norm_in_float64
plain_float, plain_softmax = torch.Tensor.float, torch.nn.functional.softmax
torch.Tensor.float = lambda x: x if x.dtype == torch.float64 else plain_float(x)
torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **rest: plain_softmax(
    x, dim=dim, dtype=None if dtype == torch.float32 else dtype
)
