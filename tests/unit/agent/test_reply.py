"""Formats of acts: what is written is read as the same, and no text of a model is an error or a foreign act."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.agent.act import ENDS, KINDS, Act, AgentError, Mark, Place
from inkwash.agent.reply import SCREENS, Format, StepReply, read_reply, spell, version_of, write_act, write_reply
from inkwash.agent.spaces import SPACES
from tests.unit.agent.acts import BY_SCREEN, EXAMPLES, FORMATS, anything

BOX, END = "<|begin_of_box|>", "<|end_of_box|>"
LETTERS = "abcXYZ019 äß你好 .,:;!?'\"()[]{}<>=+-*/\\_%&#@"
plain = st.text(alphabet=LETTERS, max_size=30)
ACTIONS = [(form, name) for form in FORMATS for name in BY_SCREEN[form.screen](plain)]
KINDS_OF = {
    "phone": {"click", "long_press", "type", "key", "scroll", "home", "back", "open_app", "wait", *ENDS},
    "computer": {"click", "double_click", "hover", "drag", "type", "key", "scroll", "wait", "done", "fail"},
    "web": {"click", "type", "key", "scroll", "back", "search", "wait", "answer"},
}


def test_every_action_that_a_prompt_tells_of_is_tested() -> None:
    assert {screen: len(entries) for screen, entries in SPACES.items()} == {"phone": 11, "computer": 12, "web": 8}
    for screen, entries in SPACES.items():
        assert {entry.name for entry in entries} == set(BY_SCREEN[screen](plain))


def safe(text: str, screen: str) -> str:
    """Texts that a format can carry: pages keep no line breaks and no blanks at the ends."""
    return " ".join(text.split()) if screen == "web" else text


@pytest.mark.parametrize(("form", "name"), ACTIONS, ids=lambda value: str(getattr(value, "model", value)))
def test_what_is_written_is_read_as_the_same(form: Format, name: str) -> None:
    texts = plain.map(lambda text: safe(text, form.screen))

    @settings(max_examples=25, deadline=None)
    @given(BY_SCREEN[form.screen](texts)[name])
    def check(act: Act) -> None:
        assert read_reply(write_reply(StepReply(act=act, thought="I look."), form, thinking="hm"), form).act == act

    check()


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_any_text_is_carried_exactly_or_refused(form: Format) -> None:
    """Line breaks, control tokens and labels of the format within a typed text, too."""
    hard = st.one_of(
        anything,
        st.sampled_from(
            [
                "a\nClick [3]",
                f"{BOX}x",
                "</think>",
                "<answer>",
                "Action: Click [1]",
                "]",
                " a ",
                "\nMemory: []",
                "<|user|>",
            ]
        ),
    )
    typed = {"phone": "input_text", "computer": "type", "web": "Type"}[form.screen]

    @settings(max_examples=150, deadline=None)
    @given(BY_SCREEN[form.screen](hard)[typed])
    def check(act: Act) -> None:
        try:
            said = write_reply(StepReply(act=act), form)
        except AgentError:
            return
        assert read_reply(said, form).act == act

    check()


def test_a_text_of_computers_is_carried_whatever_it_holds() -> None:
    """The format quotes: only control tokens of the models cannot stand in it."""
    form = Format(model="4.5V", screen="computer")
    for text in (
        "It's fine",
        'say "it\'s"',
        "first\nsecond",
        "C:\\new\\table",
        "Memory: [1]",
        "left_click([1,2])",
        "你好 ß",
    ):
        act = Act(kind="type", text=text)
        assert read_reply(write_reply(StepReply(act=act), form), form).act == act


SEVEN = [  # replies that the published parsers do not read
    ("computer", "type(content='It's fine')", Act(kind="type", text="It's fine")),
    ("computer", "left_click(start_box='[10,20]', element_info='the 'OK' button')",
     Act(kind="click", target=Place.at(10, 20), label="the 'OK' button")),
    ("computer", "type(content='first\nsecond')", Act(kind="type", text="first\nsecond")),
    ("computer", "left_click([10,20])", Act(kind="click", target=Place.at(10, 20))),
    ("computer", f"left_click(start_box='{BOX}[10,20]{END}')", Act(kind="click", target=Place.at(10, 20))),
    ("phone", '{"action_type": "click", "box_2d": [[100, 020, 300, 040]]}',
     Act(kind="click", target=Place(left=100, top=20, right=300, bottom=40))),
    ("computer", "print(x='a') and so left_click(start_box='[1,2]')", Act(kind="click", target=Place.at(1, 2))),
]  # fmt: skip


@pytest.mark.parametrize(("screen", "said", "act"), SEVEN)
@pytest.mark.parametrize("frame", ["{}", "<think>x</think>\n{}", "<think>x</think><answer>{}</answer>"])
def test_replies_that_published_parsers_lose(screen: str, said: str, act: Act, frame: str) -> None:
    for model in ("4.1V", "4.5V"):
        assert read_reply(frame.format(said), Format(model=model, screen=screen)).act == act  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("screen", "said", "why"),
    [
        ("phone", '{"action_type": "click"}', "names no place"),
        ("phone", '{"action_type": "click", "box_2d": [[1, 2]]}', None),
        ("phone", '{"action_type": "click", "box_2d": [[1, 2, 3]]}', "two or four numbers"),
        ("phone", '{"action_type": "click", "box_2d": [[1, 2, 3, 1080]]}', "from 0 to 999"),
        ("phone", '{"action_type": "swipe", "direction": "sideways"}', "up, down, left, right"),
        ("phone", '{"action_type": "status", "goal_status": "maybe"}', "complete or infeasible"),
        ("phone", '{"action_type": "open_app", "app_name": " "}', "empty"),
        ("phone", '{"action_type": "answer", "text": ["a"]}', "must be a text"),
        ("computer", "left_click(start_box='the button')", "two or four numbers"),
        ("computer", "left_drag(start_box='[1,2]')", "end_box"),
        ("computer", "key(keys='press it')", "ctrl+c"),
        ("web", "Action: Click [the button]", "number of an element"),
        ("web", "Action: Scroll [3]; [sideways]", "up, down, left, right"),
        ("web", "Action: nothing", "no action"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(screen: str, said: str, why: str | None) -> None:
    reply = read_reply(said, Format(model="4.5V", screen=screen))  # type: ignore[arg-type]
    if why is None:
        assert reply.act == Act(kind="click", target=Place.at(1, 2))
        return
    assert reply.act is None and reply.unreadable is not None
    assert why in reply.unreadable.reason and reply.unreadable.reason.endswith(".")


def mutated(text: str, rng: random.Random) -> str:
    """The text with some pieces cut, doubled, turned round or replaced."""
    for _ in range(rng.randint(1, 5)):
        start, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        end = min(end, start + 12)
        piece = rng.choice(["", text[start:end] * 2, rng.choice("()[]{}'\"\\,;:\n0<>-9"), text[start:end][::-1]])
        text = text[:start] + piece + (text[end:] if rng.random() < 0.7 else text[start:])
    return text


@pytest.mark.slow  # two seconds of reading
def test_five_thousand_mutated_replies() -> None:
    """Never an exception, never an act that the screen lacks; what is not read is one sentence."""
    rng = random.Random(1)
    read = 0
    for number in range(5000):
        form = rng.choice(FORMATS)
        act = rng.choice(EXAMPLES[form.screen])
        said = write_reply(StepReply(act=act, thought="I see it."), form, thinking="so")
        reply = read_reply(mutated(said, rng), form)
        assert (reply.act is None) != (reply.unreadable is None), number
        if reply.act is not None:
            read += 1
            assert reply.act.kind in KINDS_OF[form.screen], number
            for place in (reply.act.target, reply.act.end):
                if isinstance(place, Place):
                    x, y = form.grid.pixel(place, (1280, 720))
                    assert 0 <= x < 1280 and 0 <= y < 720
        else:
            assert reply.unreadable is not None and reply.unreadable.reason.endswith("."), number
            assert "\n" not in reply.unreadable.reason
    assert read > 1500  # most small damage is read past


def test_kinds_of_all_screens_are_all_kinds() -> None:
    assert set().union(*KINDS_OF.values()) == set(KINDS)


def test_an_act_of_another_screen_is_refused() -> None:
    for screen, act in (("web", Act(kind="home")), ("phone", Act(kind="hover", target=Place.at(1, 1))),
                        ("computer", Act(kind="click", target=Mark(number=3)))):  # fmt: skip
        with pytest.raises(AgentError, match=f"A {screen} has no act"):
            spell(act, screen)  # type: ignore[arg-type]


def test_a_refused_text_says_how_it_would_be_read() -> None:
    act = Act(kind="type", target=Mark(number=3), text="a\nClick [4]", replaces=True, submits=True)
    with pytest.raises(AgentError, match="cannot be written for a web"):
        write_act(act, Format(model="4.5V", screen="web"))


def test_long_replies_are_not_read() -> None:
    reply = read_reply("left_click(" * 20_000, FORMATS[1])
    assert reply.act is None and reply.unreadable is not None and "characters" in reply.unreadable.reason


def test_generations_by_name() -> None:
    assert version_of("zai-org/GLM-4.1V-9B-Thinking") == "4.1V"
    assert version_of("GLM-4.5V") == version_of("nano-v") == version_of("GLM-4.6V") == "4.5V"


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(AgentError, match="no format"):
        Format(model="4.5V", screen="watch")  # type: ignore[arg-type]
    assert set(SCREENS) == set(SPACES)
