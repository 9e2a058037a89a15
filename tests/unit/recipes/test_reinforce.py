"""`inkwash rl`: recipes on a tiny checkpoint of the released layout, adapters, a reward server, refusals, head-room."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash import recipes
from inkwash.cli.app import run
from inkwash.core.errors import ConfigError
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.rl.headroom import best_of, summary
from inkwash.rl.report import write_board
from inkwash.rl.rewards.detail import load_detail
from tests.parity.tiny import make_tiny_reference


class Brightness(BaseHTTPRequestHandler):
    """A reward server: the mean grey of each picture."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        images = [Image.open(io.BytesIO(base64.b64decode(one))).convert("L") for one in body["images"]]
        content = json.dumps({"scores": [float(np.asarray(image).mean()) for image in images]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Brightness)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_reference(tmp_path_factory.mktemp("tiny-rl") / "model")


def settings(checkpoint: Path, work: Path, server: str, *more: str) -> list[str]:
    common = [
        f"model={checkpoint}", f"work={work}", "world.level=first", "world.side=128", "world.most_texts=1",
        "rewards.text=0", f"rewards.http={server}", "rewards.http_high=255", "train.steps=2", "train.asks=2",
        "train.group=3", "train.spare=1", "train.draw_steps=2", "train.judge_every=0", "device=cpu",
    ]  # fmt: skip
    return [*common, *more]


@pytest.mark.slow
def test_adapters_of_the_released_layout_by_a_reward_server(checkpoint: Path, server: str, tmp_path: Path) -> None:
    """Both networks; the adapters act in the pipeline, and nothing of the checkpoint is written."""
    off = ["rewards.facts=0", "rewards.look=0", "method=lora", "lora.rank=2", "train.lr=0.01"]
    recipes.run("ar", settings(checkpoint, tmp_path, server, *off), recipes.REINFORCEMENT)
    off = ["rewards.fidelity=0", "method=lora", "lora.rank=2", "train.lr=0.01"]
    recipes.run("decoder", settings(checkpoint, tmp_path, server, *off), recipes.REINFORCEMENT)
    pipe = GlmImagePipeline.from_pretrained(checkpoint)
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    before = pipe.parts.ar.state_dict()[name].clone()
    pipe.load_lora_weights(tmp_path / "lora")
    acting = [module for module in pipe.parts.decoder.modules() if type(module).__name__ != "Linear"]
    assert acting and (tmp_path / "lora" / "pytorch_lora_weights.safetensors").exists()
    assert not torch.equal(pipe.parts.ar.state_dict().get(name, before + 1), before)  # it acts
    for part in ("ar", "decoder"):
        log = (tmp_path / part / "log.csv").read_text()
        assert "reward_http0" in log and len(log.splitlines()) == 3
        assert (tmp_path / part / "report.html").exists()


@pytest.mark.slow
def test_a_whole_checkpoint_is_written_and_draws(checkpoint: Path, server: str, tmp_path: Path) -> None:
    off = ["rewards.fidelity=1", "train.loss=nft", "train.lr=0.01"]
    recipes.run("decoder", settings(checkpoint, tmp_path, server, *off), recipes.REINFORCEMENT)
    assert json.loads((tmp_path / "decoder" / "fidelity.json").read_text())["scale"] > 0
    old, new = (GlmImagePipeline.from_pretrained(path).parts for path in (checkpoint, tmp_path / "checkpoint"))
    changed = [n for n, v in old.decoder.state_dict().items() if not torch.equal(v, new.decoder.state_dict()[n])]
    assert len(changed) > 10
    assert all(torch.equal(v.bfloat16().float(), new.ar.state_dict()[n]) for n, v in old.ar.state_dict().items())
    learnt = [new.decoder.state_dict()[name] for name in changed]
    assert any(not torch.equal(value.bfloat16().float(), value) for value in learnt), (
        "what was learnt is not rounded off"
    )
    assert all(torch.equal(value.half().float(), value) for value in learnt)


@pytest.mark.slow
def test_an_evaluator_of_details_is_trained_and_goes_on_where_it_stopped(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"model={checkpoint},{checkpoint}", "level=first,card", "side=128", "scenes=4", "drawn=0", "held=1"]
    words += ["train.steps=2", "train.save_every_s=0"]
    recipes.run("detail", [f"work={tmp_path}", *words], recipes.REINFORCEMENT)
    assert "ROC-AUC" in capsys.readouterr().out
    first = (tmp_path / "detail.safetensors").read_bytes()
    assert len((tmp_path / "detail" / "log.csv").read_text().splitlines()) == 3
    recipes.run("detail", [f"work={tmp_path}", *words], recipes.REINFORCEMENT)
    assert (tmp_path / "detail.safetensors").read_bytes() == first and 0 < load_detail(
        tmp_path / "detail.safetensors"
    ).threshold < 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_half_that_sees_is_reinforced_by_its_command(method: str, tmp_path: Path) -> None:
    """At level card, whose questions are others: graded tiers, expansion, forced answers and a curve in the log."""
    words = [
        f"work={tmp_path}",
        "model=nano-v",
        "level=card",
        "side=128",
        f"method={method}",
        "graded=2",
        "lora.rank=2",
    ]
    words += ["train.steps=2", "train.asks=1", "train.group=2", "train.spare=3", "train.max_new_tokens=12"]
    recipes.run("see", [*words, "train.thinking=2", "device=cpu"], recipes.REINFORCEMENT)
    rates = json.loads((tmp_path / "see" / "grades.json").read_text())
    assert rates and all(0 <= rate <= 1 for rate in rates.values())
    head, *rows = (tmp_path / "see" / "log.csv").read_text().splitlines()
    assert len(rows) == 2 and {"expansion", "forced", "right", "not_valid"} <= set(head.split(","))
    assert (tmp_path / "see" / "curve.png").exists()
    result = tmp_path / ("checkpoint" if method == "full" else "lora")
    assert any(result.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        ("ar", "method=half", "method must be one of full, lora"),
        ("ar", "train.group=1", "group must be at least 2"),
        ("ar", "train.control=random", "control must be one of"),
        ("decoder", "train.loss=ppo", "loss must be one of nft, awm, flow_grpo"),
        ("decoder", "train.window_last=99", "window"),
        ("decoder", "rewards.plan=1", "use `rl ar`"),
        ("decoder", "world.edits=0.5", "use `rl ar`"),
        ("ar", "world.edits=1.5", "a share from 0 to 1"),
        ("ar", "world.edits=0.5", "all rewards but rewards.plan"),
        ("ar", "rewards.plan=-1", "0 or more"),
        ("ar", "rewards.reader=eyes", "reader must be one of"),
        ("see", "train.choose=best", "rlcs or uniform"),
        ("detail", "level=first,card", "one level for each of the 1 models"),
        ("arr", "x=1", "did you mean 'ar'"),
        ("ar", "trian.steps=1", "did you mean 'train'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name: str, override: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        recipes.run(name, [f"work={tmp_path}", override], recipes.REINFORCEMENT)


def test_plans_that_cannot_be_read_are_no_reward(checkpoint: Path, tmp_path: Path) -> None:
    words = [f"work={tmp_path}", f"model={checkpoint}", "rewards.plan=1", "rewards.text=0"]
    with pytest.raises(ConfigError, match=r"code_labels\.json"):
        recipes.run("ar", words, recipes.REINFORCEMENT)


@pytest.mark.slow
def test_plans_alone_reinforce_nano(tmp_path: Path) -> None:
    off = ["rewards.text=0", "rewards.facts=0", "rewards.look=0", "train.judge_every=0", "train.steps=1"]
    more = [f"work={tmp_path}", "rewards.plan=1", "train.asks=2", "train.group=4", "train.spare=2", "device=cpu"]
    more += ["world.edits=0.5"]
    recipes.run("ar", [*off, *more], recipes.REINFORCEMENT)
    head, row = (tmp_path / "ar" / "log.csv").read_text().splitlines()
    found = dict(zip(head.split(","), row.split(","), strict=True))
    assert 0 < float(found["reward_plan"]) < 1
    assert load_pipeline_parts(tmp_path / "checkpoint").code_labels is not None


def test_the_command_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[:1].strip()] == ["ar", "decoder", "see", "detail", "headroom"]
    assert run(["rl", "ar", "--set", "steps"]) == 2 and "KEY=VALUE" in capsys.readouterr().err


def test_the_best_of_n_is_an_expectation() -> None:
    """Closed form against all choices of n, chosen by another judge than the one that scores."""
    import itertools

    scores, judge = np.random.default_rng(0).random((3, 5)), np.random.default_rng(1).random((3, 5))
    for n in (1, 2, 3, 5):
        picks = [
            [row[max(some, key=lambda i, by=by: by[i])] for some in itertools.combinations(range(5), n)]
            for row, by in zip(scores, judge, strict=True)
        ]
        assert best_of(scores, judge, n) == pytest.approx(float(np.mean(picks)))
    found = summary(judge, scores, scores)
    assert found["reward_best_of"]["2"] > found["reward_mean"] and found["zero_variance"] == 0.0
    assert summary(np.ones((2, 4)), scores[:2, :4], scores[:2, :4])["zero_variance"] == 1.0


def test_the_board_says_what_was_hacked(tmp_path: Path) -> None:
    rows = ["step,samples,reward_text,gold,gold_ppocrv6,rewarding,facts,edges,colours,ink,brightness,distinct_plans"]
    rows += ["1,8,0.5,0.5,0.5,0.5,0.9,0.1,1.5,0.2,0.5,1.0", "2,16,0.9,0.4,0.4,0.9,0.9,0.02,1.5,0.2,0.5,1.0"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "00-00000.png")
    (tmp_path / "prompts.txt").write_text("A <sign>\n")
    board = write_board(tmp_path, tmp_path)
    assert board is not None
    page = board.read_text()
    assert "0.500 better" in page and "The edges" in page and "A &lt;sign&gt;" in page and "data:image/png" in page
    (tmp_path / "log.csv").write_text("step,samples,loss\n1,8,0.5\n")
    assert write_board(tmp_path) is None
