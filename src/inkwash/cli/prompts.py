"""`--prompts FILE`: a prompt on each line, or a JSON object with a prompt and settings of its own.

    A poster that says "OPEN"
    {"prompt": "A sign that says \\"SALE\\"", "seed": 7, "size": "512x256", "output": "sale.png"}

Empty lines are passed over. What a line does not say is as on the command line; without a seed there, every line
draws its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inkwash.cli.options import PLAN_OPTIONS, DrawJob, read_stdin
from inkwash.core.errors import InkwashError, RequestError
from inkwash.core.text import did_you_mean

MAX_BYTES = 16 * 2**20
MAX_LINES = 10_000
FIELDS: dict[str, tuple[type, ...]] = {
    "prompt": (str,),
    "output": (str,),
    "seed": (int,),
    "size": (str,),
    "steps": (int,),
    "guidance": (int, float),
    "negative": (str,),
    "n": (int,),
    "layout": (str,),
    **dict.fromkeys(PLAN_OPTIONS, (int, float)),
    "plan_candidates": (int,),
}
KINDS = {str: "a text", int: "a whole number", float: "a number"}
LAYOUTS = ("new", "same")


def read_prompts(file: Path, make: Callable[..., DrawJob]) -> list[DrawJob]:
    """The drawings of a file, each made with what its line says; RequestError names the line that is wrong."""
    name = "stdin" if str(file) == "-" else str(file)
    found: list[DrawJob] = []
    for number, line in enumerate(_text(file, name).splitlines(), start=1):
        if not line.strip():
            continue
        if len(found) == MAX_LINES:
            raise RequestError(f"{name} has more than {MAX_LINES} prompts: split it.", param="prompts")
        try:
            found.append(make(**_values(line.strip())))
        except InkwashError as error:
            raise RequestError(f"Line {number} of {name}: {error.message}", param="prompts") from error
    if not found:
        raise RequestError(f"{name} holds no prompt: write one on each line.", param="prompts")
    return found


def _text(file: Path, name: str) -> str:
    if name == "stdin":
        return read_stdin("The prompts", limit=MAX_BYTES)
    try:
        if not file.is_file():
            raise RequestError(f"There is no file {name!r} with prompts.", param="prompts")
        with open(file, "rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"The prompts in {name!r} cannot be read ({reason}).", param="prompts") from error
    if len(content) > MAX_BYTES:
        raise RequestError(f"{name} is larger than {MAX_BYTES // 2**20} MiB: split it.", param="prompts")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{name} is not UTF-8 text (byte {error.start + 1}).", param="prompts") from None


def _values(line: str) -> dict[str, Any]:
    """What one line says."""
    if not line.startswith("{"):
        return {"prompt": line}
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"This JSON cannot be read ({error}).") from None
    for key, value in values.items():
        if key not in FIELDS:
            hint = did_you_mean(key, FIELDS) or f"it may hold {', '.join(FIELDS)}."
            raise RequestError(f"{key!r} is no setting of a line: {hint}")
        if isinstance(value, bool) or not isinstance(value, FIELDS[key]):
            raise RequestError(f"{key} is {value!r}, but must be {KINDS[FIELDS[key][-1]]}.")
    if "prompt" not in values:
        raise RequestError("This line has no prompt.")
    if values.get("layout", "new") not in LAYOUTS:
        raise RequestError(f"layout is {values['layout']!r}, but must be new or same.")
    if "output" in values:
        values["output"] = Path(values["output"])
    return dict(values)
