"""Two hundred odd pictures, sixty documents and thirty videos: each is read, or refused in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from inkwash.media import process
from inkwash.media.kinds import sniff
from inkwash.media.process import MediaLimits, MediaProcess
from tests.unit.media.crafted_files import crafted_documents, crafted_pictures, crafted_videos
from tests.unit.media.odd_files import check, odd_documents, odd_pictures, odd_videos

pytestmark = pytest.mark.skipif(not process.supported(), reason="needs processes that take open files")


@pytest.fixture(scope="module")
def media() -> Iterator[MediaProcess]:
    with MediaProcess(MediaLimits(processes=1)) as made:
        yield made


def test_pictures(media: MediaProcess) -> None:
    said = {name: (check(media.within(), name, content, "image"), content) for name, content in odd_pictures()}
    assert len(said) >= 200
    whole = {name for name in said if "cut" not in name and "damaged" not in name and len(name.split()) == 2}
    assert [name for name in whole if said[name][0] != "read"] == [], "all that is whole is read"
    for name, (words, content) in said.items():
        if "not a picture that can be read" in words:
            assert sniff(content) in words, name


def test_documents(media: MediaProcess) -> None:
    said = {name: check(media.within(), name, content, "file") for name, content in odd_documents()}
    assert len(said) >= 60
    assert said["plain.pdf"] == said["plain.pptx"] == said["letter.docx"] == said["renamed.pptx"] == "read"
    assert said["slides.docx"] == said["letter.pptx"] == "read", "what it is counts, not what it is called"


def test_videos(media: MediaProcess, tmp_path: Path) -> None:
    pytest.importorskip("av")
    said = {name: check(media.within(), name, content, "video") for name, content in odd_videos(tmp_path)}
    assert len(said) >= 30
    assert all(words == "read" for name, words in said.items() if name.startswith("film"))
    assert "an FFmpeg playlist" in said["list.mp4"] and "an M3U playlist" in said["list.ts"]
    assert "a text" in said["text.mp4"] and "an empty file" in said["nothing.mkv"]
    assert Counter(words == "read" for words in said.values())[False] >= 4


def test_crafted_pictures(media: MediaProcess) -> None:
    hold(media, "image", crafted_pictures())


def test_crafted_documents(media: MediaProcess) -> None:
    hold(media, "file", crafted_documents())
    content = next(content for name, content, _ in crafted_documents() if name == "outside.docx")
    (page,) = media.within().document(content, suffix=".docx")
    assert page.text == "Page 1:\nA", "no file of this machine is in it"


def test_crafted_videos(media: MediaProcess, tmp_path: Path) -> None:
    pytest.importorskip("av")
    hold(media, "video", crafted_videos(tmp_path))


def hold(media: MediaProcess, kind: str, files: Iterable[tuple[str, bytes, str]]) -> None:
    """Each file is read, or its refusal says the given words and nothing of the library's own numbers."""
    for name, content, said in files:
        words = check(media.within(), name, content, kind)
        assert said in words and "Errno" not in words, (name, words)
