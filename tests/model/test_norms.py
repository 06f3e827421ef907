"""What is special to a norm."""

import torch

from firsthand.model.norms import DyT


def test_dyt_is_a_learned_bend_of_each_channel_alone():
    torch.manual_seed(0)
    norm, x = DyT(4, alpha=0.8), torch.randn(2, 3, 4)
    torch.nn.init.normal_(norm.gain)
    torch.nn.init.normal_(norm.bias)
    torch.testing.assert_close(norm(x), torch.tanh(0.8 * x) * norm.gain + norm.bias)
    other = x.clone()
    other[0, 0, 1] += 1
    assert (norm(other) != norm(x)).nonzero().tolist() == [[0, 0, 1]]
    assert DyT(4, bias=False).bias is None
    assert DyT(4, gain=2.4).gain.tolist() == torch.full((4,), 2.4).tolist()
