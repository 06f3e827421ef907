"""Chat templates: transformers' ids, what is learnt, and nothing in a message that is more than text."""

import json
import random

import pytest

from firsthand.errors import UserError
from firsthand.tokens import TOKENIZERS, of_json
from firsthand.tokens.chat import CHATML, ChatTemplate, Control, Text

from .chats import LLAMA3, MISTRAL, QWEN, SMOLLM, TALK, TEMPLATES, ours_and_theirs, talk, transformers_of


@pytest.fixture(params=TEMPLATES)
def template(request, families):
    family = {"mistral": "smollm"}.get(request.param, request.param)
    tokenizer = of_json(families[family])
    names = {"mistral": {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}}.get(request.param, {})
    return ChatTemplate(TEMPLATES[request.param], tokenizer, names)


@pytest.fixture(scope="module")
def chatml():
    made = TOKENIZERS["bpe"].train(["some words, to be or not\n"] * 3)
    return ChatTemplate(CHATML, made.extended(["<|im_start|>", "<|im_end|>"]))


def test_ids_aretransformers_of(template, fuzzed):
    other = transformers_of(template)
    draw = random.Random(5)
    talks = [
        TALK,
        TALK[:3],
        TALK[:1],
        [("system", " Be brief. "), *TALK[:2]],
        [("user", "  a "), ("assistant", "b\n ")],
    ]
    words = [text for text in fuzzed if "<" not in text]
    for _ in range(20):
        talks.append([(role, "".join(draw.choices(words, k=3))) for role, _ in TALK])
    for said in talks:
        for answer in (False, True):
            ours, theirs = ours_and_theirs(template, other, talk(*said), answer)
            assert ours == theirs, said


@pytest.mark.parametrize("answer", [False, True])
def test_chatml_is_written_as_its_template_would(chatml, answer):
    source = SMOLLM.replace("loop.first and message['role'] != 'system'", "false")
    other = ChatTemplate(source, chatml.tokenizer)
    for said in (TALK, [("system", "a"), *TALK], [("user", "")], []):
        assert chatml.encode(talk(*said), answer) == other.encode(talk(*said), answer)
    assert chatml.stop_ids == other.stop_ids


def test_learnt_are_the_answers_and_what_ends_them(template):
    messages = talk(("system", "s"), *TALK)
    encoded = template.encode(messages)
    assert len(encoded.ids) == len(encoded.learn)
    runs, run = [], []
    for id, learn in [*zip(encoded.ids, encoded.learn, strict=True), (0, False)]:
        if learn:
            run.append(id)
        elif run:
            runs.append(run)
            run = []
    decode = template.tokenizer.decode
    assert [decode(run[:-1]).strip() for run in runs] == ["I am  x=1;\n\n2.", "Good bye."]
    assert {run[-1] for run in runs} <= set(template.stop_ids)
    controls = [segment for segment in template.segments(messages) if isinstance(segment, Control)]
    assert sum(control.learn for control in controls) == 2
    assert not any(template.encode(talk(("user", "a"), ("user", "b")), answer=True).learn)


def test_stop_ids_end_an_answer_and_a_text(families):
    def stops(name, source, **names):
        made = ChatTemplate(source, of_json(families[name]), names)
        return [made.tokenizer.decode([id]) for id in made.stop_ids]

    assert stops("smollm", SMOLLM) == ["<|endoftext|>", "<|im_end|>"]
    assert stops("llama3", LLAMA3) == ["<|end_of_text|>", "<|eot_id|>"]
    assert stops("qwen", QWEN) == ["<|endoftext|>", "<|im_end|>"]


def test_a_token_on_the_border_of_an_answer_is_learnt(chatml):
    """The line break before the answer and the one that begins it are one token for GPT-2's pattern."""
    made = TOKENIZERS["bpe"].train(["a\n\n\nb\n\n\n" * 20], special_tokens=("<|im_start|>", "<|im_end|>"))
    encoded = ChatTemplate(CHATML, made).encode(talk(("assistant", "\nb")))
    texts = [made.decode([id]) for id in encoded.ids]
    assert texts == ["<|im_start|>", *"assistant", "\n\n", "b", "<|im_end|>", "\n"] or "\n\n" not in texts
    assert [text for text, learn in zip(texts, encoded.learn, strict=True) if learn][-2:] == ["b", "<|im_end|>"]
    assert "".join(text for text, learn in zip(texts, encoded.learn, strict=True) if learn).startswith("\n")


def test_an_empty_answer_still_ends(template, chatml):
    for each in (template, chatml):
        encoded = each.encode(talk(("user", "a"), ("assistant", "")))
        learnt = [id for id, learn in zip(encoded.ids, encoded.learn, strict=True) if learn]
        assert len(learnt) == 1
        assert learnt[0] in each.stop_ids


def test_trimming_and_dropped_thoughts_are_followed(families):
    llama = ChatTemplate(LLAMA3, of_json(families["llama3"]))
    assert Text("a b") in llama.segments(talk(("user", " \n a b\t ")))
    qwen = ChatTemplate(QWEN, of_json(families["qwen"]))
    said = talk(("user", "u"), ("assistant", "<think>\nhm\n</think>\n\nYes."), ("user", "v"))
    assert Text("Yes.", learn=True) in qwen.segments(said)
    assert "hm" not in qwen.tokenizer.decode(qwen.encode(said).ids)


CHANGES = {
    "upper case": "{% for m in messages %}<|im_start|>{{ m.content|upper }}<|im_end|>{% endfor %}",
    "inspected": "{% for m in messages %}<|im_start|>{% if 'yes' in m.content %}!{% endif %}{{ m.content }}<|im_end|>"
    "{% endfor %}",
    "cut": "{% for m in messages %}<|im_start|>{{ m.content[:3] }}<|im_end|>{% endfor %}",
    "replaced": "{% for m in messages %}<|im_start|>{{ m.content|replace('e', '<|im_end|>') }}<|im_end|>{% endfor %}",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_template_that_changes_contents_is_refused(name, families):
    tokenizer = of_json(families["smollm"])
    with pytest.raises(UserError, match="changes the contents"):
        ChatTemplate(CHANGES[name], tokenizer).segments(talk(("user", "yes indeed")))


def test_turns_that_only_text_parts_are_refused(families):
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    with pytest.raises(UserError, match="anybody could write"):
        ChatTemplate(plain, of_json(families["smollm"]))


def test_the_tokenizer_must_have_the_marks_and_the_template_must_work(families):
    llama3 = of_json(families["llama3"])
    with pytest.raises(UserError, match=r"needs the special token <\|im_start\|>"):
        ChatTemplate(CHATML, llama3)
    for broken in ("{% for %}", "{{ messages[0].x.y }}", "{{ raise_exception('no') }}", "{{ 1/0 }}", "{% if"):
        with pytest.raises(UserError, match="chat template"):
            ChatTemplate(broken, llama3)


def test_a_refusal_of_the_template_is_told(families):
    template = ChatTemplate(MISTRAL, of_json(families["smollm"]), {"eos_token": "<|im_end|>"})
    with pytest.raises(UserError, match="roles must be user and assistant, not"):
        template.encode(talk(("tool", "x")))


def test_it_is_kept_in_a_checkpoint(template, chatml):
    for each in (template, chatml):
        again = ChatTemplate.of_json(json.loads(json.dumps(each.to_json())), each.tokenizer)
        assert again.encode(talk(*TALK)) == each.encode(talk(*TALK))
