"""The grader's cache, one for all tests of a process, so that slips are computed once."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRSTHAND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Path(tmp_path_factory.getbasetemp())
