"""Each gradient travels alone, as soon as it is there; nothing is packed. Right, with many short messages."""

import torch
import torch.distributed as dist


class GradientSum:
    def __init__(self, model, world, bucket_bytes=25 << 20, all_reduce=dist.all_reduce):
        self.parameters = [one for one in model.parameters() if one.requires_grad][::-1] if world > 1 else []
        self.all_reduce, self.inside, self.next, self.works = all_reduce, False, 0, []
        self.there = set()
        for one in self.parameters:
            one.register_post_accumulate_grad_hook(self.arrived)

    def __enter__(self):
        self.inside, self.next, self.works = True, 0, []
        self.there.clear()
        return self

    def arrived(self, parameter):
        if self.inside:
            self.there.add(parameter)
            while self.next < len(self.parameters) and self.parameters[self.next] in self.there:
                self.send()

    def send(self):
        one = self.parameters[self.next]
        self.next += 1
        if one.grad is None:
            one.grad = torch.zeros_like(one)
        self.works.append(self.all_reduce(one.grad, async_op=True))

    def __exit__(self, kind, error, trace):
        self.inside = False
        if kind is None:
            while self.next < len(self.parameters):
                self.send()
            for work in self.works:
                work.wait()
