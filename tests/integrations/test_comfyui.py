"""The ComfyUI nodes: their contract, their workflows, and that they draw what the command line draws.

They run in a small executor of ComfyUI's workflow format, and in ComfyUI itself where COMFYUI_FOLDER names its folder
(and COMFYUI_PYTHON the Python that runs it).
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from inkwash import InkwashError, Reading, RequestError
from inkwash.cli.app import run as cli
from tests.integrations.comfy_host import (
    NODES,
    Core,
    Host,
    InterruptProcessingException,
    Invalid,
    comfy_modules,
    execute,
    graph_of_canvas,
    load_nodes,
)

pytestmark = pytest.mark.slow

SIDE, STEPS = 96, 2
POSTER = 'A yellow poster with "Sale" in huge red letters'
nodes = load_nodes()
COMFYUI = os.environ.get("COMFYUI_FOLDER")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ComfyUI's folders, with two pictures, the first of them with a painted mask, and an adapter."""
    root = tmp_path_factory.mktemp("comfy")
    for name in ("input", "models/loras", "models/inkwash"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    poster = np.full((SIDE, SIDE, 4), 255, np.uint8)
    poster[..., :3] = rng.integers(0, 256, 3)
    poster[: SIDE // 2, :, 3] = 0  # the upper half may change
    Image.fromarray(poster).save(root / "input" / "poster.png")
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(root / "input" / "reference.png")
    width = nodes.NODE_CLASS_MAPPINGS["InkwashLoadModel"]().load("nano")[0].checkpoint.pipe.parts.decoder.config
    side = width.num_attention_heads * width.attention_head_dim
    generator = torch.Generator().manual_seed(0)
    name = "transformer.transformer_blocks.0.attn1.to_q"
    halves = {
        f"{name}.lora_A.weight": torch.randn(2, side, generator=generator),
        f"{name}.lora_B.weight": torch.randn(side, 2, generator=generator),
    }
    save_file(halves, root / "models" / "loras" / "style.safetensors")
    return root


@pytest.fixture(scope="module")
def model() -> Any:
    return nodes.NODE_CLASS_MAPPINGS["InkwashLoadModel"]().load("nano", device="cpu")[0]


@pytest.fixture
def host(root: Path) -> Iterator[Host]:
    host = Host(root)
    with comfy_modules(host):
        yield host


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What is read, reading after reading; then nothing."""
    lines: list[tuple[str, ...]] = []

    class Fake:
        def reading(self, _: Image.Image) -> Reading:
            return Reading(lines=lines.pop(0) if lines else ())

    module = sys.modules[f"{nodes.__name__}.words"]
    for name in ("words", "draw"):
        monkeypatch.setattr(sys.modules[f"{nodes.__name__}.{name}"], "reader", Fake)
    assert module is not None
    return lines


def small(graph: dict[str, Any]) -> dict[str, Any]:
    """The workflow at a size and a number of steps that a test can wait for."""
    for entry in graph.values():
        if "steps" in entry["inputs"]:
            entry["inputs"] |= {"steps": STEPS, "width": SIDE, "height": SIDE}
    return graph


def drawn_by_command(place: Path, *arguments: str | Path) -> list[Image.Image]:
    """The pictures of one command line, in order."""
    options = ["--size", f"{SIDE}x{SIDE}", "--steps", str(STEPS), "--device", "cpu", "--quiet"]
    assert cli([str(each) for each in arguments] + [*options, "-o", str(place / "out.png")]) == 0
    return [Image.open(path) for path in sorted(place.glob("out*.png"))]


def draw(model: Any, **widgets: Any) -> Any:
    usual = {"prompt": POSTER, "seed": 5, "width": SIDE, "height": SIDE, "steps": STEPS, "guidance": 0.0, "count": 1}
    return nodes.NODE_CLASS_MAPPINGS["InkwashDraw"]().draw(model=model, **{**usual, **widgets})


def edit(model: Any, **widgets: Any) -> Any:
    usual = {"prompt": "Replace the background with blue", "seed": 1, "steps": STEPS}
    usual |= {"width": SIDE, "height": SIDE, "guidance": 0.0, "count": 1, **widgets}
    return nodes.NODE_CLASS_MAPPINGS["InkwashEdit"]().edit(
        model=model, **{**usual, "guidance": 0.0, "count": 1, **widgets}
    )


def pixels(picture: Image.Image) -> Any:
    return np.asarray(picture.convert("RGB"))


def from_tensor(images: torch.Tensor) -> list[Any]:
    return [(one.numpy() * 255).round().astype(np.uint8) for one in images]


@pytest.mark.parametrize("name", sorted(nodes.NODE_CLASS_MAPPINGS))
def test_every_node_keeps_the_contract(name: str) -> None:
    node = nodes.NODE_CLASS_MAPPINGS[name]
    types = node.INPUT_TYPES()
    assert set(types) <= {"required", "optional"} and name in nodes.NODE_DISPLAY_NAME_MAPPINGS
    assert node.CATEGORY == "Inkwash" and len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    parameters = set(node.__dict__[node.FUNCTION].__code__.co_varnames)
    for each, (kind, *rest) in {**types["required"], **types.get("optional", {})}.items():
        assert isinstance(kind, str | list) and (each in parameters or "widgets" in parameters)
        if isinstance(kind, list):
            assert rest[0]["default"] in kind
        elif kind in ("INT", "FLOAT"):
            assert rest[0]["min"] <= rest[0]["default"] <= rest[0]["max"]


def test_the_stored_workflows_are_those_of_the_module_in_both_formats() -> None:
    workflows = importlib.import_module(f"{nodes.__name__}.workflows")
    stored = {path for folder in ("api_workflows", "example_workflows") for path in (NODES / folder).glob("*")}
    files = workflows.files()
    assert stored == set(files)
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, f"run workflows.py again: {path.name}"


@pytest.mark.parametrize("name", ["draw", "edit-mask", "edit-references", "redraw-plan", "lora"])
def test_the_canvas_format_is_the_same_workflow(name: str, host: Host) -> None:
    classes = {**nodes.NODE_CLASS_MAPPINGS, **Core(host.root).nodes}
    api = json.loads((NODES / "api_workflows" / f"{name}.json").read_text(encoding="utf-8"))
    graph = graph_of_canvas(json.loads((NODES / "example_workflows" / f"{name}.json").read_text()), classes)
    assert graph.keys() == api.keys()
    for key, entry in api.items():
        assert graph[key]["class_type"] == entry["class_type"]
        assert {each: graph[key]["inputs"][each] for each in entry["inputs"]} == entry["inputs"]


def run_example(name: str, host: Host) -> dict[str, Any]:
    core = Core(host.root)
    graph = small(json.loads((NODES / "api_workflows" / f"{name}.json").read_text(encoding="utf-8")))
    execute(graph, {**nodes.NODE_CLASS_MAPPINGS, **core.nodes})
    return core.saved


def prompt_of(name: str, key: str) -> tuple[str, str]:
    inputs = json.loads((NODES / "api_workflows" / f"{name}.json").read_text(encoding="utf-8"))[key]["inputs"]
    return inputs["prompt"], str(inputs["seed"])


def test_the_workflow_that_draws_equals_generate_and_tells_its_progress(
    host: Host, tmp_path: Path, words: list[tuple[str, ...]]
) -> None:
    prompt, seed = prompt_of("draw", "3")
    words += [("Sale", "50% off")]
    saved = run_example("draw", host)
    [own] = saved["inkwash"]
    [other] = drawn_by_command(tmp_path, "generate", prompt, "--seed", seed)
    assert np.array_equal(pixels(own), pixels(other))
    info = json.loads(saved["shown"][0])
    assert info["seed"] == int(seed) and info["verify"][0]["right"] and info["size"] == f"{SIDE}x{SIDE}"
    [bar] = host.bars
    done = [value for value, _, _ in bar]
    assert done == sorted(done) and done[-1] == bar[-1][1] and len(set(done)) > 5


def test_the_workflow_with_a_mask_equals_edit_and_keeps_what_is_outside(host: Host, tmp_path: Path) -> None:
    prompt, seed = prompt_of("edit-mask", "3")
    [own] = run_example("edit-mask", host)["inkwash-edit"]
    poster = host.root / "input" / "poster.png"
    flat = tmp_path / "in" / "flat.png"
    flat.parent.mkdir()
    Image.open(poster).convert("RGB").save(flat)
    (tmp_path / "out").mkdir()
    command = ["edit", prompt, "--image", flat, "--mask", poster, "--seed", seed]
    [other] = drawn_by_command(tmp_path / "out", *command)
    assert np.array_equal(pixels(own), pixels(other))
    before = pixels(Image.open(flat))
    assert np.array_equal(pixels(own)[SIDE // 2 :], before[SIDE // 2 :])
    assert not np.array_equal(pixels(own)[: SIDE // 2], before[: SIDE // 2])


def test_the_workflow_with_references_equals_edit(host: Host, tmp_path: Path) -> None:
    prompt, seed = prompt_of("edit-references", "4")
    [own] = run_example("edit-references", host)["inkwash-references"]
    flat = tmp_path / "flat.png"
    Image.open(host.root / "input" / "poster.png").convert("RGB").save(flat)
    reference = host.root / "input" / "reference.png"
    (tmp_path / "out").mkdir()
    [other] = drawn_by_command(tmp_path / "out", "edit", prompt, "--image", flat, "--image", reference, "--seed", seed)
    assert np.array_equal(pixels(own), pixels(other))


def test_the_workflow_with_an_adapter_equals_generate_and_leaves_the_model_alone(
    model: Any, host: Host, tmp_path: Path, words: list[tuple[str, ...]]
) -> None:
    prompt, seed = prompt_of("lora", "3")
    words += [("Sale", "50% off")]
    saved = run_example("lora", host)
    lora = host.root / "models" / "loras" / "style.safetensors"
    [own] = saved["inkwash-lora"]
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    [other] = drawn_by_command(tmp_path / "with", "generate", prompt, "--seed", seed, "--lora", lora)
    [plain] = drawn_by_command(tmp_path / "without", "generate", prompt, "--seed", seed)
    assert np.array_equal(pixels(own), pixels(other)) and not np.array_equal(pixels(own), pixels(plain))
    assert saved["shown"] == ["Sale\n50% off"]
    node = nodes.NODE_CLASS_MAPPINGS["InkwashLora"]()
    adapted = node.adapt(model, "style.safetensors", 1.0)[0]
    for branch, picture in ((adapted, other), (model, plain)):  # one after the other on the same weights
        made = draw(branch, prompt=prompt, seed=int(seed))[0]
        assert np.array_equal(from_tensor(made)[0], pixels(picture))


def test_a_plan_redraws_its_picture_and_survives_as_text(host: Host, model: Any) -> None:
    saved = run_example("redraw-plan", host)
    assert not np.array_equal(pixels(saved["inkwash-first"][0]), pixels(saved["inkwash-redrawn"][0]))
    [text] = saved["shown"]
    read = nodes.NODE_CLASS_MAPPINGS["InkwashPlanFromText"]().read
    [plan] = read(text)
    prompt, seed = prompt_of("redraw-plan", "2")
    again = draw(model, prompt=prompt, seed=int(seed), plan=plan, width=0, height=0)
    assert np.array_equal(from_tensor(again[0])[0], pixels(saved["inkwash-first"][0]))
    assert all(state != "prior" for state in host.bars[-1])
    for damaged in ("", text[:-7], "inkwash-plan:AAAA", text[:40] + "!" + text[41:]):
        with pytest.raises(RequestError, match="is no plan"):
            read(damaged)
    with pytest.raises(RequestError, match="plan is of 2 pictures, but 3"):
        draw(model, plan=draw(model, count=2)[1], count=3)


def test_pictures_of_a_batch_follow_the_seed(model: Any, tmp_path: Path) -> None:
    images, plan, right, info = draw(model, count=2)
    assert images.shape == (2, SIDE, SIDE, 3) and images.dtype == torch.float32 and not right
    assert len(plan.tokens) == 2 and json.loads(info)["count"] == 2
    expected = drawn_by_command(tmp_path, "generate", POSTER, "--seed", "5", "-n", "2")
    assert [np.array_equal(own, pixels(other)) for own, other in zip(from_tensor(images), expected, strict=True)]
    assert np.array_equal(from_tensor(draw(model, seed=6)[0])[0], from_tensor(images)[1])
    edited = edit(model, image=images)[0]
    assert np.array_equal(from_tensor(edit(model, image=images[1:], seed=2)[0])[0], from_tensor(edited)[1])


def test_verification_draws_again_until_the_words_are_right(
    model: Any, host: Host, words: list[tuple[str, ...]]
) -> None:
    verify = nodes.NODE_CLASS_MAPPINGS["InkwashVerify"]().make(tries=4, best_of=1)[0]
    words += [("Sole",), ("Sal",), ("Sale",)]
    images, plan, right, info = draw(model, verify=verify)
    [check] = json.loads(info)["verify"]
    assert right and check["attempt"] == 2 and check["attempts"] == 3 and not words
    told = [value for value, _, _ in host.bars[-1]]
    assert told == sorted(told) and told[-1] == host.bars[-1][-1][1] == 4000
    again = draw(model, plan=plan, seed=check["noise_seed"])[0]
    assert torch.equal(again, images)
    assert not draw(model, verify=verify)[2]  # nothing is read any more
    with pytest.raises(RequestError, match="take one of them off"):
        draw(model, plan=plan, verify=verify)


def test_previews_are_shown_while_it_draws(model: Any, host: Host) -> None:
    draw(model, steps=8)
    shown = [preview for _, _, preview in host.bars[-1] if preview is not None]
    assert [(kind, picture.size, side) for kind, picture, side in shown] == [("JPEG", (SIDE, SIDE), 512)] * 3


@pytest.mark.parametrize("after", [4, 12])
def test_cancel_stops_the_run_and_the_next_one_draws_the_same(model: Any, host: Host, after: int) -> None:
    expected = draw(model)[0]
    host.interrupt_after = after
    with pytest.raises(InterruptProcessingException):
        draw(model)
    host.interrupt_after = None
    assert torch.equal(draw(model)[0], expected)


def test_masks_are_of_comfyuis_kind(model: Any, host: Host) -> None:
    image = torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    image = torch.from_numpy(np.stack(from_tensor(image)).astype(np.float32) / 255)
    mask = torch.zeros(SIDE // 2, SIDE // 2)
    mask[:, : SIDE // 4] = 1.0  # of half the size and without a batch: the left half
    edited = edit(model, image=image, mask=mask)[0]
    assert torch.equal(edited[:, :, SIDE // 2 + 2 :], image[:, :, SIDE // 2 + 2 :])
    assert not torch.equal(edited[:, :, : SIDE // 2], image[:, :, : SIDE // 2])
    with pytest.raises(RequestError, match="mask is empty"):
        edit(model, image=image, mask=torch.zeros(1, 64, 64))  # what LoadImage gives for a picture without alpha


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"1": {"model": "nonsense"}}, "nonsense"),
        ({"3": {"prompt": "  "}}, "prompt is empty"),
        ({"3": {"width": 40, "height": 64}}, "multiple of 32"),
        ({"3": {"width": 1024, "height": 128}}, "at most 4:1"),
        ({"3": {"count": 0}}, "out of bounds"),
        ({"3": {"plan": ["1", 0]}}, "INKWASH_MODEL is linked to INKWASH_PLAN"),
        ({"3": {"quality": "best"}}, "none of"),
    ],
)
def test_wrong_widgets_are_refused_before_the_queue_starts(change: dict[str, Any], said: str, host: Host) -> None:
    graph = json.loads((NODES / "api_workflows" / "draw.json").read_text(encoding="utf-8"))
    for key, inputs in change.items():
        graph[key]["inputs"] |= inputs
    with pytest.raises(Invalid, match=said):
        execute(graph, {**nodes.NODE_CLASS_MAPPINGS, **Core(host.root).nodes})


def test_models_and_adapters_are_found_in_comfyuis_folders(host: Host, tmp_path: Path) -> None:
    module = sys.modules[f"{nodes.__name__}.host"]
    place = host.root / "models" / "inkwash" / "mine"
    place.mkdir(exist_ok=True)
    assert module.model_folder("mine") == str(place) and module.model_folder("nano") == "nano"
    assert "style.safetensors" in nodes.NODE_CLASS_MAPPINGS["InkwashLora"].INPUT_TYPES()["required"]["lora"][0]
    lora = nodes.NODE_CLASS_MAPPINGS["InkwashLora"]
    before = lora.IS_CHANGED(lora="style.safetensors", strength=1.0)
    os.utime(host.root / "models" / "loras" / "style.safetensors", (before + 5, before + 5))
    assert lora.IS_CHANGED(lora="style.safetensors", strength=1.0) == before + 5
    with pytest.raises(InkwashError, match="does not exist"):
        lora().adapt(None, "", 1.0, str(tmp_path / "none"))


@pytest.mark.skipif(COMFYUI is None, reason="COMFYUI_FOLDER names no ComfyUI")
def test_comfyui_itself_runs_the_workflows(root: Path, tmp_path: Path) -> None:
    """The server is started with these nodes as its only custom ones; pictures come back as its page would get them."""
    assert COMFYUI is not None
    base = tmp_path / "base"
    (base / "custom_nodes").mkdir(parents=True)
    (base / "custom_nodes" / "inkwash").symlink_to(NODES)
    for name in ("input", "models"):
        (base / name).symlink_to(root / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "log").open("w+")
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "main.py", "--cpu", "--port", str(port), "--base-directory", str(base), "--disable-auto-launch"]
    command += ["--database-url", "sqlite:///:memory:"]
    process = subprocess.Popen(command, cwd=COMFYUI, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: ask(f"{address}/object_info/InkwashDraw"), process, log, 180)
        assert sorted(ask(f"{address}/workflow_templates")["inkwash"]) == sorted(
            path.stem for path in (NODES / "example_workflows").iterdir()
        )
        prompt, seed = prompt_of("redraw-plan", "2")
        for name in ("redraw-plan", "edit-mask"):
            graph = small(json.loads((NODES / "api_workflows" / f"{name}.json").read_text(encoding="utf-8")))
            task = ask(f"{address}/prompt", {"prompt": graph})["prompt_id"]
            entry = wait_for(lambda task=task: ask(f"{address}/history/{task}").get(task), process, log, 300)
            assert entry["status"]["status_str"] == "success", entry["status"]
        [own] = (base / "output").glob("inkwash-first*.png")
        [other] = drawn_by_command(tmp_path, "generate", prompt, "--seed", seed)
        assert np.array_equal(pixels(Image.open(own)), pixels(other))
        wrong = small(json.loads((NODES / "api_workflows" / "draw.json").read_text(encoding="utf-8")))
        wrong["3"]["inputs"]["width"] = 40
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(f"{address}/prompt", {"prompt": wrong})
        assert b"multiple of 32" in refused.value.read()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.close()


def ask(address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_for(get: Any, process: subprocess.Popen[bytes], log: Any, seconds: float) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, Path(log.name).read_text()[-2000:]
        try:
            if found := get():
                return found
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(Path(log.name).read_text()[-2000:])
