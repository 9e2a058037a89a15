"""What a change of structure must not move, as short digests: `python -m tests.golden.measure` records them.

Two kinds. What holds on every machine: help texts, the OpenAPI document, the events of a stream, and for each recipe
its settings and some batches. What depends on the processor, because the order of floating-point sums does: pictures
of the shipped nano, answers of the shipped nano-v, and weights after a few training steps. The second kind is kept by
kind of processor and version of torch (`processor`); on a kind that nobody has recorded nothing is compared, which the
test says by skipping. All of it runs on one thread.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import io
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import torch
from PIL import Image

FILE = Path(__file__).with_name("golden.json")
Digests = dict[str, str]
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
BATCHES = {  # recipe: the steps whose batches are looked at, in the first and in a later phase
    "nano-vae": (0, 3600),
    "nano-tokenizer": (0,),
    "nano-decoder": (0, 5000),
    "nano-ar": (0, 5000),
    "nano2-tokenizer": (0,),
    "nano2-vae-refined": (0, 2500),
    "nano2-decoder": (0, 3000),
    "nano2-ar": (0, 3000),
    "nano3-tokenizer": (0,),
    "nano3-vae-refined": (0, 5000),
    "nano3-decoder": (0, 3000),
    "nano3-ar": (0, 3000),
}


def digest(*values: Any) -> str:
    """Of tensors, arrays, pictures, texts and nestings of them."""
    found = hashlib.sha256()
    for value in values:
        _feed(found, value)
    return found.hexdigest()[:16]


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().float().numpy()
    if isinstance(value, Image.Image):
        value = np.asarray(value.convert("RGBA"))
    if isinstance(value, np.ndarray):
        found.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        for name in sorted(value):
            found.update(name.encode())
            _feed(found, value[name])
    elif isinstance(value, list | tuple):
        found.update(f"[{len(value)}".encode())
        for entry in value:
            _feed(found, entry)
    else:
        found.update(repr(value).encode())


def processor() -> str:
    """The kind of processor and what computes on it."""
    words: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            words[name.strip()] = value.strip()
    flags = words.get("flags", "").split()
    kind = f"{words.get('vendor_id')} {words.get('cpu family')}.{words.get('model')}"
    return f"{kind} {' '.join(flag for flag in FLAGS if flag in flags)} torch {torch.__version__}"


# What holds everywhere.


def helps() -> Digests:
    """The help text of every command at a width of 100."""
    from inkwash.cli.app import build

    found: Digests = {}

    def visit(command: Any, words: tuple[str, ...], parent: Any) -> None:
        context = command.make_context(words[-1], [], parent=parent, resilient_parsing=True, terminal_width=100)
        found[" ".join(words)] = digest(context.get_help())
        if hasattr(command, "list_commands"):
            for name in command.list_commands(context):
                visit(command.get_command(context, name), (*words, name), context)

    visit(build(), ("inkwash",), None)
    return found


def openapi() -> Digests:
    """Paths and schemas of the server's document, chat included."""
    from inkwash import GlmVisionPipeline
    from inkwash.serve.app import make_app
    from inkwash.serve.chat import Chat, make_chat_router
    from inkwash.serve.service import Service
    from inkwash.serve.settings import ChatSettings, ServeSettings
    from tests.server.fakes import FakeBackend

    with tempfile.TemporaryDirectory() as folder:
        service = Service(ServeSettings(state=Path(folder)), FakeBackend)
        app = make_app(service)
        app.include_router(
            make_chat_router(Chat(create_autospec(GlmVisionPipeline, instance=True), ChatSettings(model="tiny")))
        )
        document = app.openapi()
        service.folder.release()
    paths = {
        f"{method.upper()} {path}": digest(operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    schemas = document["components"]["schemas"]
    return paths | {f"schema {name}": digest(schema) for name, schema in schemas.items()}


def events() -> Digests:
    """What a stream of the server puts on the wire, but for what depends on the clock."""
    from inkwash.serve.settings import ServeSettings
    from tests.server.conftest import running
    from tests.server.fakes import FakeBackend

    fields = {"size": "100x80", "seed": 5, "steps": 4, "stream": True}
    bodies: dict[str, dict[str, Any]] = {
        "plain": {},
        "partial pictures and progress": {"partial_images": 2, "progress": True},
        "three pictures": {"n": 3, "partial_images": 1},
        "an error": {"prompt": "out of memory"},
    }
    found: Digests = {}
    with tempfile.TemporaryDirectory() as folder, running(ServeSettings(state=Path(folder)), FakeBackend) as live:
        for name, body in bodies.items():
            answer = live.http.post("/v1/images/generations", json={"prompt": "a", **fields, **body})
            found[name] = digest(_without_clock(answer.text))
    return found


def _without_clock(text: str) -> str:
    text = re.sub(r'"(created_at|created|eta_s|seconds|total_s)": ?[0-9.e-]+', r'"\1": 0', text)
    text = re.sub(r'"timings": ?{[^}]*}', '"timings": {}', text)
    text = re.sub(r'"(id|request_id|plan|url)": ?"[^"]*"', r'"\1": ""', text)
    text = re.sub(r'"plan1\.[^"]*"', '""', text)
    return re.sub(r'"b64_json": ?"([^"]*)"', lambda found: f'"b64_json": "{_pixels(found[1])}"', text)


def _pixels(encoded: str) -> str:
    return digest(Image.open(io.BytesIO(base64.b64decode(encoded))))


def batches() -> Digests:
    """Settings of each recipe, as a state keeps them, and the batches of some steps."""
    from inkwash.recipes.table import RECIPES, configured
    from inkwash.train.state_file import settings_of

    found: Digests = {}
    for name, steps in BATCHES.items():
        module, _, function = RECIPES[name].partition(":")
        recipe = getattr(importlib.import_module(module), function)
        stage = configured(recipe, ["work=work"])
        found[f"{name} settings"] = digest(settings_of(train=stage.train, data=stage.data))
        found |= {f"{name} step {step}": digest(stage.data(step)) for step in steps}
    return found


# What depends on the processor.


def pictures() -> Digests:
    """By the shipped nano, of 64 to 128 pixels in three steps."""
    from inkwash import GlmImagePipeline

    pipe = GlmImagePipeline.from_pretrained("nano", torch_dtype=torch.float32, device_map="cpu")
    ramp = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)
    reference = Image.fromarray(np.stack([ramp, 255 - ramp, ramp // 2], -1))
    mask = Image.new("L", reference.size)
    mask.paste(255, (16, 16, 64, 64))
    poster = {"prompt": 'A poster that says "HI"', "height": 96, "width": 96}
    edit = {"prompt": 'Write "NO" on it', "image": reference, "height": 96, "width": 96}
    calls: dict[str, dict[str, Any]] = {
        "prompt": poster,
        "Chinese": {**poster, "prompt": "一张海报，上面写着“你好”", "width": 128},
        "negative prompt and settings": {
            **poster, "negative_prompt": 'Words: "NO"', "guidance_scale": 3.0, "temperature": 0.7, "top_p": 0.9
        },
        "edit": edit,
        "edit with a mask": {**edit, "mask": mask},
        "two references": {**edit, "image": [[reference, mask.convert("RGB")]]},
        "three pictures, a plan each": {**poster, "num_images_per_prompt": 3, "layout": "new"},
        "three pictures, one plan": {**poster, "num_images_per_prompt": 3, "layout": "same"},
        "two prompts": {**poster, "prompt": [poster["prompt"], "A red circle"]},
        **{f"quality {tier}": {**poster, "quality": tier} for tier in ("high", "medium", "low")},
    }  # fmt: skip
    found = {name: _drawn(pipe, **call) for name, call in calls.items()}
    pipe.to(torch.bfloat16)
    return found | {"bfloat16": _drawn(pipe, **poster)}


def _drawn(pipe: Any, **settings: Any) -> str:
    steps = {"num_inference_steps": 8} if "quality" in settings else {"num_inference_steps": 3}
    output = pipe(**settings, **steps, generator=torch.Generator().manual_seed(11))
    return digest(output.images, output.plan.prior_token_ids)


def answers() -> Digests:
    """Texts of the shipped nano-v."""
    from inkwash import GlmVisionPipeline
    from inkwash.media.images import load_image

    pipe = GlmVisionPipeline.from_pretrained("nano-v", torch_dtype=torch.float32, device_map="cpu")
    image = load_image(FILE.with_name("sign.png"))  # a copy: the pictures in docs/ are drawn anew now and then
    picture = {"type": "image", "image": image}
    calls: dict[str, dict[str, Any]] = {
        "words": {"text": "What does it say?"},
        "without thinking": {"text": "How many objects are there?", "enable_thinking": False},
        "sampled": {"text": "Describe the picture.", "temperature": 0.9, "top_p": 0.9, "seed": 3},
        "bounded": {"text": "Where is the text?", "thinking_budget": 6},
    }
    found: Digests = {}
    for name, call in calls.items():
        content = [picture, {"type": "text", "text": call.pop("text")}]
        output = pipe([{"role": "user", "content": content}], max_new_tokens=48, **call)
        found[name] = digest(output.text, output.token_ids, output.finish_reason)
    return found


def training() -> Digests:
    """Weights of tiny networks after four steps of each stage."""
    from tests.unit.train.stages import run_stage

    found: Digests = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        for name in ("vae", "tokenizer", "decoder", "ar"):
            torch.manual_seed(0)
            found[name] = digest(run_stage(name, Path(folder) / name, 4, None))
    return found


EVERYWHERE: dict[str, Callable[[], Digests]] = {
    "help": helps, "openapi": openapi, "events": events, "batches": batches
}  # fmt: skip
BY_PROCESSOR: dict[str, Callable[[], Digests]] = {"pictures": pictures, "answers": answers, "training": training}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def recorded() -> dict[str, Any]:
    """What the file holds."""
    found = json.loads(FILE.read_text())
    assert isinstance(found, dict)
    return found


def record(names: list[str]) -> None:
    """Measure, all or the named groups, and write the file; what other processors have recorded is kept."""
    found = recorded() if FILE.exists() else {"everywhere": {}, "processors": {}}
    here = found["processors"].setdefault(processor(), {})
    for group, place in ((EVERYWHERE, found["everywhere"]), (BY_PROCESSOR, here)):
        for name, measure in group.items():
            if not names or name in names:
                began = time.perf_counter()
                with one_thread():
                    place[name] = measure()
                print(f"{name}: {len(place[name])} digests, {time.perf_counter() - began:.1f} s", flush=True)
    FILE.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    record(sys.argv[1:])
