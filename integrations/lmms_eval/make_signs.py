"""The pictures and questions of the task `inkwash_signs`, rendered here: python make_signs.py 40

Writes signs/signs.jsonl and signs/*.png into the present folder, where lmms-eval is then started. The scenes are those
of the held-out split that nano-v has not trained on.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from inkwash.media.images import save_image
from inkwash.scenes.ask import ask
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render

KINDS = ("read", "color", "count", "exists")


def make_signs(folder: Path, count: int) -> Path:
    """The list of questions, one for each picture."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for number in range(count):
        rng = random.Random(number)
        scene = sample_scene(rng, split="held_out")
        asked = ask(scene, rng, split="held_out", kinds=KINDS)
        name = f"{number:04}.png"
        save_image(render(scene), folder / name)
        lines.append(json.dumps({"image": name, "question": asked.question, "answer": asked.answer}))
    listed = folder / "signs.jsonl"
    listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return listed


if __name__ == "__main__":
    print(make_signs(Path("signs"), int(sys.argv[1]) if len(sys.argv) > 1 else 40))
