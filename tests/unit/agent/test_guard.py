"""The guard, the policy and the vault, rule by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.agent.act import Act, AgentError, Place
from inkwash.agent.guard import ActGuard, Wanted
from inkwash.agent.policy import Policy, origin_of, url_matches
from inkwash.agent.shot import PixelAct, Screenshot
from inkwash.agent.vault import Secret, Vault
from tests.unit.agent.screens import HERE, SIZE, element, picture

POLICY = Policy(mode="auto", allow=("shop.example",))
VAULT = Vault({"login": Secret(value="hunter22", origins=("https://shop.example",))})
CLICK = Act(kind="click", target=Place.at(1, 1))


def judged(act: Act, *, policy: Policy = POLICY, place: str = HERE, at: Any = "auto", **more: Any) -> tuple[str, str]:
    at = ((5, 5) if act.target is not None else None) if at == "auto" else at
    shot = Screenshot(png=picture(0), size=SIZE, place=place)
    wanted = Wanted(done=PixelAct(act=act, at=at, text=act.text), shot=shot, **{"screen": "web", **more})
    verdict = ActGuard(policy, VAULT).judge(wanted)
    return verdict.decision, " ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("url", "entry", "inside"),
    [
        ("https://example.org/a", "example.org", True),
        ("https://www.example.org/a", "example.org", True),
        ("https://example.org.evil.net/", "example.org", False),
        ("https://evilexample.org/", "example.org", False),
        ("https://example.org@evil.net/", "example.org", False),
        ("https://EXAMPLE.org./", "example.org", False),
        ("http://example.org:8000/", "example.org", False),
        ("http://example.org:8000/", "example.org:8000", True),
        ("https://example.org/", "https://example.org", True),
        ("http://example.org/", "https://example.org", False),
        ("https://www.example.org/", "https://example.org", False),
        ("http://127.0.0.1:80/", "127.0.0.1", True),
        ("http://1.127.0.0.1/", "127.0.0.1", False),
        ("http://[::1]:8000/", "http://[::1]:8000", True),
        ("javascript:alert(1)", "example.org", False),
        ("data:text/html,x", "example.org", False),
        ("file:///home/a/b.html", "file:///home/a/", True),
        ("file:///home/ab/c.html", "file:///home/a", False),
        ("file:///home/a/../b/c.html", "file:///home/a/", False),
        ("file:///home/a/%2e%2e/b", "file:///home/a/", False),
        ("file:///etc/passwd", "example.org", False),
        ("https://xn--exmple-cua.org/", "example.org", False),
        ("http://exa mple.org:x/", "example.org", False),
    ],
)
def test_addresses(url: str, entry: str, inside: bool) -> None:
    assert url_matches(url, entry) is inside


@given(st.text(max_size=30), st.text(max_size=20))
def test_no_address_is_an_error(url: str, entry: str) -> None:
    assert url_matches(url, entry) in (True, False)
    origin_of(url)


def test_denied_wins() -> None:
    policy = Policy(mode="auto", allow=("example.org",), deny=("mail.example.org",))
    assert policy.allows_url("https://example.org/") and not policy.allows_url("https://mail.example.org/")
    assert not policy.allows_window("Mail") and Policy(allow=("Mail",)).allows_window("My mail")


def test_nothing_is_allowed_unless_it_is_named() -> None:
    assert judged(CLICK, policy=Policy(mode="auto"))[0] == "refuse"
    assert judged(CLICK, policy=Policy(mode="auto"), screen="computer", place="Editor", known=False)[0] == "refuse"
    assert judged(Act(kind="search", text="bing"))[0] == "refuse"
    assert judged(Act(kind="open_app", app="Bank"), screen="phone")[0] == "refuse"


@pytest.mark.parametrize(
    ("act", "target", "decision", "why"),
    [
        (CLICK, element("Open"), "allow", ""),
        (CLICK, element("Next", goes_to=("https://shop.example/b",)), "allow", ""),
        (CLICK, element("Next", goes_to=("https://evil.net/",)), "refuse", "evil.net"),
        (CLICK, element("Next", goes_to=("tel:123",)), "refuse", "kind 'tel'"),
        (CLICK, element("Next", origin="https://ads.net"), "refuse", "frame of https://ads.net"),
        (CLICK, element("Next", goes_to=("http://[::1",)), "refuse", "cannot be read"),
        (CLICK, element("Upload", opens_files=True), "refuse", "folder of files"),
        (CLICK, element("Report", downloads=True), "refuse", "downloads"),
        (CLICK, element("Place your order"), "confirm", "order"),
        (CLICK, element("OK", near="Delete 3 files? OK"), "confirm", "delete"),
        (CLICK, element("Cancel", near="Delete 3 files?"), "allow", ""),
        (CLICK, element("提交"), "confirm", "提交"),
        (CLICK, element("Reorder list"), "allow", ""),
        (CLICK, element("Delete note", editable=True, role="field"), "allow", ""),
        (CLICK, element("Continue reading", says="Delete account"), "confirm", "delete"),
        (CLICK, element("De\u00adle\u200bte"), "confirm", "delete"),
        (CLICK, element("D\u0435l\u0435t\u0435"), "confirm", "delete"),
        (CLICK, element("\uff30\uff41\uff59"), "confirm", "pay"),
        (CLICK, element("B U Y"), "confirm", "buy"),
        (CLICK, element("Удалить"), "confirm", "удалить"),
        (CLICK, element("Открыть"), "allow", ""),
        (CLICK, element("A B C"), "allow", ""),
        (CLICK, element(""), "confirm", "Nothing tells what this button does"),
        (CLICK, element("", role="div"), "allow", ""),
        (Act(kind="hover", target=Place.at(1, 1)), element("Delete"), "allow", ""),
    ],
)
def test_clicks(act: Act, target: Any, decision: str, why: str) -> None:
    found = judged(act, target=target)
    assert found[0] == decision and why in found[1]


PASSWORD = element("Password", secret=True, editable=True)
FIELD = element("Name", editable=True)


@pytest.mark.parametrize(
    ("text", "focused", "decision"),
    [
        ("hello", FIELD, "allow"),
        ("hello", PASSWORD, "refuse"),
        ("{{secret:login}}", PASSWORD, "allow"),
        ("{{secret:login}}", FIELD, "allow"),
        ("x {{secret:login}}", PASSWORD, "refuse"),
        ("{{secret:other}}", FIELD, "refuse"),
        ("{{secret:login}}", element("Name", editable=True, origin="https://sh0p.example"), "refuse"),
        ("{{secret:login}}", element("Menu"), "refuse"),
        ("{{secret:login}}", None, "refuse"),
    ],
)
def test_typing(text: str, focused: Any, decision: str) -> None:
    assert judged(Act(kind="type", text=text), focused=focused)[0] == decision


def test_pasting_may_be_forbidden() -> None:
    policy = Policy(mode="auto", allow=("shop.example",), paste=False)
    assert judged(Act(kind="type", text="你好"), policy=policy, focused=FIELD)[0] == "refuse"
    assert judged(Act(kind="type", text="hi"), policy=policy, focused=FIELD)[0] == "allow"


@pytest.mark.parametrize(
    ("keys", "decision"),
    [
        (("ctrl", "c"), "allow"), (("ctrl", "a"), "allow"), (("shift", "tab"), "allow"), (("pagedown",), "allow"),
        (("ctrl", "w"), "refuse"), (("alt", "f4"), "refuse"), (("meta", "r"), "refuse"), (("f12",), "refuse"),
        (("ctrl", "alt", "delete"), "refuse"), (("ctrl", "enter"), "refuse"),
    ],
)  # fmt: skip
def test_keys(keys: tuple[str, ...], decision: str) -> None:
    assert judged(Act(kind="key", keys=keys))[0] == decision


def test_enter_is_what_its_form_does() -> None:
    enter = Act(kind="key", keys=("enter",))
    assert judged(enter, focused=element("To", editable=True, near="Transfer money"))[0] == "confirm"
    assert judged(enter, focused=element("Search", editable=True, near="Search"))[0] == "allow"
    assert judged(Act(kind="key", keys=("space",)), focused=element("Send"))[0] == "confirm"
    assert judged(Act(kind="key", keys=("space",)), focused=element("Text", editable=True, near="Send"))[0] == "allow"
    typed = Act(kind="type", text="a", target=Place.at(1, 1), submits=True)
    assert judged(typed, target=element("To", editable=True, near="Pay"))[0] == "confirm"


def test_screens_that_tell_nothing_have_clicks_confirmed() -> None:
    policy = Policy(mode="auto", allow=("Editor", "xterm"))
    shared: dict[str, Any] = {"policy": policy, "screen": "computer", "known": False}
    assert judged(CLICK, place="Editor", **shared)[0] == "confirm"
    assert judged(Act(kind="type", text="a"), place="Editor", **shared)[0] == "allow"
    assert judged(Act(kind="type", text="a"), place="Bank", **shared)[0] == "refuse"
    assert judged(Act(kind="key", keys=("ctrl", "s")), place="Editor", **shared)[0] == "confirm"
    assert judged(Act(kind="type", text="a"), place="sh (XTerm)", **shared)[0] == "allow"
    only = Policy(mode="auto", allow=("sh",))
    terminal = judged(Act(kind="type", text="a"), place="sh (XTerm)", policy=only, screen="computer", known=False)
    assert terminal[0] == "refuse" and "terminal" in terminal[1]


def test_a_reason_that_cites_the_screen_is_confirmed() -> None:
    assert judged(CLICK, target=element("Open"), thought="The page says I must click here.")[0] == "confirm"
    assert judged(CLICK, target=element("Open"), thought="The button opens the list.")[0] == "allow"


def test_ends_and_waiting_touch_nothing() -> None:
    for kind in ("done", "fail", "answer", "wait"):
        assert judged(Act(kind=kind), policy=Policy())[0] == "allow"  # type: ignore[arg-type]


def test_secrets_are_hidden_in_every_form() -> None:
    vault = Vault({"a": Secret(value='p"ä ss/1', origins=("https://a.example",))})
    for form in (
        'p"ä ss/1',
        "p%22%C3%A4%20ss%2F1",
        "p%22%C3%A4+ss%2F1",
        'p\\"ä ss/1',
        'p\\"\\u00e4 ss/1',
        "cCLDpCBzcy8x",
    ):
        assert vault.scrub(f"x {form} y") == "x [secret] y", form
    assert vault.scrubbed({"k": ['p"ä ss/1', 3]}) == {"k": ["[secret]", 3]}
    assert vault.fill("{{secret:a}}") == 'p"ä ss/1' and vault.named("a {{secret:b}}") == ["b"]


def test_a_value_in_several_pieces_of_text_is_hidden() -> None:
    """Letter by letter, across lines, in another case; what stands beside it stays."""
    letters = [(letter, (10.0 * n, 0.0, 10.0 * n + 9, 9.0)) for n, letter in enumerate("Say HUNter22!")]
    shot = Screenshot(png=picture(0), size=SIZE, texts=tuple(letters), painted=((0.0, 50.0, 40.0, 90.0),))
    vault = Vault({"login": Secret(value="hunter22", origins=("https://shop.example",))})
    assert list(vault.boxes(shot)) == [box for _, box in letters[4:12]]
    assert vault.fill("{{secret:other}}") == "{{secret:other}}" and len(list(vault.boxes(shot))) == 8
    assert vault.fill("{{secret:login}}") == "hunter22"
    assert list(vault.boxes(shot))[-1] == (0.0, 50.0, 40.0, 90.0), "a canvas may show it from now on"
    assert list(Vault().boxes(shot)) == []


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"a": {"value": "abc", "origins": ["x"]}}', '{"a": {"value": "abcdef", "origins": []}}',
                '{"a b": {"value": "abcdef", "origins": ["x"]}}', '{"a": {}}'],
)  # fmt: skip
def test_bad_files_of_secrets_are_one_sentence(content: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(AgentError) as refused:
        Vault.from_file(path)
    assert "abcdef" not in refused.value.message
    path.chmod(0o644)
    with pytest.raises(AgentError, match="chmod 600"):
        Vault.from_file(path)


@pytest.mark.parametrize("bad", [{"mode": "fast"}, {"max_steps": 0}, {"max_seconds": 0}, {"allow": (" ",)}])
def test_bad_policies(bad: dict[str, Any]) -> None:
    with pytest.raises(AgentError):
        Policy(**bad)
