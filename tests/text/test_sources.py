"""Sources: names, files, folders, globs, URLs, lists; each found, or a clear error."""

import sys
import types

import pytest

from firsthand.errors import UserError
from firsthand.text.clean import CLEANERS
from firsthand.text.sources import SOURCES, read


@pytest.fixture
def corpus(tmp_path):
    for name, text in {
        "b.txt": "bee",
        "a.md": "ay",
        "sub/c.jsonl": '{"text": "sea"}',
        "sub/deep/d.txt": "dee",
        "ignored.csv": "1,2",
        ".hidden/e.txt": "hidden",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def found(source: str | list[str]) -> dict[str, str]:
    documents = list(read(source))
    assert len({document.name for document in documents}) == len(documents)
    return {document.name: document.text for document in documents}


@pytest.mark.parametrize("name", SOURCES)
def test_named_sources(name):
    documents = list(read(name))
    assert len({document.name for document in documents}) == len(documents)
    assert {document.source for document in documents} == {name}
    assert SOURCES[name].about
    assert set(SOURCES[name].clean) <= set(CLEANERS)


def test_a_folder_gives_all_that_can_be_read(corpus):
    assert list(found(str(corpus)).items()) == [
        *(("a.md", "ay"), ("b.txt", "bee"), ("sub/c.jsonl:1", "sea"), ("sub/deep/d.txt", "dee"))
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", {"b.txt"}),
        ("**/*.txt", {"b.txt", "sub/deep/d.txt"}),
        ("sub/[a-d].jsonl", {"c.jsonl:1"}),
        ("?.m?", {"a.md"}),
    ],
)
def test_globs(corpus, pattern, names):
    assert set(found(f"{corpus}/{pattern}")) == names


def test_paths_relative_to_here_and_home(corpus, monkeypatch):
    monkeypatch.chdir(corpus)
    monkeypatch.setenv("HOME", str(corpus))
    assert found("b.txt") == found("./b.txt") == found("~/b.txt") == {"b.txt": "bee"}
    assert set(found("sub/*.jsonl")) == {"c.jsonl:1"}
    assert set(found("*.txt")) == {"b.txt"}


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "a[1].txt").write_text("one")
    assert found(str(tmp_path / "a[1].txt")) == {"a[1].txt": "one"}


def test_a_list_reads_one_after_the_other(corpus):
    assert list(found([str(corpus / "sub"), str(corpus / "b.txt")])) == ["c.jsonl:1", "deep/d.txt", "b.txt"]


def test_reading_is_lazy(tmp_path):
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "b.txt").write_bytes(b"\xff")
    documents = read(str(tmp_path))
    assert next(documents).text == "first"
    with pytest.raises(UserError, match="not UTF-8"):
        next(documents)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("shakespere", "There is no source 'shakespere', and no such file. Did you mean 'shakespeare'"),
        ("no/such/file.txt", r"There is no file or folder no/such/file\.txt \(looked for /"),
        ("no/such/*.txt", r"No file matches no/such/\*\.txt \(looked under /.*such\)"),
        ("hf:name?splt=train", "no option 'splt'. Did you mean 'split'"),
        ([], "empty list"),
        (" ", "data.source is empty"),
    ],
)
def test_what_cannot_be_found_is_an_error_at_once(source, says):
    with pytest.raises(UserError, match=says):
        next(read(source))


def test_folders_with_nothing_to_read(tmp_path):
    with pytest.raises(UserError, match="has no file to read: it is empty"):
        read(str(tmp_path))
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "LICENSE").write_text("mine")
    with pytest.raises(UserError, match=r"its files have \.csv, no extension"):
        read(str(tmp_path))
    (tmp_path / "e.txt").write_text("")
    with pytest.raises(UserError, match="is empty: there is no text in it"):
        list(read(str(tmp_path)))


def test_a_glob_of_unknown_files_says_so(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    with pytest.raises(UserError, match=r"a\.csv has the extension \.csv"):
        read(f"{tmp_path}/*.csv")


@pytest.fixture
def memory():
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe({"/corpus/a.txt": b"ay", "/corpus/sub/b.jsonl": b'{"text": "bee"}', "/corpus/c.bin": b"\x00"})
    yield system
    system.rm("/corpus", recursive=True)


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("memory://corpus/a.txt", {"a.txt"}),
        ("memory://corpus", {"a.txt", "sub/b.jsonl:1"}),
        ("memory://corpus/*.txt", {"a.txt"}),
        ("memory://corpus/**/*.jsonl", {"sub/b.jsonl:1"}),
    ],
)
def test_urls_through_fsspec(memory, url, names):
    assert set(found(url)) == names


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://corpus/none.txt", "There is nothing at memory://corpus/none.txt"),
        ("memory://corpus/*.md", r"No file matches memory://corpus/\*\.md"),
        ("memory://corpus/c.bin", "has the extension .bin"),
        ("nonsense://bucket/a.txt", "Could not reach nonsense://bucket/a.txt"),
        ("sftp://host/a.txt", "needs a further package"),
    ],
)
def test_urls_that_fail(memory, url, says):
    with pytest.raises(UserError, match=says):
        read(url)


def test_without_fsspec_the_user_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UserError, match=r"needs fsspec. Install it: pip install 'firsthand\[data\]'"):
        read("s3://bucket/a.txt")


def test_a_web_address_through_fsspec(web):
    web.files["/sub/a.txt"] = b"from the web"
    assert found(f"{web.address}/sub/a.txt?version=2") == {"a.txt": "from the web"}
    with pytest.raises(UserError, match="There is nothing at"):
        read(f"{web.address}/none.txt")


class FakeDatasets(types.ModuleType):
    """Stands for `datasets`, which is an extra: the four calls that we make of it."""

    def __init__(self, rows):
        super().__init__("datasets")
        self.rows, self.asked = rows, None

    def load_dataset(self, name, config, split, streaming):
        self.asked = (name, config, split, streaming)
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows


def test_the_hub_streams(monkeypatch):
    fake = FakeDatasets([{"text": "one", "n": 1}, {"text": None, "n": 2}, {"text": "three", "n": 3}])
    monkeypatch.setitem(sys.modules, "datasets", fake)
    assert found("hf:owner/tales?config=en&split=test") == {"test:0": "one", "test:1": "", "test:2": "three"}
    assert fake.asked == ("owner/tales", "en", "test", True)
    assert next(read("hf:owner/tales")).name == "train:0"
    with pytest.raises(UserError, match=r"hf:owner/tales has no field 'body'\. .*Valid here: n, text"):
        next(read("hf:owner/tales", "body"))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (ConnectionError("no route\nto host"), "Could not open hf:owner/tales: no route to host. Check the name"),
        (ValueError("Unknown split"), "Unknown split"),
        ([], "hf:owner/tales is empty"),
    ],
)
def test_the_hub_fails_clearly(monkeypatch, rows, says):
    monkeypatch.setitem(sys.modules, "datasets", FakeDatasets(rows))
    with pytest.raises(UserError, match=says):
        next(read("hf:owner/tales"))


def test_without_datasets_the_user_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'firsthand\[hf\]'"):
        next(read("hf:owner/tales"))
