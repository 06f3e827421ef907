"""lm-evaluation-harness through our adapter and its own Hugging Face backend: with the same weights the same figures.

Everything is made here: a tokenizer, a Llama with random weights, and the tasks. Nothing is fetched.
"""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from firsthand.errors import UserError
from firsthand.evaluate.harness import Adapter, evaluate, language_model
from firsthand.interop import EXPORTS, Imported
from firsthand.tokens import TOKENIZERS

from ..parity import llama_weights

pytest.importorskip("lm_eval", reason="the extra eval is not installed")

pytestmark = [
    pytest.mark.slow,  # the library alone takes ten seconds to import
    pytest.mark.filterwarnings("ignore"),  # its own, and those of datasets and transformers
]
TEXT = "Question: Tom has 12 apples and eats 5 of them. How many are left?\nAnswer: 12 - 5 = 7\n#### 7\n\n" * 3
CONTEXT = llama_weights.SIZES["context_length"]
COLOURS = ["red", "green", "blue", "yellow"]


@pytest.fixture(scope="module")
def both():
    """Our model and tokenizer, and theirs, with equal weights."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="the extra hf is not installed")
    ours = TOKENIZERS["bpe"].train([TEXT], vocab_size=300)
    their_tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(json.dumps(ours.to_json())),
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    sizes = llama_weights.THEIRS | {
        "bos_token_id": None,
        "vocab_size": ours.vocab_size,
        "rms_norm_eps": 1e-5,
        "eos_token_id": ours.end_of_text,
    }
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
    model = _paired(theirs, ours.vocab_size)
    return model, ours, theirs, their_tokenizer


def _paired(theirs, vocab_size):
    from firsthand.model.make import build_model

    torch.manual_seed(0)
    for name, parameter in theirs.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    ours = build_model({"preset": "llama", **llama_weights.SIZES, "tied": False}, vocab_size).eval()
    llama_weights.copy(theirs.eval().state_dict(), ours, llama_weights.NAMES)
    return ours


@pytest.fixture(scope="module")
def backends(both):
    from lm_eval.models.huggingface import HFLM

    model, tokenizer, theirs, their_tokenizer = both
    return language_model(Adapter(model, tokenizer)), HFLM(pretrained=theirs, tokenizer=their_tokenizer, batch_size=4)


def requests(*arguments):
    return [SimpleNamespace(args=each) for each in arguments]


def test_likelihoods(backends):
    ours, theirs = backends
    asked = requests(
        ("Question: How many apples", " are left?"),
        ("Question: How many apples", " are red and green?"),
        ("Answer: ", "7"),
        ("", "apples"),
        ("Tom has 12 apples. " * 30, "How many are left?"),
    )
    for mine, wanted in zip(ours.loglikelihood(asked), theirs.loglikelihood(asked), strict=True):
        assert mine[0] == pytest.approx(wanted[0], abs=1e-4)
        assert mine[1] == wanted[1]


def test_whole_texts(backends):
    ours, theirs = backends
    asked = requests((TEXT * 3,), ("apples",), (TEXT[:200],), ("",))
    assert ours.loglikelihood_rolling(asked) == pytest.approx(theirs.loglikelihood_rolling(asked), rel=1e-5)


def test_answers(backends):
    ours, theirs = backends
    settings = {"until": ["e", "\n\n"], "max_gen_toks": 20, "do_sample": False}
    asked = requests(*[(TEXT[:length], dict(settings)) for length in (3, 40, 90, 280)], ("Tom", {"max_gen_toks": 7}))
    mine, wanted = ours.generate_until(asked), theirs.generate_until(asked)
    assert mine == wanted
    assert len(set(mine)) > 3


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A multiple choice and a task of answers, as the harness's own files, over a file of 12 records."""
    folder = tmp_path_factory.mktemp("harness")
    lines = [
        {"question": f"Tom has {n} apples and eats {n % 4}.", "choices": COLOURS, "label": n % 4, "answer": str(n)}
        for n in range(12)
    ]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    common = f"""
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder / "data.jsonl"}}}, cache_dir: {folder}}}
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
"""
    (folder / "choice.yaml").write_text(
        f"task: own_choice{common}output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list: [{metric: acc}, {metric: acc_norm}]\n"
    )
    (folder / "answers.yaml").write_text(
        f"task: own_answers{common}output_type: generate_until\ndoc_to_target: answer\n"
        'generation_kwargs: {until: ["\\n"], max_gen_toks: 12, do_sample: false}\n'
        "metric_list: [{metric: exact_match}]\n"
    )
    return [str(folder / "choice.yaml"), str(folder / "answers.yaml")]


def same(ours, theirs):
    """Equal figures, but for what chance has drawn."""
    for task, figures in theirs["results"].items():
        for name, value in figures.items():
            if isinstance(value, float) and "stderr" not in name:
                assert ours["results"][task][name] == pytest.approx(value, abs=1e-6), name
    for task, samples in theirs["samples"].items():
        for mine, wanted in zip(ours["samples"][task], samples, strict=True):
            assert json.dumps(mine["doc"]) == json.dumps(wanted["doc"])
            for one, two in zip(mine["filtered_resps"], wanted["filtered_resps"], strict=True):
                assert one == two if isinstance(two, str) else one[0] == pytest.approx(two[0], abs=1e-4)


def test_an_exported_model_gives_the_same_figures_through_their_own_backend(both, tasks, tmp_path):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model, tokenizer = both[:2]
    fields = {"preset": "llama", **llama_weights.SIZES, "tied": False}
    exported = Imported(fields, model.vocab_size, model.state_dict(), tokenizer)
    EXPORTS["hf"].write(exported, tmp_path / "exported", "fp32")
    theirs = lm_eval.simple_evaluate(
        HFLM(pretrained=str(tmp_path / "exported"), batch_size=4, device="cpu"),
        tasks=tasks,
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    mine = evaluate(Adapter(model, tokenizer), tasks)
    assert mine["n-samples"] == theirs["n-samples"]
    same(mine, theirs)


def test_own_tasks_give_the_same_figures(both, backends, tasks):
    import lm_eval
    from lm_eval.tasks import TaskManager

    counts = []
    mine = evaluate(Adapter(both[0], both[1], done=counts.append), tasks, seed=3)
    manager = TaskManager(include_defaults=False)
    theirs = lm_eval.simple_evaluate(backends[1], tasks=tasks, task_manager=manager, bootstrap_iters=0)
    assert set(mine["results"]) == {"own_choice", "own_answers"}
    assert mine["n-samples"]["own_choice"]["effective"] == 12
    assert math.isfinite(mine["results"]["own_choice"]["acc_stderr,none"])
    assert sum(counts) == 4 * 12 + 12
    same(mine, theirs)


def test_gsm8k_from_the_local_file_gives_the_same_figures(both, backends, shared_data, tmp_path):
    """The text of GSM8K's task in the harness, over the test file that lies beside the project."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    task = tmp_path / "gsm8k.yaml"
    task.write_text(
        f"""task: gsm8k_local
dataset_path: json
dataset_kwargs: {{data_files: {{test: {shared_data / "gsm8k_test.jsonl"}}}}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{answer.split('####')[-1].strip()}}}}"
generation_kwargs: {{until: ["Question:"], max_gen_toks: 16, do_sample: false}}
metric_list: [{{metric: exact_match}}]
filter_list:
  - name: flexible
    filter: [{{function: regex, regex_pattern: "(-?[0-9]+)", group_select: -1}}, {{function: take_first}}]
"""
    )
    mine = evaluate(Adapter(both[0], both[1]), [str(task)], limit=12)
    manager = TaskManager(include_defaults=False)
    theirs = lm_eval.simple_evaluate(backends[1], tasks=[str(task)], limit=12, task_manager=manager, bootstrap_iters=0)
    assert mine["n-samples"]["gsm8k_local"] == {"original": 1319, "effective": 12}
    same(mine, theirs)


def test_what_is_refused(both, tmp_path):
    adapter = Adapter(both[0], both[1])
    with pytest.raises(UserError, match="no task file"):
        evaluate(adapter, [str(tmp_path / "none.yaml")])
    with pytest.raises(UserError, match=r"generation_kwargs\.num_beams"):
        adapter.generate_until(requests(("a", {"num_beams": 4, "max_gen_toks": 4})))
    with pytest.raises(UserError, match="no chat template"):
        adapter.apply_chat_template([{"role": "user", "content": "Hello"}])
