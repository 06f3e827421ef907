"""What leaves: folders that Hugging Face's libraries open and use, or a refusal that says which field is in the way."""

import json

import pytest
import torch

from firsthand import interop
from firsthand.errors import UserError
from firsthand.generate.text import complete
from firsthand.interop import EXPORTS
from firsthand.model.make import build_model
from firsthand.opened import load, open_model
from firsthand.tokens import TOKENIZERS, of_json
from firsthand.tokens.chat import CHATML, ChatTemplate
from firsthand.tokens.lead import Lead
from firsthand.types import Message

from ..gguf.models import sentencepiece
from ..tiny import folder, tiny

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def chatting(path):
    """The folder of a model with a byte-level BPE and a chat template."""
    tokenizer = TOKENIZERS["bpe"].train(["the quick brown fox"] * 9, vocab_size=270, special_tokens=MARKS)
    return folder(path, vocab_size=272, tokenizer=tokenizer, chat=ChatTemplate(CHATML, tokenizer))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"block": "canon"}, "model.block is 'canon', there 'pre'"),
        ({"softcap": 15.0}, "model.softcap is 15.0, there 0.0"),
        ({"mixer": {"part": "attention", "qk_norm": True}}, "model.mixer.qk_norm is True"),
        ({"mixer": ["attention", "delta"]}, "model.mixer is 'delta', there 'attention'"),
        ({"ffn": {"part": "mlp", "activation": "relu2"}}, "model.ffn is 'mlp', there 'gated'"),
        ({"position": {"part": "rope", "layout": "half", "scaling": "ntk", "factor": 2.0}}, "ntk"),
        ({"residual": "shortcut"}, "model.residual is 'shortcut', there 'plain'"),
        ({"initialize": "mup"}, "model.initialize is 'mup'"),
    ],
    ids=str,
)
def test_what_no_family_has_is_refused_by_name(tmp_path, fields, words):
    with pytest.raises(UserError) as refused:
        EXPORTS["hf"].write(tiny(**fields), tmp_path / "out", "fp32")
    assert words in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_neighbouring_pairs_of_channels_are_put_in_halves(tmp_path):
    """`rope`, as a recipe has it by default, pairs channels that are neighbours; no published family does."""
    model = tiny(position="rope", mixer={"part": "attention", "bias": True})
    EXPORTS["hf"].write(model, tmp_path / "out", "fp32")
    ours = build_model(model.fields, model.vocab_size).eval()
    ours.load_state_dict(model.weights)
    back, _ = load(tmp_path / "out")
    ids = torch.randint(40, (2, 30), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = ours(ids)
        assert expected.abs().max() > 1
        torch.testing.assert_close(back(ids), expected, atol=1e-5, rtol=1e-5)
        back.load_state_dict(model.weights)  # as they were: the order matters
        assert not torch.allclose(back(ids), expected, atol=1e-3)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("firsthand.interop.hugging_face.outgoing.tokenizer_config", lambda model: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        EXPORTS["hf"].write(tiny(), tmp_path / "out", "fp32")
    assert list(tmp_path.iterdir()) == []


def test_half_precision_takes_half_the_room(tmp_path):
    sizes = [(folder(tmp_path / dtype, dtype) / "model.safetensors").stat().st_size for dtype in EXPORTS["hf"].dtypes]
    assert max(sizes[1:]) < 0.6 * sizes[0]
    assert json.loads((tmp_path / "bf16" / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_model_of_ours_keeps_its_template(tmp_path):
    """As Jinja: the built-in one has no name elsewhere."""
    path = chatting(tmp_path / "out")
    written = json.loads((path / "tokenizer_config.json").read_text())
    assert "<|im_start|>" in written["chat_template"]
    assert json.loads((path / "generation_config.json").read_text())["eos_token_id"] == [
        open_model(path).tokenizer.special_tokens[name] for name in ("<|im_end|>", "<|endoftext|>")
    ]


@pytest.mark.parametrize("preset", ["llama", "mamba"])
def test_their_generate_writes_what_ours_writes(tmp_path, preset):
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    path = folder(tmp_path / "out", preset=preset, vocab_size=29)
    ours, tokenizer = load(path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path)
    words = transformers.AutoTokenizer.from_pretrained(path)
    prompt = "the quick"
    ids = words(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert ids[0].tolist() == tokenizer.encode(prompt)
    written = theirs.generate(ids, max_new_tokens=30, do_sample=False, eos_token_id=None)[0, ids.shape[1] :]
    found = complete(ours, tokenizer, prompt, max_tokens=30, temperature=0.0)
    assert len(found) > 10
    assert tokenizer.decode(written.tolist()).startswith(found)


def test_their_tokenizer_and_template_give_our_ids(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    path = chatting(tmp_path / "out")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(path), interop.read(path)
    text = "the fox, the quick 42 foxes\n\n  jump"
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours.tokenizer.encode(text)
    assert theirs.eos_token == "<|im_end|>"
    messages = [Message("system", "Be quick."), Message("user", "the fox?"), Message("assistant", "brown")]
    dicts = [{"role": message.role, "content": message.content} for message in messages]
    for template in (ours.chat, ChatTemplate(CHATML, ours.tokenizer)):
        for answer in (False, True):
            expected = theirs.apply_chat_template(dicts, add_generation_prompt=answer, return_dict=False)
            assert template.encode(messages, answer).ids == expected


@pytest.mark.parametrize("lead", Lead)
def test_a_tokenizer_of_sentencepiece_and_its_conversations_leave_too(tmp_path, lead):
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    letters = sentencepiece()
    letters = of_json(letters.to_json() | lead.to_json())
    template = (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|' + message['role'] + '|> ' + message['content'] + eos_token }}{% endfor %}"
    )
    chat = ChatTemplate(template, letters)
    path = folder(tmp_path / "out", vocab_size=letters.vocab_size, tokenizer=letters, chat=chat)
    theirs, ours = transformers.AutoTokenizer.from_pretrained(path), interop.read(path)
    for text in ("to be or not", " to be\n\n 世", "x"):
        assert theirs(text)["input_ids"] == [1, *ours.tokenizer.encode(text)]
    messages = [Message("user", " to be?"), Message("assistant", "not to be")]
    dicts = [{"role": message.role, "content": message.content} for message in messages]
    assert ours.chat.encode(messages).ids == theirs.apply_chat_template(dicts, return_dict=False)


def test_a_template_that_cannot_be_used_is_left_out_and_says_so(tmp_path, capsys):
    path = chatting(tmp_path / "out")
    (path / "chat_template.jinja").write_text("{% for x in messages %}{{ x.content[::-1] }}{% endfor %}")
    assert interop.read(path).chat is None
    assert "is left out" in capsys.readouterr().err
