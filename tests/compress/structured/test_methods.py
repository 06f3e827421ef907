"""Channels, heads, layers, width and all together: what is left is an ordinary model that says nearly the same."""

import pytest
import torch

from firsthand.compress import METHODS
from firsthand.compress.structured.heads import Heads
from firsthand.compress.structured.layers import block_influence
from firsthand.compress.structured.walk import walk
from firsthand.errors import UserError
from firsthand.interop.families.full import in_full
from firsthand.interop.hugging_face.outgoing import express
from firsthand.model.make import build_model
from firsthand.model.quantized import put
from firsthand.ops.quantized import Affine, Quantized
from firsthand.types import Place

from .subjects import (
    CUT,
    NOTHING_TO_FIT,
    PAIRS,
    REFUSED,
    SETTINGS,
    VOCABULARY,
    applied,
    distance,
    given_for,
    logits,
    parameters,
    subject_of,
)


@pytest.mark.parametrize(("method", "kind"), PAIRS)
def test_where_nothing_is_cut_the_function_stays(method, kind):
    none = {"share": 0.0, "heads": 0.0} if method == "structured" else {"share": 0.0}
    subject, given = applied(method, kind, **{**SETTINGS[method], **none})
    assert parameters(subject.model) == parameters(given.original)
    torch.testing.assert_close(
        logits(subject.model, given.windows), logits(given.original, given.windows), rtol=2e-4, atol=2e-4
    )


@pytest.mark.parametrize(("method", "kind"), PAIRS)
def test_what_is_left_is_smaller_and_its_fields_make_it_again(method, kind):
    subject, given = applied(method, kind, **CUT[method])
    assert parameters(subject.model) < parameters(given.original)
    again = build_model(subject.fields, VOCABULARY)
    again.load_state_dict(subject.model.state_dict(), strict=True)
    torch.testing.assert_close(
        logits(again.eval(), given.windows), logits(subject.model, given.windows), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("method", "kind"), [pair for pair in PAIRS if pair not in (*NOTHING_TO_FIT, ("width", "gpt2"))]
)
def test_making_up_for_what_is_gone_helps(method, kind):
    with_it, given = applied(method, kind, **CUT[method])
    without, _ = applied(method, kind, **CUT[method], compensate=False)
    assert parameters(with_it.model) == parameters(without.model)
    assert distance(with_it, given) < distance(without, given)


@pytest.mark.parametrize(("method", "kind"), REFUSED)
def test_a_part_that_is_not_known_is_refused_by_name(method, kind):
    subject = subject_of(kind)
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    with pytest.raises(UserError, match=f"^{method}: .*Take away"):
        METHODS[method](share=0.25)(subject, given_for(subject))
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.model.state_dict().items())


@pytest.mark.parametrize("score", ["obs", "wanda"])
def test_channels_that_never_speak_leave_and_nothing_changes(score):
    subject = subject_of("llama")
    silent = [3, 5, 8, 13]
    with torch.no_grad():
        for block in subject.model.blocks:
            block.ffn.up.weight[silent] = 0.0
    given = given_for(subject)
    METHODS["channels"](share=4 / 48, multiple=4, score=score)(subject, given)
    assert [block.ffn.up.out_features for block in subject.model.blocks] == [44] * 4
    assert distance(subject, given) < 1e-4


@pytest.mark.parametrize("unit", ["query", "group"])
def test_heads_that_never_speak_leave_and_nothing_changes(unit):
    subject = subject_of("llama")
    with torch.no_grad():
        for block in subject.model.blocks:
            block.mixer.out.weight.view(32, 4, 8)[:, [2, 3] if unit == "group" else [1, 2]] = 0.0
    given = given_for(subject)
    METHODS["heads"](share=0.5, unit=unit)(subject, given)
    assert distance(subject, given) < 1e-4
    assert (subject.fields["n_heads"], subject.fields["n_kv_heads"]) == ((2, 1) if unit == "group" else (2, 2))
    assert subject.model.blocks[0].mixer.key.out_features == (8 if unit == "group" else 16)


def test_a_group_takes_its_value_embeddings_along():
    subject, _ = applied("heads", "sinks", share=0.5, unit="group")
    again = build_model(subject.fields, VOCABULARY)
    again.load_state_dict(subject.model.state_dict(), strict=True)
    assert again.blocks[0].mixer.value_embedding.table.shape == (VOCABULARY, 16)
    assert subject.model.blocks[0].mixer.lookup.sinks.shape == (2,)


def test_a_layer_that_says_nothing_leaves_first_and_nothing_changes():
    subject = subject_of("llama")
    with torch.no_grad():
        for weight in (subject.model.blocks[2].mixer.out.weight, subject.model.blocks[2].ffn.down.weight):
            weight.zero_()
    given = given_for(subject)
    assert int(block_influence(subject.model, given.windows).argmin()) == 2
    METHODS["layers"](count=1)(subject, given)
    assert len(subject.model.blocks) == subject.fields["n_layers"] == 3
    assert distance(subject, given) < 1e-4


def test_block_influence_is_one_minus_the_cosine():
    subject = subject_of("llama")
    windows = given_for(subject).windows
    place = Place.of(windows)
    oracle = []
    with torch.no_grad():
        x = subject.model.embed(windows, place)
        for block in subject.model.blocks:
            y = block(x, place, None)[0]
            a, b = x.double().flatten(0, 1), y.double().flatten(0, 1)
            oracle.append(float((1 - (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)).mean()))
            x = y
    torch.testing.assert_close(block_influence(subject.model, windows).tolist(), oracle, rtol=1e-5, atol=1e-6)


def test_the_first_layer_may_leave():
    subject = subject_of("llama")
    with torch.no_grad():
        for weight in (subject.model.blocks[0].mixer.out.weight, subject.model.blocks[0].ffn.down.weight):
            weight.zero_()
    given = given_for(subject)
    METHODS["structured"](share=0.3, layers=0.6, heads=0.25, multiple=4)(subject, given)
    whole = applied("structured", "llama", share=0.3, layers=0.6, heads=0.25, multiple=4, compensate=False)
    assert distance(subject, given) < distance(*whole)


def test_a_stream_channel_that_nobody_hears_leaves_first():
    subject = subject_of("llama")
    silent = [0, 7, 9, 30]
    with torch.no_grad():
        for name, parameter in subject.model.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                parameter[silent] = 0.0
        subject.model.embedding.weight *= 50  # beside which the norms' eps, which stays, is nothing
        subject.model.embedding.weight[:, silent] = 0.0
    given = given_for(subject)
    METHODS["width"](share=4 / 32, multiple=4)(subject, given)
    assert subject.fields["d_model"] == 28
    assert distance(subject, given) < 1e-3


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
def test_a_quarter_of_all_parameters_leaves_to_within_a_hundredth(kind):
    subject, given = applied("structured", kind, share=0.25, layers=0.0, multiple=1)
    gone = 1 - parameters(subject.model) / parameters(given.original)
    assert gone == pytest.approx(0.25, abs=0.01)
    assert "parameters are left" in subject.notes[0]


def test_uniform_sizes_are_the_models_and_transformers_can_have_it():
    subject, _ = applied("channels", "llama", share=0.25, multiple=4)
    assert subject.fields["d_ff"] == 36
    assert subject.fields["ffn"] == {"part": "gated", "activation": "silu"}
    METHODS["heads"](share=0.5)(subject, given_for(subject))
    METHODS["layers"](count=1)(subject, given_for(subject))
    family, config = express(in_full(subject.fields, VOCABULARY), VOCABULARY)
    sizes = [config[key] for key in ("intermediate_size", "num_attention_heads", "head_dim", "num_hidden_layers")]
    assert (family.model_type, sizes) == ("llama", [36, 2, 8, 3])


def test_a_layer_of_another_size_is_said_in_its_own_place():
    subject, _ = applied("heads", "hybrid", share=0.25)
    names = [spec if isinstance(spec, str) else spec["part"] for spec in subject.fields["mixer"]]
    assert names == ["mamba", "attention"] * 2
    assert subject.fields["mixer"][1]["n_heads"] == 3
    assert subject.fields["n_heads"] == 4


def test_errors_of_earlier_layers_are_made_up_for():
    """The FFN of a layer whose input has gone wrong is fitted to the stream as it was, though no channel leaves."""
    subject = subject_of("llama")
    given = given_for(subject)
    with torch.no_grad():
        subject.model.blocks[1].ffn.down.weight[:, ::3] = 0.0
    wrong = distance(subject, given)
    changes = {"ffn": METHODS["channels"](share=0.0).change}
    walk(subject.model, given.original, given.windows, changes)
    assert distance(subject, given) < 0.5 * wrong


def test_more_leave_where_the_loss_feels_it_less():
    subject = subject_of("llama")
    with torch.no_grad():
        subject.model.blocks[1].ffn.down.weight *= 1e-3
    METHODS["channels"](share=0.25, scope="model", multiple=4)(subject, given_for(subject))
    d_ff = [block.ffn.down.in_features for block in subject.model.blocks]
    assert sum(d_ff) == pytest.approx(3 * 48, abs=8)
    assert d_ff[1] == min(d_ff) < 12
    build_model(subject.fields, VOCABULARY).load_state_dict(subject.model.state_dict(), strict=True)


def test_the_original_stays_as_it_is():
    subject = subject_of("llama")
    given = given_for(subject)
    before = {name: tensor.clone() for name, tensor in given.original.state_dict().items()}
    for method, settings in SETTINGS.items():
        METHODS[method](**{"share": 0.25, **settings})(subject, given)
    assert all(torch.equal(before[name], tensor) for name, tensor in given.original.state_dict().items())
    assert logits(subject.model, given.windows).isfinite().all()


def test_weights_in_few_bits_are_refused():
    subject = subject_of("llama")
    weight = subject.model.blocks[0].ffn.down.weight.detach()
    put(subject.model, "blocks.0.ffn.down", Quantized.of(weight, Affine(8)))
    for method in (*SETTINGS, "recover"):
        settings = {"steps": 1} if method == "recover" else {}
        with pytest.raises(UserError, match=r"few bits|in full"):
            METHODS[method](**settings)(subject, given_for(subject))


@pytest.mark.parametrize(
    ("method", "settings", "complaint"),
    [
        ("channels", {"share": 1.0}, "below 1"),
        ("channels", {"share": 0.999}, "leaves none of 48"),
        ("channels", {"multiple": 0}, "at least 1"),
        ("heads", {"unit": "pair"}, "query"),
        ("layers", {"count": 4}, "at least one stays"),
        ("structured", {"share": 0.95}, "Take away less|stay"),
        ("structured", {"layers": 1.5}, "share of the cut"),
        ("width", {"damping": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_is_refused(method, settings, complaint):
    subject = subject_of("llama")
    with pytest.raises(UserError, match=complaint):
        METHODS[method](**settings)(subject, given_for(subject))


def test_heads_that_share_nothing_leave_with_their_keys():
    subject, _ = applied("heads", "gpt2", share=0.25)
    assert (subject.fields["n_heads"], subject.fields["n_kv_heads"], subject.fields["d_head"]) == (3, 3, 8)


def test_heads_that_are_alone_stay():
    mixer = subject_of("llama").model.blocks[0].mixer
    assert Heads(0.9).units(mixer) == (2, 1, 2)
    assert Heads(0.9, unit="group").units(mixer) == (2, 1, 1)
