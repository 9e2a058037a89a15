"""The gallery of the documentation, by commands that a reader can repeat: what is listed in gallery.json.

python examples/gallery.py                 draw all pictures with their seeds into docs/images, write docs/gallery.md
python examples/gallery.py grand open      these alone
python examples/gallery.py --choose        choose seeds again: of the first `tries` the first whose words are read back
python examples/gallery.py --page          write docs/gallery.md only

A new edition of the model needs `--choose` once; the seeds are then written back into gallery.json.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("gallery.json")
PAGE = ROOT / "docs" / "gallery.md"
IMAGES = ROOT / "docs" / "images"
COLUMNS = 3
INKWASH = [sys.executable, "-m", "inkwash"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture; `image` is the one that an edit starts from."""

    name: str
    title: str
    prompt: str
    seed: int
    image: str | None = None

    def words(self, size: str | None = None) -> list[str]:
        """The command line behind `inkwash`, with file names only."""
        start = (
            ["generate", self.prompt] if self.image is None else ["edit", self.prompt, "--image", f"{self.image}.png"]
        )
        return [*start, "-o", f"{self.name}.png", "--seed", str(self.seed), *(["--size", size] if size else [])]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What gallery.json holds."""

    model: str
    side: int
    tries: int
    pictures: tuple[Entry, ...]

    @classmethod
    def read(cls) -> Gallery:
        content = json.loads(LIST.read_text(encoding="utf-8"))
        return cls(**{**content, "pictures": tuple(Entry(**each) for each in content["pictures"])})

    def write(self) -> None:
        """Back into gallery.json, one picture a line."""
        lines = [
            json.dumps({name: value for name, value in asdict(each).items() if value is not None}, ensure_ascii=False)
            for each in self.pictures
        ]
        head = "".join(f'  "{name}": {json.dumps(getattr(self, name))},\n' for name in ("model", "side", "tries"))
        LIST.write_text("{\n" + head + '  "pictures": [\n    ' + ",\n    ".join(lines) + "\n  ]\n}\n", encoding="utf-8")


def page(gallery: Gallery) -> str:
    """The text of docs/gallery.md."""
    cells = [f"![{each.title}](images/{each.name}.png)" for each in gallery.pictures]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    rows[-1] += [""] * (COLUMNS - len(rows[-1]))
    table = [f"| {' | '.join(row)} |" for row in rows]
    commands = [f"inkwash {shlex.join(each.words())}" for each in gallery.pictures]
    return "\n".join(
        [
            "# Gallery",
            "",
            f"Drawn by {gallery.model} on a CPU, {gallery.side} px, its own number of steps; seeds are chosen among "
            f"the first {gallery.tries}.",
            "",
            "|" + " |" * COLUMNS,
            "|" + "---|" * COLUMNS,
            *table,
            "",
            "```sh",
            *commands,
            "```",
            "",
            "`python examples/gallery.py` draws these pictures and writes this page; `--choose` chooses seeds again.",
            "",
        ]
    )


def draw(entry: Entry, gallery: Gallery, *, verify: bool = False) -> bool:
    """One picture into docs/images; under `verify` whether its words were read back at the first attempt."""
    own = [] if entry.image is not None else [f"{gallery.side}x{gallery.side}"]
    more = ["--model", gallery.model, "--overwrite", "--quiet", *(["--verify", "--tries", "1"] if verify else [])]
    code = subprocess.run([*INKWASH, *entry.words(*own), *more], cwd=IMAGES).returncode
    if code not in ((0, 3) if verify else (0,)):  # 3: the words are wrong
        raise SystemExit(code)
    return code == 0


def choose(entry: Entry, gallery: Gallery) -> Entry:
    """The entry with the first seed whose words are read back; with its old one where none is, or nothing is quoted."""
    if '"' in entry.prompt:
        for seed in range(gallery.tries):
            tried = replace(entry, seed=seed)
            if draw(tried, gallery, verify=True):
                return tried
    draw(entry, gallery)
    return entry


def main(arguments: Sequence[str]) -> None:
    gallery = Gallery.read()
    names = [each for each in arguments if not each.startswith("--")]
    unknown = [each for each in names if each not in {entry.name for entry in gallery.pictures}]
    if unknown:
        raise SystemExit(f"gallery.json has no picture {', '.join(unknown)}.")
    pictures: list[Entry] = []
    for entry in gallery.pictures:
        if "--page" in arguments or (names and entry.name not in names):
            pictures.append(entry)
        elif "--choose" in arguments:
            pictures.append(choose(entry, gallery))
        else:
            draw(entry, gallery)
            pictures.append(entry)
    gallery = replace(gallery, pictures=tuple(pictures))
    if "--choose" in arguments:
        gallery.write()
    PAGE.write_text(page(gallery), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
