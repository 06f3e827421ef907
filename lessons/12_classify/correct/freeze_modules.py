"""By modules: everything off, then some on."""


def freeze(model, policy):
    if policy == "all":
        learning = [model]
    elif policy == "head":
        learning = [model.unembedding]
    elif policy == "last_block":
        learning = [model.blocks[-1], model.norm, model.unembedding]
    else:
        raise ValueError(f"no policy {policy}")
    model.requires_grad_(False)
    for part in learning:
        part.requires_grad_(True)
    return [name for name, one in model.named_parameters() if one.requires_grad]
