"""Conversations in LLaMA-Factory's format: both forms, tags in order, what is broken with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inkwash.core.errors import DataError
from inkwash.data.conversations import read_conversations

GOOD: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "<image>Who are they?"},
        {"role": "assistant", "content": "<think>\nTwo.</think>\n<answer>Kane</answer>"},
        {"role": "user", "content": "And <image> this, after <video>?"},
        {"role": "assistant", "content": "<think>\nOne.</think>\n<answer>Gretzka</answer>"},
    ],
    "images": ["a.png", "b.png"],
    "videos": ["c.mp4"],
}


def turns(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def write(folder: Path, *entries: Any, name: str = "talks.json") -> Path:
    path = folder / name
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join(lines) if name.endswith("l") else json.dumps(entries))
    return path


def test_tags_take_the_media_in_order_across_turns(folder: Path) -> None:
    (talk,), broken = read_conversations(write(folder, GOOD))
    assert not broken and talk.answers == [1, 3]
    assert talk.messages[0]["content"] == [
        {"type": "image", "image": folder / "a.png"},
        {"type": "text", "text": "Who are they?"},
    ]
    kinds = [(part["type"], part.get(part["type"])) for part in talk.messages[2]["content"]]
    assert kinds[1] == ("image", folder / "b.png") and kinds[3] == ("video", folder / "c.mp4")
    assert [kind for kind, _ in kinds] == ["text", "image", "text", "video", "text"]


def test_sharegpt_means_the_same(folder: Path) -> None:
    names = {"user": "human", "assistant": "gpt"}
    told = [{"from": names[m["role"]], "value": m["content"]} for m in GOOD["messages"]]  # type: ignore[index]
    same = {**{k: v for k, v in GOOD.items() if k != "messages"}, "conversations": told, "system": "Be brief."}
    (talk,), _ = read_conversations(write(folder, same))
    (other,), _ = read_conversations(write(folder, GOOD))
    assert talk.messages == ({"role": "system", "content": "Be brief."}, *other.messages)


def test_calls_tools_and_frames(folder: Path) -> None:
    call = '<think>\nLook closer.</think>\n{"name": "crop", "arguments": {"box": [1, 2]}}'
    entry = {
        "conversations": [
            {"from": "human", "value": "<video>Zoom."},
            {"from": "function_call", "value": call},
            {"from": "observation", "value": "<image>"},
            {"from": "gpt", "value": "A cat."},
        ],
        "images": ["a.png"],
        "videos": [["a.png", "b.png"]],
        "tools": '[{"name": "crop"}]',
    }
    (talk,), _ = read_conversations(write(folder, entry))
    assert talk.tools == ({"name": "crop"},) and talk.answers == [1, 3]
    assert talk.messages[1]["tool_calls"][0]["function"] == {"name": "crop", "arguments": {"box": [1, 2]}}
    assert talk.messages[1]["content"] == "<think>\nLook closer.</think>"
    assert talk.messages[2]["role"] == "tool"
    assert talk.messages[0]["content"][0]["video"] == [folder / "a.png", folder / "b.png"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": ["a.png"]}, "more <image> tags"),
        ({"images": ["a.png", "b.png", "a.png"]}, "have no <image> tag"),
        ({"images": ["a.png", "gone.png"]}, "gone.png does not exist"),
        ({"images": 3}, "list of paths"),
        ({"videos": [7]}, "list of paths"),
        ({"pictures": []}, "unknown key 'pictures'"),
        ({"conversations": []}, "one list"),
        ({"messages": []}, "one list"),
        ({"messages": [*GOOD["messages"], *turns("more?")]}, "last turn"),  # type: ignore[misc]
        ({"messages": [{"role": "wizard", "content": ""}]}, "unknown role 'wizard'"),
        ({"messages": ["hello"]}, "no JSON object"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "must be text"),
        ({"messages": turns("a", "b <image>")}, "answer holds a media tag"),
        ({"messages": [*turns("a", "b"), *turns("c", "d")[1:]], "images": [], "videos": []}, "follows one of"),
        ({"messages": [{"role": "assistant", "content": "b"}], "images": [], "videos": []}, "first turn"),
        ({"messages": [*turns("a"), {"role": "function_call", "content": "{"}]}, "not JSON"),
        ({"tools": "["}, "tools are not JSON"),
    ],
)
def test_what_is_broken_is_told_with_its_place(folder: Path, changed: dict[str, Any], said: str) -> None:
    found, broken = read_conversations(write(folder, GOOD, {**GOOD, **changed}))
    assert len(found) == 1 and len(broken) == 1
    assert broken[0].where == "talks.json, example 2" and said in broken[0].reason


def test_a_bad_line_costs_one_line(folder: Path) -> None:
    found, broken = read_conversations(write(folder, GOOD, '{"messages": ', "", "[1]", GOOD, name="talks.jsonl"))
    assert len(found) == 2 and [str(one).split(":")[0] for one in broken] == [
        "talks.jsonl, line 2",
        "talks.jsonl, line 4",
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("talks.json", "{", "not JSON"),
        ("talks.json", "{}", "must be a list"),
        ("talks.json", "[3]", "no conversation that can be used"),
        ("talks.jsonl", "", "no conversation that can be used"),
        ("talks.csv", "", "no conversation file"),
    ],
)
def test_a_file_without_conversations_is_refused(folder: Path, name: str, text: str, said: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_conversations(folder / name)
    with pytest.raises(DataError, match="is no file"):
        read_conversations(folder / "nowhere.json")
