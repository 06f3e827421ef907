"""Each check finds the fault it is there for, and says so in words; a sound part keeps every promise."""

from pathlib import Path

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by, run
from firsthand.contracts.part import Part

PARTS = Path(__file__).parents[1] / "parts"


def part(slot, name):
    spec, traced = f"{PARTS / slot}s.py:{name}", ("Sound", "AttributeSlip", "AsksNumbers")
    beside = tuple(f"{PARTS / slot}s.py:{other}" for other in traced) if name in traced and slot == "mixer" else ()
    return Part(slot, spec, beside=beside)  # one process compiles all three


MIXERS = [
    ("NoState", "interface", "It has no method initial_state(batch, length)."),
    ("NoPlace", "interface", "Its method is forward(x, state=None), and is called with (x, place, state=None)."),
    ("NoModule", "interface", "It makes a NoModule, which is no torch.nn.Module."),
    ("NoPair", "shapes", "forward returned one Tensor instead of the pair (y, state)."),
    ("Swapped", "shapes", "The output is (batch, d_model, time): the last two axes are swapped."),
    ("OneShort", "shapes", "The output is (2, 16, 24): axis 1 (time) is 16 long instead of 17."),
    ("SinglePrecision", "shapes", "For inputs in float64 the output is in float32."),
    ("NotANumber", "shapes", "Of 17 tokens, output 0 (row 0) holds NaN or infinity."),
    ("Talkative", "shapes", "Given no state it returned one, a dict."),
    ("LooksAhead", "causality", "Output 4 changed when only token 8 was changed: it looks 4 tokens ahead"),
    ("KnowsTheLength", "prefix", "it depends on the length of the text."),
    ("Deaf", "past", "Output 1 did not change when token 0 was changed: it does not know what stood 1 token back."),
    ("Short", "past", "Its attribute `window` says 1, and output 1 changed when token 0 was changed."),
    ("Far", "past", "Output 2 did not change when token 0 was changed"),
    ("SeesDocuments", "documents", "Output 5, of document 1, changed when only document 0 was changed"),
    ("GoesByColumn", "documents", "Document 1 of a packed row is not what it is alone: output 5 differs by"),
    ("GoesOnAcross", "documents", "Read in pieces of [5, 2, 129] tokens, document 1 is not what it is alone"),
    ("SeesPadding", "padding", "Behind 3 columns of padding, read at once, output 0 differs by"),
    ("MixesRows", "rows", "Row 0 alone gives another output 0 than among three rows"),
    ("Forgets", "decoding", "At step 1 (of 13, this one of 1 token) output 1 differs by"),
    ("Imprecise", "decoding", "A difference this small is fp32's"),
    ("KeepsTheLast", "memory", "After reading two texts it keeps something new: last."),
    ("OneForAll", "memory", "Two conversations in turn got mixed"),
    ("Boaster", "state_size", "A new state for 2 rows of 1 token holds 48 numbers, and state_size says 2."),
    ("Grows", "state_size", "After the last token the state for 2 rows of 1 token holds 96 numbers"),
    ("AllHeads", "heads", "It raised ValueError: 1 heads are too few."),
    ("Detached", "gradients", "With 4 tokens the gradient is not the slope of the output"),
    ("Idle", "learning", "No gradient reached idle in 3 steps."),
    ("BothZero", "learning", "No gradient reached left, right in 3 steps."),
    ("RandomTable", "saving", "gave another output. The buffer table is not the same in both."),
    ("ChangesInputs", "inputs", "x was changed in place."),
    ("Coarse", "bf16", "In half precision (cast to bf16, 7 tokens) outputs are off by"),
    ("FixedTable", "bf16", "With weights and inputs in bfloat16 it returned float32."),
    ("Unwritten", "poison", "With NaN in freshly allocated memory the output is another one."),
    ("UnwrittenState", "poison", "With NaN in freshly allocated memory"),
    ("Noisy", "repeatable", "In evaluation mode the same input gave two different outputs."),
    ("DropsAlways", "repeatable", "In evaluation mode dropout=0.5 gives other outputs than dropout=0."),
    ("DropsNever", "repeatable", "It takes dropout=0.5 and drops nothing in training."),
    ("AsksNumbers", "compile", "torch.compile raised"),
]


@pytest.mark.parametrize(("name", "check", "words"), MIXERS, ids=lambda value: value if value.isidentifier() else "")
def test_the_fault_of_a_mixer_is_found_and_named(name, check, words):
    broken = broken_by(part("mixer", name), check)
    assert broken is not None
    assert words in str(broken)
    assert str(broken).count("\n") == 2
    assert all((broken.what, broken.why, broken.todo))


FFNS = [
    ("NoPair", "shapes", "forward returned one Tensor instead of the pair (y, extra_loss)."),
    ("LongLoss", "shapes", "The extra loss of shape (3, 17) is no scalar tensor."),
    ("InfiniteLoss", "shapes", "The extra loss is inf."),
    (
        "SeesTheNext",
        "tokens",
        "Output 2 of row 1 changed when only token 3 of row 1 was changed: it sees what",
    ),
    ("SeesOtherRows", "tokens", "Output 3 of row 0 changed when only token 3 of row 1 was changed"),
    ("Blind", "tokens", "The output of a token did not change with the token."),
    ("Straight", "bend", "it is a linear map."),
]
NORMS = [
    ("OfAllTokens", "tokens", "Output 0 of row 0 changed"),
    ("Grows", "scale", "Inputs of about 10 gave outputs of about 9.9"),
    ("Squeezes", "invariance", "Inputs a hundred times as large changed the outputs by"),
    ("Modest", "invariance", "It says scale_invariant = False, and the scale of its inputs did not matter."),
    ("DividesByZero", "shapes", "Of 17 tokens, output 0 (row 0) holds NaN or infinity."),
    ("Overflows", "large", "Inputs of 1000 in fp16 came out as nearly nothing."),
    ("NoGain", "gain", "It has no parameter `gain` of d_model ones."),
    ("GainFirst", "gain", "Twice the gain did not give twice the output."),
]
POSITIONS = [
    ("NoBias", "interface", "It has no method bias(query_index, key_index)."),
    ("NoContext", "interface", "It has no attribute context_length."),
    ("SwapsHeads", "shapes", "(batch, time, heads, d_head): axes [1, 2] are swapped."),
    ("OtherDtype", "shapes", "rotate returned float32 for heads in float64."),
    ("FlatBias", "shapes", "bias(query_index, key_index) is (5, 9) for scores of"),
    ("GoesByColumn", "index", "Embed treats token 4 otherwise when it is alone."),
    ("FirstHeadOnly", "heads", "A head is turned otherwise among five than alone."),
    ("Slip", "places", "embed, rotate and bias all ignore the index."),
    ("NotBlind", "places", "It says blind = True, and tells places apart."),
    ("NoEnd", "end", "It knows 256 places, and position 256 was not refused with a UserError."),
    ("SpeaksOfNothing", "end", "At position 256 it said: too far"),
]


@pytest.mark.parametrize(
    ("slot", "name", "check", "words"),
    [(slot, *case) for slot, cases in (("ffn", FFNS), ("norm", NORMS), ("position", POSITIONS)) for case in cases],
    ids=lambda value: value if value.isidentifier() else "",
)
def test_the_fault_of_another_part_is_found_and_named(slot, name, check, words):
    broken = broken_by(part(slot, name), check)
    assert broken is not None
    assert words in str(broken)
    assert all((broken.what, broken.why, broken.todo))


def test_a_sound_mixer_keeps_every_promise():
    findings = list(run(part("mixer", "Sound")))
    assert [finding.check for finding in findings] == list(BATTERIES["mixer"])
    assert {finding.check: finding.what for finding in findings if not finding.passed} == {}


@pytest.mark.parametrize("slot", [slot for slot in BATTERIES if slot != "mixer"])
def test_another_sound_part_keeps_every_promise(slot):
    """But that of the compiler, which takes seconds; the parts of the tables are asked it."""
    found = {check: broken_by(part(slot, "Sound"), check) for check in BATTERIES[slot] if check != "compile"}
    assert {check: str(broken) for check, broken in found.items() if broken} == {}


def test_every_check_has_a_fault_that_it_finds():
    common = {"gradients", "learning", "saving", "inputs", "bf16", "poison", "repeatable", "compile"}
    for slot, cases in (("mixer", MIXERS), ("ffn", FFNS), ("norm", NORMS), ("position", POSITIONS)):
        untested = set(BATTERIES[slot]) - {check for _, check, _ in cases}
        assert untested <= (set() if slot == "mixer" else common | {"interface", "attention"}), slot
    assert common <= {check for _, check, _ in MIXERS}


@pytest.mark.parametrize(("name", "check"), [("OneZero", "learning"), ("Shift", "past"), ("Shift", "decoding")])
def test_what_is_no_fault_passes(name, check):
    """A factor that begins at zero, and a window that is as long as it says."""
    assert broken_by(part("mixer", name), check) is None


def test_what_the_compiler_cannot_trace_has_its_line():
    broken = broken_by(part("mixer", "AsksNumbers"), "compile")
    assert broken.what.startswith("torch.compile raised UserError")
    assert broken.where == f"mixers.py:{_line_of('float(x.sum())')}"


def _line_of(code):
    lines = (PARTS / "mixers.py").read_text().splitlines()
    return next(number for number, text in enumerate(lines, 1) if code in text)


def test_an_exception_is_told_once_with_its_line():
    findings = {finding.check: finding for finding in run(part("mixer", "AttributeSlip"))}
    assert findings["interface"].passed
    assert findings["shapes"].what.startswith(
        "It raised AttributeError: 'AttributeSlip' object has no attribute 'gain'"
    )
    assert findings["shapes"].where == f"mixers.py:{_line_of('self.gain')}"
    assert not findings["causality"].passed
    assert findings["causality"].what == "Not reached: the error of `shapes` comes first."


def test_the_sizes_of_the_spec_are_those_of_the_check():
    spec = {"part": f"{PARTS / 'mixers.py'}:Sound", "d_model": 10}
    assert broken_by(Part("mixer", spec), "shapes") is None
