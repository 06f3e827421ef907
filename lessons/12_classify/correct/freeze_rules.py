"""By a rule on the pieces of each name."""


def _all(pieces, model):
    return True


def _head(pieces, model):
    return pieces[0] == "unembedding"


def _last_block(pieces, model):
    if pieces[0] == "blocks":
        return int(pieces[1]) + 1 == len(model.blocks)
    return pieces[0] in {"norm", "unembedding"}


def freeze(model, policy):
    rules = {"all": _all, "head": _head, "last_block": _last_block}
    try:
        rule = rules[policy]
    except KeyError:
        raise ValueError(f"{policy!r} is none of {', '.join(rules)}") from None
    found = {name: rule(name.split("."), model) for name, _ in model.named_parameters()}
    for name, learns in found.items():
        model.get_parameter(name).requires_grad = learns
    return list(filter(found.get, found))
