"""A cache in few bits: what attention remembers of each token is rounded, weights stay as they are."""

from typing import Any

from firsthand.compress.subject import Given, Subject, Unsuited
from firsthand.errors import UserError
from firsthand.model.mixers.quantized_cache import checked_bits
from firsthand.model.presets import resolve
from firsthand.parts import PartSpec, split


class KVCacheBits:
    """Keys and values in `bits` bits (8 or 4), with a step and a lowest number for each token and head.

    The rounding is that of model/mixers/quantized_cache.py (KIVI, arXiv 2402.02750, section 3.1). It becomes part of
    the model, as attention's `cache_bits`: it is saved with the recipe's fields, and the scores of a text are those of
    a model that remembers so. Mixers without a cache of keys and values stay as they are.
    """

    def __init__(self, bits: int = 8) -> None:
        if checked_bits(bits) is None:
            raise UserError("kv_cache: bits must be 8 or 4.")
        self.bits = bits

    def __call__(self, subject: Subject, given: Given) -> None:
        mixers: list[Any] = [getattr(block, "mixer", None) for block in subject.model.blocks]
        able = [mixer for mixer in mixers if hasattr(mixer, "cache_bits")]
        if not able:
            raise Unsuited("kv_cache: no layer of this model has a cache of keys and values to round.")
        for mixer in able:
            mixer.cache_bits = self.bits
        mixer = resolve(subject.fields)["mixer"]
        pattern = mixer if isinstance(mixer, list) else [mixer]
        changed = [
            self._with_bits(spec) if number < len(mixers) and mixers[number] in able else spec
            for number, spec in enumerate(pattern)
        ]
        subject.fields["mixer"] = changed if isinstance(mixer, list) else changed[0]
        if len(able) < len(mixers):
            subject.notes.append(f"kv_cache: {len(able)} of {len(mixers)} layers have a cache; the others have none.")

    def _with_bits(self, spec: PartSpec) -> PartSpec:
        name, arguments = split(spec)
        return {"part": name, **arguments, "cache_bits": self.bits}
