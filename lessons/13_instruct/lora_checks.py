"""What must hold of lora, in teaching order."""

import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Property
from firsthand.learn.grader.subject import Sign


def shapes(x, d_out: int, rank: int, bias: bool) -> dict[str, tuple[int, ...]]:
    d_in = x.shape[-1]
    found = {"linear.weight": (d_out, d_in)} | ({"linear.bias": (d_out,)} if bias else {})
    return found | {"lora_a": (rank, d_in), "lora_b": (d_out, rank)}


def around(x, d_out=11, bias=True, **_) -> nn.Linear:
    """The map that an adapter is put around, the same at every call."""
    torch.manual_seed(0)
    return nn.Linear(x.shape[-1], d_out, bias).to(x.dtype)


def fresh(parts, x, d_out=11, rank=3, alpha=8.0, bias=True, dropout=0.0):
    return parts.LoRALinear(around(x, d_out, bias), rank, alpha, dropout).to(x.dtype).eval()


def trained(parts, x, d_out=11, rank=3, alpha=8.0, bias=True, dropout=0.0):
    """As if A and B had learnt something."""
    module, wanted = fresh(parts, x, d_out, rank, alpha, bias, dropout), shapes(x, d_out, rank, bias)
    there = {name: tuple(one.shape) for name, one in module.named_parameters()}
    if (there.get("lora_a"), there.get("lora_b")) == (wanted["lora_b"], wanted["lora_a"]):
        raise Sign(
            f"lora_a is {there['lora_a']} and lora_b is {there['lora_b']}: they are swapped.",
            "Adapters of others are read by these names: A comes first, and makes x thin; B makes it wide again.",
            "lora_a (rank, d_in), random; lora_b (d_out, rank), zero.",
            "swapped",
        )
    module = p.weights(module, {name: wanted[name] for name in there} if there.keys() == wanted.keys() else wanted)
    with torch.no_grad():
        module.lora_a *= 2
    return module


def merged(parts, module) -> nn.Module:
    found = parts.merge_lora(module)
    if not isinstance(found, nn.Module):
        raise Broken(
            f"merge_lora returned {type(found).__name__}, not an nn.Linear.",
            "It takes the layer's place in the model.",
            "Make an nn.Linear, fill its weight and its bias, and return it.",
        )
    return found.to(module.linear.weight.dtype)  # another dtype is told of by merged_form


def adapted(parts, x, d_out, rank, alpha, bias):
    module = trained(parts, x, d_out, rank, alpha, bias)
    return {"out": module(x), "merged": merged(parts, module)(x)}


def vectors(*lead: int, d_in: int = 7, d_out: int = 11, rank: int = 3, alpha: float = 8.0, bias: bool = True):
    more = {"d_out": d_out, "rank": rank, "alpha": alpha, "bias": bias}
    return lambda draw: {"x": draw.normal(*lead, d_in)} | more


def merged_form(subject) -> None:
    """A bias only where there was one, and numbers of the same kind."""

    def run(parts, bias):
        module = trained(parts, subject.inputs()["x"], bias=bias)
        forms = (one.named_parameters() for one in (parts.merge_lora(module), module.linear))
        return [", ".join(f"{name} ({str(one.dtype)[6:]})" for name, one in sorted(each)) for each in forms]

    for bias in (True, False):
        found, wanted = subject.within(lambda parts, bias=bias: run(parts, bias))
        if found != wanted:
            raise Sign(
                f"The merged map has {found}, and the frozen map that it stands for has {wanted}.",
                "A bias that nobody fills is random, and other numbers do not meet those of the rest of the model.",
                "nn.Linear(d_in, d_out, bias=linear.bias is not None, dtype=linear.weight.dtype), then fill both.",
                found,
            )


def first_weights(subject) -> None:
    """B zero, and the rows of A different: alike at first, they get the same gradient and stay alike."""

    def run(parts):
        module = fresh(parts, subject.inputs()["x"])
        return module.lora_a.detach(), module.lora_b.detach()

    a, b = subject.within(run)
    if bool((b != 0).any()):
        raise Sign(
            "lora_b of a new layer is not zero.",
            "Adapters of others are read by these names, and what is zero at first is B.",
            "lora_b = nn.Parameter(torch.zeros(d_out, rank)), and lora_a random.",
            "b",
        )
    if bool((a != 0).any()) and bool(torch.isclose(a[0], a[1:]).all()):
        raise Sign(
            "The rows of lora_a of a new layer are all alike.",
            "They then get the same gradient at every step and stay alike: whatever the rank, one row is learnt.",
            "Draw A at random, as nn.Linear draws a weight.",
            "a",
        )


def frozen(subject) -> None:
    def run(parts):
        module = fresh(parts, subject.inputs()["x"])
        return {name: one.requires_grad for name, one in module.named_parameters()}

    free = subject.within(run)
    wrong = [name for name, learns in free.items() if learns == name.startswith("linear.")]
    if wrong:
        raise Sign(
            f"{' and '.join(wrong)} {'learns' if free[wrong[0]] else 'does not learn'}, and should "
            f"{'not' if free[wrong[0]] else 'learn'}.",
            "That the large map is frozen is what saves memory: no gradient, no averages of the optimizer for it.",
            "linear.requires_grad_(False); A and B are nn.Parameter.",
            "+".join(wrong),
        )


def dropout_rate(subject) -> None:
    """The argument is used: with 0 training and evaluation give the same."""
    x = subject.inputs()["x"]
    calm, noisy = subject.within(
        lambda parts: [trained(parts, x, dropout=0.0).train(mode)(x) for mode in (False, True)]
    )
    if not torch.equal(calm, noisy):
        raise Broken(
            "With dropout 0 the layer gives something else in training than in evaluation.",
            "Where nobody asks for dropout, as in most runs, the adapter would still learn through noise.",
            "nn.Dropout(dropout): without an argument it takes 0.5.",
        )


def dropout_place(subject) -> None:
    """x is one number, so that dropout takes all of what is added to a row, or doubles all of it."""

    def run(parts):
        torch.manual_seed(0)
        module = parts.LoRALinear(nn.Linear(1, 5, dtype=torch.float64), 2, 4.0, 0.5)
        x = torch.ones(64, 1, dtype=torch.float64)
        module.lora_a.data, module.lora_b.data = (
            module.lora_a.data.double() + 1,
            torch.ones_like(module.lora_b).double(),
        )
        calm, noisy = (module.train(mode)(x) - module.linear(x) for mode in (False, True))
        return calm, noisy

    calm, noisy = subject.within(run)
    gone, doubled = noisy.abs() < 1e-9, (noisy - 2 * calm).abs() < 1e-9
    if not bool((gone.all(-1) | doubled.all(-1)).all()):
        raise Broken(
            "In training with dropout 0.5, what is added for an x of one number is neither all 0 nor all doubled.",
            "Dropout takes numbers of x on their way into A; linear(x), and what comes out of B, stay whole.",
            "linear(x) + alpha / rank · B A dropout(x)",
        )


def can_learn(subject) -> None:
    """B is zero, so A must not be: else no gradient arrives anywhere. Once B is not zero, both learn."""
    x = subject.inputs()["x"]

    def run(parts, make):
        module = make(parts, x)
        module(x).square().sum().backward()
        return [one.grad is not None and bool((one.grad != 0).any()) for one in (module.lora_a, module.lora_b)]

    later = subject.within(lambda parts: run(parts, trained), grad=True)
    if any(later) and not all(later):
        raise Sign(
            f"When A and B have both learnt something, no gradient arrives at {'lora_b' if later[0] else 'lora_a'}.",
            "Only one of the two would ever learn.",
            "Look for .detach(), .data and torch.no_grad() between x and the output.",
            "one",
        )
    if not any(subject.within(lambda parts: run(parts, fresh), grad=True)):
        raise Broken(
            "Neither A nor B of a new layer gets a gradient.",
            "The gradient of B is made with A and that of A with B: if both are zero, nothing ever moves.",
            "A is random, as nn.Linear draws a weight; B is zero.",
        )


def saved(parts):
    x = torch.ones(2, 7)
    model = nn.ModuleDict(
        {"query": trained(parts, x), "plain": nn.Linear(7, 7), "deep": nn.Sequential(fresh(parts, x))}
    )
    return sorted(parts.lora_state_dict(model))


def merged_again(parts, x, **sizes):
    module = trained(parts, x, **sizes)
    first = merged(parts, module)(x)
    return module(x), first, merged(parts, module)(x)


def not_merged(parts, x, **sizes):
    out = trained(parts, x, **sizes)(x)
    return out, out, out


def small_file(subject) -> None:
    found = subject.within(saved)
    wanted = ["deep.0.lora_a", "deep.0.lora_b", "query.lora_a", "query.lora_b"]
    if found != wanted:
        raise Sign(
            f"lora_state_dict of a model with two LoRA layers and a plain one gives {found}, and {wanted} is right.",
            "A file of what was learnt is a hundredth of the model; the base stays where it is.",
            "Go through model.named_modules(), and take lora_a and lora_b of those that have them.",
            "+".join(found),
        )


LORA = Checks(
    call=adapted,
    axes={"x": "batch time d_in", "out.out": "batch time d_out", "out.merged": "batch time d_out"},
    picture="usual",
    cases={
        "usual": vectors(2, 5),
        "without a bias": vectors(2, 5, bias=False),
        "square, rank 1": vectors(2, 5, d_in=6, d_out=6, rank=1, alpha=3.0),
        "rank 5, a single vector": vectors(d_in=13, d_out=7, rank=5, alpha=1.0),
    },
    properties=(
        p.parameters(lambda parts, given: trained(parts, **given)),
        p.parity(
            "starts_as_linear",
            lambda parts, x, **sizes: fresh(parts, x, **sizes)(x),
            lambda parts, x, **sizes: around(x, **sizes)(x),
            "The outputs of a new layer and of the map that it is given",
            "Training begins at the model as it was, and not somewhere beside it.",
            "Keep the map itself, self.linear = linear; B is zero at first, so that the product is.",
        ),
        Property("can_learn", can_learn),
        Property("first_weights", first_weights),
        Property("frozen", frozen),
        p.by_hand(
            "scale",
            lambda parts: _one_number(parts, rank=2, alpha=6.0),
            torch.tensor([1.0 + 3.0 * 2.0]),
            "x = 1, W = 1, A and B all ones, rank 2, alpha 6",
            "1 from W, and 2 from B A times alpha / rank = 3. With it the step size fits whatever the rank is.",
            "Multiply the change, and nothing else, by alpha / rank.",
        ),
        Property("merged_form", merged_form),
        p.parity(
            "merged_equals",
            lambda parts, x, **sizes: merged(parts, trained(parts, x, **sizes))(x),
            lambda parts, x, **sizes: trained(parts, x, **sizes)(x),
            "The merged map and the layer",
            "Merged it costs nothing more than the map did: W + alpha / rank · B A has the shape of W.",
            "The weight is (d_out, d_in), as B A is; the scale and the bias belong to it.",
        ),
        p.parity(
            "merge_again",
            merged_again,
            not_merged,
            "The layer after merging, the first and the second merged map, and the layer before",
            "Who merges may go on training, or take the adapter off; the frozen map must have its bits.",
            "Make a new weight: W + ..., not W += ...",
        ),
        Property("small_file", small_file),
        p.isolation("x", "batch", out="out.out"),
        p.gradients("x"),
        Property("dropout_rate", dropout_rate, "purity"),
        Property("dropout_place", dropout_place, "purity"),
        p.eval_deterministic(
            lambda parts, given: trained(parts, **given, dropout=0.5),
            lambda module, given: module(given["x"]),
        ),
    ),
)


def _one_number(parts, rank: int, alpha: float):
    module = fresh(parts, torch.ones(1, 1), d_out=1, rank=rank, alpha=alpha, bias=False)
    with torch.no_grad():
        for one in module.parameters():
            one.fill_(1.0)
        return module(torch.ones(1))
