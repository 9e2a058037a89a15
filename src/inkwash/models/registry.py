"""The models Inkwash knows by name, and the way from a name or a path to a folder on this machine.

`resolve` takes what a user types after `--model`: a known name (`nano` ships inside the package), a folder, or
any repository on a hub that holds a checkpoint of this family. `resolve_name` makes the same decision without
touching the network or torch, so that a misspelt name fails at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from inkwash.core import env
from inkwash.core.errors import WeightsError
from inkwash.core.text import nearest
from inkwash.models import hub
from inkwash.models.glm_image.folder import (
    INDEX_FILE,
    PARTS,
    DrawingDefaults,
    drawing_defaults,
    inspect_folder,
    inspect_index,
)

DEFAULT_MODEL = "nano"
DRAWS, SEES = "draws", "sees"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DOCUMENTS = ("README.md", "LICENSE*")


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """What is known about a model before it is on disk."""

    name: str
    kind: str  # draws pictures, or sees them
    parameters: str
    gigabytes: float
    licence: str
    huggingface: str | None = None  # repository ids; None for a model that ships inside the package
    modelscope: str | None = None
    revision: str | None = None  # pinned where a certain one is known to work; None is the hub's newest
    loadable: bool = True  # by what draws; models that see are opened through glm_v.folder
    note: str = ""

    @property
    def bundled(self) -> bool:
        return self.huggingface is None and self.modelscope is None


MODELS: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="nano",
        kind=DRAWS,
        parameters="37M",
        gigabytes=0.073,
        licence="Apache-2.0",
        note="trained by its own recipes; cards of 384x384, English and some Chinese",
    ),
    ModelEntry(
        name="zai-org/GLM-Image",
        kind=DRAWS,
        parameters="16B",
        gigabytes=36,
        licence="MIT",
        huggingface="zai-org/GLM-Image",
        modelscope="ZhipuAI/GLM-Image",
        note="9B autoregressive generator and 7B diffusion decoder; ViT and VQ weights under Apache-2.0",
    ),
    ModelEntry(
        name="nano-v",
        kind=SEES,
        parameters="5M",
        gigabytes=0.009,
        licence="Apache-2.0",
        loadable=False,
        note="trained by its own recipe; sees flat posters, English",
    ),
    *(
        ModelEntry(
            name=f"zai-org/{name}",
            kind=SEES,
            parameters=parameters,
            gigabytes=gigabytes,
            licence="MIT",
            huggingface=f"zai-org/{name}",
            modelscope=f"ZhipuAI/{name}",
            loadable=False,
            note=note,
        )
        for name, parameters, gigabytes, note in (
            ("GLM-4.1V-9B-Thinking", "10B", 21, "dense, thinks before it answers"),
            ("GLM-4.1V-9B-Base", "10B", 21, "dense, not tuned for chat"),
            ("GLM-4.5V", "108B", 216, "mixture of experts, 12B active"),
            ("GLM-4.5V-FP8", "108B", 110, "mixture of experts, 12B active, 8-bit weights"),
        )
    ),
)


def find(name: str) -> ModelEntry | None:
    """The entry of a known name; case and a missing owner do not matter."""
    wanted = name.strip().lower()
    for entry in MODELS:
        names = {entry.name, entry.name.rpartition("/")[2], entry.modelscope or entry.name}
        if wanted in {known.lower() for known in names}:
            return entry
    return None


def resolve_name(name: str) -> ModelEntry | Path | str:
    """What a name means: a known entry, an existing local folder, or the id of a repository on a hub.

    Nothing is downloaded. Raises `WeightsError` for what cannot be any of them, with the nearest known name, and
    for a known model that sees and cannot draw.
    """
    if entry := find(name):
        if not entry.loadable:
            raise WeightsError(
                f"{entry.name} sees and cannot draw: ask it with inkwash describe or chat, or choose one of "
                f"{_choices()}."
            )
        return entry
    text = name.strip()
    path = Path(text).expanduser()
    if text and path.exists():
        return path
    looks_local = text.startswith((".", "~", "/", "\\")) or text.count("/") > 1 or text.endswith("/")
    if text and looks_local:
        raise WeightsError(f"The model folder {path} does not exist; give an existing folder or one of {_choices()}.")
    if _REPOSITORY.fullmatch(text):
        return text
    if near := _nearest(text):
        raise WeightsError(f"Unknown model {name!r}: did you mean {near!r}? Known are {_choices()}, or give a folder.")
    raise WeightsError(
        f"Unknown model {name!r}: use one of {_choices()}, the path of a checkpoint folder, or a hub repository "
        "written as owner/name."
    )


def resolve(
    name: str | Path,
    *,
    revision: str | None = None,
    access: hub.HubAccess = hub.HubAccess(),  # noqa: B008 (frozen)
) -> Path:
    """The folder of a model on this machine, fetched first where it must be; the folder is complete and of this family.

    `INKWASH_HUB` chooses the hub; `revision` is a branch, tag or commit there, in place of the pinned one.
    Raises `WeightsError` or `MissingExtraError` in one sentence.
    """
    found = locate(name)
    folder = found if isinstance(found, Path) else _fetch(found, revision, access)
    inspect_folder(folder)
    return folder


def defaults_of(name: str | Path) -> DrawingDefaults:
    """Steps and guidance where a user asks for none: a folder's own; a hub is not asked, and what it has is drawn with
    as the released model is. Raises `WeightsError` for an unknown name or a broken folder.
    """
    folder = folder_of(name)
    return DrawingDefaults() if folder is None else drawing_defaults(folder)


def folder_of(name: str | Path) -> Path | None:
    """The checkpoint folder of a name where it needs no fetching, None for what is on a hub."""
    found = locate(name)
    if not isinstance(found, Path):
        return None
    inspect_index(found)
    return found


def locate(name: str | Path) -> Path | ModelEntry | str:
    """The folder of what is on this machine, bundled models too; else what to fetch from a hub."""
    found = name if isinstance(name, Path) else resolve_name(name)
    return bundled_folder(found.name) if isinstance(found, ModelEntry) and found.bundled else found


def bundled_folder(name: str) -> Path:
    """Where a model that ships inside the package lies."""
    folder = Path(str(resources.files("inkwash"))) / "assets" / name
    if not (folder / INDEX_FILE).is_file():
        raise WeightsError(
            f"The model {name} is missing from this installation ({folder}): install inkwash again, or give the path "
            "of a checkpoint folder."
        )
    return folder


def _fetch(found: ModelEntry | str, revision: str | None, access: hub.HubAccess) -> Path:
    place = env.hub()
    if isinstance(found, str):
        repo = found
    else:
        on_hub = found.modelscope if place == "modelscope" else found.huggingface
        if on_hub is None:
            raise WeightsError(f"{found.name} is not on {hub.NAMES[place]}: choose another hub with INKWASH_HUB.")
        repo, revision = on_hub, revision or found.revision
    try:
        index = hub.fetch(repo, patterns=(INDEX_FILE,), revision=revision, hub=place, access=access)
    except WeightsError as error:
        near = _nearest(repo)
        if near is None or near == repo:
            raise
        raise WeightsError(f"{error} Did you mean {near!r}?") from error
    inspect_index(index)
    return hub.fetch(repo, patterns=wanted_files(), revision=revision, hub=place, access=access)


def wanted_files() -> tuple[str, ...]:
    """The files of a repository that belong to a checkpoint: no demo pictures, no weights in other formats."""
    kinds = ("json", "safetensors", "jinja")
    return (INDEX_FILE, *_DOCUMENTS, *(f"{part}/*.{kind}" for part in PARTS for kind in kinds))


def _nearest(name: str) -> str | None:
    known = {label.lower(): entry.name for entry in MODELS for label in (entry.name, entry.name.rpartition("/")[2])}
    close = nearest(name.lower(), known, cutoff=0.75)
    return None if close is None else known[close]


def _choices() -> str:
    return ", ".join(entry.name for entry in MODELS if entry.loadable)
