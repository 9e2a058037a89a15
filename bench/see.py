"""Seeing on this machine: tokens per second beside the reference library, a second turn, several conversations at once.

    python -m bench.see [--model nano-v]            the checkpoint must load in transformers

Both sides have the same weights, fp32, one thread, greedy, in one run and by turns; the best of several counts.
"""

from __future__ import annotations

import argparse
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render

TOKENS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano-v")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=12, help="pictures of the conversation with two turns")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = resolve_vision(options.model)
    pipe = GlmVisionPipeline.from_pretrained(folder)
    pictures = [render(sample_scene(random.Random(i), split="held_out")) for i in range(options.pictures)]
    decode(pipe, folder, pictures[0], options.repeats)
    second_turn(folder, pictures, options.repeats)
    together(folder, pictures, options.repeats)


def decode(pipe: GlmVisionPipeline, folder: Path, picture: Image.Image, repeats: int) -> None:
    """Tokens per second of one long answer; the stop tokens are ignored on both sides."""
    import transformers

    reference: Any = transformers.Glm4vForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = pipe.prepare(_messages([picture]))
    inputs = {
        "input_ids": prompt.ids[None],
        "attention_mask": torch.ones_like(prompt.ids[None]),
        "mm_token_type_ids": prompt.modality[None],
        "pixel_values": prompt.patches,
        "image_grid_thw": torch.tensor(prompt.grids),
    }
    pipe.answers.stop_ids = frozenset()
    ours, theirs = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        output = pipe(_messages([picture]), max_new_tokens=TOKENS, temperature=0, stop_loops=False)
        ours.append(
            (output.usage.completion_tokens - 1) / (time.perf_counter() - began - output.timings["first_token"])
        )
        pipe.forget()
        began = time.perf_counter()
        with torch.no_grad():
            made = reference.generate(**inputs, max_new_tokens=1, do_sample=False, eos_token_id=-1, pad_token_id=0)
            first = time.perf_counter() - began
            made = reference.generate(**inputs, max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
        theirs.append((TOKENS - 1) / (time.perf_counter() - began - 2 * first))
    same = made[0, inputs["input_ids"].shape[1] :].tolist() == list(output.token_ids)
    print(f"decode: ours {max(ours):.0f} tokens/s, reference {max(theirs):.0f}: {max(ours) / max(theirs):.1f} times")
    print(f"the same {TOKENS} tokens: {same}")


def second_turn(folder: Path, pictures: list[Image.Image], repeats: int) -> None:
    """Seconds to the first token of a second question, with what the first turn left and without."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(repeats):
        for kept in (True, False):
            pipe = GlmVisionPipeline.from_pretrained(folder, conversations=4 if kept else 0)
            if not kept:
                pipe.answers.features.max_bytes = 0
            first = pipe(_messages(pictures), max_new_tokens=16, temperature=0)
            if not kept:
                pipe.forget()
            turn = [*_messages(pictures), first.message, {"role": "user", "content": "Count the shapes."}]
            output = pipe(turn, max_new_tokens=1, temperature=0)
            times[kept].append(output.timings["first_token"])
    ratio = min(times[False]) / min(times[True])
    print(
        f"second turn after {len(pictures)} pictures: {1000 * min(times[True]):.0f} ms to the first token, "
        f"{1000 * min(times[False]):.0f} ms without the prefix cache: {ratio:.1f} times"
    )


def together(folder: Path, pictures: list[Image.Image], repeats: int) -> None:
    """Tokens per second of several conversations, one after another and at once; first tokens of the last one."""
    for count in (2, 4, 8):
        rates: dict[bool, list[float]] = {True: [], False: []}
        waits: dict[bool, list[float]] = {True: [], False: []}
        said: dict[bool, list[Any]] = {}
        for _ in range(repeats):
            for at_once in (False, True):
                pipe = GlmVisionPipeline.from_pretrained(folder, conversations=0)
                pipe.answers.stop_ids = frozenset()
                if at_once:
                    pipe.enable_batching(count)
                began = time.perf_counter()

                def ask(number: int, pipe: GlmVisionPipeline = pipe, began: float = began) -> tuple[Any, float]:
                    asked = time.perf_counter() - began
                    output = pipe(_messages([pictures[number]]), max_new_tokens=TOKENS, temperature=0, stop_loops=False)
                    return output.token_ids, asked + output.timings["first_token"]

                with ThreadPoolExecutor(count if at_once else 1) as pool:
                    answers = list(pool.map(ask, range(count)))
                rates[at_once].append(count * TOKENS / (time.perf_counter() - began))
                waits[at_once].append(max(wait for _, wait in answers))
                said[at_once] = [tokens for tokens, _ in answers]
        print(
            f"{count} conversations: {max(rates[True]):.0f} tokens/s at once, {max(rates[False]):.0f} one by one; the "
            f"last first token after {1000 * min(waits[True]):.0f} and {1000 * min(waits[False]):.0f} ms; the same "
            f"tokens: {said[True] == said[False]}"
        )


def _messages(pictures: list[Image.Image]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "image", "image": picture} for picture in pictures]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "What does it say?"}]}]


if __name__ == "__main__":
    main()
