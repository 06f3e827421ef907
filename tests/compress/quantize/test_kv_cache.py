"""The cache in few bits as a step of a plan: part of the model from then on."""

import pytest
import torch

from firsthand.compress.quantize.kv_cache import KVCacheBits
from firsthand.errors import UserError
from firsthand.generate import generate
from firsthand.generate.packed import pack
from firsthand.model.make import build_model
from firsthand.model.mixers.quantized_cache import QuantizedKVCache

from .subjects import VOCAB, WINDOWS, given_for, scores, subject_of


@pytest.mark.parametrize("mixer", ["attention", "latent_attention", ["mamba", "attention"], {"part": "attention"}])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_model_remembers_so_also_when_built_again(mixer, bits):
    subject = subject_of(mixer=mixer)
    given = given_for(subject)
    KVCacheBits(bits)(subject, given)
    states = subject.model.initial_states(1, 8)
    assert [isinstance(state, QuantizedKVCache) for state in states] == [mixer != ["mamba", "attention"], True]
    assert any("1 of 2 layers have a cache" in note for note in subject.notes) == isinstance(mixer, list)
    before, after = scores(given.original), scores(subject.model)
    assert 0 < (after - before).norm() / before.norm() < (0.05 if bits == 8 else 0.5)
    again = build_model(subject.fields, VOCAB, files=False).eval()
    again.load_state_dict(subject.model.state_dict())
    assert torch.equal(scores(again), after)


def test_eight_bits_are_nearer_than_four():
    errors = []
    for bits in (8, 4):
        subject = subject_of()
        given = given_for(subject)
        KVCacheBits(bits)(subject, given)
        errors.append(float((scores(subject.model) - scores(given.original)).norm()))
    assert errors[0] < 0.2 * errors[1]


def test_packed_it_writes_what_the_model_itself_writes_and_no_compiled_step_forgets_the_rounding(caplog):
    subject = subject_of()
    KVCacheBits(4)(subject, given_for(subject))
    with caplog.at_level("INFO", "firsthand.generate"):
        ready = pack(subject.model, "fp32")
    assert caplog.messages[-1] == "torch computes the steps: a cache in few bits has no instruction"
    prompts = WINDOWS[:2, :5].tolist()
    plain, packed = (list(generate(model, prompts, 12, temperature=0.0)) for model in (subject.model, ready))
    assert plain == packed
    with pytest.raises(UserError, match="cache in few bits has no instruction"):
        pack(subject.model, "fp32", engine="native")


def test_a_model_without_such_a_cache_is_refused():
    subject = subject_of(mixer="mamba")
    with pytest.raises(UserError, match="no layer of this model has a cache of keys and values"):
        KVCacheBits()(subject, given_for(subject))
