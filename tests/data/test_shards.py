"""Tokens on disk: what is written is what is read, across shards, and damage is found."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.data.index import own_hash
from firsthand.data.shards import Tokens
from firsthand.data.write import write_shards
from firsthand.errors import DamagedError, UserError


def documents(count=20, vocab_size=300, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(1, vocab_size, generator.integers(0, 40)) for _ in range(count)]


def whole(texts, end=0):
    return np.concatenate([np.append(text, end) for text in texts])


def test_what_is_written_is_what_is_read(tmp_path):
    texts = documents()
    tokens = write_shards(iter(texts), tmp_path / "t", 300, 0, "abc", (f"play {n}\n" for n in range(20)))
    for one in (tokens, Tokens.open(tmp_path / "t"), Tokens.open(tmp_path / "t", verify=True, in_memory=0)):
        assert np.array_equal(one.slice(0, len(one)), whole(texts))
        assert (one.vocab_size, one.end_of_text, one.fingerprint) == (300, 0, "abc")
        assert one.names == [f"play {n}\n" for n in range(20)]
        lengths = [len(text) + 1 for text in texts]
        assert one.document_starts.tolist() == [0, *np.cumsum(lengths)[:-1]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_slices_and_gathers_across_shards_are_those_of_the_whole(tmp_path_factory, data):
    texts = documents(data.draw(st.integers(1, 12)), seed=data.draw(st.integers(0, 99)))
    size = data.draw(st.integers(1, 50))
    folder = tmp_path_factory.mktemp("shards") / "t"
    write_shards(texts, folder, 300, 0, shard_tokens=size)
    tokens, expected = Tokens.open(folder, in_memory=0), whole(texts)
    start, stop = sorted(data.draw(st.integers(0, len(expected))) for _ in range(2))
    assert np.array_equal(tokens.slice(start, stop), expected[start:stop])
    places = np.array(data.draw(st.lists(st.integers(0, len(expected) - 1), min_size=6, max_size=6))).reshape(2, 3)
    assert np.array_equal(tokens.gather(places), expected[places])
    document = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    assert np.array_equal(tokens.documents_at(places), document[places])


def test_no_shard_is_longer_than_asked(tmp_path):
    write_shards(documents(), tmp_path / "t", 300, 0, shard_tokens=64)
    sizes = [len(np.load(path, allow_pickle=False)) for path in sorted((tmp_path / "t").glob("tokens-*.npy"))]
    assert set(sizes[:-1]) == {64}
    assert 0 < sizes[-1] <= 64


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2, "<u2"), (65536, "<u2"), (65537, "<u4")])
def test_ids_take_two_bytes_where_that_is_enough(tmp_path, vocab_size, dtype):
    tokens = write_shards([np.array([0, vocab_size - 1])], tmp_path / "t", vocab_size, None)
    assert tokens.slice(0, 2).tolist() == [0, vocab_size - 1]
    assert np.load(tmp_path / "t" / "tokens-00000.npy").dtype == np.dtype(dtype)


@pytest.mark.parametrize("wrong", [300, -1, 2**40])
def test_an_id_out_of_range_is_named_and_nothing_is_left(tmp_path, wrong):
    with pytest.raises(UserError, match=rf"Document 1 holds the token id {wrong}; .* from 0 to 299"):
        write_shards([np.array([1]), np.array([2, wrong])], tmp_path / "t", 300, 0)
    assert os.listdir(tmp_path) == []


def test_no_tokens_is_an_error(tmp_path):
    for nothing in ([], [np.array([], np.int64)]):
        with pytest.raises(UserError, match="the text is empty"):
            write_shards(nothing, tmp_path / "t", 300, None)
    assert os.listdir(tmp_path) == []


def test_a_failure_on_the_way_leaves_what_was_there(tmp_path):
    def broken():
        yield np.array([1])
        raise RuntimeError("the source went away")

    write_shards([np.array([7])], tmp_path / "t", 300, None)
    with pytest.raises(RuntimeError, match="went away"):
        write_shards(broken(), tmp_path / "t", 300, None)
    assert os.listdir(tmp_path) == ["t"]
    assert Tokens.open(tmp_path / "t", verify=True).slice(0, 1).tolist() == [7]


def test_shards_are_replaced_but_nothing_else_is(tmp_path):
    write_shards([np.array([7])], tmp_path / "t", 300, None)
    tokens = write_shards([np.array([8, 9])], tmp_path / "t", 300, None)
    assert tokens.slice(0, 2).tolist() == [8, 9]
    assert os.listdir(tmp_path) == ["t"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "mine", tmp_path / "file"):
        with pytest.raises(UserError, match="holds something else than token shards"):
            write_shards([np.array([7])], path, 300, None)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_is_filled(tmp_path):
    assert len(write_shards([np.array([7])], tmp_path, 300, None)) == 1


def test_names_must_be_as_many_as_documents(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write_shards([np.array([1]), np.array([2])], tmp_path / "t", 9, None, names=["one"])


FILES = ["tokens-00000.npy", "tokens-00001.npy", "documents.npy", "names.jsonl", "index.json"]


@pytest.fixture
def folder(tmp_path):
    texts = documents()
    write_shards(texts, tmp_path / "t", 300, 0, names=map(str, range(20)), shard_tokens=len(whole(texts)) - 9)
    assert sorted(os.listdir(tmp_path / "t")) == sorted(FILES)
    return tmp_path / "t"


@pytest.mark.parametrize("name", FILES)
def test_r04_an_altered_byte_is_found(folder, name):
    luck, path = random.Random(name), folder / name
    original = path.read_bytes()
    for _ in range(50):
        place = luck.randrange(len(original))
        path.write_bytes(original[:place] + bytes([original[place] ^ 1 << luck.randrange(8)]) + original[place + 1 :])
        with pytest.raises(DamagedError):
            Tokens.open(folder, verify=True)
    path.write_bytes(original)
    Tokens.open(folder, verify=True)


@pytest.mark.parametrize("name", FILES[:-1])
def test_r04_sizes_are_checked_always(folder, name):
    path = folder / name
    original = path.read_bytes()
    for content in (original[:-1], b"", original + b"\0"):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="bytes long, it was written with"):
            Tokens.open(folder)
    path.unlink()
    with pytest.raises(DamagedError, match=f"{name} is missing"):
        Tokens.open(folder)


def rewrite_index(folder, change):
    """As someone would who can also make the hashes fit."""
    index = json.loads((folder / "index.json").read_text())
    change(index)
    index["self"] = own_hash(index)
    (folder / "index.json").write_text(json.dumps(index))


def test_an_index_that_names_files_elsewhere_is_refused(folder):
    for name in ("../other.npy", "/etc/passwd", ".hidden", "tokens-1.npy/x"):
        index = (folder / "index.json").read_text()
        rewrite_index(folder, lambda index, name=name: index["files"].update({name: {"bytes": 1, "sha256": ""}}))
        with pytest.raises(DamagedError, match="that no writer of ours makes"):
            Tokens.open(folder)
        (folder / "index.json").write_text(index)


def test_an_index_of_another_length_is_refused(folder):
    rewrite_index(folder, lambda index: index.update(tokens=index["tokens"] + 1))
    with pytest.raises(DamagedError, match="another number of tokens"):
        Tokens.open(folder)


def test_another_schema_is_told_apart_from_damage(folder):
    rewrite_index(folder, lambda index: index.update(schema="firsthand.tokens/9"))
    with pytest.raises(UserError, match="this version reads") as caught:
        Tokens.open(folder)
    assert not isinstance(caught.value, DamagedError)


def test_a_pickle_in_place_of_an_array_is_never_opened(folder):
    array = np.array([{"a": 1}], dtype=object)
    np.save(folder / "documents.npy", array, allow_pickle=True)
    size = (folder / "documents.npy").stat().st_size
    rewrite_index(folder, lambda index: index["files"]["documents.npy"].update(bytes=size))
    with pytest.raises(DamagedError, match="not a readable NPY file"):
        Tokens.open(folder)


@pytest.mark.parametrize("array", [np.zeros((2, 3), np.int64), np.zeros(4)])
def test_an_array_of_another_kind_is_refused(folder, array):
    np.save(folder / "documents.npy", array)
    size = (folder / "documents.npy").stat().st_size
    rewrite_index(folder, lambda index: index["files"]["documents.npy"].update(bytes=size))
    with pytest.raises(DamagedError, match="not a row of ids"):
        Tokens.open(folder)


def test_what_is_no_folder_of_shards_is_said_so(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Tokens.open(tmp_path / "absent")
    with pytest.raises(UserError, match="is not a folder of token shards"):
        Tokens.open(tmp_path)


def test_large_corpora_are_mapped_small_ones_loaded(tmp_path):
    write_shards([np.arange(1000)], tmp_path / "t", 1000, None, shard_tokens=300)
    assert not isinstance(Tokens.open(tmp_path / "t").slice(0, 9), np.memmap)
    assert isinstance(Tokens.open(tmp_path / "t", in_memory=1999).slice(0, 9), np.memmap)


def test_tokens_in_memory():
    tokens = Tokens.of(np.array([5, 6, 7, 8]), np.array([0, 3]))
    assert len(tokens) == 4
    assert tokens.vocab_size == 9
    assert tokens.names == []
    assert tokens.documents_at(np.array([0, 2, 3])).tolist() == [0, 0, 1]
    assert tokens.slice(2, 2).tolist() == []
    assert Tokens.of(np.array([], np.uint16)).vocab_size == 1


MEMORY = """
import resource, sys
import numpy as np
from firsthand.data.write import write_shards
block = np.arange(50_000) % 60_000
def peak(count):
    write_shards((block for _ in range(count)), sys.argv[1], 60_000, 0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small = peak(20)
print(peak(1000) - small)
"""


def test_writing_takes_no_more_memory_for_fifty_times_the_text(tmp_path):
    pytest.importorskip("resource", reason="needs POSIX to ask for memory")
    # reading it back maps or loads it, so the peak is taken with the limit for loading at nothing
    code = "import firsthand.data.shards as s; s.IN_MEMORY = 0; s.Tokens.open = lambda dir: None\n" + MEMORY
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "t")], capture_output=True, text=True, check=True)
    grown = int(done.stdout) * (1024 if sys.platform == "linux" else 1)
    assert grown < 8 << 20, "100 MB of tokens were written"
