"""The reference library's own checks of a pipeline, each run against ours (`reference_checks`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkwash.core.errors import InkwashError
from tests.parity.reference_checks import CHECKS, DOCUMENT, END, START, Peer, table


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_passes_or_gets_its_sentence(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    check, peer = CHECKS[name], Peer(folder=tiny_folder, out=tmp_path)
    if check.sentence is None:
        check.run(peer)
        return
    with pytest.raises((InkwashError, AttributeError)) as found:
        check.run(peer)
    assert str(found.value) == check.sentence


def test_the_document_has_the_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert table() == START + text.split(START)[1].split(END)[0] + END
