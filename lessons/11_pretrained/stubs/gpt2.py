"""GPT-2's names and shapes, and ours."""

# ruff: noqa: F401 - what is imported here is for the holes below

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from firsthand.errors import UserError


def convert_gpt2(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(fields, ours): the model as firsthand describes it, and its parameters by our names.

    fields, from `config`, which may hold more than is needed here:

        "preset"          "gpt2"
        "n_layers", "d_model", "n_heads", "context_length"   n_layer, n_embd, n_head, n_positions
        "d_ff"            n_inner; 4 n_embd where that is absent or None
        "norm"            {"part": "layer_norm", "eps": layer_norm_epsilon}; 1e-5 where absent
        "ffn"             {"part": "mlp", "activation": ...}, by activation_function: "gelu_tanh" for "gelu_new", which
                          it is where absent; "gelu" and "relu" for the same
        "tied"            tie_word_embeddings; True where absent

    ours: contiguous tensors in fp32, whatever they are stored in. d is d_model; N counts layers from 0; K is weight or
    bias.

        wte.weight (vocab_size, d)      embedding.weight                 as it is
        wpe.weight (n_positions, d)     position.table                   as it is
        ln_f.weight, ln_f.bias          norm.gain, norm.bias             (d)
        h.N.ln_1.weight, .bias          blocks.N.mixer_norm.gain, .bias
        h.N.ln_2.weight, .bias          blocks.N.ffn_norm.gain, .bias
        h.N.attn.c_attn.K               blocks.N.mixer.query.K, .key.K, .value.K, in this order, one behind the other
        h.N.attn.c_proj.K               blocks.N.mixer.out.K
        h.N.mlp.c_fc.K                  blocks.N.ffn.up.K
        h.N.mlp.c_proj.K                blocks.N.ffn.down.K
        lm_head.weight (vocab_size, d)  unembedding.weight, only if not tied

    The weights of the four kinds of c_ maps are stored (d_in, d_out), ours are (d_out, d_in). All names but
    lm_head.weight may have "transformer." before them. h.N.attn.bias and h.N.attn.masked_bias hold a mask, not weights,
    and are left out; so is lm_head.weight of a tied model. UserError (or another ValueError) for any other name, and
    where one of these is missing.
    """
    raise NotImplementedError
