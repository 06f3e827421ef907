"""What a model costs, before anything is allocated: parameters by part, FLOPs, memory."""

from torch import nn

from firsthand.model.language_model import LanguageModel


def flops_per_token(model: LanguageModel) -> float:
    """Training FLOPs per token: 6 · N_matmul + 6 · L · d · T, forward and backward, the causal half of attention.

    N_matmul counts every matrix that is multiplied, the head included and lookups not (Kaplan et al. 2020, section
    2.1, with the attention term of T = context_length). Recomputation and the optimizer are left out.
    """
    matrices = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    if model.unembedding is None:
        matrices += model.embedding.weight.numel()
    widths = sum(block.mixer.n_heads * block.mixer.d_head for block in model.blocks if hasattr(block.mixer, "n_heads"))
    return float(6 * matrices + 6 * widths * model.context_length)
