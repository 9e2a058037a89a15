"""The pictures of the page's examples, drawn by the shipped model with their own prompts, shapes and seeds.

    python -m bench.page_examples            # write them again
    python -m bench.page_examples --find 8   # say which of the first seeds give all words, to choose from

A picture whose words are not read back is told, and the exit code is 1: an example must show what a click draws.
"""

from __future__ import annotations

import argparse
import sys

from PIL import Image

from inkwash import DrawRequest, GlmImagePipeline
from inkwash.cli.draw import open_reader
from inkwash.engine.readback import quoted_texts
from inkwash.serve.ui.examples import EXAMPLES
from inkwash.serve.ui.routes import STATIC

SIDE = 384  # pixels of a picture beside its prompt
QUALITY = 82


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="Names of examples [default: all].")
    parser.add_argument("--find", type=int, default=0, help="Try so many seeds of each example and write nothing.")
    asked = parser.parse_args()
    tried, chosen = asked.find, [one for one in EXAMPLES if not asked.only or one.name in asked.only]
    pipe, read = GlmImagePipeline.from_pretrained("nano"), open_reader()
    wrong = []

    def drawn(prompt: str, seed: int) -> tuple[Image.Image, bool]:
        own = pipe.parts.drawing  # as the page asks
        steps, guidance = own.num_inference_steps, own.guidance_scale
        request = DrawRequest(prompt=prompt, seed=seed, num_inference_steps=steps, guidance_scale=guidance)
        image = pipe.draw(request).images[0]
        lines = " ".join(read(image).lines).split()
        words = " ".join(quoted_texts(prompt)).split()
        return image, sorted(lines) == sorted(words)

    for example in chosen:
        name, prompt = example.name, example.prompt
        if tried:
            print(name, [seed for seed in range(1, tried + 1) if drawn(prompt, seed)[1]], flush=True)
            continue
        image, right = drawn(prompt, example.seed)
        wrong += [] if right else [name]
        image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(STATIC / "examples" / f"{name}.webp", quality=QUALITY)
    if wrong:
        print(f"words are not right in {', '.join(wrong)}: choose other seeds with --find", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
