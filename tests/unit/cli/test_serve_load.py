"""How `serve` loads what it draws with: the options of `generate`, given on to the engine or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from inkwash.engine.open import LoadOptions
from inkwash.models.registry import bundled_folder
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
PROJ = "transformer_blocks.0.attn1.to_out.0"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the server was started with."""
    calls: list[dict[str, Any]] = []

    def serve(settings: Any, load: Any, **more: Any) -> None:
        calls.append({"settings": settings, "load": load, **more})
        more["bound"].close()

    monkeypatch.setattr("inkwash.serve.server.serve", serve)
    return calls


@pytest.mark.slow
def test_options_reach_the_engine(inkwash: Run, served: list[dict[str, Any]], tmp_path: Path) -> None:
    from inkwash.engine.pipeline import GlmImagePipeline

    plain = GlmImagePipeline.from_pretrained("nano")
    weight = plain.parts.decoder.get_parameter(f"{PROJ}.weight")
    out, inner = weight.shape
    tensors = {
        f"base_model.model.{PROJ}.lora_A.weight": torch.ones(2, inner),
        f"base_model.model.{PROJ}.lora_B.weight": torch.ones(out, 2),
    }
    folder = tmp_path / "mine" / "transformer"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2, "bias": "none"})
    )
    save_file(tensors, folder / "adapter_model.safetensors")
    done = inkwash("serve", "nano", "--port", "0", "--lora", f"{folder.parent}:0.5", "--device", "cpu")
    assert done.code == 0, done.err
    backend = served[0]["load"]()
    try:
        acting = backend.engine.pipe.parts.decoder.get_parameter(f"{PROJ}.weight")
        torch.testing.assert_close(acting, weight + 1.0)  # 0.5 x (2 / 2) x (ones @ ones of rank 2)
    finally:
        backend.close(drain=False, timeout_s=10)
    assert inkwash("serve", "nano", "--port", "0", "--offload", "stage").code == 0
    backend = served[1]["load"]()
    try:
        assert backend.engine.pipe.stages.residency is not None
    finally:
        backend.close(drain=False, timeout_s=10)
    assert inkwash("serve", "nano", "--port", "0", "--quantize", "decoder=int8").code == 0
    backend = served[2]["load"]()
    try:
        assert backend.engine.pipe.parts.decoder.blocks[0].ff.net[2].weight.qdata.element_size() == 1, "rounded"
    finally:
        backend.close(drain=False, timeout_s=10)


@pytest.mark.parametrize("command", ["serve", "ui"])
def test_further_models_are_loaded_beside_the_first(
    command: str, inkwash: Run, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[LoadOptions] = []
    monkeypatch.setattr("inkwash.serve.backend.load_backend", lambda options, **_: loaded.append(options))
    other = tmp_path / "other"
    other.mkdir()  # a link to the folder itself would have the name of the first
    for part in bundled_folder("nano").iterdir():
        (other / part.name).symlink_to(part)
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    save_file({f"{PROJ}.lora_A.weight": torch.ones(2, 2)}, adapters / "ink.safetensors")
    more = ("--also", str(other), "--lora-folder", str(adapters), "--dtype", "bfloat16")
    done = inkwash(command, "nano", "--port", "0", *more)
    assert done.code == 0, done.err
    served[0]["load"]()
    for load in served[0]["also"]:
        load()
    assert [(options.model, options.dtype, len(options.offered)) for options in loaded] == [
        ("nano", "bfloat16", 1),
        (str(other), "bfloat16", 0),
    ]


def test_adapters_of_a_folder_are_offered(
    inkwash: Run, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[LoadOptions] = []
    monkeypatch.setattr("inkwash.engine.open.open_pipeline", lambda options: seen.append(options) or 1 / 0)
    save_file({"transformer.proj_out.lora_A.weight": torch.ones(2, 4)}, tmp_path / "ink.safetensors")
    (tmp_path / "notes.txt").write_text("about them")
    assert inkwash("serve", "nano", "--port", "0", "--lora-folder", str(tmp_path)).code == 0
    with pytest.raises(ZeroDivisionError):
        served[0]["load"]()
    assert seen[0].offered == (tmp_path / "ink.safetensors",) and not seen[0].plain


def test_compile_is_asked_for(inkwash: Run, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[LoadOptions] = []
    monkeypatch.setattr("inkwash.engine.open.open_pipeline", lambda options: seen.append(options) or 1 / 0)
    assert inkwash("serve", "nano", "--port", "0", "--compile").code == 0
    with pytest.raises(ZeroDivisionError):
        served[0]["load"]()
    assert seen[0].compile


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("nano", "--quantize", "int3"), "int3"),
        (("nano", "--lora", "/none"), "/none"),
        (("nano", "--compile", "--offload", "block"), "--compile needs"),
        (("nano-v", "--offload", "stage"), "cannot draw"),
        (("nano-v", "--lora-folder", "."), "cannot draw"),
        (("nano", "--lora-folder", "/none"), "no folder '/none'"),
        (("nano", "--ray", "--planners", "1", "--decoders", "1", "--quantize", "int8"), "--planners"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    inkwash: Run, served: list[dict[str, Any]], arguments: tuple[str, ...], word: str
) -> None:
    done = inkwash("serve", "--port", "0", *arguments)
    assert done.code == 2 and word in done.err and not served
