"""The page for people: draw, edit, ask, look back; mounted at /ui by `serve --ui` and `inkwash ui`.

The page is plain HTML, CSS and JavaScript modules in `static`, without a build. It speaks to the routes that every
other client uses; the routes of its own say what the model is (`/ui/about`), what a prompt asks for in vain
(`/ui/notes`) and what stands in a picture (`/ui/words`).
"""

from inkwash.serve.ui.routes import PATH, mount

__all__ = ["PATH", "mount"]
