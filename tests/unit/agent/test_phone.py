"""A phone through an adb server: what is seen of it, and the commands of every act."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from inkwash.agent.act import Act, AgentError, Place
from inkwash.agent.executors.phone import KEYBOARD, PhoneExecutor
from inkwash.agent.guard import ActGuard, Wanted
from inkwash.agent.policy import Policy
from inkwash.agent.reply import Format, read_reply
from inkwash.agent.shot import PixelAct, to_pixels
from inkwash.agent.stop import StopSwitch
from inkwash.agent.vault import Vault
from inkwash.core.errors import Cancelled
from tests.unit.agent.fake_adb import FakePhone

pytest.importorskip("adbutils")
FORM = Format(model="4.5V", screen="phone")


@pytest.fixture
def fake() -> Iterator[FakePhone]:
    with FakePhone() as phone:
        yield phone


def test_the_screen_and_its_elements(fake: FakePhone) -> None:
    phone = PhoneExecutor(port=fake.port)
    shot = phone.observe(texts=True)
    assert shot.size == (360, 640) and shot.place == "com.android.settings" and shot.png == fake.png
    assert [(each.role, each.name) for each in shot.elements] == [
        ("button", "Wi-Fi"),
        ("field", "name"),
        ("field", "abcd"),
    ]
    target = phone.target((100, 130))
    assert target is not None and target.name == "Wi-Fi" and phone.target((5, 5)) is None
    focused = phone.focused()
    assert focused is not None and focused.name == "name"
    assert list(Vault().boxes(shot)) == [(20, 300, 340, 360)]  # the field for passwords
    assert ("Delete everything", (20, 400, 340, 440)) in shot.texts


BOX = '"box_2d": [[100, 200, 300, 220]]'
ELEVEN = [
    ('{"action_type": "click", BOX}', ["input tap 72 135"]),
    ('{"action_type": "long_press", BOX}', ["input swipe 72 135 72 135 1000"]),
    ('{"action_type": "input_text", "text": "50% off it\'s", BOX, "override": true}',
     ["input tap 72 135", "input keycombination KEYCODE_CTRL_LEFT KEYCODE_A", "input keyevent KEYCODE_DEL",
      "input text 50", "input text %", "input text '%soff%sit'\"'\"'s'", "input keyevent KEYCODE_ENTER"]),
    ('{"action_type": "input_text", "text": "a", BOX, "override": false}',
     ["input tap 72 135", "input text a", "input keyevent KEYCODE_ENTER"]),
    ('{"action_type": "keyboard_enter"}', ["input keyevent KEYCODE_ENTER"]),
    ('{"action_type": "navigate_home"}', ["input keyevent KEYCODE_HOME"]),
    ('{"action_type": "navigate_back"}', ["input keyevent KEYCODE_BACK"]),
    ('{"action_type": "swipe", "direction": "up"}', ["input swipe 180 480 180 160 400"]),
    ('{"action_type": "swipe", "direction": "left", BOX}', ["input swipe 162 135 1 135 400"]),
    ('{"action_type": "open_app", "app_name": "Settings"}',
     ["am start -a android.intent.action.MAIN -c android.intent.category.LAUNCHER -p com.android.settings"]),
    ('{"action_type": "wait"}', []),
    ('{"action_type": "status", "goal_status": "complete"}', []),
    ('{"action_type": "answer", "text": "42"}', []),
]  # fmt: skip


@pytest.mark.parametrize(("said", "commands"), ELEVEN)
def test_commands_of_every_act(
    said: str, commands: list[str], fake: FakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkwash.agent.executors.phone.WAIT_S", 0.0)
    phone = PhoneExecutor(port=fake.port)
    shot = phone.observe()
    act = read_reply(f"Memory: \nReason: r\nAction: {said.replace('BOX', BOX)}", FORM).act
    assert act is not None
    wanted = to_pixels(act, FORM.grid, shot)
    assert isinstance(wanted, PixelAct)
    assert phone.do(wanted, StopSwitch()) == ""
    assert fake.shell == commands


def typed(phone: PhoneExecutor, text: str) -> str:
    phone.observe()
    return phone.do(PixelAct(act=Act(kind="type", text=text), text=text), StopSwitch())


def test_other_characters_are_refused_or_sent_by_a_keyboard_that_has_them(fake: FakePhone) -> None:
    refused = typed(PhoneExecutor(port=fake.port), "Grüße 你好")
    assert refused.endswith(".") and "ADBKeyBoard" in refused and fake.shell == ["ime list -s"]
    with FakePhone(keyboards=f"{KEYBOARD}\n") as other:
        assert typed(PhoneExecutor(port=other.port), "Grüße 你好") == ""
        coded = base64.b64encode("Grüße 你好".encode()).decode()
        assert f"am broadcast -a ADB_INPUT_B64 --es msg {coded}" in other.shell
        assert other.shell[-1] == "ime set com.android.inputmethod.latin/.LatinIME"


def test_texts_cannot_leave_their_command(fake: FakePhone) -> None:
    typed(PhoneExecutor(port=fake.port), "a; reboot $(id) `id` | x & y")
    assert fake.shell == ["input text 'a;%sreboot%s$(id)%s`id`%s|%sx%s&%sy'"]
    phone = PhoneExecutor(port=fake.port)
    assert "name its package" in phone.do(PixelAct(act=Act(kind="open_app", app="x; reboot")), StopSwitch())


def test_a_stop_comes_before_the_next_command(fake: FakePhone) -> None:
    phone, stop = PhoneExecutor(port=fake.port), StopSwitch()
    phone.observe()
    stop.throw()
    with pytest.raises(Cancelled):
        phone.do(PixelAct(act=Act(kind="home")), stop)
    assert fake.shell == []


def test_the_guard_reads_the_view_tree(fake: FakePhone) -> None:
    phone = PhoneExecutor(port=fake.port)
    shot = phone.observe()
    act = Act(kind="type", text="hunter2", target=Place.at(500, 515), submits=True)
    wanted = to_pixels(act, FORM.grid, shot)
    assert isinstance(wanted, PixelAct)
    guard = ActGuard(Policy(mode="auto", allow=("com.android.settings",)), Vault())
    verdict = guard.judge(Wanted(done=wanted, shot=shot, screen="phone", target=phone.target(wanted.at or (0, 0))))
    assert verdict.decision == "refuse" and "passwords" in verdict.reasons[0]


def test_no_server_no_phone_several_phones() -> None:
    with FakePhone() as gone:
        port = gone.port
    with pytest.raises(AgentError, match="no adb server"):
        PhoneExecutor(port=port)
    with FakePhone(phones="") as none, pytest.raises(AgentError, match="no phone"):
        PhoneExecutor(port=none.port)
    with FakePhone(phones="a\tdevice\nb\tdevice\n") as two:
        with pytest.raises(AgentError, match="--serial"):
            PhoneExecutor(port=two.port)
        assert PhoneExecutor("b", port=two.port).observe().size == (360, 640)
