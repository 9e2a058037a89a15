"""The rows that the makers of GLM-Image publish beside their own, for reading next to a measured number.

From the model's README. The judges are those of the benchmarks' official scorers; the README names neither their
versions nor resolution, pictures per prompt or rewriting of prompts, so a difference of a point says little.
"""

from __future__ import annotations

from collections.abc import Mapping

from inkwash.eval.benchmarks.measures import Measure

JUDGES: Mapping[str, str] = {  # the official judge behind every published column
    "cvtg2k.word_accuracy": "en_ppocrv4",
    "cvtg2k.ned": "en_ppocrv4",
    "cvtg2k.clipscore": "clip-vit-l-14",
    "longtext-en.text_score": "qwen2.5-vl-7b",
    "longtext-zh.text_score": "qwen2.5-vl-7b",
    "oneig-en.overall": "official",
    "oneig-zh.overall": "official",
    "tiif.short": "unstated",
    "tiif.long": "unstated",
    "dpg.overall": "mplug-vqa-large",
}
_COLUMNS = tuple(JUDGES)
_N = None

# word accuracy, NED, CLIPScore, LongText EN, ZH, OneIG EN, ZH, TIIF short, long, DPG
_ROWS: Mapping[str, tuple[float | None, ...]] = {
    "Seedream 4.5": (0.8990, 0.9483, 0.8069, 0.989, 0.987, 0.576, 0.551, 90.49, 88.52, 88.63),
    "Seedream 4.0": (0.8451, 0.9224, 0.7975, 0.921, 0.926, 0.576, 0.553, 90.45, 88.08, 88.54),
    "Nano Banana 2.0": (0.7788, 0.8754, 0.7372, 0.981, 0.949, 0.578, 0.567, 91.00, 88.26, 87.16),
    "GPT Image 1 [High]": (0.8569, 0.9478, 0.7982, 0.956, 0.619, 0.533, 0.474, 89.15, 88.29, 85.15),
    "DALL-E 3": (_N, _N, _N, _N, _N, _N, _N, 74.96, 70.81, 83.50),
    "Qwen-Image": (0.8288, 0.9116, 0.8017, 0.943, 0.946, 0.539, 0.548, 86.14, 86.83, 88.32),
    "Qwen-Image-2512": (0.8604, 0.9290, 0.7819, 0.956, 0.965, 0.530, 0.515, 83.24, 84.93, 87.20),
    "Z-Image": (0.8671, 0.9367, 0.7969, 0.935, 0.936, 0.546, 0.535, 80.20, 83.01, 88.14),
    "Z-Image-Turbo": (0.8585, 0.9281, 0.8048, 0.917, 0.926, 0.528, 0.507, 77.73, 80.05, 84.86),
    "FLUX.1 [Dev]": (_N, _N, _N, _N, _N, 0.434, _N, 71.09, 71.78, 83.52),
    "SD3 Medium": (_N, _N, _N, _N, _N, _N, _N, 67.46, 66.09, 84.08),
    "SD XL": (_N, _N, _N, _N, _N, 0.316, _N, 54.96, 42.13, 74.65),
    "BAGEL": (_N, _N, _N, _N, _N, 0.361, 0.370, 71.50, 71.70, _N),
    "Janus-Pro": (_N, _N, _N, _N, _N, 0.267, 0.240, 66.50, 65.01, 84.19),
    "Show-o2": (_N, _N, _N, _N, _N, 0.308, _N, 59.72, 58.86, _N),
    "GLM-Image": (0.9116, 0.9557, 0.7877, 0.952, 0.979, 0.528, 0.511, 81.01, 81.02, 84.78),
}


MODELS = tuple(_ROWS)


def published(task: str) -> dict[str, list[Measure]]:
    """Model -> its published numbers of one task ("cvtg2k", "longtext-en" ...); models without any are left out."""
    found: dict[str, list[Measure]] = {}
    for model, values in _ROWS.items():
        pairs = zip(_COLUMNS, values, strict=True)
        known = [(name, value) for name, value in pairs if value is not None and name.split(".")[0] == task]
        if known:
            found[model] = [Measure(name=name, judge=JUDGES[name], value=value) for name, value in known]
    return found
