"""`inkwash models`: the models known by name, how large they are, and where they are or would come from."""

from __future__ import annotations

import json as jsonlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from inkwash.cli import options as o
from inkwash.core.text import size_text

if TYPE_CHECKING:
    from inkwash.models.registry import ModelEntry


def models(json: o.Json = False) -> None:
    """List the models: sizes, where they are or come from.

    A checkpoint folder of the same layout can be given wherever a name can.
    """
    from inkwash.models.registry import MODELS

    rows = [describe(entry.name, entry) for entry in MODELS]
    if json:
        print(jsonlib.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        print(f"{row['name']}\n  {row['parameters']} parameters, {row['size']}, {row['licence']}\n  {row['note']}")
        print(f"  {row['where']}")


def describe(name: str, known: ModelEntry | None = None) -> dict[str, str]:
    """One model in words; `where` says the folder, or what is missing, or which hub it would be fetched from."""
    from inkwash.models.registry import ModelEntry, resolve_name

    found = known or resolve_name(name)
    if isinstance(found, Path):
        return {"name": name, "where": f"folder {found}"}
    if isinstance(found, ModelEntry):
        return {
            "name": found.name,
            "parameters": found.parameters,
            "size": size_text(found.gigabytes * 1e9),
            "licence": found.licence,
            "note": found.note,
            "where": _bundled(found) if found.bundled else _on_hub(_repository(found)),
        }
    return {"name": name, "where": _on_hub(found)}


def _bundled(entry: ModelEntry) -> str:
    from inkwash.core.errors import WeightsError
    from inkwash.models.registry import SEES, bundled_folder

    try:
        if entry.kind == SEES:
            from inkwash.models.glm_v.folder import BUNDLED, inspect_vision

            inspect_vision(BUNDLED)
            return f"ships inside the package: {BUNDLED}"
        return f"ships inside the package: {bundled_folder(entry.name)}"
    except WeightsError as error:
        return f"missing: {error.message}"


def _repository(entry: ModelEntry) -> str:
    from inkwash.core import env

    repository = entry.modelscope if env.hub() == "modelscope" else entry.huggingface
    return repository or entry.name


def _on_hub(repository: str) -> str:
    """The local snapshot when its index file is there; the index comes first, so weights may still be missing."""
    from inkwash.core import env
    from inkwash.models.hub import NAMES

    place = f"{repository} on {NAMES[env.hub()]}"
    folder = _snapshot(repository) if env.hub() == "huggingface" else None
    if folder is not None:
        return f"in the local cache: {folder} (from {place})"
    return (
        f"not here; fetched from {place} when first used{', but downloads are switched off' if env.offline() else ''}"
    )


def _snapshot(repository: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    from inkwash.core import env
    from inkwash.models.glm_image.folder import INDEX_FILE

    cache_dir = str(env.cache_dir() / "huggingface") if os.environ.get("INKWASH_CACHE", "").strip() else None
    found = try_to_load_from_cache(repository, INDEX_FILE, cache_dir=cache_dir)
    return Path(found).parent if isinstance(found, str) else None
