"""Judges of other people's libraries: what they are asked for, with stand-ins for them, and what is missing."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import cvtg2k, dpg, libraries
from inkwash.eval.benchmarks.judges import CachedAnswers, Judges
from inkwash.eval.benchmarks.libraries import ClipScorer, DreamSim, Llm2Clip, Mplug, StyleJudge

PICTURE = Image.new("RGB", (8, 8), "red")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights.pt").write_bytes(b"weights")
    return tmp_path / "weights.pt"


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "pick_device", lambda device: "cpu")


def install(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))


class Tower(torch.nn.Module):
    """CLIP's picture tower: one linear layer and a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(3, 2, bias=False)
        self.proj: Any = torch.nn.Parameter(torch.eye(2))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(pixels)
        return out


class ClipModel(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = Tower()

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape == (1, 3)
        return torch.tensor([[3.0, 4.0]])

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]])


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def load(path: str, device: str) -> tuple[ClipModel, Callable[[Image.Image], torch.Tensor]]:
        asked.append((path, device))
        return ClipModel(), lambda image: torch.ones(3)

    def tokenize(texts: list[str], truncate: bool) -> torch.Tensor:
        asked.append((texts, truncate))
        return torch.zeros(1, 77, dtype=torch.long)

    install(monkeypatch, "clip", load=load, tokenize=tokenize)
    return asked


def test_clip_cuts_long_texts_and_gives_the_cosine(clip: list[Any], weights: Path) -> None:
    judge = ClipScorer(weights)
    assert judge.cosine(PICTURE, "A photo depicts a cat") == pytest.approx(0.6)
    assert clip == [(str(weights), "cpu"), (["A photo depicts a cat"], True)]
    assert judge.name.startswith("clip-vit-l-14[") and len(judge.name) == len("clip-vit-l-14[]") + 8


def test_a_pair_is_asked_about_once(clip: list[Any], weights: Path, tmp_path: Path) -> None:
    judges = Judges(
        open_reader=lambda: pytest.fail("a reader was opened"),
        weights={"clip": weights},
        cache=tmp_path / "cache.jsonl",
    )
    for _ in range(2):
        assert cvtg2k.open_clip(judges).cosine(PICTURE, "a") == pytest.approx(0.6)
    assert [asked for asked in clip if isinstance(asked[0], list)] == [(["a"], True)]


class Hub:
    """What LLM2CLIP and the style encoder take from transformers."""

    @classmethod
    def from_pretrained(cls, path: str, **options: Any) -> Any:
        made = torch.nn.Module()
        made.config = types.SimpleNamespace(_name_or_path=path)
        made.get_image_features = lambda pixels: torch.tensor([[0.0, 2.0]])  # type: ignore[assignment]
        made.get_text_features = lambda encoded: encoded.float()  # type: ignore[assignment]
        made.forward = lambda pixels: types.SimpleNamespace(image_embeds=torch.tensor([[0.0, 5.0]]))  # type: ignore[method-assign]
        return made


class Pictures:
    @classmethod
    def from_pretrained(cls, path: str) -> Pictures:
        return cls()

    def __call__(self, images: Image.Image, return_tensors: str) -> Any:
        return types.SimpleNamespace(pixel_values=torch.ones(1, 3))


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch,
        "transformers",
        AutoModel=Hub,
        AutoTokenizer=Hub,
        CLIPImageProcessor=Pictures,
        CLIPVisionModelWithProjection=Hub,
    )


def test_llm2clip_encodes_the_text_through_llm2vec(
    transformers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class LLM2Vec:
        def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
            made.append((model.config._name_or_path, options))

        def encode(self, texts: list[str], convert_to_tensor: bool) -> torch.Tensor:
            assert texts == ["an apple falls"]
            return torch.tensor([[3.0, 4.0]])

    install(monkeypatch, "llm2vec", LLM2Vec=LLM2Vec)
    with pytest.raises(ConfigError, match="LLM2CLIP-Openai-L-14-336"):
        Llm2Clip(tmp_path)
    for part in (Llm2Clip.VISION, Llm2Clip.LANGUAGE, Llm2Clip.PICTURES):
        (tmp_path / part).mkdir()
    judge = Llm2Clip(tmp_path)
    assert judge.cosine(PICTURE, "an apple falls") == pytest.approx(0.8)
    assert made[0][0].startswith("meta-llama") and made[0][1]["max_length"] == 512


def test_style_compares_with_every_reference(
    clip: list[Any], transformers: None, weights: Path, tmp_path: Path
) -> None:
    state = {
        "module.backbone.body.weight": torch.ones(2, 3),
        "module.last_layer_style": torch.diag(torch.tensor([1.0, 0.0])),
    }
    torch.save({"model_state_dict": state}, tmp_path / "csd.pth")
    torch.save({"pop_art": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}, tmp_path / "CSD_embed.pt")
    torch.save({"pop_art": torch.tensor([[0.0, 1.0]])}, tmp_path / "SE_embed.pt")
    judge = StyleJudge(tmp_path / "csd.pth", weights, tmp_path, tmp_path)
    csd, encoder = judge.cosines(PICTURE, "pop_art")
    assert csd == pytest.approx([1.0, 0.0]) and encoder == pytest.approx([1.0])
    with pytest.raises(ConfigError, match="no style 'baroque'"):
        judge.cosines(PICTURE, "baroque")
    (tmp_path / "SE_embed.pt").unlink()
    with pytest.raises(ConfigError, match=r"SE_embed\.pt is missing"):
        StyleJudge(tmp_path / "csd.pth", weights, tmp_path, tmp_path)


def test_dreamsim_measures_a_distance(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(**options: Any) -> tuple[Callable[..., torch.Tensor], Callable[[Image.Image], torch.Tensor]]:
        assert options == {"pretrained": True, "device": "cpu", "cache_dir": str(weights)}
        return lambda a, b: (a - b).abs().mean()[None], lambda image: torch.tensor([float(image.getpixel((0, 0))[0])])

    install(monkeypatch, "dreamsim", dreamsim=load)
    assert DreamSim(weights).distance(PICTURE, Image.new("RGB", (8, 8))) == 255.0


def test_mplug_answers_through_modelscope_and_is_dpgs_first_choice(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def pipeline(task: str, **options: Any) -> Callable[[dict[str, Any]], dict[str, str]]:
        asked.append((task, options))
        return lambda question: {"text": "yes" if question["question"] == "Is it?" else "no"}

    install(monkeypatch, "modelscope")
    install(monkeypatch, "modelscope.pipelines", pipeline=pipeline)
    assert Mplug(tmp_path).answer(PICTURE, "Is it?") == "yes"
    assert asked[0] == ("visual-question-answering", {"model": str(tmp_path), "device": "cpu"})
    judges = Judges(open_reader=lambda: pytest.fail("a reader was opened"), weights={"mplug": tmp_path})
    judges.check(dpg.BENCHMARK.needs(dpg.DpgOptions()))
    judge = dpg.open_judge(judges)
    assert isinstance(judge, CachedAnswers) and judge.answer(PICTURE, "Is it?") == "yes" and "mplug" in judge.name


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("clip", "github.com/openai/CLIP"),
        ("dreamsim", "github.com/ssundaram21/dreamsim"),
        ("llm2vec", "github.com/McGill-NLP/llm2vec"),
        ("modelscope.pipelines", "inkwash"),
    ],
)
def test_a_missing_library_is_one_sentence_with_its_place(
    module: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    with pytest.raises(ConfigError, match=says):
        libraries.library(module, "the judge")
