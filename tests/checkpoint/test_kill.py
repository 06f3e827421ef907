"""Real processes that die or are refused in the middle of saving (R3, R5, R7)."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="needs POSIX processes")

# One process imports torch once; each trial is a fork of it that saves until it dies.
SCRIPT = '''
import errno, json, os, random, resource, signal, sys, time
from pathlib import Path
import torch
from firsthand import checkpoint
from firsthand.checkpoint import files

base = Path(sys.argv[2])

def state(step):
    return {"w": torch.full((500, 40), float(step)), "b": torch.arange(7) + step}

def save(root, step):
    checkpoint.save(root, step, state(step), {"w.m": state(step)["w"] * 2}, {"step": step}, {}, b"{}")

def whole(loaded):
    step = loaded.step
    return loaded.loop == {"step": step} and all(torch.equal(loaded.model[k], v) for k, v in state(step).items())

def forked(work):
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(9)

def strays(root):
    return [name for name in os.listdir(root) if name.startswith((".tmp", "old", "bad"))]

def kills():
    root, luck, said, results = base / "kills", random.Random(5), [], []
    save(root, 1)
    for trial in range(10):
        first = checkpoint.latest(root, said.append).step
        reader, writer = os.pipe()
        def work():
            step = first
            while True:
                step += 1
                save(root, step)
                os.write(writer, b".")
        child = forked(work)
        os.close(writer)
        done = first + len(os.read(reader, 1))  # it has saved at least once; now at any moment
        time.sleep(luck.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        code = os.waitpid(child, 0)[1]
        done += len(os.read(reader, 65536))
        os.close(reader)
        loaded = checkpoint.latest(root, said.append)
        results.append([code == signal.SIGKILL, whole(loaded), loaded.step - done in (0, 1), strays(root) == []])
    return {"results": results, "said": said}

class Deadly:
    """Stands for os; the process ends after so many operations."""
    def __init__(self, left):
        self.left = left
    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ("open", "write", "fsync", "mkdir", "replace", "unlink", "rmdir"):
            return real
        def counted(*arguments, **more):
            if self.left == 0:
                os._exit(77)
            self.left -= 1
            return real(*arguments, **more)
        return counted

def exits():
    results = []
    for count in range(0, 200, 3):
        root = base / f"exit-{count}"
        save(root, 1)
        save(root, 2)
        def work():
            files.os = Deadly(count)
            save(root, 3)
        code = os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1])
        loaded = checkpoint.latest(root)
        results.append([code, whole(loaded), loaded.step, strays(root)])
        if code == 0:
            break
    return results

def limit():
    results = []
    for size in (0, 1, 1000, 50000, 80100):
        root = base / f"limit-{size}"
        save(root, 1)
        def work():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            try:
                save(root, 2)
            except OSError as error:
                os._exit(40 + (error.errno == errno.EFBIG and "was not saved" in str(error)))
        code = os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1])
        left = sorted(os.listdir(root))
        loaded = checkpoint.latest(root)
        results.append([code, whole(loaded), loaded.step, [name for name in left if name.startswith(".tmp")]])
    return results

print(json.dumps({"kills": kills, "exits": exits, "limit": limit}[sys.argv[1]]()))
'''


def trial(name, folder):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_r05_sigkill_at_any_moment_of_saving(tmp_path):
    told = trial("kills", tmp_path)
    assert told["said"] == []
    for was_killed, is_whole, is_newest, is_clean in told["results"]:
        assert was_killed
        assert is_whole
        assert is_newest
        assert is_clean
    assert len(told["results"]) == 10


def test_r03_a_process_that_ends_after_any_operation(tmp_path):
    told = trial("exits", tmp_path)
    assert len(told) > 8
    assert {code for code, *_ in told[:-1]} == {77}
    assert told[-1][0] == 0
    assert all(is_whole and stray == [] for _, is_whole, _, stray in told)
    steps = [step for _, _, step, _ in told]
    assert steps == sorted(steps)
    assert set(steps) == {2, 3}


def test_r07_a_limit_on_the_size_of_files(tmp_path):
    told = trial("limit", tmp_path)
    assert told == [[41, True, 1, []]] * 5
