"""What a study leaves behind: its page, its figures, its pictures, and a copy to publish."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PLOTS = "plots"


def write_report(
    folder: Path, page: Callable[[str], str], figures: Any, pictures: Sequence[Path], publish: Path | None
) -> list[Path]:
    """report.md and report.json into `folder`, where the pictures lie in plots/; returns all paths.

    `page` is asked for its text with what stands before the names of its pictures. `publish` gets a copy: the page with
    the SVG pictures beside it.
    """
    files = [folder / "report.md", folder / "report.json"]
    files[0].write_text(page(f"{PLOTS}/"), encoding="utf-8")
    files[1].write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if publish is not None:
        publish.mkdir(parents=True, exist_ok=True)
        (publish / "report.md").write_text(page(""), encoding="utf-8")
        for picture in pictures:
            if picture.suffix == ".svg":
                shutil.copyfile(picture, publish / picture.name)
    return [*files, *pictures]
