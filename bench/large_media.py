"""Large and broken inputs: what the limits say, how long it takes and how much memory it needs.

python -m bench.large_media [--model nano-v]      each case in a process of its own, peak memory by the system
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from inkwash.core.errors import InkwashError

LIMIT_GB = 4.0


def pdf(folder: Path) -> dict[str, Any]:
    """60 pages of A4."""
    import pypdfium2 as pdfium

    document = pdfium.PdfDocument.new()
    for _ in range(60):
        document.new_page(595, 842)
    document.save(folder / "pages.pdf")
    return {"type": "file", "file": folder / "pages.pdf"}


def video(folder: Path) -> dict[str, Any]:
    """10 minutes of 1280x720 at 30 frames per second."""
    import av
    import numpy as np

    path = folder / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        pixels = np.zeros((720, 1280, 3), dtype=np.uint8)
        for number in range(18000):
            pixels[:, :, 1] = number % 256
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return {"type": "video", "video": path}


def picture(folder: Path) -> dict[str, Any]:
    """12,000 x 8,000 pixels."""
    from PIL import Image

    Image.new("RGB", (12000, 8000), "navy").save(folder / "large.jpg")
    return {"type": "image", "image": folder / "large.jpg"}


def truncated(folder: Path) -> dict[str, Any]:
    """A JPEG that ends in the middle."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (2000, 2000), np.uint8)).save(buffer, "JPEG")
    (folder / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    return {"type": "image", "image": folder / "cut.jpg"}


def bomb(folder: Path) -> dict[str, Any]:
    """A PNG of 2,500 million pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**7))) + chunk(b"IEND", b"")
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return {"type": "image", "image": folder / "bomb.png"}


def archive(folder: Path) -> dict[str, Any]:
    """A PPTX that is 3 GiB unpacked."""
    with (
        zipfile.ZipFile(folder / "bomb.pptx", "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("ppt/slides/slide1.xml", "w", force_zip64=True) as file,
    ):
        for _ in range(3 * 64):
            file.write(bytes(16 * 2**20))
    return {"type": "file", "file": folder / "bomb.pptx"}


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    made.__name__: made for made in (pdf, video, picture, truncated, bomb, archive)
}


def run(name: str, model: str, folder: Path) -> None:
    """One case in this process: prepared first, then asked about, with the peak of memory."""
    import torch

    from inkwash.engine.see.pipeline import GlmVisionPipeline

    torch.set_num_threads(1)
    part = {"pdf": "file", "archive": "file", "video": "video"}.get(name, "image")
    file = next(folder.iterdir())
    messages = [{"role": "user", "content": [{"type": part, part: file}, {"type": "text", "text": "What is it?"}]}]
    began = time.perf_counter()
    try:
        pipe = GlmVisionPipeline.from_pretrained(model)
        cost = pipe.cost(messages)
        known = time.perf_counter() - began
        output = pipe(messages, max_new_tokens=16)
        said = f"cost of {cost.prompt_tokens} tokens known after {known:.1f} s, answered ({output.finish_reason})"
    except InkwashError as error:
        said = error.message
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: {time.perf_counter() - began:.1f} s, peak {peak:.2f} GiB: {said}", flush=True)
    assert peak < LIMIT_GB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano-v")
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.case is not None:
        run(options.case, options.model, options.folder)
        return
    for name, make in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            command = [sys.executable, "-m", "bench.large_media", "--case", name, "--folder", folder]
            subprocess.run([*command, "--model", options.model], check=True)


if __name__ == "__main__":
    main()
