"""llama.cpp, asked for logits: what the tests beside it share."""

import numpy as np

F32 = 0
"""ggml's number for it: the cache of keys and values is not rounded, so that only weights and products differ."""


def opened(path, context=512):
    import llama_cpp

    sizes = {"n_ctx": context, "n_batch": context, "n_threads": 1, "n_threads_batch": 1}
    return llama_cpp.Llama(str(path), verbose=False, type_k=F32, type_v=F32, flash_attn=False, **sizes)


def logits(model, ids):
    """The logits after `ids`, in fp32."""
    import llama_cpp

    model.eval(ids)
    row = llama_cpp.llama_get_logits_ith(model.ctx, -1)
    return np.ctypeslib.as_array(row, (model.n_vocab(),)).copy()


def greedy(model, ids, count):
    """The `count` most probable tokens after `ids`."""
    model.reset()
    found = [int(logits(model, ids).argmax())]
    while len(found) < count:
        found.append(int(logits(model, found[-1:]).argmax()))
    return found
