"""A tiny GLM-V processor folder: a byte tokenizer with the family's special tokens, and two chat templates.

The templates are small ones of our own with the shape of the released ones: one repeats its history word for word,
one has a thinking switch, tools, and forgets the thoughts of earlier turns.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIALS = (
    "<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
    "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<|image|>", "<|video|>",
    "<think>", "</think>", "<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>", "/nothink",
    "<tool_call>", "</tool_call>",
)  # fmt: skip
MEDIA = """
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- for item in content -%}
{%- if item.type == 'video' -%}<|begin_of_video|><|video|><|end_of_video|>
{%- elif item.type == 'image' -%}<|begin_of_image|><|image|><|end_of_image|>
{%- elif item.type == 'text' -%}{{ item.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
[gMASK]<sop>"""
TAGGED = (
    MEDIA
    + """
{%- for m in messages -%}
<|{{ m.role }}|>
{{ show(m.content) }}
{%- endfor -%}
{%- if add_generation_prompt %}<|assistant|>
{% endif -%}
"""
)
PLAIN = (
    MEDIA
    + """
{%- if tools %}<|system|>
{% for tool in tools %}{{ tool | tojson(ensure_ascii=False) }}
{% endfor %}{% endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}<|user|>
{{ show(m.content) }}{{ '/nothink' if enable_thinking is defined and not enable_thinking else '' }}
{%- elif m.role == 'assistant' -%}<|assistant|>
{%- set content = show(m.content) -%}
<think></think>
{{ content.split('</think>')[-1].lstrip('\\n') }}
{%- for call in m.tool_calls or [] -%}
<tool_call>{{ call.function.name }}
{% for key, value in call.function.arguments.items() %}{{ key }}={{ value | tojson }}{% endfor %}</tool_call>
{%- endfor -%}
{%- elif m.role == 'weather' -%}{{ raise_exception('no such role') }}
{%- else -%}<|{{ m.role }}|>
{{ show(m.content) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|assistant|>
{%- if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}
{%- endif -%}
"""
)
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def byte_tokenizer() -> Tokenizer:
    """Every byte a token, and the special tokens."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIALS])
    return tokenizer


def pixel_settings(*, longest: int, shortest: int = 12544, patch: int = 14, **more: Any) -> dict[str, Any]:
    return {
        "size": {"shortest_edge": shortest, "longest_edge": longest},
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": MEAN,
        "image_std": STD,
        "rescale_factor": 1 / 255,
        "resample": 3,
        **more,
    }


def write_folder(
    folder: Path, template: str = PLAIN, *, generation: str = "Glm4v", patch: int = 14, shortest: int = 12544
) -> Path:
    """The files of a checkpoint that are not weights."""
    folder.mkdir(parents=True, exist_ok=True)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    pictures = pixel_settings(longest=28 * 28 * 15000, patch=patch, shortest=shortest)
    videos = pixel_settings(longest=28 * 28 * 2 * 30000, patch=patch, shortest=shortest, fps=2, max_duration=300)
    names = {"processor_class": f"{generation}Processor"}
    contents: dict[str, dict[str, Any]] = {
        "tokenizer_config.json": {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
        "preprocessor_config.json": {**pictures, "image_processor_type": f"{generation}ImageProcessor", **names},
        "video_preprocessor_config.json": {**videos, "video_processor_type": f"{generation}VideoProcessor", **names},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
