"""A page in Chromium, by pixels: mouse and keyboard as a person has them, the network held to the policy.

    with BrowserExecutor("https://example.org/", policy) as page: page.observe()

The profile is fresh, without extensions and without the caller's environment. What the page's own scripts say is not
believed: elements are read in a world of their own. Requests outside of the allowed places never leave; new tabs become
the page where they are allowed and are closed where not; dialogs are dismissed; downloads and file pickers lead nowhere
unless the policy names a folder. Texts arrive as one input event, so every character is exact.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inkwash.agent.act import KINDS, AgentError, Kind
from inkwash.agent.guard import SEARCH
from inkwash.agent.policy import Policy, origin_of
from inkwash.agent.shot import Element, Pixel, PixelAct, Screenshot
from inkwash.agent.stop import StopSwitch
from inkwash.core.errors import MissingExtraError
from inkwash.models.glm_v.agent import Screen

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, CDPSession, Dialog, Page, Route

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VIEWPORT = (1280, 720)
WHEEL = 100  # pixels of one click of the wheel
PAGE = 0.8  # of the height of the view, where a scroll names no amount
WAIT_S = 5.0
TIMEOUT_MS = 15_000
ASKED_TIMES = 5  # a page that is just being left
_HERE = Path(__file__).parent
_KEYS = {
    "ctrl": "Control", "alt": "Alt", "shift": "Shift", "meta": "Meta", "enter": "Enter", "esc": "Escape",
    "delete": "Delete", "backspace": "Backspace", "tab": "Tab", "space": "Space", "insert": "Insert", "home": "Home",
    "end": "End", "pageup": "PageUp", "pagedown": "PageDown", "up": "ArrowUp", "down": "ArrowDown",
    "left": "ArrowLeft", "right": "ArrowRight", **{f"f{n}": f"F{n}" for n in range(1, 13)},
}  # fmt: skip
_FLAGS = (
    "--no-first-run", "--disable-extensions", "--disable-sync", "--disable-background-networking",
    "--disable-features=Translate,OptimizationHints,MediaRouter,IsolateOrigins,site-per-process",  # frames read alike
    "--disable-site-isolation-trials", "--deny-permission-prompts", "--no-default-browser-check",
)  # fmt: skip


def find_browser() -> str | None:
    """Chromium of the system; None where Playwright's own is to be tried."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class BrowserExecutor:
    """One page, for formats of pages and of computers. All calls come from the thread that made it."""

    screen: Screen = "web"
    supports: frozenset[Kind] = frozenset(KINDS) - {"home", "open_app"}
    known = True
    hovers = True

    def __init__(
        self,
        url: str,
        policy: Policy,
        *,
        size: tuple[int, int] = VIEWPORT,
        headless: bool = True,
    ) -> None:
        if not policy.allows_url(url):
            raise AgentError(f"The page {url!r} is not among the places allowed: add --allow {origin_of(url) or url}.")
        try:
            from playwright.sync_api import Error, sync_playwright
        except ImportError:
            raise MissingExtraError("Operating a page", extra="agent") from None
        self.policy, self.size = policy, size
        self.notes: list[str] = []  # what was held back since the last act
        self.blocked: list[str] = []  # addresses that were not let out
        self._failure: type[Exception] = Error
        self._stack = contextlib.ExitStack()
        self._held: list[str] = []
        self._inspected: tuple[Page, CDPSession] | None = None
        try:
            play = self._stack.enter_context(sync_playwright())
            self._home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="inkwash-browser-"))
            kept = {
                name: os.environ[name] for name in ("PATH", "DISPLAY", "LANG", "WAYLAND_DISPLAY") if name in os.environ
            }
            flags = [*_FLAGS, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
            browser = play.chromium.launch(
                executable_path=find_browser(), args=flags, headless=headless, env={**kept, "HOME": self._home}
            )
            self._stack.callback(browser.close)
            self._context = browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                accept_downloads=policy.downloads is not None,
                service_workers="block",
            )
            self._prepare(self._context)
            self._page: Page = self._context.new_page()
            self.open(url)
        except Error as error:
            self._stack.close()
            line = str(error).strip().split("\n")[0]
            if "executable doesn't exist" in str(error).lower():
                raise AgentError(
                    "There is no Chromium here: install one with the system's packages, or playwright install chromium."
                ) from None
            raise AgentError(f"The browser cannot be started: {line}") from None
        except BaseException:
            self._stack.close()
            raise

    def open(self, url: str, timeout_ms: int = TIMEOUT_MS) -> None:
        """Show another page; raises AgentError where it cannot be opened."""
        try:
            self._page.goto(url, timeout=timeout_ms)
        except self._failure as error:
            raise AgentError(f"The page {url!r} cannot be opened: {str(error).strip().splitlines()[0]}") from None

    def _prepare(self, context: BrowserContext) -> None:
        context.set_default_timeout(TIMEOUT_MS)
        context.add_init_script(path=_HERE / "page_select.js")
        context.route("**/*", self._route)
        context.route_web_socket("**/*", lambda socket: self._socket(socket))
        context.on("page", self._opened)

    # -- the policy of the network and the browser's own windows ------------------------------------------------------

    def _route(self, route: Route) -> None:
        url = route.request.url
        inside = url.startswith(("data:", "blob:")) and not route.request.is_navigation_request()
        if inside or self.policy.allows_url(url):
            route.continue_()
            return
        self.blocked.append(url)
        self.notes.append(f"A request to {origin_of(url) or url[:40]} was not let out.")
        if route.request.is_navigation_request():
            route.fulfill(status=204)  # an answer without content leaves the page where it is
        else:
            route.abort("blockedbyclient")

    def _socket(self, socket: Any) -> None:
        url = socket.url.replace("ws", "http", 1)
        if self.policy.allows_url(url):
            socket.connect_to_server()
            return
        self.blocked.append(socket.url)
        socket.close()

    def _opened(self, page: Page) -> None:
        page.on("dialog", self._dialog)
        page.on("download", self._download)
        page.on("filechooser", lambda chooser: self.notes.append("A file picker was opened and left."))
        if not hasattr(self, "_page"):
            return
        with contextlib.suppress(self._failure):
            page.wait_for_load_state("domcontentloaded", timeout=3000)
        if self.policy.allows_url(page.url) and page.url != "about:blank":
            self._page = page
            self.notes.append("The page opened a new tab, which is shown now.")
        else:
            self.notes.append("The page opened a new tab, which was closed.")
            with contextlib.suppress(self._failure):
                page.close()

    def _dialog(self, dialog: Dialog) -> None:
        self.notes.append(f"The page showed a {dialog.type} dialog, which was dismissed: {dialog.message[:200]!r}")
        with contextlib.suppress(self._failure):
            dialog.dismiss()

    def _download(self, download: Any) -> None:
        if self.policy.downloads is None:
            self.notes.append("A download was stopped.")
            with contextlib.suppress(self._failure):
                download.cancel()
            return
        name = Path(download.suggested_filename).name
        with contextlib.suppress(self._failure):
            download.save_as(self.policy.downloads / name)
        self.notes.append(f"The file {name} was downloaded.")

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def page(self) -> Page:
        """The page that is shown."""
        if self._page.is_closed():
            open_pages = self._context.pages
            if not open_pages:
                raise AgentError("The page has closed itself, and no other one is open.")
            self._page = open_pages[-1]
        return self._page

    def resize(self, size: tuple[int, int]) -> None:
        """Give the view another size."""
        if size != self.size:
            self.size = size
            self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def picture(self) -> bytes:
        """The view as a PNG file."""
        try:
            return self.page.screenshot(caret="initial", scale="css", animations="allow")
        except self._failure as error:
            raise AgentError(f"The page cannot be seen: {str(error).splitlines()[0]}") from None

    def observe(self, *, texts: bool = False) -> Screenshot:
        """The view, with its elements; `texts` adds all that is written, for secrets to be found."""
        page, png = self.page, self.picture()
        elements: list[Element] = []
        written: list[tuple[str, Any]] = []
        painted: list[Any] = []
        for world in self._worlds():
            with contextlib.suppress(self._failure):  # a document that has just been left
                elements += [world.element(found) for found in world.call("scan()") or ()]
                if texts:
                    written += [(text, world.moved(box)) for text, box in world.call("texts()") or ()]
                    painted += [world.moved(box) for box in world.call("painted()") or ()]
        if texts:
            painted += self._shut()
        return Screenshot(
            png=png, size=self.size, elements=tuple(elements), place=page.url, texts=tuple(written),
            painted=tuple(painted),
        )  # fmt: skip

    def target(self, at: Pixel) -> Element | None:
        """What a click there would reach, in whichever frame."""
        return self._answered(lambda: self._target(at))

    def focused(self) -> Element | None:
        """The element that has the focus, in whichever frame."""
        return self._answered(self._focused)

    def _answered(self, question: Callable[[], Element | None]) -> Element | None:
        """An answer of the page as it is now; one that is left meanwhile is asked again. No answer is an error: what
        nobody knows must not look as if nothing were there.
        """
        for _ in range(ASKED_TIMES):
            with contextlib.suppress(self._failure):
                return question()
            self.page.wait_for_timeout(100)
        raise AgentError("The page changes all the time: what lies where cannot be told.")

    def _target(self, at: Pixel) -> Element | None:
        found = None
        for world in self._worlds():  # outer documents first
            x, y = at[0] + 0.5 - world.left, at[1] + 0.5 - world.top
            if 0 <= x < world.width and 0 <= y < world.height:
                inside = world.call(f"at({x},{y})")
                if inside is not None and not inside.get("frame"):
                    found = world.element(inside)
        return found

    def _focused(self) -> Element | None:
        for world in self._worlds():
            inside = world.call("focused()")
            if inside is not None and not inside.get("frame"):
                return world.element(inside)
        return None

    def _shut(self) -> list[tuple[float, float, float, float]]:
        """The boxes of elements whose inside is a closed shadow tree, which no script can read."""
        boxes: list[tuple[float, float, float, float]] = []
        with contextlib.suppress(self._failure):
            session = self._session()
            tree = session.send("DOM.getDocument", {"depth": -1, "pierce": True})["root"]
            for host in _shut_hosts(tree):
                with contextlib.suppress(self._failure):  # one that is not shown
                    quad = session.send("DOM.getBoxModel", {"backendNodeId": host})["model"]["border"]
                    boxes.append((min(quad[0::2]), min(quad[1::2]), max(quad[0::2]), max(quad[1::2])))
        return boxes

    def _session(self) -> CDPSession:
        """The one connection to the page's inspector: a thousand open ones make every page slow to load."""
        page = self.page
        if self._inspected is None or self._inspected[0] is not page:
            self._inspected = page, page.context.new_cdp_session(page)
        return self._inspected[1]

    def _worlds(self) -> list[_IsolatedWorld]:
        """One for each document that is shown, the outermost first."""
        try:
            session = self._session()
            tree = session.send("Page.getFrameTree")["frameTree"]
        except self._failure:
            return []
        found: list[_IsolatedWorld] = []
        for frame, origin in _frames(tree, ""):
            with contextlib.suppress(self._failure, KeyError, IndexError):
                found.append(_IsolatedWorld(session, frame, origin, None if found else self.size))
        return found

    # -- doing --------------------------------------------------------------------------------------------------------

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        """Send an act's events, the switch asked before each of them."""
        self.notes.clear()
        try:
            self._do(wanted, stop)
            if not self.policy.allows_url(self.page.url):
                self.notes.append(f"The page led to {origin_of(self.page.url)}, which is not allowed: it went back.")
                self.page.go_back(wait_until="commit")
        except self._failure as error:
            self.notes.append(f"The page did not take it: {str(error).splitlines()[0][:200]}")
        finally:
            self._release()
        return " ".join(self.notes)

    def _do(self, wanted: PixelAct, stop: StopSwitch) -> None:
        act, page = wanted.act, self.page
        if act.kind in ("click", "double_click", "long_press", "hover"):
            self._pointer(wanted, stop)
        elif act.kind == "drag":
            self._drag(wanted, stop)
        elif act.kind == "type":
            self._type(wanted, stop)
        elif act.kind == "key":
            self._press(act.keys, stop)
        elif act.kind == "scroll":
            self._scroll(wanted, stop)
        elif act.kind == "back":
            stop.check()
            page.go_back(wait_until="commit")
        elif act.kind == "search":
            stop.check()
            page.goto(SEARCH[act.text or "bing"], wait_until="domcontentloaded")
        elif act.kind == "wait":
            stop.wait(WAIT_S)

    def _move(self, at: Pixel | None, stop: StopSwitch) -> None:
        assert at is not None
        stop.check()
        self.page.mouse.move(at[0] + 0.5, at[1] + 0.5)

    def _down(self, button: str, stop: StopSwitch, count: int = 1) -> None:
        stop.check()
        self._held.append(f"mouse:{button}")
        self.page.mouse.down(button=button, click_count=count)  # type: ignore[arg-type]

    def _up(self, button: str, count: int = 1) -> None:
        self.page.mouse.up(button=button, click_count=count)  # type: ignore[arg-type]
        self._held.remove(f"mouse:{button}")

    def _pointer(self, wanted: PixelAct, stop: StopSwitch) -> None:
        act = wanted.act
        self._move(wanted.at, stop)
        if act.kind == "hover":
            return
        for count in (1, 2) if act.kind == "double_click" else (1,):
            self._down(act.button, stop, count)
            if act.kind == "long_press":
                stop.wait(1.0)
            self._up(act.button, count)

    def _drag(self, wanted: PixelAct, stop: StopSwitch) -> None:
        assert wanted.at is not None and wanted.to is not None
        self._move(wanted.at, stop)
        self._down("left", stop)
        (x0, y0), (x1, y1) = wanted.at, wanted.to
        for part in range(1, 11):
            self._move((round(x0 + (x1 - x0) * part / 10), round(y0 + (y1 - y0) * part / 10)), stop)
        self._up("left")

    def _type(self, wanted: PixelAct, stop: StopSwitch) -> None:
        act = wanted.act
        if wanted.at is not None:
            self._move(wanted.at, stop)
            self._down("left", stop)
            self._up("left")
        if act.replaces:
            self._press(("ctrl", "a"), stop)
            self._press(("delete",), stop)
        stop.check()
        if wanted.text:
            self.page.keyboard.insert_text(wanted.text)
        if act.submits:
            self._press(("enter",), stop)

    def _press(self, keys: tuple[str, ...], stop: StopSwitch) -> None:
        named = [_KEYS.get(key, key) for key in keys]
        for key in named:
            stop.check()
            self._held.append(key)
            self.page.keyboard.down(key)
        for key in reversed(named):
            self.page.keyboard.up(key)
            self._held.remove(key)

    def _scroll(self, wanted: PixelAct, stop: StopSwitch) -> None:
        self._move(wanted.at, stop)
        direction, amount = wanted.act.direction, wanted.act.amount
        across = direction in ("left", "right")
        far = amount * WHEEL if amount is not None else PAGE * self.size[0 if across else 1]
        far = -far if direction in ("up", "left") else far
        stop.check()
        self.page.mouse.wheel(far if across else 0, 0 if across else far)

    def _release(self) -> None:
        """Let go of whatever is still pressed, after a stop or a failure."""
        while self._held:
            held = self._held.pop()
            with contextlib.suppress(self._failure):
                if held.startswith("mouse:"):
                    self.page.mouse.up(button=held.removeprefix("mouse:"))  # type: ignore[arg-type]
                else:
                    self.page.keyboard.up(held)

    def close(self) -> None:
        """Close the browser and forget its profile."""
        with self._stack:
            if not self._page.is_closed():
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _IsolatedWorld:
    """A place beside the scripts of one document, and where the document stands in the view."""

    def __init__(self, session: CDPSession, frame: dict[str, Any], origin: str, size: tuple[int, int] | None) -> None:
        """`size`: of the view, for the outermost document."""
        self.session, self.origin = session, origin
        made = session.send("Page.createIsolatedWorld", {"frameId": frame["id"], "worldName": "inkwash"})
        self.context = made["executionContextId"]
        self.left = self.top = 0.0
        if size is not None:
            self.width, self.height = float(size[0]), float(size[1])
            return
        session.send("DOM.getDocument", {"depth": 0})
        owner = session.send("DOM.getFrameOwner", {"frameId": frame["id"]})
        content = session.send("DOM.getBoxModel", {"backendNodeId": owner["backendNodeId"]})["model"]["content"]
        self.left, self.top = content[0], content[1]
        self.width, self.height = content[4] - content[0], content[5] - content[1]

    def call(self, what: str) -> Any:
        """The value of a function of `page_scan.js`."""
        sent = {"expression": f"{_SCAN}.{what}", "contextId": self.context, "returnByValue": True}
        return self.session.send("Runtime.evaluate", sent).get("result", {}).get("value")

    def moved(self, box: Any) -> tuple[float, float, float, float]:
        left, top, right, bottom = box
        return left + self.left, top + self.top, right + self.left, bottom + self.top

    def element(self, found: dict[str, Any]) -> Element:
        shared = {
            name: found[name]
            for name in ("role", "name", "says", "near", "secret", "editable", "opens_files", "downloads")
        }
        return Element(
            **shared,
            value=found["value"],
            box=self.moved(found["box"]),
            origin=self.origin,
            goes_to=tuple(found["goes_to"]),
        )


_SCAN = (_HERE / "page_scan.js").read_text("utf-8").split("\n", 1)[1].strip()


def _shut_hosts(node: dict[str, Any]) -> Iterator[int]:
    """Elements with a closed shadow tree, in all documents."""
    if any(root.get("shadowRootType") == "closed" for root in node.get("shadowRoots", ())):
        yield node["backendNodeId"]
    inside = [*node.get("children", ()), *node.get("shadowRoots", ())]
    for child in [*inside, node["contentDocument"]] if "contentDocument" in node else inside:
        yield from _shut_hosts(child)


def _frames(tree: dict[str, Any], outer: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Each frame with its origin; a document without an address has that of the document around it."""
    url = tree["frame"]["url"]
    origin = outer if url.startswith("about:") and outer else origin_of(url) or url[:40]
    yield tree["frame"], origin
    for child in tree.get("childFrames", ()):
        yield from _frames(child, origin)
