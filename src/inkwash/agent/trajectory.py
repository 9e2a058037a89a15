"""The folder of a run: `run.json`, `steps.jsonl`, a PNG for each step, and `replay.html`, which needs nothing else.

Secrets are taken out of every text, and blacked out of every picture, before anything is written. A line is written
when its step is over, so a run that is killed can be read as far as it came.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inkwash.agent.act import Act, AgentError
from inkwash.agent.vault import Vault

RUN, STEPS, PAGE = "run.json", "steps.jsonl", "replay.html"
_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Run of an agent</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
img{max-width:100%;border:1px solid #bbb}
section{border-top:1px solid #ddd;padding:1rem 0}code{background:#f2f2f2;padding:0 .2em}
.allow{color:#1e8449}.confirm{color:#b9770e}.refuse{color:#c0392b}
pre{white-space:pre-wrap;background:#f7f7f7;padding:.5rem}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}code,pre{background:#262626}}</style></head><body>
"""


class Trajectory:
    """Writes one run; `None` as the folder writes nothing, and keeps the lines only."""

    def __init__(self, folder: Path | None, vault: Vault) -> None:
        self.folder, self.vault = folder, vault
        self.steps: list[dict[str, Any]] = []
        self.run: dict[str, Any] = {}
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise AgentError(f"The folder {str(folder)!r} is not empty: give a new one for the run.")
        except OSError as error:
            raise AgentError(f"The folder {str(folder)!r} cannot be written: {error.strerror}.") from None

    def begin(self, facts: Mapping[str, Any]) -> None:
        """What the run is: task, model, policy."""
        self.run = self.vault.scrubbed(dict(facts))
        self._write_run()

    def show(self, png: bytes, marked: bytes | None = None) -> int:
        """The picture of the step that is being made, for who watches; returns its number."""
        number = len(self.steps)
        if self.folder is not None:
            (self.folder / f"{number:03d}.png").write_bytes(png)
            if marked is not None and marked != png:
                (self.folder / f"{number:03d}-act.png").write_bytes(marked)
        return number

    def add(self, line: Mapping[str, Any], png: bytes, marked: bytes | None = None) -> dict[str, Any]:
        """One step; `png` is blacked out already, `marked` shows where the act went. Returns the line as written."""
        written = {"step": self.show(png, marked), **self.vault.scrubbed(dict(line))}
        if self.folder is not None:
            with (self.folder / STEPS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(written, ensure_ascii=False) + "\n")
        self.steps.append(written)
        return written

    def end(self, outcome: Mapping[str, Any]) -> None:
        """How it ended, and the page."""
        self.run["outcome"] = self.vault.scrubbed(dict(outcome))
        self._write_run()
        if self.folder is not None:
            (self.folder / PAGE).write_text(self._page(), "utf-8")

    def _write_run(self) -> None:
        if self.folder is not None:
            (self.folder / RUN).write_text(json.dumps(self.run, ensure_ascii=False, indent=1) + "\n", "utf-8")

    def _page(self) -> str:
        assert self.folder is not None
        outcome = self.run.get("outcome", {})
        parts = [_HEAD, f"<h1>{html.escape(str(self.run.get('task', '')))}</h1>"]
        summary = f"{outcome.get('status')}: {outcome.get('reason')}"
        parts.append(f"<p>{html.escape(summary)} · {html.escape(str(self.run.get('model', '')))}</p>")
        for line in self.steps:
            picture = self.folder / f"{line['step']:03d}-act.png"
            picture = picture if picture.exists() else self.folder / f"{line['step']:03d}.png"
            data = base64.b64encode(picture.read_bytes()).decode()
            reasons = "; ".join(line.get("reasons") or ())
            decision = html.escape(str(line.get("decision")))
            parts.append(
                f"<section><h2>Step {line['step'] + 1}</h2><p>{html.escape(str(line.get('thought') or ''))}</p>"
                f'<p><code>{html.escape(str(line.get("said") or ""))}</code> <b class="{decision}">{decision}</b> '
                f"{html.escape(reasons)} {html.escape(str(line.get('result') or ''))}</p>"
                f'<img alt="step {line["step"] + 1}" src="data:image/png;base64,{data}"></section>'
            )
        return "\n".join([*parts, "</body></html>\n"])


def act_data(act: Act) -> dict[str, Any]:
    """An act as plain data, without what it leaves at its default."""
    usual = asdict(Act(kind=act.kind))
    return {name: value for name, value in asdict(act).items() if name == "kind" or value != usual[name]}


def read_steps(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The facts and the lines of a run."""
    try:
        run = json.loads((folder / RUN).read_text("utf-8"))
        steps = folder / STEPS
        lines = steps.read_text("utf-8").splitlines() if steps.exists() else []
        return run, [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise AgentError(f"The folder {str(folder)!r} holds no run that can be read: {error}.") from None
