"""The files of a GLM-V checkpoint that are not weights, for a model trained here: tokenizer, template, pixel settings.

Text is byte-level BPE in which every capital letter, digit and quotation mark stands alone, so that a word that is read
off a picture is a string of single tokens. The special tokens have the family's names and follow the last merge. The
chat template is one of our own with the format of the family: the thinking switch, tools, no thoughts of earlier turns.
In training a picture stands before the question about it, so media that a message ends in are shown before its texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from inkwash.core.files import write_json
from inkwash.models.glm_image.processor import pre_tokenizer
from inkwash.models.glm_image.tokenizer_files import BICUBIC, CLIP_MEAN, CLIP_STD

END_OF_TEXT, USER, OBSERVATION = "<|endoftext|>", "<|user|>", "<|observation|>"
STOPS = (END_OF_TEXT, USER, OBSERVATION)
SPECIALS = (
    END_OF_TEXT, "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", USER, "<|assistant|>", OBSERVATION,
    "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<|image|>", "<|video|>",
    "<think>", "</think>", "/nothink", "<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>",
    "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
    "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>",
)  # fmt: skip
CONTROL = SPECIALS[:16]  # left out where special tokens are skipped; the tags of the format are text

TEMPLATE = """\
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- set parts = content or [] -%}
{%- set media = parts | selectattr('type', 'in', ('image', 'image_url', 'video', 'video_url')) | list -%}
{%- if media and parts[-(media | length):] == media -%}
{%- set parts = media + parts[:-(media | length)] -%}
{%- endif -%}
{%- for part in parts -%}
{%- if part is string -%}{{ part }}
{%- elif part.type in ('image', 'image_url') -%}<|begin_of_image|><|image|><|end_of_image|>
{%- elif part.type in ('video', 'video_url') -%}<|begin_of_video|><|video|><|end_of_video|>
{%- elif part.type == 'text' -%}{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- set silent = enable_thinking is defined and not enable_thinking -%}
{%- set turn = namespace(last=-1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{%- set turn.last = loop.index0 -%}{%- endif -%}
{%- endfor -%}
[gMASK]<sop>
{%- if tools -%}
{{- '<|system|>\\n# Tools\\n' -}}
{%- for tool in tools -%}{{- tool | tojson(ensure_ascii=False) -}}{{- '\\n' -}}{%- endfor -%}
{{- 'Call one so: <tool_call>name\\n<arg_key>key</arg_key>\\n<arg_value>value</arg_value>\\n</tool_call>' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{- '<|user|>\\n' -}}{{- show(message.content) -}}{{- '/nothink' if silent else '' -}}
{%- elif message.role == 'assistant' -%}
{%- set text = show(message.content) -%}
{%- set thoughts = message.reasoning_content or '' -%}
{%- if '</think>' in text -%}
{%- set thoughts = text.split('</think>')[0].split('<think>')[-1] -%}
{%- set text = text.split('</think>')[-1] -%}
{%- endif -%}
{{- '<|assistant|>\\n<think>' -}}{{- thoughts.strip() if loop.index0 > turn.last else '' -}}{{- '</think>' -}}
{%- if text.strip() -%}{{- '\\n' + text.strip() -}}{%- endif -%}
{%- for item in message.tool_calls or [] -%}
{%- set call = item.function or item -%}
{{- '\\n<tool_call>' + call.name + '\\n' -}}
{%- for key, value in call.arguments.items() -%}
{{- '<arg_key>' + key + '</arg_key>\\n<arg_value>' -}}
{{- value if value is string else value | tojson(ensure_ascii=False) -}}{{- '</arg_value>\\n' -}}
{%- endfor -%}
{{- '</tool_call>' -}}
{%- endfor -%}
{%- elif message.role == 'tool' -%}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}{{- '<|observation|>' -}}{%- endif -%}
{{- '\\n<tool_response>\\n' -}}{{- show(message.content) -}}{{- '\\n</tool_response>' -}}
{%- else -%}
{{- '<|' + message.role + '|>\\n' -}}{{- show(message.content) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}{{- '\\n<think></think>' if silent else '' -}}
{%- endif -%}
"""


def train_bpe(lines: Iterable[str], *, vocab_size: int, spelled: bool = False) -> Tokenizer:
    """A byte-level BPE trained on `lines`; `vocab_size` counts bytes, merges and special tokens.

    `spelled` sets every character inside quotation marks alone, small letters and Chinese, too.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(alphabet) + len(SPECIALS):
        raise ValueError(f"vocab_size must be at least {len(alphabet) + len(SPECIALS)}, not {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(spelled=spelled)
    tokenizer.decoder = decoders.ByteLevel()
    merges_left = vocab_size - len(SPECIALS)
    tokenizer.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=merges_left, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in CONTROL])
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in SPECIALS[len(CONTROL) :]])
    return tokenizer


def write_processor_files(
    folder: Path,
    bpe: Tokenizer,
    *,
    patch_size: int,
    merge_size: int,
    min_pixels: int,
    max_pixels: int,
    fps: float = 2.0,
) -> None:
    """Write tokenizer, template and pixel settings; pixels are bounds of one picture's area."""
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "additional_special_tokens": list(CONTROL),
            "clean_up_tokenization_spaces": False,
            "padding_side": "left",
            "model_max_length": 65536,
        },
    )
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    shared = {
        "patch_size": patch_size,
        "temporal_patch_size": 2,
        "merge_size": merge_size,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "rescale_factor": 1 / 255,
        "resample": BICUBIC,
        "processor_class": "Glm4vProcessor",
    }
    size = {"shortest_edge": 2 * min_pixels, "longest_edge": 2 * max_pixels}
    write_json(
        folder / "preprocessor_config.json", {**shared, "size": size, "image_processor_type": "Glm4vImageProcessor"}
    )
    videos = {**size, "longest_edge": 16 * max_pixels}
    write_json(
        folder / "video_preprocessor_config.json",
        {**shared, "size": videos, "fps": fps, "max_duration": 300, "video_processor_type": "Glm4vVideoProcessor"},
    )
