"""`inkwash shot`: a picture of the screen, a monitor, a window or a region."""

from __future__ import annotations

import json as jsons
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkwash.cli import options as o
from inkwash.core.errors import RequestError

if TYPE_CHECKING:
    from inkwash.desk.places import ScreenBox
    from inkwash.desk.screen import Screen

Output = Annotated[
    Path, typer.Option("-o", "--output", help="File to write: .png, .webp or .jpg. A taken name is numbered.")
]
Monitor = Annotated[int | None, typer.Option("--monitor", help="Monitor 1, 2, ...; 0 is all of them [default: 0].")]
Region = Annotated[
    str | None, typer.Option("--region", metavar="LEFT,TOP,WxH", help="A region of the screen, like 100,80,640x480.")
]
Window = Annotated[
    str | None, typer.Option("--window", metavar="TEXT", help="The window whose title or program has it.")
]
Delay = Annotated[float, typer.Option("--delay", metavar="SECONDS", help="Wait before the picture is taken.")]
Select = Annotated[bool, typer.Option("--select", help="Choose a region by hand; Escape leaves it.")]
List = Annotated[bool, typer.Option("--list", help="List monitors and windows instead.")]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Which part of the screen; at most one of the three is given."""

    monitor: int | None = None
    region: str | None = None
    window: str | None = None

    def __post_init__(self) -> None:
        named = [name for name, value in vars(self).items() if value is not None]
        if len(named) > 1:
            raise RequestError(f"{' and '.join(named)} were given: name one part of the screen.", param=named[1])
        if self.region is not None:
            from inkwash.desk.places import ScreenBox

            ScreenBox.parse(self.region)

    def find(self, screen: Screen) -> ScreenBox:
        """The box it is now."""
        from inkwash.desk.places import ScreenBox
        from inkwash.desk.screen import find_monitor, find_window

        if self.region is not None:
            return ScreenBox.parse(self.region)
        if self.window is not None:
            return find_window(screen.windows(), self.window).box
        return find_monitor(screen, self.monitor or 0)


def shot(
    output: Output = Path("shot.png"),
    monitor: Monitor = None,
    region: Region = None,
    window: Window = None,
    select: Select = False,
    delay: Delay = 0.0,
    list_only: List = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
) -> None:
    """Take a picture of the screen, a monitor, a window or a region.

    Example: inkwash shot --window Firefox -o page.png
    """
    from inkwash.core import limits

    target = Target(monitor=monitor, region=region, window=window)
    if select and (region or window):
        raise RequestError("--select chooses a region by hand: leave --region and --window out.", param="select")
    limits.check_real("--delay", delay, 0.0, 3600.0)
    from inkwash.desk.screen import open_screen
    from inkwash.media.images import check_output, save_output

    if not list_only:
        check_output(output, overwrite=overwrite)
    with closing(open_screen()) as screen:
        if list_only:
            _list(screen, json)
            return
        time.sleep(delay)
        taken = screen.shoot(target.find(screen))
    if select:
        from inkwash.desk.select import select_region

        taken = select_region(taken)
    metadata = {"software": "inkwash shot", "region": str(taken.box), "scale": taken.scale}
    file = save_output(taken.image, output, overwrite=overwrite, metadata=metadata)
    size = f"{taken.image.width}x{taken.image.height}"
    if json:
        print(jsons.dumps({"path": str(file), "size": size, "region": str(taken.box), "scale": taken.scale}))
    else:
        print(f"{file}: {size} of {taken.box}")


def _list(screen: Screen, json: bool) -> None:
    monitors, windows = screen.monitors(), screen.windows()
    if json:
        listing = {
            "monitors": [{"number": one.number, "region": str(one.box)} for one in monitors],
            "windows": [{"title": one.title, "program": one.program, "region": str(one.box)} for one in windows],
        }
        print(jsons.dumps(listing, ensure_ascii=False))
        return
    for monitor in monitors:
        print(f"monitor {monitor.number}: {monitor.box}" + ("  (all of them)" if monitor.number == 0 else ""))
    for window in windows:
        print(f"window {window.title!r} of {window.program or '?'}: {window.box}")
