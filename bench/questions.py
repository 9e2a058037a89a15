"""Nano-V on held-out scenes: shares of right answers by kind, and some that were wrong.

python -m bench.questions [--model nano-v] [-n 300]
"""

from __future__ import annotations

import argparse
import time

import torch
from PIL import Image

from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.eval.tasks.questions import KINDS, Reply, ask_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano-v")
    parser.add_argument("-n", type=int, default=300)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--wrong", type=int, default=10, help="how many wrong answers to show")
    parser.add_argument("--no-think", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipe = GlmVisionPipeline.from_pretrained(options.model, conversations=1)

    def answer(picture: Image.Image, question: str) -> Reply:
        parts = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        think = False if options.no_think else None
        output = pipe([{"role": "user", "content": parts}], max_new_tokens=128, temperature=0, enable_thinking=think)
        boxes = [(box.left, box.top, box.right, box.bottom) for box in output.boxes]
        return Reply(output.content, boxes, output.thoughts)

    began = time.perf_counter()
    score = ask_scenes(answer, count=options.n, kinds=options.kinds.split(","))
    for name, (share, count) in score.shares().items():
        print(f"{name:20} {share:.3f} of {count}")
    print(f"{time.perf_counter() - began:.0f} s")
    for one in [one for one in score.marked if not one.right][: options.wrong]:
        print(f"  {one.turn.question!r}: {one.reply.text!r} for {one.turn.answer!r} (thought: {one.reply.thoughts!r})")


if __name__ == "__main__":
    main()
