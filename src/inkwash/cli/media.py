"""Files that a user names are decoded like those of a server's clients: in a process with limits of memory and time.

It starts while the checkpoint is still being read; what decoding in this process would save is a third of a second.
"""

from __future__ import annotations

import atexit
import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inkwash.media.reader import MediaReader


@lru_cache(maxsize=1)
def media_reader() -> MediaReader:
    """The reader of this program; its process ends with it."""
    from inkwash.media.process import MediaLimits, MediaProcess

    media = MediaProcess(MediaLimits(processes=1))
    atexit.register(media.close)
    return media.within(seconds=math.inf)
