"""Fine-tuning a tiny model that sees: it learns, resumes bit by bit, writes adapters for `peft`, tells bad data."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from inkwash.core.errors import ConfigError, DataError
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm_v.weights import load_glm_v, save_glm_v
from inkwash.recipes.see_finetune import SeeFinetune, see_finetune
from inkwash.recipes.table import configured
from inkwash.train.lora import LoRA, without_config
from inkwash.train.run import TrainingRun
from inkwash.train.see_finetune import SeeTuning
from tests.unit.engine.see.conftest import tiny_parts
from tests.unit.media.test_videos import write_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[False, True], ids=["dense", "experts"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sees")
    return save_glm_v(tiny_parts(folder / "parts", experts=request.param), folder / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talks")
    entries: list[dict[str, Any]] = []
    for number, color in enumerate(("red", "blue", "green")):
        Image.new("RGB", (40, 24), color).save(folder / f"{number}.png")
        question = {"role": "user", "content": "<image>Which?"}
        said = {"role": "assistant", "content": f"<think>I look.</think>\n<answer>{color}</answer>"}
        more = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "yes"}]
        entries.append({"messages": [question, said, *more], "images": [f"{number}.png"]})
    write_video(folder / "video.mp4")
    turns = [{"role": "user", "content": "<video>What?"}, {"role": "assistant", "content": "a film"}]
    entries.append({"messages": turns, "videos": ["video.mp4"]})
    (folder / "talks.json").write_text(json.dumps(entries))
    return folder / "talks.json"


def tune(work: Path, data: Path, model: Path, **changes: Any) -> Path:
    small = SeeTuning(steps=4, batch=3, rows=2, warmup=1, workers=0, save_every_s=0.0)
    settings: dict[str, Any] = {"see": small, "lora": LoRA(rank=2, alpha=8.0), "device": "cpu"} | changes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peft's import sets off is not ours
        return SeeFinetune(work=work, data=data, model=str(model), **settings).run()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, model: Path, data: Path) -> Path:
    return tune(tmp_path_factory.mktemp("tuned"), data, model)


def test_peft_loads_the_adapter_and_computes_what_the_pipeline_merges(tuned: Path, model: Path) -> None:
    import peft

    assert {path.name for path in tuned.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    names = load_file(tuned / "adapter_model.safetensors").keys()
    assert any(".mlp.down_proj." in name or ".shared_experts.down_proj." in name for name in names)
    assert load_file(tuned / "adapter_model.safetensors")["base_model.model.lm_head.lora_B.weight"].abs().max() > 0
    ids, positions = torch.randint(0, 250, (2, 7)), torch.arange(7).expand(3, 2, 7)
    other = load_glm_v(model).model
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        with without_config(other):
            wrapped = peft.PeftModel.from_pretrained(other, str(tuned)).eval()
        wanted = other.lm_head(wrapped(ids, positions))
    logging.disable(logging.NOTSET)
    pipe = GlmVisionPipeline.from_pretrained(model)
    messages = [{"role": "user", "content": "Which one is it?"}]
    plain = pipe(messages, max_new_tokens=8, temperature=0).token_ids
    with torch.no_grad():
        before = pipe.parts.model.lm_head(pipe.parts.model(ids, positions))
        assert pipe.load_lora_weights(tuned, "mine") == "mine"
        found = pipe.parts.model.lm_head(pipe.parts.model(ids, positions))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, before, rtol=1e-3, atol=1e-3)
    changed = pipe(messages, max_new_tokens=8, temperature=0)
    fresh = GlmVisionPipeline(pipe.parts)(messages, max_new_tokens=8, temperature=0)
    assert changed.token_ids == fresh.token_ids  # the decode path has the merged weights, and no old cache
    assert changed.usage.cached_tokens == 0
    pipe.unload_lora_weights()
    assert pipe(messages, max_new_tokens=8, temperature=0).token_ids == plain


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, tuned: Path, data: Path, model: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tuned if method == "lora" else tune(tmp_path / "whole", data, model, method=method)
    log, deaths = TrainingRun.log, [1, 2]

    def dying(self: TrainingRun, step: int, *args: int, **values: float) -> None:
        log(self, step, *args, **values)
        if step in deaths:
            deaths.remove(step)
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "log", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(tmp_path / "killed", data, model, method=method)
    killed = tune(tmp_path / "killed", data, model, method=method)
    (name,) = [path.name for path in whole.glob("*.safetensors")]
    assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_it_learns_what_is_shown(tmp_path: Path, data: Path, model: Path) -> None:
    """A tiny random model learns every answer by heart, with and without thoughts."""
    pictures = data.with_name("pictures.json")
    pictures.write_text(json.dumps(json.loads(data.read_text())[:3]))
    settings = SeeTuning(steps=120, batch=6, lr=5e-3, warmup=5, workers=0, vision=True)
    folder = tune(tmp_path, pictures, model, method="full", see=settings)
    pipe = GlmVisionPipeline.from_pretrained(folder)
    for number, color in enumerate(("red", "blue", "green")):
        picture = {"type": "image", "image": data.parent / f"{number}.png"}
        messages: list[Any] = [{"role": "user", "content": [picture, "Which?"]}]
        output = pipe(messages, max_new_tokens=40, temperature=0)
        assert (output.content, output.thoughts, output.finish_reason) == (color, "I look.", "stop")
        messages += [output.message, {"role": "user", "content": "Sure?"}]
        assert pipe(messages, max_new_tokens=20, temperature=0, enable_thinking=False).content == "yes"


def test_rows_do_not_change_the_loss(tmp_path: Path, data: Path, model: Path) -> None:
    logs = []
    for rows in (0, 1, 3):
        settings = SeeTuning(steps=2, batch=4, rows=rows, warmup=1, workers=0)
        tune(tmp_path / str(rows), data, model, see=settings)
        lines = (tmp_path / str(rows) / "see" / "log.csv").read_text().splitlines()
        logs.append([float(line.split(",")[2]) for line in lines[1:]])
    assert len(logs[0]) == 2 and logs[0][0] != logs[0][1]
    assert logs[1] == pytest.approx(logs[0], rel=1e-4) and logs[2] == pytest.approx(logs[0], rel=1e-4)


def test_broken_examples_are_counted_and_listed(
    tmp_path: Path, data: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = json.loads(data.read_text())
    (data.parent / "cut.png").write_bytes((data.parent / "0.png").read_bytes()[:60])
    cut = {**entries[0], "images": ["cut.png"]}
    half = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>never ends"}]}
    long = {"messages": [{"role": "user", "content": "x" * 900}, {"role": "assistant", "content": "y"}]}
    bad = data.with_name("bad.json")
    bad.write_text(json.dumps([*entries, cut, half, long, {"messages": 1}]))
    settings = {"max_tokens": 500, "see": SeeTuning(steps=1, batch=1, workers=0)}
    with pytest.raises(DataError, match="4 of 8 conversations cannot be used"):
        tune(tmp_path, bad, model, **settings)
    tune(tmp_path, bad, model, max_skipped=0.5, **settings)
    assert "4 conversations with 7 answers to learn, 4 skipped" in capsys.readouterr().out
    lines = (tmp_path / "skipped.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == [f"bad.json, example {number}" for number in (8, 5, 6, 7)]
    assert "more than the 500" in lines[3]


def test_settings_are_checked(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="needs data"):
        SeeFinetune(work=tmp_path).run()
    with pytest.raises(ConfigError, match="method must be one of"):
        SeeFinetune(work=tmp_path, data=data, method="dora").run()
    with pytest.raises(ConfigError, match="leave the ViT alone"):
        SeeFinetune(work=tmp_path, data=data, see=SeeTuning(vision=True)).run()
    changed = configured(see_finetune, ["see.vision=true", "see.steps=7", "lora.rank=4", "data=x.json", "method=full"])
    assert changed.see == SeeTuning(steps=7, vision=True) and changed.lora.rank == 4 and changed.data == Path("x.json")
    with pytest.raises(ConfigError, match="at least 1"):
        configured(see_finetune, ["see.batch=0"])
