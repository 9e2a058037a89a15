"""`inkwash record`: the screen, a monitor, a window or a region as a video."""

from __future__ import annotations

import json as jsons
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from inkwash.cli import options as o
from inkwash.cli import shot as s

Output = Annotated[Path, typer.Option("-o", "--output", help="File to write: .mp4. A taken name is numbered.")]
Seconds = Annotated[float, typer.Option("--seconds", help="End after so long; Ctrl-C ends it before.")]
Fps = Annotated[int, typer.Option("--fps", help="Pictures a second.")]
Megabytes = Annotated[int, typer.Option("--max-mb", help="End when the file is so large.")]
Cursor = Annotated[bool, typer.Option("--cursor/--no-cursor", help="Whether the pointer is seen (Linux).")]


def record(
    output: Output = Path("screen.mp4"),
    monitor: s.Monitor = None,
    region: s.Region = None,
    window: s.Window = None,
    seconds: Seconds = 120.0,
    fps: Fps = 15,
    max_mb: Megabytes = 50,
    cursor: Cursor = True,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Record the screen, a monitor, a window or a region as a video of at most 1280x720.

    Example: inkwash record --region 0,0,1280x720 --seconds 10 -o demo.mp4
    """
    from inkwash.core.errors import RequestError
    from inkwash.desk.recorder import Recorder, RecordSettings
    from inkwash.desk.screen import open_screen
    from inkwash.media.images import free_names

    target = s.Target(monitor=monitor, region=region, window=window)
    settings = RecordSettings(fps=fps, max_seconds=seconds, max_bytes=max_mb * 2**20)
    if output.suffix.lower() != ".mp4":
        raise RequestError(f"--output is {str(output)!r}, but recordings are written as .mp4.", param="output")
    [path] = free_names(output, overwrite=overwrite)
    with closing(open_screen(cursor=cursor)) as screen:
        recorder = Recorder(screen, target.find(screen), path, settings)
        recorder.start()
        try:
            while recorder.going_on:
                if not quiet and not json and sys.stderr.isatty():
                    print(f"\rrecording: {recorder.seconds:5.1f} s, Ctrl-C ends", end="", file=sys.stderr, flush=True)
                time.sleep(0.1)
        except KeyboardInterrupt:
            pass
        clip = recorder.stop()
    if not quiet and not json and sys.stderr.isatty():
        print(file=sys.stderr)
    row = {**vars(clip), "path": str(clip.path)}
    line = f"{clip.path}: {clip.seconds:.1f} s, {clip.width}x{clip.height}, {clip.size / 1e6:.1f} MB"
    print(jsons.dumps(row) if json else line)
