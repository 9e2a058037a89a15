"""Checkpoint folders that have the right shape and no weights: enough for everything that happens before loading."""

from __future__ import annotations

import json
from pathlib import Path

from inkwash.models.glm_image.folder import INDEX_FILE, PARTS, pipeline_index


def hollow_checkpoint(folder: Path) -> Path:
    """Write every file that names a part, with a few bytes in place of weights, and some files nobody needs."""
    folder.mkdir(parents=True)
    (folder / INDEX_FILE).write_text(json.dumps(pipeline_index()))
    for name, part in PARTS.items():
        (folder / name).mkdir()
        kind = {"_class_name": part.class_name} if part.library == "diffusers" else {"model_type": part.model_type}
        (folder / name / part.config_file).write_text(json.dumps({**kind, "part": name}))
        if part.weights_name:
            (folder / name / f"{part.weights_name}.safetensors").write_bytes(name.encode() * 1000)
            (folder / name / f"{part.weights_name}.bin").write_bytes(b"other format")
    (folder / "processor" / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("# A model")
    (folder / "demo.png").write_bytes(b"picture")
    return folder
