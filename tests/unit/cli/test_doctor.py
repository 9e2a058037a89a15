"""Doctor: says what is there, and fails when no picture comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from inkwash.cli.doctor import malloc_in_use
from inkwash.cli.doctor_plan import held_now, show_plan, shown_seconds
from inkwash.core.errors import WeightsError
from inkwash.core.types import Size
from inkwash.engine.convert import convert
from tests.parity.tiny import make_tiny_reference
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


def fake_pipeline(monkeypatch: pytest.MonkeyPatch, picture: Image.Image | Exception) -> None:
    class Fake:
        @classmethod
        def from_pretrained(cls, name: str, **options: object) -> Fake:
            if isinstance(picture, Exception):
                raise picture
            return cls()

        def __call__(self, **asked: object) -> list[list[Image.Image]]:
            assert isinstance(picture, Image.Image)
            return [[picture]]

    monkeypatch.setattr("inkwash.engine.pipeline.GlmImagePipeline", Fake)


def test_says_what_is_there(inkwash: Run) -> None:
    said = json.loads(inkwash("doctor", "--no-picture", "--device", "cpu", "--json").out)
    assert said["versions"]["torch"].startswith("2.") and said["machine"]["device"] == "cpu"
    assert said["machine"]["threads"] and said["machine"]["malloc"] and said["weights"]["model"].startswith("nano: ")
    outcome = inkwash("doctor", "--no-picture")
    assert outcome.code == 0 and all(word in outcome.out for word in ("versions", "bf16 in hardware", "weights", "hub"))


def test_a_good_picture(inkwash: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pipeline(monkeypatch, Image.linear_gradient("L").convert("RGB"))
    outcome = inkwash("doctor")
    assert outcome.code == 0 and "ok, 256x256" in outcome.out and "draw" in outcome.out


def test_a_blank_picture_and_missing_weights_fail(inkwash: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pipeline(monkeypatch, Image.new("RGB", (64, 64), "grey"))
    outcome = inkwash("doctor")
    assert outcome.code == 1 and "blank" in outcome.err and "versions" in outcome.out
    fake_pipeline(monkeypatch, WeightsError("The model is not here."))
    outcome = inkwash("doctor")
    assert outcome.code == 2 and outcome.err == "inkwash: The model is not here.\n"


def test_the_allocator_is_read_from_the_memory_map(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f01 r-xp /usr/lib/libjemalloc.so.2\n")
    assert malloc_in_use(maps) == "jemalloc"
    maps.write_text("7f00-7f01 r-xp /usr/lib/libc.so.6\n")
    assert malloc_in_use(maps).startswith("the system's")
    assert malloc_in_use(tmp_path / "none") == "unknown"


PLAN = """
import resource, sys
from inkwash.cli.doctor_plan import show_plan
show_plan("zai-org/GLM-Image", None, device_name="cpu", as_json=False)
used = resource.getrusage(resource.RUSAGE_SELF)
status = open("/proc/self/status").read().split()  # getrusage's peak begins with that of the parent process
print("used", int(status[status.index("VmHWM:") + 1]) * 1024, used.ru_utime + used.ru_stime)
"""


def test_long_times_are_said_in_a_unit_that_one_can_picture() -> None:
    shown = [shown_seconds(seconds) for seconds in (41.04, 599.0, 601.0, 9000.0, 630859.1)]
    assert shown == ["41.0", "599.0", "601 (10.0 minutes)", "9000 (2.5 hours)", "630859 (7.3 days)"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from the system")
def test_a_plan_of_the_released_sizes_takes_seconds_and_little_memory() -> None:
    """One thread, so that waiting for another one is no work; the best of three runs on a shared machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for attempt in range(3):
        command = [sys.executable, "-c", PLAN]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        *lines, used = done.stdout.splitlines()
        peak, seconds = map(float, used.split()[1:])
        if peak < 550e6 and seconds < 8:  # it may take 700 MB and 5 s by the clock; 445 MB and 3.8 s were measured
            break
        assert attempt < 2, f"peak {peak / 1e6:.0f} MB, {seconds:.1f} s of CPU time"
    assert lines[1].split() == ["offload", "quantize", "dtype", "peak", "GB", "fits"]
    assert lines[2].split()[:3] == ["none", "none", "float32"] and 90 < float(lines[2].split()[3]) < 105
    assert lines[8].startswith("Seconds by offload: none "), "memory comes first"


@pytest.mark.slow
def test_a_plan_of_a_rounded_folder_is_of_what_it_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(make_tiny_reference(tmp_path / "model"), tmp_path / "small", {"ar": "int4", "decoder": "int8"})
    held = held_now() / 1e9  # by this process, after other tests
    show_plan(str(tmp_path / "small"), Size(64, 64), device_name="cpu", as_json=True)
    [plan] = json.loads(capsys.readouterr().out)["plans"]
    assert (plan["offload"], plan["quantize"], plan["fits"]) == ("map", "ar=int4,decoder=int8", True)
    assert plan["seconds"] > 0 and 0 < plan["peak_gb"] - held < 1.5
    show_plan(str(tmp_path / "small"), Size(64, 64), device_name="cpu", as_json=False)
    said = capsys.readouterr().out
    assert "Seconds: map " in said and "hours" not in said and "not timed" not in said
