"""What a folder must have to be a GLM-V checkpoint, and the way from a name to one. Loads no torch."""

from __future__ import annotations

from pathlib import Path

from inkwash.core import env
from inkwash.core.errors import WeightsError
from inkwash.models import hub
from inkwash.models.registry import MODELS, SEES, ModelEntry
from inkwash.models.tensor_files import read_json

DEFAULT_MODEL = "nano-v"
CONFIG_FILE = "config.json"
KINDS = ("glm4v", "glm4v_moe", "glm46v")
NEEDED = (CONFIG_FILE, "tokenizer.json", "tokenizer_config.json")
PATTERNS = ("*.json", "*.safetensors", "*.jinja", "README.md", "LICENSE*")
BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "nano_v"


def find_vision(name: str | Path) -> Path | ModelEntry | str:
    """A local folder, a known model or the id of a repository on a hub; nothing is downloaded.

    Raises WeightsError for what cannot be any of them and for a folder that holds something else.
    """
    text = str(name).strip()
    if text.lower() in (DEFAULT_MODEL, "nano_v", "nano"):
        inspect_vision(BUNDLED)
        return BUNDLED
    for entry in MODELS:
        if entry.kind == SEES and text.lower() in (entry.name.lower(), entry.name.rpartition("/")[2].lower()):
            return entry
        if text.lower() in (entry.name.lower(), entry.name.rpartition("/")[2].lower()):
            raise WeightsError(f"{entry.name} draws and cannot see; use one of {_choices()} or a folder.")
    path = Path(text).expanduser()
    if text and path.exists():
        inspect_vision(path)
        return path
    if text.count("/") == 1 and not text.startswith((".", "~", "/")) and not text.endswith("/"):
        return text
    raise WeightsError(f"Unknown model {text!r}: use one of {_choices()}, a checkpoint folder, or owner/name on a hub.")


def resolve_vision(name: str | Path) -> Path:
    """The folder of a model that sees, fetched first where it must be."""
    found = find_vision(name)
    if isinstance(found, Path):
        return found
    place = env.hub()
    if isinstance(found, str):
        repo, revision = found, None
    else:
        on_hub = found.modelscope if place == "modelscope" else found.huggingface
        if on_hub is None:
            raise WeightsError(f"{found.name} is not on {hub.NAMES[place]}: choose another hub with INKWASH_HUB.")
        repo, revision = on_hub, found.revision
    index = hub.fetch(repo, patterns=(CONFIG_FILE,), revision=revision, hub=place)
    _check_kind(index)
    folder = hub.fetch(repo, patterns=PATTERNS, revision=revision, hub=place)
    inspect_vision(folder)
    return folder


def inspect_vision(folder: Path) -> None:
    """Raise one sentence unless the folder is a complete checkpoint of this family."""
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise WeightsError(f"{folder} {problem}; give the folder of a GLM-V checkpoint.")
    _check_kind(folder)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise WeightsError(f"{folder} is incomplete: {', '.join(missing)} missing; copy it again.")


def _check_kind(folder: Path) -> None:
    file = folder / CONFIG_FILE
    if not file.is_file():
        draws = " (it draws: use inkwash generate)" if (folder / "model_index.json").is_file() else ""
        raise WeightsError(f"{folder} holds no {CONFIG_FILE}, so it is no GLM-V checkpoint{draws}.")
    kind = read_json(file).get("model_type")
    if kind not in KINDS:
        raise WeightsError(f"{file} is of kind {kind}; expected a GLM-V checkpoint ({', '.join(KINDS)}).")


def _choices() -> str:
    return ", ".join(dict.fromkeys([DEFAULT_MODEL, *(entry.name for entry in MODELS if entry.kind == SEES)]))
