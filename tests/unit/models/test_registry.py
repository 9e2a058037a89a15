"""From what a user types to a folder: names, paths, near misses, and folders that are something else."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from inkwash.core.errors import WeightsError
from inkwash.models import hub, registry
from inkwash.models.glm_image.folder import PARTS, DrawingDefaults, drawing_defaults, inspect_folder
from inkwash.models.registry import MODELS, ModelEntry, resolve, resolve_name
from tests.unit.models.folders import hollow_checkpoint


def refusal(name: str | Path) -> str:
    with pytest.raises(WeightsError) as caught:
        resolve(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("nano", "nano"),
        (" Nano ", "nano"),
        ("zai-org/GLM-Image", "zai-org/GLM-Image"),
        ("glm-image", "zai-org/GLM-Image"),
        ("ZhipuAI/GLM-Image", "zai-org/GLM-Image"),
    ],
)
def test_known_names(typed: str, name: str) -> None:
    found = resolve_name(typed)
    assert isinstance(found, ModelEntry) and found.name == name


@pytest.mark.parametrize("typed", ["nan", "nanno", "glm-imgae", "GLMImage"])
def test_a_misspelt_name_is_answered_with_the_nearest(typed: str) -> None:
    assert "did you mean" in refusal(typed)


@pytest.mark.parametrize("typed", ["", "   ", "qwertz", "a b/c", "not a model"])
def test_what_is_nothing_like_a_name_gets_the_choices(typed: str) -> None:
    message = refusal(typed)
    assert repr(typed) in message and "nano, zai-org/GLM-Image" in message and "did you mean" not in message


@pytest.mark.parametrize("name", [entry.name for entry in MODELS if entry.kind == registry.SEES])
def test_models_that_see_are_no_models_that_draw(name: str) -> None:
    assert f"{name} sees and cannot draw" in refusal(name)


def test_other_owners_copies_are_repositories_not_misspellings() -> None:
    assert resolve_name("someone/GLM-Image-fp8") == "someone/GLM-Image-fp8"
    assert resolve_name("x/nano") == "x/nano"


@pytest.mark.parametrize("typed", ["/no/such/folder", "./nano2", "~/nothing-here", "a/b/c", "x/y/"])
def test_a_missing_folder_is_called_missing(typed: str) -> None:
    assert "does not exist" in refusal(typed)


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hollow_checkpoint(tmp_path / "nano")
    assert resolve(str(folder)) == folder and resolve(folder) == folder
    monkeypatch.chdir(tmp_path)
    assert resolve("./nano") == Path("nano") and resolve(Path("nano")) == Path("nano")


def test_the_bundled_model_lies_in_the_package_or_is_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    assert "missing from this installation" in refusal("nano")
    assert resolve(str(hollow_checkpoint(tmp_path / "assets" / "nano"))) == resolve("nano")


@pytest.mark.parametrize("place", ["huggingface", "modelscope"])
def test_a_hub_is_asked_for_the_index_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folder = hollow_checkpoint(tmp_path / "cache")
    asked = []

    def fetch(repo: str, *, patterns: tuple[str, ...], revision: str | None, hub: str, access: object) -> Path:
        asked.append((repo, patterns, hub))
        return folder

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setenv("INKWASH_HUB", place)
    assert resolve("zai-org/GLM-Image") == folder
    owner = {"huggingface": "zai-org", "modelscope": "ZhipuAI"}[place]
    assert [(repo, where) for repo, _, where in asked] == [(f"{owner}/GLM-Image", place)] * 2
    assert asked[0][1] == ("model_index.json",) and "transformer/*.safetensors" in asked[1][1]


def test_entries_are_complete_and_unique() -> None:
    names = [entry.name for entry in MODELS]
    assert len(set(names)) == len(names) and registry.DEFAULT_MODEL in names
    for entry in MODELS:
        assert entry.licence and entry.gigabytes > 0 and entry.kind in (registry.DRAWS, registry.SEES)
        assert entry.bundled or (entry.huggingface and entry.modelscope)
        assert registry.find(entry.name) is entry


def test_names_are_decided_without_torch() -> None:
    script = (
        "import sys; from inkwash.models.registry import resolve_name as r; r('nano'); 1 / ('torch' not in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_foreign_folders_are_named_for_what_they_are(tmp_path: Path) -> None:
    def told(name: str, files: dict[str, object]) -> str:
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        (tmp_path / name).mkdir(exist_ok=True)
        message = refusal(tmp_path / name)
        assert "expected a GLM-Image checkpoint" in message or "incomplete" in message
        return message

    assert "StableDiffusionXLPipeline" in told(
        "sdxl", {"model_index.json": {"_class_name": "StableDiffusionXLPipeline"}}
    )
    assert "the vision_language_encoder/ part alone" in told("ar", {"config.json": {"model_type": "glm_image"}})
    assert "of kind llama" in told("llama", {"config.json": {"model_type": "llama"}})
    assert "is empty" in told("empty", {})
    assert "has vae/ but no model_index.json" in told("loose", {"vae/config.json": {}})
    assert "holds notes.json" in told("notes", {"notes.json": {}})
    (tmp_path / "file").write_text("x")
    assert "is a file" in refusal(tmp_path / "file")


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    folder = hollow_checkpoint(tmp_path / "x")
    (folder / part / PARTS[part].config_file).unlink()
    assert f"is incomplete: {part}/ missing" in refusal(folder)


@pytest.mark.parametrize("part", ["transformer", "vae", "scheduler", "text_encoder", "vision_language_encoder"])
def test_a_part_of_another_family_is_named(tmp_path: Path, part: str) -> None:
    folder = hollow_checkpoint(tmp_path / "x")
    inspect_folder(folder)
    (folder / part / PARTS[part].config_file).write_text('{"_class_name": "Other", "model_type": "other"}')
    message = refusal(folder)
    assert f"{part}/" in message and "ther; expected" in message


@pytest.mark.parametrize(
    "said",
    [{"num_inference_steps": 0}, {"num_inference_steps": 2.5}, {"guidance_scale": "high"}, {"guidance_scale": -1},
     {"steps": 20}, [20, 2.2], None, "fast"],
)  # fmt: skip
def test_settings_that_nothing_can_be_drawn_with_are_told(tmp_path: Path, said: object) -> None:
    folder = hollow_checkpoint(tmp_path / "own")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_drawing": said}))
    with pytest.raises(WeightsError, match="_drawing") as caught:
        registry.defaults_of(folder)
    assert "\n" not in str(caught.value) and "num_inference_steps and guidance_scale" in str(caught.value)


def test_defaults_of_names_and_folders(tmp_path: Path) -> None:
    released = DrawingDefaults()
    assert registry.defaults_of("zai-org/GLM-Image") == registry.defaults_of("someone/else") == released
    assert registry.defaults_of(hollow_checkpoint(tmp_path / "plain")) == released
    assert registry.defaults_of("nano") == drawing_defaults(registry.bundled_folder("nano")) != released
    with pytest.raises(WeightsError, match="did you mean"):
        registry.defaults_of("nanno")
    (tmp_path / "none").mkdir()
    with pytest.raises(WeightsError, match="is empty"):
        registry.defaults_of(tmp_path / "none")
