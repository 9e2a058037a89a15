"""Prompts of both generations and three screens: pictures in their order and size, sections in theirs, golden texts.

`pytest --golden-agent-prompts` does not exist on purpose: a changed text is changed in `golden/` by hand or by the
function `write_golden`, and looked at.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from inkwash.agent.act import Act, Mark, Place
from inkwash.agent.prompt import Past, Prompt, Situation, half_size, make_prompt
from inkwash.agent.reply import Format, StepReply, read_reply, write_reply
from tests.unit.agent.acts import FORMATS

GOLDEN = Path(__file__).with_name("golden")
SIZE = (121, 81)


def png(shade: int, size: tuple[int, int] = SIZE) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(target, "PNG")
    return target.getvalue()


ACTS = {
    "phone": Act(kind="click", target=Place(left=1, top=2, right=3, bottom=4)),
    "computer": Act(kind="click", target=Place.at(10, 20), label="OK"),
    "web": Act(kind="click", target=Mark(number=3)),
}
MEMORIES: dict[str, object] = {"phone": "the code is 7", "computer": [{"code": 7}], "web": {"code": 7}}


def situation(form: Format, steps: int) -> Situation:
    """A task in its first step, or after `steps` of them."""
    said = write_reply(
        StepReply(act=ACTS[form.screen], thought="I press OK.", memory=MEMORIES[form.screen]),
        form,
        thinking="secret thought",
    )
    past = tuple(Past(reply=read_reply(said, form), screenshot=png(10 * k)) for k in range(steps))
    return Situation(
        task="Open the settings.",
        screenshot=png(200),
        past=past,
        elements="[1] button: OK\n[2] link: Help",
        apps=("Files", "Clock"),
        secrets=("mail",),
        now=datetime(2026, 3, 1, 9, 40, tzinfo=UTC),
    )


CASES = [(form, steps) for form in FORMATS for steps in (0, 6)]


def name_of(form: Format, steps: int) -> str:
    return f"{form.model}-{form.screen}-{steps}.txt"


def write_golden() -> None:
    """Write all files anew; look at the difference before it is committed."""
    GOLDEN.mkdir(exist_ok=True)
    for form, steps in CASES:
        (GOLDEN / name_of(form, steps)).write_text(make_prompt(situation(form, steps), form).text + "\n", "utf-8")


@pytest.mark.parametrize(("form", "steps"), CASES, ids=lambda value: str(value))
def test_golden(form: Format, steps: int) -> None:
    assert make_prompt(situation(form, steps), form).text + "\n" == (GOLDEN / name_of(form, steps)).read_text("utf-8")


ORDER = {
    ("4.1V", "phone"): ["You are", "Actions:", "Apps that", "The current user goal/request is: ", "Here is a history",
                        "Guidelines:", "Output format:"],
    ("4.1V", "web"): ["You are", "Actions:", "Elements with", "The task is: ", "Here is a history", "Memory:",
                      "Guidelines:", "Output format:"],
    ("4.1V", "computer"): ["You are", "Action space:", "Output rules:", "Tips:", "The task is: ", "History actions:",
                           "Memory:\n", "The first image"],
    ("4.5V", "phone"): ["You are", "# Task:", "# Task Platform\nMobile", "# Action Space", "### status",
                        "Calling rule: `", "# Historical Actions and Current Memory", "# Output Format",
                        "# Some Additional Notes"],
    ("4.5V", "web"): ["You are", "# Task:", "# Task Platform\nWeb", "# Action Space", "### Click", "Calling rule: `",
                      "# Historical Actions and Current Memory", "# Output Format", "# Some Additional Notes",
                      "The current time in Beijing is 2026-03-01, 05:00 PM"],
    ("4.5V", "computer"): ["You are", "# Task\n", "# Task Platform\nUbuntu", "# Action Space", "### left_click",
                           "Calling rule: `", "# Historical Actions and Current Memory", "Memory:\n", "# Output Format",
                           "# Some Additional Notes", "Current Screenshot:"],
}  # fmt: skip


@pytest.mark.parametrize(("form", "steps"), CASES, ids=lambda value: str(value))
def test_sections_stand_in_order(form: Format, steps: int) -> None:
    text = make_prompt(situation(form, steps), form).text
    places = [text.index(label) for label in ORDER[form.model, form.screen]]
    assert places == sorted(places)
    assert text.count("Open the settings.") == 2  # the task again, behind all that a screen may have said
    assert "secret thought" not in text  # thoughts are not resent
    assert "{{secret:mail}}" in text


def pictures(prompt: Prompt) -> list[tuple[int, int]]:
    return [Image.open(io.BytesIO(part)).size for part in prompt.parts if isinstance(part, bytes)]


HALF = (60, 40)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_pictures_have_their_order_and_size(form: Format) -> None:
    first, later = (make_prompt(situation(form, steps), form) for steps in (0, 6))
    assert pictures(first) == [SIZE]
    if form.screen != "computer":
        assert pictures(later) == [SIZE] and isinstance(later.parts[0], bytes)
        return
    old = [half_size(png(10 * k)) for k in range(2, 6)]
    shown = [part for part in later.parts if isinstance(part, bytes)]
    if form.model == "4.1V":
        assert shown == [png(200), *old] and isinstance(later.parts[-1], str)
        return
    assert shown == [*old, png(200)] and later.parts[-1] == png(200)
    assert later.text.count("Screenshot:(Omitted in context.) Thought: I press OK.\nAction: left_click(") == 2
    assert later.text.count("Thought: I press OK.\nAction: left_click(start_box='[10,20]', element_info='OK')") == 6
    assert '[{"code": 7}]' in later.text


def test_grids_are_told() -> None:
    for form in FORMATS:
        text = make_prompt(situation(form, 0), form).text
        assert ("(0-1000)" in text) == (form == Format(model="4.1V", screen="computer"))
        assert ("(0-999)" in text) == (form.screen != "web" and form.grid.last == 999)


def test_pages_show_the_last_fifteen_steps_from_nought() -> None:
    form = Format(model="4.5V", screen="web")
    text = make_prompt(situation(form, 20), form).text
    assert "\n0. Thought" in text.replace("History:\n", "\n") and "14. Thought" in text and "15. Thought" not in text


def test_halves_are_rounded_down() -> None:
    assert Image.open(io.BytesIO(half_size(png(0, (1, 3))))).size == (1, 1)
    assert Image.open(io.BytesIO(half_size(png(0, (101, 99))))).size == (50, 49)


def test_one_user_turn_with_data_urls() -> None:
    prompt = make_prompt(situation(FORMATS[4], 6), FORMATS[4])
    (message,) = prompt.messages()
    assert message["role"] == "user" and len(message["content"]) == len(prompt.parts)
    assert {part["type"] for part in message["content"]} == {"text", "image_url"}
    assert prompt.digest != make_prompt(situation(FORMATS[4], 5), FORMATS[4]).digest


def test_the_short_layout_is_a_picture_and_a_few_lines() -> None:
    form = Format(model="4.5V", screen="computer")
    prompt = make_prompt(situation(form, 6), form, short=True)
    picture, text = prompt.parts
    assert text == "Step: I press OK.\nStep: I press OK.\nTask: Open the settings."
    assert isinstance(picture, bytes)
    with Image.open(io.BytesIO(png(200))) as before, Image.open(io.BytesIO(picture)) as shown:
        assert shown.size == (2 * before.width, 2 * before.height), "a small one is shown twice as large"
