"""Mode `dry` in a real browser: the page gets no event, and the same acts in mode `auto` show that it would notice."""

from __future__ import annotations

import pytest

from inkwash.agent.act import Act, Place
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent
from inkwash.agent.model import Scripted
from inkwash.agent.policy import Mode, Policy
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.vault import Vault
from inkwash.agent.worlds.site import Site

FORM = Format(model="4.5V", screen="computer")
PAGE = b"""<body style='height:3000px'><input style='width:300px;height:100px'><script>
window.events = [];
const names = ["mousemove", "mousedown", "mouseup", "click", "keydown", "keyup", "input", "wheel", "scroll", "paste"];
for (const name of names)
  addEventListener(name, () => events.push(name), true);
</script>"""
HERE = Place.at(100, 100)
ACTS = [
    Act(kind="click", target=HERE),
    Act(kind="hover", target=HERE),
    Act(kind="drag", target=HERE, end=Place.at(300, 300)),
    Act(kind="key", keys=("a",)),
    Act(kind="scroll", direction="down", amount=2),
]


@pytest.mark.slow  # a browser
def test_dry_sends_no_event_to_the_page(chromium: str) -> None:
    from inkwash.agent.executors.browser import BrowserExecutor

    with Site(lambda path: ("text/html", PAGE)) as site:
        allowed = Policy(mode="auto", allow=(site.origin,), acts_per_minute=6000)
        with BrowserExecutor(f"{site.origin}/", allowed, size=(480, 320)) as browser:

            def told(act: Act, mode: Mode) -> tuple[str, list[str]]:
                browser.page.evaluate("events.length = 0")
                policy = Policy(mode=mode, allow=(site.origin,), acts_per_minute=6000)
                replies = [write_reply(StepReply(act=each), FORM) for each in (act, Act(kind="done"))]
                agent = Agent(
                    model=Scripted(replies),
                    executor=browser,
                    form=FORM,
                    guard=ActGuard(policy, Vault()),
                    confirm=lambda asked: True,
                    settle_s=0.0,
                )
                status = agent.run("x").status
                browser.page.wait_for_timeout(50)
                return status, browser.page.evaluate("events")

            asked = len(site.requests)
            for act in ACTS:
                assert told(act, "dry") == ("dry", []), act.kind
            assert len(site.requests) == asked
            for act in ACTS:
                status, events = told(act, "auto")
                assert status == "done" and events, act.kind
