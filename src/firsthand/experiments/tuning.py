"""The data of instruction tuning: from records to conversations on disk, in the run's own folder, made once."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from firsthand import tokens
from firsthand.assemble import row_tokens, tokenizer_maker
from firsthand.config import Config
from firsthand.data.conversations import write
from firsthand.data.fit import RULE, Fitted, fit
from firsthand.data.records.schema import Messages, Row, content, for_tuning
from firsthand.data.records.sources import SHOWN, Reading, read
from firsthand.errors import UserError
from firsthand.interop import Imported
from firsthand.model.presets import resolve
from firsthand.text.split import fitted, split_of
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import CHATML, END, START, ChatTemplate, Text

Note = Callable[[str], None]

PROMPTS = 3
"""Held-out prompts that samples answer."""


def make(config: Config, folder: Path, note: Note, found: Imported | None) -> dict[str, Any]:
    """Read, split, encode and write the records to `folder`, with a tokenizer that has the template's marks.

    `found`: the model that the run begins with. Returns what there is to say about the data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note(f"reading the records of {config.data.source}")
    reading = Reading()
    sides = conversation_sides(config, reading)
    template = _template(config, found, (messages for messages, _ in sides["train"]))
    template.tokenizer.save(folder)
    note("encoding the conversations")
    longest = row_tokens(config, resolve(config.model)["context_length"]) + 1
    summary: dict[str, Any] = {"chat": template.to_json()}
    for side, rows in sides.items():
        kept, counts = _fitted(template, rows, longest)
        if not kept:
            raise UserError(
                f"None of the {len(rows)} conversations to {side} on fits into a row: their answers alone are longer "
                f"than data.row_tokens={longest - 1}. Allow longer rows."
            )
        encoded = (one.encoded for one in kept)
        written = write(encoded, folder / side, template.tokenizer.vocab_size, tokens.fingerprint(template.tokenizer))
        summary |= {f"{side}_conversations": len(kept), f"{side}_targets": written.targets, f"{side}_cut": counts}
        if side == "validation":
            summary["validation_bytes"] = sum(_answer_bytes(template, one.messages) for one in kept)
            summary["prompts"] = _prompts([one.messages for one in kept])
    summary |= {"rule": RULE, "records": asdict(reading)}
    for line in described(summary):
        note(line)
    return summary


def conversation_sides(config: Config, reading: Reading) -> dict[str, list[tuple[Messages, Row]]]:
    """The conversations to train on and to validate with, each once, with their rows."""
    kind, _, share = config.data.validation.partition(":")
    if kind != "documents":
        raise UserError(
            f"data.validation={config.data.validation} cuts a text; records are held out whole: documents:{share}."
        )
    return _sides(list(_conversations(config, reading)), float(share))


def described(summary: dict[str, Any]) -> list[str]:
    """What became of the records, in words."""
    records = summary["records"]
    layouts = ", ".join(f"{name} {count:,}" for name, count in records["layouts"].items())
    lines = [
        f"{records['rows']:,} records ({layouts}), {records['duplicates']:,} that came before left out; "
        f"{summary['train_conversations']:,} conversations to learn, {summary['validation_conversations']:,} held out"
    ]
    if records["skipped"]:
        lines.append(f"{records['skipped']:,} bad rows left out: {'; '.join(records['bad'][:3])} …")
    cuts: Counter[str] = Counter()
    for side in ("train", "validation"):
        cuts.update({key: value for key, value in summary[f"{side}_cut"].items() if isinstance(value, int)})
    if +cuts:
        lines.append(
            f"too long for a row: {cuts['turns']:,} lost their oldest turns, {cuts['prompt']:,} the beginning of their "
            f"prompt, {cuts['left out']:,} were left out because their answer does not fit"
        )
    return lines


def _conversations(config: Config, reading: Reading) -> Iterable[tuple[Messages, Row]]:
    for row in read(config.data.source, reading, config.data.skip_bad):
        try:
            yield for_tuning(row.record.conversation()), row
        except UserError as error:
            reading.leave_out(row.where, error, config.data.skip_bad)


def _sides(rows: Sequence[tuple[Messages, Row]], share: float) -> dict[str, list[tuple[Messages, Row]]]:
    """Held out by a hash of the record, or of its group."""
    keys = [row.group or content(row.record) for _, row in rows]
    fractions = fitted(keys, {"validation": share})
    sides: dict[str, list[tuple[Messages, Row]]] = {"train": [], "validation": []}
    for key, row in zip(keys, rows, strict=True):
        sides[split_of(key, fractions)].append(row)
    for side, some in sides.items():
        if not some:
            raise UserError(
                f"data.validation=documents:{share} leaves no conversation to {side} on: there are {len(rows)}. "
                "Give more."
            )
    return sides


def _template(config: Config, found: Imported | None, train: Iterable[Messages]) -> ChatTemplate:
    """The model's own template; for one without, the built-in one, its marks added to the tokenizer."""
    if found is not None and found.chat is not None:
        return found.chat
    tokenizer: Tokenizer
    if found is not None:
        tokenizer = found.tokenizer
    else:
        tokenizer = tokenizer_maker(config)(message.content for messages in train for message in messages)
    return ChatTemplate(CHATML, with_marks(tokenizer))


def with_marks(tokenizer: Any) -> Tokenizer:
    """The tokenizer with the marks of the built-in template, new ones behind its ids."""
    names = [mark for mark in (START, END) if mark not in tokenizer.special_tokens]
    tree = tokenizer.to_json()
    flags = tree["added_tokens"][0]
    new = [flags | {"id": tokenizer.vocab_size + i, "content": name} for i, name in enumerate(names)]
    return tokens.of_json(tree | {"added_tokens": [*tree["added_tokens"], *new]})


def _fitted(
    template: ChatTemplate, rows: Sequence[tuple[Messages, Row]], longest: int
) -> tuple[list[Fitted], dict[str, Any]]:
    """The conversations as ids that fit, and how many had to be cut or left out (and which)."""
    counts: dict[str, Any] = {"turns": 0, "prompt": 0, "left out": 0, "which": []}
    kept = []
    for messages, row in rows:
        one = fit(template, messages, longest)
        if one is None:
            counts["left out"] += 1
            if len(counts["which"]) < SHOWN:
                counts["which"].append(row.where)
        else:
            kept.append(one)
            if one.cut:
                counts[one.cut] += 1
    return kept, counts


def _answer_bytes(template: ChatTemplate, messages: Messages) -> int:
    """The bytes of the text that is learnt."""
    learnt = (part.text for part in template.segments(messages) if isinstance(part, Text) and part.learn)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in learnt)


def _prompts(held_out: Sequence[Messages]) -> list[list[dict[str, str]]]:
    """The beginnings of a few held-out conversations, each up to its first answer, and that answer."""
    step = max(1, len(held_out) // PROMPTS)
    chosen = []
    for messages in held_out[::step][:PROMPTS]:
        first = next(i for i, message in enumerate(messages) if message.role == "assistant")
        chosen.append([asdict(message) for message in messages[: first + 1]])
    return chosen
