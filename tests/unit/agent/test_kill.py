"""The stop switch in a real browser: the page tells when the last event came, and that nothing is left pressed."""

from __future__ import annotations

import random
import threading
import time

import pytest

from inkwash.agent.act import Act, Place
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent
from inkwash.agent.model import Scripted
from inkwash.agent.policy import Policy
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.stop import StopSwitch
from inkwash.agent.vault import Vault
from inkwash.agent.worlds.site import Site

FORM = Format(model="4.5V", screen="computer")
TRIALS = 8
PAGE = b"""<body><div style='width:600px;height:400px;background:#eee'></div><script>
window.events = []; window.down = {};
for (const name of ["mousemove", "mousedown", "keydown", "wheel"]) {
  addEventListener(name, () => events.push(Date.now() / 1000));
}
addEventListener("keydown", (e) => { down[e.code] = 1; });
addEventListener("keyup", (e) => { delete down[e.code]; });
addEventListener("mousedown", (e) => { down.mouse = 1; });
addEventListener("mouseup", (e) => { delete down.mouse; });
</script>"""


@pytest.mark.slow  # a browser, stopped eight times
def test_no_event_comes_after_a_stop_and_nothing_stays_pressed(chromium: str) -> None:
    from inkwash.agent.executors.browser import BrowserExecutor

    rng = random.Random(0)
    acts = [
        Act(kind="drag", target=Place.at(100, 300), end=Place.at(800, 600)),
        Act(kind="key", keys=("shift", "a")),
        Act(kind="scroll", direction="down", amount=2),
        Act(kind="click", target=Place.at(300, 300)),
    ]
    with Site(lambda path: ("text/html", PAGE)) as site:
        policy = Policy(mode="auto", allow=(site.origin,), acts_per_minute=6000, max_steps=900)
        with BrowserExecutor(f"{site.origin}/", policy, size=(640, 480)) as browser:
            for _ in range(TRIALS):
                browser.page.evaluate("events.length = 0")
                stop, thrown = StopSwitch(), [0.0]
                replies = [write_reply(StepReply(act=acts[n % len(acts)]), FORM) for n in range(800)]

                def throw(stop: StopSwitch = stop, thrown: list[float] = thrown) -> None:
                    thrown[0] = time.time()
                    stop.throw()

                timer = threading.Timer(rng.uniform(0.3, 1.2), throw)
                timer.start()
                agent = Agent(
                    model=Scripted(replies),
                    executor=browser,
                    form=FORM,
                    guard=ActGuard(policy, Vault()),
                    stop=stop,
                    settle_s=0.0,
                )
                assert agent.run("Play.").status == "stopped"
                timer.join()
                assert max(browser.page.evaluate("events"), default=0.0) <= thrown[0] + 0.2
                assert browser.page.evaluate("down") == {}
