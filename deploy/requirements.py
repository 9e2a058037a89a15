"""The requirements of the package and of some of its extras, one a line: python requirements.py serve,ocr

Read from the pyproject.toml beside or above this file, so that an image can install them before the package is there.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """Sorted; an extra of the package itself is replaced by what it holds."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    unknown = [name for name in extras if name not in optional]
    if unknown:
        raise SystemExit(f"There is no extra {', '.join(unknown)}: choose from {', '.join(sorted(optional))}.")
    found = set(project["dependencies"])
    todo = list(extras)
    while todo:
        for text in optional[todo.pop()]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", text)
            if own is None:
                found.add(text)
            else:
                todo += own[1].split(",")
    return sorted(found)


def main() -> None:
    here = Path(__file__).resolve().parent
    pyproject = next(place / "pyproject.toml" for place in (here, here.parent) if (place / "pyproject.toml").is_file())
    print("\n".join(requirements(pyproject, [name for name in sys.argv[1].split(",") if name])))


if __name__ == "__main__":
    main()
