"""`firsthand get`: a model from elsewhere, fetched once and kept in the user's cache."""

from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit


def get(
    name: Annotated[str | None, typer.Argument(help="Which model; absent: list those that there are.")] = None,
    json: Json = False,
) -> None:
    """Fetch a model by its short name; then `firsthand generate NAME` and the other commands open it."""
    from firsthand.interop import models

    if name is None:
        _list(json)
        return
    found = models.get(name, say=console(json=True).print, quiet=json)
    told = {"name": name, "path": str(found.path), "origin": found.origin, "licence": found.licence, "new": found.new}
    if json:
        emit(told)
        return
    console().print(f"{name} is {'here' if found.new else 'here already'}: {found.path}", soft_wrap=True)
    console().print(f"From {found.origin}, licence {found.licence}. Try: firsthand generate {name} --prompt 'Once'")


def _list(json: bool) -> None:
    from firsthand.interop.models import MODELS, cached

    rows = [
        {
            "name": name,
            "what": model.what,
            "licence": model.licence,
            "bytes": model.wheel.size,
            "path": str(found.path) if (found := cached(name)) else None,
        }
        for name, model in MODELS.items()
    ]
    if json:
        emit(rows)
        return
    for row in rows:
        console().print(f"{row['name']}  {row['bytes'] / 1e6:.0f} MB  {row['what']}, licence {row['licence']}")  # type: ignore[operator]
        console().print(f"  {row['path'] or 'not here yet: firsthand get ' + str(row['name'])}", soft_wrap=True)
