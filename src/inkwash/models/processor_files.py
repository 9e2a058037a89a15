"""The text side of a checkpoint's processor folder: tokenizer, chat template and special tokens, read from bytes.

Every family reads the same files; what a family asks of them stands in its own processor. A missing or damaged file
raises one sentence that names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from inkwash.core.errors import RequestError, WeightsError

TEXT_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
Files = Mapping[str, bytes]


def read_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The named files that are there; the tokenizer's two must be."""
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    for needed in ("tokenizer.json", "tokenizer_config.json"):
        if needed not in files:
            raise WeightsError(f"{folder / needed} is missing; copy the whole processor folder of the checkpoint.")
    return files


def json_object(folder: Path, files: Files, name: str) -> dict[str, Any]:
    """One of the files as a JSON object."""
    try:
        content = json.loads(files[name])
    except ValueError as error:
        raise WeightsError(f"{folder / name} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{folder / name} must hold a JSON object, but holds a {type(content).__name__}.")
    return content


def read_tokenizer(folder: Path, files: Files) -> Tokenizer:
    try:
        return Tokenizer.from_str(files["tokenizer.json"].decode("utf-8"))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise WeightsError(f"{folder / 'tokenizer.json'} is not a tokenizer: {error}.") from None


def read_chat_template(folder: Path, files: Files) -> str:
    """The source of the template, from whichever of the three places has it."""
    if "chat_template.jinja" in files:
        return files["chat_template.jinja"].decode("utf-8")
    name = "chat_template.json" if "chat_template.json" in files else "tokenizer_config.json"
    template = json_object(folder, files, name).get("chat_template")
    if not isinstance(template, str):
        raise WeightsError(f"{folder / 'chat_template.jinja'} is missing; copy the whole processor folder.")
    return template


def compile_template(source: str) -> Template:
    """A template with the settings every chat template is written for.

    The sandbox keeps a foreign template from running code.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False, **options})
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(source)


def special_tokens(folder: Path, files: Files) -> dict[str, str]:
    """Tokens by role, such as `image_token`, from all the places that name them."""
    entries = json_object(folder, files, "tokenizer_config.json")
    if "special_tokens_map.json" in files:
        entries |= json_object(folder, files, "special_tokens_map.json")
    for nested in ("extra_special_tokens", "model_specific_special_tokens"):
        if isinstance(entries.get(nested), dict):
            entries |= entries[nested]
    named = {role: value for role, value in entries.items() if role.endswith("_token")}
    texts = {role: value.get("content") if isinstance(value, dict) else value for role, value in named.items()}
    return {role: text for role, text in texts.items() if isinstance(text, str)}


def _refuse(message: object) -> NoReturn:
    """What a chat template calls when it cannot express a conversation."""
    raise RequestError(f"The chat template refuses these messages: {message}", param="messages")
