"""What every test shares: shapes are checked, one thread a process, and the development data where it exists."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import jaxtyping
import pytest

jaxtyping.install_import_hook("firsthand", "beartype.beartype")

# No test may fail on a clock, or find today what it did not find yesterday.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the development corpora, which the project itself never needs."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development corpora (../shared/data) are not here")
    return folder
