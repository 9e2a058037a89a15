"""Every public name of the reference pipeline is one of ours, or has a sentence that says what to use."""

from __future__ import annotations

import inspect

import diffusers
import pytest

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.surface import NO_MEANING

# Of the reference library's own configuration classes; no script calls them.
INTERNAL = {
    "config_name",
    "extract_init_dict",
    "get_config_dict",
    "has_compatibles",
    "ignore_for_config",
    "register_for_auto_class",
    "register_to_config",
}


def test_every_name_is_here_or_says_what_to_use() -> None:
    theirs = {name for name in dir(diffusers.GlmImagePipeline) if not name.startswith("_")}
    assert theirs - set(dir(GlmImagePipeline)) - INTERNAL <= NO_MEANING.keys()
    assert not NO_MEANING.keys() & set(dir(GlmImagePipeline)), "what is here needs no sentence"


@pytest.mark.parametrize(
    "name", ["encode_prompt", "save_pretrained", "enable_model_cpu_offload", "enable_sequential_cpu_offload"]
)
def test_arguments_come_in_the_same_order(name: str) -> None:
    theirs = list(inspect.signature(getattr(diffusers.GlmImagePipeline, name)).parameters.values())
    ours = list(inspect.signature(getattr(GlmImagePipeline, name)).parameters.values())
    refused = {"push_to_hub", "use_flashpack", "kwargs"}
    wanted = [(each.name, each.default) for each in theirs if each.name not in refused]
    assert [(each.name, each.default) for each in ours][: len(wanted)] == wanted
