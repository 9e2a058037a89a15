"""Fine-tuning on a tiny checkpoint: it learns, it resumes bit by bit, and its files are those of `peft`."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.data.shards import ShardSet
from inkwash.engine.adapters import Adapters
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.recipes import finetune as recipe
from inkwash.recipes.encode import SampleEncoder
from inkwash.recipes.finetune import Finetune, finetune
from inkwash.recipes.see_finetune import SeeFinetune
from inkwash.recipes.table import configured
from inkwash.train.encoded import encoded_rows
from inkwash.train.finetune import Tuning
from inkwash.train.lora import LoRA
from inkwash.train.parallel import Ranks
from inkwash.train.run import TrainingRun
from tests.parity.tiny import make_tiny_reference

pytestmark = pytest.mark.slow

AR, DECODER = "vision_language_encoder", "transformer"
ROOT = Path(__file__).resolve().parents[3]
EXACT = {"steps": 4, "batch": 2, "lr": 1e-3, "warmup": 1, "workers": 0, "save_every_s": 0.0, "precision": "fp32"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_reference(tmp_path_factory.mktemp("tiny-finetune") / "model")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with prompts and two edits of them, one with two references."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = random.Random(0)
    lines = []
    for number in range(4):
        color = tuple(rng.randrange(256) for _ in range(3))
        Image.new("RGB", (160, 160), color).save(folder / f"{number}.png")
        lines.append({"prompt": f'A poster that says "HI {number}"', "image": f"{number}.png"})
    lines.append({"instruction": "Make it blue", "references": ["0.png"], "image": "1.png"})
    lines.append({"instruction": "Join the two", "references": ["2.png", "0.png"], "image": "3.png"})
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return folder


def tune(work: Path, data: Path, model: Path, **changes: object) -> Path:
    small = Tuning(steps=4, batch=2, warmup=1, workers=0, save_every_s=0.0)
    settings: dict[str, object] = {"ar": small, "decoder": small, "lora": LoRA(rank=2, alpha=4.0), "side": 160}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peft's import sets off is not ours
        made = Finetune(work=work, data=data, model=str(model), device="cpu", **(settings | changes))  # type: ignore[arg-type]
        return made.run()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, model: Path, pictures: Path) -> Path:
    """The work folder of a finished run with adapters in both networks."""
    work = tmp_path_factory.mktemp("tuned")
    assert tune(work, pictures, model) == work / "lora"
    return work


def test_the_result_is_a_folder_in_the_peft_format(tuned: Path, model: Path) -> None:
    for part, some in ((AR, "lm_head"), (DECODER, "proj_out")):
        assert {path.name for path in (tuned / "lora" / part).iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
        config = json.loads((tuned / "lora" / part / "adapter_config.json").read_text())
        assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 2, 4.0)
        assert config["base_model_name_or_path"] == str(model)
        tensors = load_file(tuned / "lora" / part / "adapter_model.safetensors")
        learned = tensors[f"base_model.model.{some}.lora_B.weight"]
        assert learned.abs().max() > 0, "B starts at zero: nothing was learned"


def test_peft_loads_it_and_computes_what_the_engine_merges(tuned: Path, model: Path) -> None:
    import peft

    ids, positions = torch.randint(0, 90, (2, 7)), torch.arange(7).expand(3, 2, 7)
    parts, other = load_pipeline_parts(model), load_pipeline_parts(model)
    before = parts.ar.lm_head(parts.ar(ids, positions))
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        wrapped = peft.PeftModel.from_pretrained(other.ar, str(tuned / "lora" / AR)).eval()
        wanted = other.ar.lm_head(wrapped(ids, positions))
        peft.PeftModel.from_pretrained(other.decoder, str(tuned / "lora" / DECODER))
    logging.disable(logging.NOTSET)
    Adapters(parts).load(tuned / "lora")
    with torch.no_grad():
        found = parts.ar.lm_head(parts.ar(ids, positions))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, tuned: Path, model: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stage dies twice on the way; every file of the result is equal."""
    shards = tuned / "shards"
    whole = tuned / "lora" if method == "lora" else tune(tmp_path / "whole", shards, model, method=method)
    log, deaths = TrainingRun.log, [("ar", 1), ("decoder", 2)]

    def dying(self: TrainingRun, step: int, *args: int, **values: float) -> None:
        log(self, step, *args, **values)
        if (self.folder.name, step) in deaths:
            deaths.remove((self.folder.name, step))
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "log", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(tmp_path / "killed", shards, model, method=method)
    killed = tune(tmp_path / "killed", shards, model, method=method)
    names = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert len(names) == (3 if method == "lora" else 4)
    for name in names:
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name


def test_a_full_run_writes_a_checkpoint_that_loads(tmp_path: Path, tuned: Path, model: Path) -> None:
    folder = tune(tmp_path, tuned / "shards", model, method="full", parts="decoder")
    old, new = load_pipeline_parts(model, dtype=torch.bfloat16), load_pipeline_parts(folder, dtype=None)
    assert torch.equal(new.ar.lm_head.weight, old.ar.lm_head.weight), "only the decoder was asked for"
    assert not torch.equal(new.decoder.proj_out.weight, old.decoder.proj_out.weight)


def test_a_pipeline_draws_with_it_and_without_it_again(tuned: Path, model: Path) -> None:
    pipe = GlmImagePipeline.from_pretrained(model)

    def draw() -> np.ndarray:
        made = pipe(
            prompt='A "HI" sign', height=64, width=64, num_inference_steps=1, output_type="np",
            generator=torch.Generator().manual_seed(1),
        )  # fmt: skip
        assert not isinstance(made, tuple)
        return np.asarray(made.images)

    plain = draw()
    assert pipe.load_lora_weights(tuned / "lora", "first") == "first"
    changed = draw()
    assert not np.array_equal(plain, changed)
    pipe.set_adapters("first", 0.0)
    assert np.array_equal(plain, draw()) and pipe.get_active_adapters() == []
    pipe.set_adapters(["first"], [1.0])
    assert np.array_equal(changed, draw()) and pipe.get_active_adapters() == ["first"]
    pipe.unload_lora_weights()
    assert np.array_equal(plain, draw())


def test_rows_are_what_the_engine_will_read(tuned: Path, model: Path) -> None:
    """The stored ids, positions and grids of a prompt are those that `prepare` and the engine make of it."""
    from inkwash.data.encoded import AR_FIELDS, ShardBatches
    from inkwash.engine.ar import fill_placeholders
    from inkwash.models.glm_image.ar import decode_positions, prompt_positions

    parts = load_pipeline_parts(model)
    make = ShardBatches(folder=tuned / "shards", batch=2, fields=AR_FIELDS)
    seen, edited = set(), 0
    for step in range(make.order.steps_per_epoch):
        batch = make(step)
        rows = encoded_rows(batch, parts.ar.config, preview_weight=3.0)
        counted = encoded_rows(batch, parts.ar.config, preview_weight=3.0, changed_weight=4.0)
        for i, prompt in enumerate(batch["prompts"]):
            images = [Image.new("RGB", (160, 160)) for _ in batch["references"][i]]
            prepared = parts.processor.prepare(prompt, 160, 160, images)
            codes = [torch.as_tensor(each["tokens"]).flatten() for each in batch["references"][i]]
            ids = fill_placeholders(prepared.ids, codes, parts.ar.config.image_token_id)
            marks = {
                "image_start": parts.ar.config.image_start_token_id,
                "image_end": parts.ar.config.image_end_token_id,
            }
            grids = [reference.grid for reference in prepared.references]
            positions, start = prompt_positions(ids.tolist(), grids, **marks)
            drawn = [prepared.target] if prepared.preview is None else [prepared.preview, prepared.target]
            plan = decode_positions(start, drawn)
            length = len(ids) + plan.shape[1]
            assert torch.equal(rows.ids[i, : len(ids)], ids)
            assert torch.equal(rows.positions[:, i, :length], torch.cat([positions, plan], dim=1))
            assert torch.equal(rows.ids[i, length - 26 : length - 1], torch.as_tensor(batch["tokens"][i]).flatten())
            weight = rows.weight[i]
            assert int((weight > 0).sum()) == plan.shape[1] and float(weight[length - 2]) == 1.0
            assert float(weight.max()) == (3.0 if prepared.preview else 1.0)
            seen.add(len(codes))
            target = torch.as_tensor(batch["tokens"][i]).flatten()
            same = next((each for each in codes if len(each) == len(target)), None)
            changed = torch.zeros(25, dtype=torch.bool) if same is None else same != target
            assert torch.equal(counted.weight[i, length - 27 : length - 2] == 4.0, changed)
            edited += int(changed.sum())
    assert seen == {0, 1, 2} and edited > 0


def test_stored_latents_and_tokens_are_those_of_the_networks(tuned: Path, model: Path) -> None:
    sample = ShardSet(tuned / "shards").read("160x160-edit", 0, 1)
    encoder = SampleEncoder(model, "cpu")
    assert sample.facts["prompt"] == "Join the two" and sample.facts["texts"] == []
    assert sample.arrays["tokens"].shape == (5, 5) and "preview" not in sample.arrays
    assert sample.arrays["latents"].dtype == np.float16 and sample.arrays["latents"].shape[1:] == (20, 20)
    for number in range(2):
        tokens = sample.arrays[f"reference{number}.tokens"]
        assert sample.arrays[f"reference{number}.latents"].shape[1:] == (4 * tokens.shape[0], 4 * tokens.shape[1])
    placeholder = encoder.processor.token_id("image_token")
    assert int((sample.arrays["ids"] == placeholder).sum()) == sum(
        sample.arrays[f"reference{number}.tokens"].size for number in range(2)
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": Path()}, "add --set data=FOLDER"),
        ({"parts": "glyph"}, "parts must be one of both, ar, decoder"),
        ({"method": "dora"}, "method must be one of lora, full"),
        ({"side": 100}, "multiples of 32"),
    ],
)
def test_wrong_settings(tmp_path: Path, pictures: Path, model: Path, changes: dict[str, object], said: str) -> None:
    settings: dict[str, object] = {"data": pictures, "model": str(model), "work": tmp_path, "device": "cpu"}
    with pytest.raises(ConfigError, match=said):
        Finetune(**(settings | changes)).run()  # type: ignore[arg-type]


def test_shards_of_another_checkpoint_are_refused(tmp_path: Path, tuned: Path, model: Path) -> None:
    index = json.loads((tuned / "shards" / "index.json").read_text())
    copy = tmp_path / "shards"
    copy.mkdir()
    for path in (tuned / "shards").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    index["meta"]["codebook"] = "0" * 16
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match="encoded with another codebook"):
        tune(tmp_path / "work", copy, model)


def test_another_rank_does_not_continue_a_run(tmp_path: Path, tuned: Path, model: Path) -> None:
    work = shutil.copytree(tuned, tmp_path / "work")
    with pytest.raises(InkwashError, match=r"lora\.rank was 2 and is 3"):
        tune(work, tuned / "shards", model, parts="ar", lora=LoRA(rank=3))


def two_processes(work: Path, data: Path, model: Path, *settings: str, until: Path | None = None) -> tuple[int, str]:
    """The command under torchrun, ended as soon as `until` exists; its exit status and all it said."""
    words = [f"work={work}", f"data={data}", f"model={model}", "device=cpu", "side=160", "lora.rank=2", "lora.alpha=4"]
    words += [f"{part}.{name}={value}" for part in ("ar", "decoder") for name, value in EXACT.items()]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "inkwash", "train", "finetune"]
    command += [word for setting in (*words, *settings) for word in ("--set", setting)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while until is not None and process.poll() is None:
            if until.exists():
                process.terminate()  # torchrun ends the others
                break
            time.sleep(0.005)
        said, _ = process.communicate(timeout=180)
    return process.returncode, said


def same_curves(alone: Path, together: Path) -> None:
    for part in ("ar", "decoder"):
        command = [sys.executable, "bench/loss_compare.py", str(alone / part), str(together / part)]
        compared = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert compared.returncode == 0, compared.stdout


def test_two_processes_learn_what_one_learns(tmp_path: Path, pictures: Path, model: Path) -> None:
    """torchrun on pictures: adapters; then all weights, on the shards of before, ended in the middle and continued."""
    one = Tuning(**EXACT)  # type: ignore[arg-type]
    for method in ("lora", "full"):
        tune(tmp_path / f"{method}1", pictures, model, method=method, ar=one, decoder=one)
    adapters = tmp_path / "lora2"
    status, said = two_processes(adapters, pictures, model)
    assert status == 0, said
    assert said.count("Finished:") == said.count("6 pictures encoded") == 1, said
    same_curves(tmp_path / "lora1", adapters)
    for part in (AR, DECODER):
        file = Path("lora") / part / "adapter_model.safetensors"
        torch.testing.assert_close(load_file(adapters / file), load_file(tmp_path / "lora1" / file), rtol=0, atol=1e-5)

    work, middle = tmp_path / "full2", tmp_path / "full2" / "decoder" / "shards-1" / ".metadata"
    status, said = two_processes(work, adapters / "shards", model, "method=full", until=middle)
    assert status != 0 and middle.exists() and not (work / "checkpoint").exists(), said
    status, said = two_processes(work, adapters / "shards", model, "method=full")
    assert status == 0, said
    same_curves(tmp_path / "full1", work)
    folders = (model, tmp_path / "full1" / "checkpoint", work / "checkpoint")
    base, alone, together = (load_pipeline_parts(folder) for folder in folders)
    for part in ("ar", "decoder", "glyph", "vae"):
        found, wanted = getattr(together, part).state_dict(), getattr(alone, part).state_dict()
        torch.testing.assert_close(found, wanted, rtol=1 / 128, atol=1e-4)  # they are bf16
    for part, changed in (("ar", "lm_head"), ("decoder", "proj_out")):
        before, after = (getattr(getattr(parts, part), changed).weight.detach() for parts in (base, together))
        assert float((after - before).abs().max()) > 1e-3


def test_what_several_processes_refuse(
    tmp_path: Path, pictures: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "start", lambda device: (Ranks(world=2), device))
    with pytest.raises(ConfigError, match="A batch of 3 cannot be spread over 2 processes"):
        tune(tmp_path / "work", pictures, model, decoder=Tuning(batch=3))
    assert not (tmp_path / "work").exists(), "refused before anything is encoded"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="The fine-tuning of a model that sees takes one process"):
        SeeFinetune(work=tmp_path / "see", data=pictures / "none.jsonl").run()


def test_settings_from_the_command_line() -> None:
    found = configured(finetune, ["data=x", "lora.rank=8", "ar.steps=7", "method=full"])
    assert found.data == Path("x") and found.lora == LoRA(rank=8) and found.ar.steps == 7
    with pytest.raises(ConfigError, match="rank must be at least 1"):
        configured(finetune, ["lora.rank=0"])
    with pytest.raises(ConfigError, match="did you mean 'rank'"):
        configured(finetune, ["lora.rnk=8"])
    with pytest.raises(ConfigError, match="precision must be one of auto, bf16, fp32"):
        configured(finetune, ["ar.precision=fp8"])
