"""The tree of a run: loaded from YAML, overridden by key=value, stored with the run. Unknown keys are refused."""

import re
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from firsthand.errors import UserError, suggest
from firsthand.parts import PartSpec


class _Reader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text; people who write it in a recipe mean the number."""


class _Writer(yaml.SafeDumper):
    """Puts quotes around a text that `_Reader` would take for a number."""


_EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
_Reader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
_Writer.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


class Node(BaseModel):
    """One level of the tree."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, protected_namespaces=(), ser_json_inf_nan="constants"
    )


class RunNode(Node):
    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]{1,128}$", description="names the folder runs/NAME, so no slash")
    dir: Path | None = Field(None, description="the run's folder, if not runs/NAME")

    @property
    def folder(self) -> Path:
        return self.dir.expanduser() if self.dir else Path("runs") / self.name


class DataNode(Node):
    kind: Literal["text", "conversations", "labels"] = Field(
        "text",
        description="text: every token is learnt; conversations: records, of which the answers are learnt; labels: "
        "records with a text and its class",
    )
    source: str | list[str] = Field("shakespeare", description="a name in SOURCES, or a path, glob or URL")
    field: str = Field("text", description="the field that holds the text in .jsonl and .parquet")
    validation: str = Field(
        "documents:0.1",
        pattern=r"^(documents|tail):0?\.\d+$",
        description="documents:0.1 holds out one document in ten, tail:0.1 the last tenth of the text",
    )
    clean: list[str] | None = Field(None, description="cleaning steps in order; empty for none, absent for the usual")
    filters: list[PartSpec] = Field([], description="quality filters in order")
    deduplicate: Literal["none", "exact", "near"] = "exact"
    batch_tokens: int | None = Field(
        None, gt=0, description="tokens in one optimizer step, over all ranks; absent: the dial"
    )
    row_tokens: int | None = Field(
        None, gt=0, description="tokens in a row of a batch; absent: context_length, at most 1024 for conversations"
    )
    packing: bool = Field(True, description="several conversations share a row; false: one a row, and padding")
    skip_bad: bool = Field(False, description="leave out records that cannot be used; they are counted and listed")
    batches: str = Field(
        "epochs",
        description="epochs: every token is a target once an epoch; drawn: rows from random places; or file.py:Name",
    )
    stride: int | None = Field(None, gt=0, description="tokens between window starts; absent: context_length")
    mask_documents: bool = Field(False, description="packed documents do not attend to each other")


class ModelNode(Node):
    """Absent fields come from the preset."""

    weights: str | None = Field(
        None, description="begin with this model's weights: a run, a checkpoint, a Hugging Face folder, a GGUF file"
    )
    weights_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="what these weights must be; noted when the run starts"
    )
    preset: str = "modern"
    size: str | None = Field(None, description="one of the preset's sizes by name, such as nano or 8b")
    context_length: int | None = Field(None, gt=0)
    d_model: int | None = Field(None, gt=0)
    n_layers: int | None = Field(None, gt=0)
    n_heads: int | None = Field(None, gt=0)
    n_kv_heads: int | None = Field(None, gt=0)
    d_head: int | None = Field(None, gt=0)
    d_ff: int | None = Field(None, gt=0)
    mixer: PartSpec | list[PartSpec] | None = None
    ffn: PartSpec | list[PartSpec] | None = None
    block: PartSpec | None = None
    residual: PartSpec | None = None
    position: PartSpec | None = None
    norm: PartSpec | None = None
    initialize: PartSpec | None = None
    bias: bool | None = None
    dropout: float | None = Field(None, ge=0, lt=1)
    tied: bool | None = None
    softcap: float | None = Field(None, ge=0, description="logits are softcap * tanh(logits / softcap); 0: off")


class AdaptNode(Node):
    """What of a trained model learns, and through what (docs/finetuning/adapters.md)."""

    adapter: PartSpec | None = Field(None, description="lora or dora: few weights that learn beside frozen ones")
    quantize: PartSpec | None = Field(None, description="nf4: the layers' frozen maps in 4 bits")
    train: Literal["all", "head", "last_block", "adapter"] | None = Field(
        None, description="what learns; absent: the adapter if there is one, else all"
    )

    @property
    def policy(self) -> str:
        return self.train or ("adapter" if self.adapter else "all")


class CompressNode(Node):
    """Zeros in the weights of a model that learns (docs/compression/pruning.md)."""

    keep_zeros: bool = Field(False, description="what is zero in the matrices that it begins with stays zero")
    prune: PartSpec | None = Field(None, description="gradual: more and more weights become zero, and stay so")


class TrainNode(Node):
    """Without epochs, steps, tokens, seconds and flops the dial says how long; without its rates, the optimizer's."""

    seed: int = Field(0, ge=0)
    epochs: float | None = Field(None, gt=0, description="how often the data are gone through")
    steps: int | None = Field(None, gt=0)
    tokens: float | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0)
    flops: float | None = Field(None, gt=0)
    objective: PartSpec = "next_token"
    optimizer: PartSpec = "adamw"
    schedule: PartSpec = "warmup_cosine"
    microbatches: int = Field(1, gt=0, description="how many equal parts a step's batch is accumulated over")
    clip: float | None = Field(1.0, gt=0, description="largest global gradient norm")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    attention: str = Field(
        "auto",
        pattern=r"^(auto|product|sdpa|reference|.+\.py:\w+)$",
        description="its version in training steps: auto, product, sdpa, reference, or one of your own, file.py:Name",
    )
    compile: bool | Literal["auto"] = "auto"
    recompute: bool = Field(
        False, description="keep only what enters each layer for the backward pass and compute the rest again"
    )
    device: str = "auto"
    threads: int | None = Field(None, gt=0)
    log_every: int = Field(10, gt=0)
    evaluate_every: int | None = Field(None, gt=0)
    evaluate_tokens: int | None = Field(
        1 << 15, gt=0, description="validation tokens of the evaluations along the way; the last one uses all"
    )
    sample_every: int | None = Field(None, gt=0)
    save_every: int | None = Field(None, gt=0)
    keep: int = Field(2, ge=2, description="checkpoints kept")
    sample_prompt: str = "\n"
    trackers: list[str] = []


class Config(Node):
    """Everything that decides a run."""

    run: RunNode = RunNode()
    data: DataNode = DataNode()
    tokenizer: PartSpec = Field(default={"part": "bpe", "vocab_size": 2048})
    model: ModelNode = ModelNode()
    adapt: AdaptNode = AdaptNode()
    compress: CompressNode = CompressNode()
    train: TrainNode = TrainNode()


PARTS = {
    name
    for node in (Config, *(field.annotation for field in Config.model_fields.values()))
    if isinstance(node, type) and issubclass(node, Node)
    for name, field in node.model_fields.items()
    if dict[str, Any] in get_args(field.annotation)
}
"""The settings that name a part: an override such as train.optimizer.lr=1e-3 reaches into it."""


def load(path: str | Path | None, overrides: list[str] | None = None) -> Config:
    """The recipe at `path` (None: an empty one) with `key=value` overrides.

    Raises UserError that names the key and the valid ones.
    """
    tree = {} if path is None else read_tree(Path(path))
    for override in overrides or []:
        _override(tree, override)
    return parse(tree, "The settings" if path is None else str(path))


def replaced(config: Config, values: dict[str, Any]) -> Config:
    """The config with other values at some dotted keys, which may reach into a part."""
    tree = config.model_dump()
    for key, value in values.items():
        *parents, last = key.split(".")
        here = tree
        for name in parents:
            here[name] = {"part": here[name]} if isinstance(here[name], str) else here[name]
            here = here[name]
        here[last] = value
    return parse(tree, "The settings")


def parse(tree: dict[Any, Any], where: str) -> Config:
    """The tree as a Config, or UserError with every complaint in the user's words."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error.errors())}") from None


def save(config: Config, path: Path) -> None:
    path.write_text(to_yaml(config), encoding="utf-8")


def to_yaml(config: Config) -> str:
    """Every setting, also those that are null: null may differ from the default, and a stored run must say so."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Writer, sort_keys=False)


def read_tree(path: Path) -> dict[Any, Any]:
    """What a recipe's file holds. UserError if there is none or if it is no tree."""
    if not path.is_file():
        raise UserError(f"There is no recipe {path}. Recipes are YAML files; those of the project lie in recipes/.")
    try:
        tree = _Reader(path.read_text(encoding="utf-8")).get_single_data() or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds a {type(tree).__name__}; a recipe is a tree of keys (run, data, model, train).")
    return tree


def setting(text: str) -> tuple[str, Any]:
    """The key and the value of `key=value`. UserError if it is nothing of the kind."""
    key, sign, given = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"{text!r} is not an override. Write key=value, for example train.steps=500.")
    return key.strip(), value(given, text)


def value(text: str, whole: str = "") -> Any:
    """What a value on the command line means, read as YAML; nothing means null. `whole`: the word it stands in."""
    try:
        return _Reader(text).get_single_data() if text else None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"The value in {(whole or text)!r} is not valid YAML: {problem}") from error


def _override(tree: dict[str, Any], text: str) -> None:
    key, given = setting(text)
    *parents, last = key.split(".")
    here, default = tree, Config().model_dump()
    for name in parents:
        default = default.get(name) or {}
        inner = here.get(name, default if name in PARTS else None)
        if name in PARTS and isinstance(inner, str):
            inner = {"part": inner}
        default = default if isinstance(default, dict) else {}
        here[name] = dict(inner) if isinstance(inner, dict) else {}
        here = here[name]
    here[last] = given


def _explain(errors: list[Any]) -> str:
    """A sentence for every setting that is wrong. A union complains once for each branch: those are joined by "or"."""
    sentences: dict[str, str] = {}
    for item in errors:
        key, field, valid = _setting([str(name) for name in item["loc"]])
        problem = item["msg"].removeprefix("Input ")
        if field is None:
            sentences[key] = f"There is no setting {key!r}. {suggest(key.rpartition('.')[2], valid)}"
        elif key in sentences:
            sentences[key] = f"{sentences[key][:-1]} or {problem.removeprefix('should be ')}."
        else:
            hint = f" ({field.description})" if field.description else ""
            sentences[key] = f"{key} = {item['input']!r}{hint}: {problem[0].lower()}{problem[1:]}."
    return " ".join(sentences.values())


def _setting(path: list[str]) -> tuple[str, FieldInfo | None, list[str]]:
    """The setting that an error's path names, its field if it exists, and the names that are valid where it stands."""
    node: type[BaseModel] = Config
    for depth, name in enumerate(path, 1):
        field = node.model_fields.get(name)
        inner = field.annotation if field else None
        if depth == len(path) or not (isinstance(inner, type) and issubclass(inner, Node)):
            return ".".join(path[:depth]), field, list(node.model_fields)
        node = inner
    return "", None, list(node.model_fields)
