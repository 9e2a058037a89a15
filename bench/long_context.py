"""A prompt as long as the context: text, 40 pictures and a video, read in chunks and in one pass.

    python -m bench.long_context                        # up to 65,536 tokens at a small width
    python -m bench.long_context --longest 8192         # a rehearsal

The model is GLM-4.1V's module structure at a small width with random weights. For every length the prompt is read in
chunks, in a process of its own, and the most memory of its own that the process had is counted from just before the
reading; what keys and values take is in it. At the longest length the same prompt is read in one pass, too, and the
logits of its last token are compared, as a share of their largest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import sheet
from bench.released_folder import LINES, see_config
from bench.small_machine import own_memory, peak_of_own
from PIL import Image

from inkwash.core.device import set_threads
from inkwash.engine.see import generator
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.engine.see.prefix import prompt_keys
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_v import tokenizer_files
from inkwash.models.glm_v.model import GlmV, init_weights
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.vision_input import VisionPrompt
from inkwash.models.glm_v.weights import GlmVParts

LONGEST = 65_536
PICTURES, PICTURE_SIDE = 40, 448
FRAMES, FRAME_SIDE = 48, 224


def small_parts(folder: Path) -> GlmVParts:
    """GLM-4.1V at a hidden width of 128 and two layers, random weights."""
    bpe = tokenizer_files.train_bpe(LINES, vocab_size=1024)
    tokenizer_files.write_processor_files(
        folder, bpe, patch_size=14, merge_size=2, min_pixels=112**2, max_pixels=2200**2
    )
    processor = GlmVProcessor.from_folder(folder)
    config = see_config(processor, layers=2, depth=2)
    text = replace(
        config.text_config,
        vocab_size=2048,
        hidden_size=128,
        intermediate_size=256,
        num_attention_heads=4,
        head_dim=None,
        num_key_value_heads=2,
        rope_parameters=RopeParameters(partial_rotary_factor=0.5, mrope_section=(2, 3, 3)),
        max_position_embeddings=LONGEST,
    )
    vision = replace(config.vision_config, hidden_size=64, num_heads=2, out_hidden_size=128, intermediate_size=128)
    torch.manual_seed(0)
    model = GlmV(replace(config, text_config=text, vision_config=vision))
    init_weights(model, std=0.1)
    return GlmVParts(model=model.eval(), processor=processor, generation={"eos_token_id": [0]})


def long_prompt(pipe: GlmVisionPipeline, length: int) -> VisionPrompt:
    """A conversation of `length` tokens at most and a few less: pictures and a video among text, then text alone."""
    random = np.random.default_rng(0)

    def noise(side: int) -> Image.Image:
        small = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(small).resize((side, side))

    share = min(1.0, length / LONGEST)
    parts: list[dict[str, Any]] = []
    for number in range(max(1, int(PICTURES * share))):
        parts += [{"type": "text", "text": f"Picture {number}."}, {"type": "image", "image": noise(PICTURE_SIDE)}]
    frames = [noise(FRAME_SIDE) for _ in range(max(4, int(FRAMES * share)))]
    parts.append({"type": "video", "video": frames})

    def prepared(words: int) -> VisionPrompt:
        text = " ".join(f"{number} and" for number in range(words))
        return pipe.prepare([{"role": "user", "content": [*parts, {"type": "text", "text": text}]}])

    words, step = 0, 1
    while step <= length:
        step *= 2
    while step:
        if len(prepared(words + step).ids) <= length:
            words += step
        step //= 2
    prompt = prepared(words)
    return prompt.decoded(range(len(prompt.vision_inputs)))


def read(length: int, chunk: int) -> dict[str, Any]:
    """One prompt in chunks of `chunk` tokens: tokens, seconds, the most memory meanwhile, the last logits."""
    generator.CHUNK = chunk
    with tempfile.TemporaryDirectory() as folder:
        pipe = GlmVisionPipeline(small_parts(Path(folder)), conversations=0)
    prompt = long_prompt(pipe, length)
    answers = pipe.answers
    before = own_memory()
    with peak_of_own() as most:
        start = time.perf_counter()
        cache, known = answers.prefixes.take(prompt_keys(prompt), 16)
        assert known == 0
        logits = generator._finished(answers.prefill(prompt, cache, 0, None))  # noqa: SLF001  # as an answer does it
        took = time.perf_counter() - start
    return {
        "tokens": len(prompt.ids),
        "seen": int((prompt.modality != 0).sum()),
        "seconds": took,
        "memory": most[0] - before,
        "logits": logits[0].tolist(),
    }


def in_process(length: int, chunk: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "bench.long_context", "--one", str(length), str(chunk)]
    lines = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=LONGEST)
    parser.add_argument("--chunk", type=int, default=generator.CHUNK)
    parser.add_argument("--one", type=int, nargs=2, metavar=("LENGTH", "CHUNK"), help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="write bench/results/..._long-context.md")
    given = parser.parse_args()
    set_threads()
    if given.one:
        print(json.dumps(read(*given.one)))
        return
    rows = []
    for length in (given.longest // 8, given.longest // 4, given.longest // 2, given.longest):
        found = in_process(length, given.chunk)
        print(length, found["tokens"], found["seconds"], found["memory"], flush=True)
        rows.append(found)
    whole = in_process(given.longest, given.longest)
    a, b = (torch.tensor(each["logits"]) for each in (rows[-1], whole))
    difference = float((a - b).abs().max() / b.abs().max())
    table = sheet.table(
        ("read", "tokens", "of them seen", "seconds", "memory meanwhile", "of it a token"),
        [
            (
                name,
                f"{each['tokens']:,}",
                f"{each['seen']:,}",
                f"{each['seconds']:.1f}",
                f"{each['memory'] / 1e6:.0f} MB",
                f"{each['memory'] / each['tokens'] / 1e3:.1f} kB",
            )
            for name, each in [(f"in chunks of {given.chunk}", row) for row in rows] + [("in one pass", whole)]
        ],
    )
    body = f"{table}\n\nLogits of the last token, chunked against one pass: {difference:.1e} of the largest.\n"
    print(body)
    if given.write:
        print(sheet.write("long-context", body))


if __name__ == "__main__":
    main()
