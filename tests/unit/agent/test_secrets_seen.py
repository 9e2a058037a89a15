"""A secret that was typed is in no file of its run, not even as a picture: the pictures are read by OCR, too."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from inkwash.agent.act import Act, Place
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent
from inkwash.agent.model import Scripted
from inkwash.agent.policy import Policy
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.trajectory import Trajectory
from inkwash.agent.vault import Secret, Vault
from inkwash.agent.worlds.site import Site

FORM = Format(model="4.5V", screen="computer")
VALUE = "ORCHID TABLE 7391"
ECHO = """<!doctype html><meta charset=utf-8><body style='margin:8px;font:26px sans-serif'>
<input id=i autofocus style='width:420px;font:26px sans-serif'><div id=o></div><script>
i.addEventListener("input", () => { const v = i.value; SHOW });
</script>"""
SHOWS = {
    "plain": "o.textContent = v",
    "letter by letter": "o.innerHTML = [...v].map(c => `<span>${c}</span>`).join('')",
    "two parts": "o.innerHTML = `<b>${v.slice(0, 9)}</b><i>${v.slice(9)}</i>`",
    "in small letters": "o.textContent = v.toLowerCase(); o.style.textTransform = 'uppercase'",
    "by a style": "const s = document.createElement('style'); s.textContent = `#o::after{content:'${v}'}`;"
    "document.head.append(s)",
    "as a placeholder": "o.innerHTML = `<input style='width:420px;font:26px sans-serif' placeholder='${v}'>`",
    "in a field beneath another": "o.innerHTML = `<div style='position:relative'><textarea style='width:440px;"
    "font:26px sans-serif'>${v}</textarea><button style='position:absolute;left:180px;top:30px;width:80px;height:30px'>"
    "</button></div>`",
    "in a list": "o.innerHTML = `<select style='font:26px sans-serif'><option>${v}</option></select>`",
    "in a drawing": "o.innerHTML = `<svg width=470 height=60><text y=40>${v}</text></svg>`",
    "on a canvas": "o.innerHTML = '<canvas width=460 height=60></canvas>'; const c = o.firstChild.getContext('2d');"
    "c.font = '26px sans-serif'; c.fillText(v, 4, 40)",
    "in a shadow": "o.attachShadow({mode: 'open'}).innerHTML = `<p>${v}</p>`",
    "in a frame": "o.innerHTML = `<iframe style='width:470px;height:120px' srcdoc='<big>${v}</big>'></iframe>`",
    "in a shut shadow": "o.attachShadow({mode: 'closed'}).innerHTML = `<p>${v}</p>`",
}  # fmt: skip


SHOWN = ("plain", "letter by letter", "on a canvas", "in a shut shadow")  # of which OCR without a vault is asked
PARTS = ("ORCHID", "TABLE", "7391")


def read(pictures: list[Path], folder: Path) -> str:
    """What OCR reads in pictures beneath each other, without blanks."""
    opened = [Image.open(picture).convert("RGB") for picture in pictures]
    sheet = Image.new("RGB", (opened[0].width, sum(each.height for each in opened)))
    top = 0
    for each in opened:
        sheet.paste(each, (0, top))
        top += each.height
    sheet.save(folder / "sheet.png")
    command = ["tesseract", str(folder / "sheet.png"), "-", "--psm", "11"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return "".join(done.stdout.upper().split())


class Echoes:
    """Pages that show what is typed, one after another, and runs that type the value."""

    def __init__(self) -> None:
        from inkwash.agent.executors.browser import BrowserExecutor

        self.page = ""
        self.site = Site(lambda path: ("text/html; charset=utf-8", self.page.encode()))
        self.policy = Policy(mode="auto", allow=(self.site.origin,), acts_per_minute=6000)
        self.browser = BrowserExecutor(f"{self.site.origin}/", self.policy, size=(480, 240))

    def run(self, show: str, vault: Vault, text: str, folder: Path) -> list[Path]:
        """The pictures of a run."""
        self.page = ECHO.replace("SHOW", show)
        self.browser.open(f"{self.site.origin}/")
        acts = [Act(kind="click", target=Place.at(400, 100)), Act(kind="type", text=text), Act(kind="done")]
        agent = Agent(
            model=Scripted([write_reply(StepReply(act=act), FORM) for act in acts]),
            executor=self.browser,
            form=FORM,
            guard=ActGuard(self.policy, vault),
            trajectory=Trajectory(folder, vault),
            settle_s=0.15,
        )
        assert agent.run("Type it.").status == "done", show
        assert self.browser.page.evaluate("i.value") == VALUE
        return sorted(folder.glob("*.png"))


@pytest.fixture(scope="module")
def echoes(chromium: str) -> Iterator[Echoes]:
    if shutil.which("tesseract") is None:
        pytest.skip("tesseract is not installed here")
    opened = Echoes()
    yield opened
    opened.browser.close()
    opened.site.close()


@pytest.mark.slow  # a browser, and OCR over some forty pictures
def test_no_file_of_a_run_shows_the_secret(echoes: Echoes, tmp_path: Path) -> None:
    pictures: list[Path] = []
    for number, show in enumerate(SHOWS.values()):
        folder = tmp_path / f"{number}"
        vault = Vault({"door": Secret(value=VALUE, origins=(echoes.site.origin,))})
        pictures += echoes.run(show, vault, "{{secret:door}}", folder)
        assert all(VALUE.encode() not in file.read_bytes() for file in folder.iterdir()), show
    seen = read(pictures, tmp_path)
    assert [part for part in PARTS if part in seen] == []


@pytest.mark.slow  # a browser, and OCR
def test_without_a_vault_the_same_pages_show_it(echoes: Echoes, tmp_path: Path) -> None:
    """The test above can fail."""
    for name in SHOWN:
        pictures = echoes.run(SHOWS[name], Vault(), VALUE, tmp_path / name.replace(" ", "-"))
        assert all(part in read(pictures[-1:], tmp_path) for part in PARTS), name
