"""The description of the package on an index: README.md with links that work there.

A README is read beside its files, a description is not. `INKWASH_HOME_URL=https://host/owner/inkwash python -m build`
makes links and pictures absolute and names the addresses of the project; without it pictures are left out and links
become plain words, so that nothing points nowhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

HOME = "INKWASH_HOME_URL"
PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https?://)([^)]+)\)")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?://|#)([^)]+)\)")
FRAME = re.compile(r"[|\s:-]*")  # what is left of a table of pictures without them


class DescriptionHook(MetadataHookInterface):
    """Fills in `readme` and `urls`."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        home = os.environ.get(HOME, "").strip().rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text, home)}
        metadata["urls"] = urls(home)


def description(readme: str, home: str) -> str:
    """README.md with absolute links below `home`, or without any that is relative."""
    if home:
        readme = PICTURE.sub(lambda found: f"![{found[1]}]({home}/raw/main/{found[2]})", readme)
        return LINK.sub(lambda found: f"[{found[1]}]({home}/blob/main/{found[2]})", readme)
    paragraphs = []
    for paragraph in readme.split("\n\n"):
        bare = PICTURE.sub("", paragraph)
        if bare == paragraph or not FRAME.fullmatch(bare):
            paragraphs.append(LINK.sub(lambda found: found[1], bare))
    return "\n\n".join(paragraphs)


def urls(home: str) -> dict[str, str]:
    """The addresses of the project; none where no home is known."""
    if not home:
        return {}
    return {
        "Homepage": home,
        "Documentation": f"{home}/tree/main/docs",
        "Changelog": f"{home}/blob/main/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }
