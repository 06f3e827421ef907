"""With torch's own flattening, one single bucket and a wait at once."""

import contextlib

import torch
import torch.distributed as dist
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class GradientSum(contextlib.AbstractContextManager):
    def __init__(self, model, world, bucket_bytes=25 << 20, all_reduce=dist.all_reduce):
        self.model, self.alone, self.all_reduce = model, world < 2, all_reduce

    def __exit__(self, kind, error, trace):
        if self.alone or error:
            return
        learning = [one for one in self.model.parameters() if one.requires_grad]
        for one in learning:
            one.grad = torch.zeros_like(one) if one.grad is None else one.grad
        vector = parameters_to_vector([one.grad for one in learning])
        self.all_reduce(vector)
        vector_to_parameters(vector, [one.grad for one in learning])

    def __enter__(self):
        return self
