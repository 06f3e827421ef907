"""One number, one token, one channel at a time."""

import torch
from torch import Tensor, nn

from firsthand.model import no_extra_loss


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps, self.d_model = eps, d_model
        self.gain = nn.Parameter(torch.full((d_model,), 1.0))
        self.bias = nn.Parameter(torch.full((d_model,), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for row in x.reshape(-1, self.d_model):
            numbers = row if row.dtype == torch.float64 else row.float()
            centred = numbers - sum(numbers) / self.d_model
            variance = sum(number * number for number in centred) / self.d_model
            rows.append(centred * (variance + self.eps) ** -0.5 * self.gain + self.bias)
        return torch.stack(rows).reshape(x.shape).to(x.dtype)


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps, self.d_model = eps, d_model
        self.gain = nn.Parameter(torch.full((d_model,), 1.0))

    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for row in x.reshape(-1, self.d_model):
            numbers = row if row.dtype == torch.float64 else row.float()
            size = torch.dot(numbers, numbers) / self.d_model + self.eps
            rows.append(numbers / torch.sqrt(size) * self.gain)
        return torch.stack(rows).reshape(x.shape).to(x.dtype)


def gelu(x: Tensor, tanh: bool = False) -> Tensor:
    return x / (1 + torch.exp(-2 * (2 / torch.pi) ** 0.5 * x * (1 + 0.044715 * x * x))) if tanh else _exact(x)


def _exact(x: Tensor) -> Tensor:
    return x * torch.special.ndtr(x)


class MLP(nn.Module):
    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Token by token."""
        tokens = [self.down(gelu(self.up(x[:, t]))) for t in range(x.shape[1])]
        return torch.stack(tokens, 1), no_extra_loss(x)


class Block(nn.Module):
    def __init__(self, mixer: nn.Module, ffn: nn.Module, mixer_norm: nn.Module, ffn_norm: nn.Module) -> None:
        super().__init__()
        self.mixer, self.ffn = mixer, ffn
        self.mixer_norm, self.ffn_norm = mixer_norm, ffn_norm

    def initial_state(self, batch: int, length: int):
        return self.mixer.initial_state(batch, length)

    def state_size(self, length: int) -> int:
        return self.mixer.state_size(length)

    def forward(self, x: Tensor, place, state=None):
        stream = x.clone()  # a copy of one's own may be written into
        stream += (found := self.mixer(self.mixer_norm(x), place, state))[0]
        added, extra = self.ffn(self.ffn_norm(stream))
        return stream + added, found[1], extra
