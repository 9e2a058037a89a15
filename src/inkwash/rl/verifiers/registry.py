"""The verifiers by the names that a configuration uses: the 19 of the public reward system, and four of the paper."""

from __future__ import annotations

from collections.abc import Mapping

from inkwash.rl.verifiers.androidworld import AndroidWorld
from inkwash.rl.verifiers.biology import Biology
from inkwash.rl.verifiers.chart import Chart
from inkwash.rl.verifiers.chemistry import Chemistry
from inkwash.rl.verifiers.counting import Counting
from inkwash.rl.verifiers.file_based import FileBased
from inkwash.rl.verifiers.general import General
from inkwash.rl.verifiers.geography import Geography
from inkwash.rl.verifiers.geoquest import Geoquest
from inkwash.rl.verifiers.grounding import Grounding
from inkwash.rl.verifiers.language_mix import LanguageMix
from inkwash.rl.verifiers.liberal_arts import LiberalArts
from inkwash.rl.verifiers.long_doc import LongDoc
from inkwash.rl.verifiers.math import Math
from inkwash.rl.verifiers.mmsi import Mmsi
from inkwash.rl.verifiers.multi_image import MultiImage
from inkwash.rl.verifiers.ocr import Ocr
from inkwash.rl.verifiers.osworld import OsWorld
from inkwash.rl.verifiers.physics import Physics
from inkwash.rl.verifiers.spatial import Spatial
from inkwash.rl.verifiers.verdict import Verifier
from inkwash.rl.verifiers.video import VideoVerifier
from inkwash.rl.verifiers.vqa import Vqa
from inkwash.rl.verifiers.webvoyager import WebVoyager

VERIFIERS: Mapping[str, type[Verifier]] = {
    "androidworld": AndroidWorld,
    "biology": Biology,
    "chart": Chart,
    "chemistry": Chemistry,
    "counting": Counting,
    "file_based": FileBased,
    "general": General,
    "geography": Geography,
    "geoquest": Geoquest,
    "language_mix": LanguageMix,
    "liberal_arts": LiberalArts,
    "math": Math,
    "mmsi": Mmsi,
    "multi_image": MultiImage,
    "ocr": Ocr,
    "osworld": OsWorld,
    "physics": Physics,
    "vqa": Vqa,
    "webvoyager": WebVoyager,
    # Of the paper, not in the public system:
    "grounding": Grounding,
    "long_doc": LongDoc,
    "spatial": Spatial,
    "video": VideoVerifier,
}
