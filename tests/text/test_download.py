"""url: sources against a web server on this machine: cached, checked, resumed, and clear when they fail."""

import errno
import hashlib
import multiprocessing
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from firsthand.errors import DamagedError, UserError
from firsthand.text import download
from firsthand.text.sources import read

DATA = "".join(f"line {i} of a text worth fetching\n" for i in range(20_000)).encode()
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FIRSTHAND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "downloads"


@pytest.fixture
def source(web):
    web.files["/data/a%20text.txt"] = DATA
    return f"{web.address}/data/a%20text.txt#sha256={HASH}"


def parts(cache: Path) -> list[Path]:
    return list(cache.glob("*.part"))


def test_it_is_fetched_once(source, web, cache):
    documents = [list(read(f"url:{source}")) for _ in range(2)]
    assert documents[0] == documents[1]
    assert documents[0][0].text.encode() == DATA
    assert (documents[0][0].name, documents[0][0].source) == ("a text.txt", f"url:{source}")
    assert web.log == [("/data/a%20text.txt", None)]
    assert not parts(cache)


def test_a_broken_transfer_is_taken_up_where_it_stopped(source, web, cache):
    web.breaks = [1000, 300_000]
    assert download.fetch(source, pause=0.0).read_bytes() == DATA
    assert [asked for _, asked in web.log] == [None, "bytes=1000-", "bytes=301000-"]


def test_the_next_call_resumes_as_well(source, web, cache):
    web.breaks = [100, *[0] * (download.ATTEMPTS - 1)]
    with pytest.raises(UserError, match=r"the connection ended too early.*run the same command again\. 100 bytes are"):
        download.fetch(source, pause=0.0)
    web.log.clear()
    assert download.fetch(source, pause=0.0).read_bytes() == DATA
    assert web.log == [("/data/a%20text.txt", "bytes=100-")]


def test_a_server_without_ranges_sends_everything_again(source, web):
    web.breaks, web.ranges = [1000], False
    assert download.fetch(source, pause=0.0).read_bytes() == DATA
    assert len(web.log) == 2


def test_a_complete_part_is_not_fetched_again(source, web, cache):
    path = download.fetch(source)
    path.rename(path.with_name(path.name + ".part"))
    assert download.fetch(source).read_bytes() == DATA
    assert [asked for _, asked in web.log] == [None, f"bytes={len(DATA)}-"]


@pytest.mark.parametrize("wrong", [b"something else", DATA + b"and more"])
def test_a_part_of_another_file_is_thrown_away(source, web, cache, wrong):
    path = download.fetch(source)
    path.unlink()
    path.with_name(path.name + ".part").write_bytes(wrong)
    assert download.fetch(source).read_bytes() == DATA


def test_an_altered_cached_file_is_fetched_again(source, web):
    path = download.fetch(source)
    path.write_bytes(DATA[:-1] + b"?")
    assert download.fetch(source).read_bytes() == DATA
    assert len(web.log) == 2


def test_a_wrong_hash_is_damage_and_keeps_nothing(source, web, cache):
    web.files["/data/a%20text.txt"] = b"changed"
    with pytest.raises(DamagedError, match=rf"is not the file it should be: its SHA-256 is \w+, not {HASH}"):
        download.fetch(source)
    assert {path.suffix for path in cache.iterdir()} == {".lock"}


def test_busy_servers_are_asked_again_but_not_forever(source, web):
    web.errors = [503, 500]
    assert download.fetch(source, pause=0.0).read_bytes() == DATA
    web.errors = [503] * download.ATTEMPTS
    with pytest.raises(UserError, match="the server answered 503"):
        download.fetch(f"{web.address}/other.txt#sha256={'0' * 64}", pause=0.0)


def test_a_missing_file_is_said_at_once(web):
    with pytest.raises(UserError, match=r"Could not fetch http.*/none\.txt: the server answered 404 Not Found\. Check"):
        download.fetch(f"{web.address}/none.txt#sha256={HASH}")
    assert len(web.log) == 1


def test_no_network_is_said_in_one_paragraph(web):
    port = web.address.rpartition(":")[2]
    for host in (f"127.0.0.1:{int(port) - 1}", "no-such-host.invalid"):
        with pytest.raises(
            UserError, match=rf"Could not fetch http://{host}/a\.txt: .*Check the address and the"
        ) as error:
            download.fetch(f"http://{host}/a.txt#sha256={HASH}")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("https://host/a.txt", "needs the file's SHA-256"),
        ("https://host/a.txt#sha256=1234", "64 hexadecimal digits"),
        ("ftp://host/a.txt#sha256=" + "0" * 64, "is not a web address"),
    ],
)
def test_addresses_that_are_not_usable(source, says):
    with pytest.raises(UserError, match=says):
        next(read(f"url:{source}"))


def test_an_unknown_format_is_refused_after_all(web):
    web.files["/a.csv"] = DATA
    with pytest.raises(UserError, match=r"has the extension \.csv"):
        next(read(f"url:{web.address}/a.csv#sha256={HASH}"))


def test_a_full_disk_names_the_file(source, monkeypatch, cache):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "_progress", lambda url: _Always(full))
    with pytest.raises(OSError, match=r"No space left on device: '.*-a text\.txt\.part'"):
        download.fetch(source)


class _Always:
    def __init__(self, progress: object) -> None:
        self.progress = progress

    def __enter__(self) -> object:
        return self.progress

    def __exit__(self, *_: object) -> None:
        pass


def fetch_in_another_process(source: str) -> bytes:
    return download.fetch(source, pause=0.0).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_processes_that_start_together_fetch_once(source, web):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert set(pool.map(fetch_in_another_process, [source] * 3)) == {DATA}
    assert len(web.log) == 1


def test_progress_is_shown_on_a_terminal_only(source, monkeypatch, capsys):
    download.fetch(source)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with download._progress("http://host/big.txt") as progress:
        progress(500, 1000)
        progress(1000, None)
    assert "big.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/firsthand"),
        ("linux", {"XDG_CACHE_HOME": "", "HOME": "/home/a"}, "/home/a/.cache/firsthand"),
        ("darwin", {"HOME": "/Users/a"}, "/Users/a/Library/Caches/firsthand"),
        ("win32", {"LOCALAPPDATA": "/c/local"}, "/c/local/firsthand"),
    ],
)
def test_the_users_cache_folder(platform, environment, folder, monkeypatch):
    monkeypatch.delenv("FIRSTHAND_CACHE")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(download, "sys", SimpleNamespace(platform=platform))
    assert download.cache() == Path(folder)
