"""Between what a model wants and what is sent: every act is judged by what it would touch, not by what the model says.

    verdict = guard.judge(step)
    verdict.decision: allow, confirm (a person decides) or refuse; verdict.reasons are sentences

Rules read the system's own account of the target (a page's DOM, a phone's view tree, a window's title). Where there is
none, an act is risky because nobody knows what it touches. A text on the screen can so ask for what it likes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inkwash.agent.act import ENDS, MODIFIERS, POINTED
from inkwash.agent.policy import Policy, origin_of, url_matches
from inkwash.agent.shot import Element, PixelAct, Screenshot
from inkwash.agent.vault import PLACEHOLDER, Vault
from inkwash.core.text import split_url
from inkwash.models.glm_v.agent import Screen

Decision = Literal["allow", "confirm", "refuse"]
_ORDER: tuple[Decision, ...] = ("allow", "confirm", "refuse")
SEARCH = {"bing": "https://www.bing.com/", "google": "https://www.google.com/"}

RISKY_WORDS = re.compile(
    r"\b(?:pay|payment|buy|order|purchase|checkout|check out|donate|subscribe|unsubscribe|book now|transfer|withdraw|"
    r"delete|remove|erase|wipe|discard|empty trash|format|reset|factory|uninstall|deactivate|close account|"
    r"send|submit|post|publish|share|reply|forward|invite|"
    r"install|run|execute|download|upload|accept|agree|grant|authori[sz]e|sign|confirm|approve|log ?out|sign ?out|"
    r"bezahlen|kaufen|bestellen|löschen|senden|absenden|zustimmen|payer|acheter|supprimer|envoyer|pagar|comprar|"
    r"eliminar|enviar|excluir|apagar|pagare|comprare|acquista|elimina|invia|betalen|kopen|verwijderen|verzenden|"
    r"zapłać|kup|usuń|wyślij|betala|köp|skicka|radera|satın al|sil|gönder|ödeme|"
    r"оплатить|купить|заказать|удалить|отправить|перевести|принять)\b"
    r"|支払|購入|注文|削除|送信|同意する|刪除|購買|轉帳|傳送|送出|결제|구매|삭제|전송|보내기|송금|동의|دفع|شراء|حذف|إرسال|भुगतान|खरीदें|हटाएं|भेजें"
    r"|支付|付款|购买|下单|订购|转账|提现|删除|清空|卸载|重置|注销|发送|提交|发布|分享|安装|下载|上传|同意|接受|授权|签署|确认|退出登录",
    re.IGNORECASE,
)
# Letters of other scripts that look like Latin ones, for words that are written with them to be overlooked.
_LOOKALIKES = {
    ord(letter): latin
    for latin, letters in {
        "a": "аα", "b": "ь", "c": "с", "d": "ԁ", "e": "еε", "h": "һ", "i": "іι", "j": "ј", "k": "кκ", "l": "ӏ",
        "m": "м", "n": "ո", "o": "оο", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "t": "тτ", "u": "υս", "v": "ѵν",
        "w": "ԝω", "x": "хχ", "y": "уγ", "A": "АΑ", "B": "ВΒ", "C": "С", "E": "ЕΕ", "H": "НΗ", "I": "ІΙ", "K": "КΚ",
        "M": "МΜ", "N": "Ν", "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "X": "ХΧ", "Y": "УΥ",
    }.items()
    for letter in letters
}  # fmt: skip
_SPACED = re.compile(r"\b(?:\w[ .\-_*·•|]+){2,}\w\b")
_GENERIC = re.compile(
    r"\W*(?:ok|okay|yes|ja|oui|si|go|next|continue|proceed|done|apply|save|allow|got it|是|好|确定|继续|下一步)?\W*",
    re.IGNORECASE,
)
_CITES = re.compile(
    r"\b(?:the (?:page|screen|site|text|dialog|message|banner) (?:says|tells|asks|instructs|orders|wants|requires)|"
    r"(?:as|was) instructed|instructions? (?:on|in|from) the|ignore (?:the|my|all|any|previous)|new instructions?|"
    r"system (?:message|prompt)|override)\b",
    re.IGNORECASE,
)
_TERMINALS = re.compile(
    r"terminal|xterm|konsole|kitty|alacritty|powershell|cmd\.exe|command prompt|\bi-?term|\bssh\b|\broot@|"
    r"\bbash\b|\bzsh\b",
    re.IGNORECASE,
)
_PRESSED = {"button", "link", "menuitem", "switch", "submit", "image", "reset"}
_EDITING = {*"acvxzy", "home", "end", "left", "right", "up", "down", "backspace", "delete"}  # harmless with ctrl
_OUTSIDE_KEYS = {"f1", "f6", "f10", "f11", "f12"}  # of the browser, not of its page


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is decided about one act, and why."""

    decision: Decision
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One act with all that the rules look at."""

    done: PixelAct
    shot: Screenshot
    screen: Screen
    target: Element | None = None  # what lies under the pixel, asked at the last moment
    focused: Element | None = None  # what keys go to
    thought: str = ""
    known: bool = True  # the system tells what its elements are


@dataclass(frozen=True)
class ActGuard:
    """The rules of one run."""

    policy: Policy
    vault: Vault

    def judge(self, wanted: Wanted) -> Judgement:
        """The strictest of what the rules say. Acts that end a run, and waiting, touch nothing."""
        kind = wanted.done.act.kind
        if kind in ENDS or kind == "wait":
            return Judgement(decision="allow")
        found = list(self._rules(wanted))
        if self.policy.mode == "ask" and self.policy.confirm == "all":
            found.append(("confirm", "Every act is confirmed in this mode."))
        decision: Decision = max((each for each, _ in found), key=_ORDER.index, default="allow")
        return Judgement(decision=decision, reasons=tuple(why for each, why in found if each == decision))

    def _rules(self, wanted: Wanted) -> Iterator[tuple[Decision, str]]:
        yield from self._place(wanted)
        if wanted.screen == "web":
            yield from self._origins(wanted)
        yield from self._typing(wanted)
        yield from self._keys(wanted)
        yield from self._files(wanted)
        yield from self._words(wanted)
        if _CITES.search(wanted.thought):
            yield "confirm", "The model's reason cites what the screen tells it to do."

    def _place(self, wanted: Wanted) -> Iterator[tuple[Decision, str]]:
        act, place = wanted.done.act, wanted.shot.place
        if wanted.screen == "web":
            if act.kind == "search" and not self.policy.allows_url(SEARCH.get(act.text or "", "")):
                yield "refuse", f"The search page {act.text} is not among the places allowed."
            if act.kind not in ("back", "search") and not self.policy.allows_url(place):
                yield "refuse", f"The page {origin_of(place) or place!r} is not among the places allowed."
            return
        if act.kind == "open_app":
            if not self.policy.allows_window(act.app or ""):
                yield "refuse", f"The app {act.app!r} is not among the places allowed."
            return
        if act.kind in ("home", "back"):
            return
        if not self.policy.allows_window(place):
            yield "refuse", f"The window {place!r} is not among the places allowed."
        elif _TERMINALS.search(place) and not any(_TERMINALS.search(entry) for entry in self.policy.allow):
            yield "refuse", f"The window {place!r} is a terminal, which must be allowed by that name."

    def _origins(self, wanted: Wanted) -> Iterator[tuple[Decision, str]]:
        """Where the target stands, and where it leads."""
        for element in self._touched(wanted):
            if element.origin and not self.policy.allows_url(element.origin):
                yield "refuse", f"The target stands in a frame of {element.origin}, which is not allowed."
            for url in element.goes_to:
                parts = split_url(url)
                scheme = "" if parts is None else parts.scheme.lower()
                if parts is None:
                    yield "refuse", "The target leads to an address that cannot be read."
                elif scheme in ("http", "https", "file") and not self.policy.allows_url(url):
                    yield "refuse", f"The target leads to {origin_of(url)}, which is not among the places allowed."
                elif scheme not in ("http", "https", "file", "javascript", ""):
                    yield "refuse", f"The target leads to an address of the kind {scheme!r}."

    def _touched(self, wanted: Wanted) -> list[Element]:
        """What an act reaches: its target, and the field that keys go to."""
        kind = wanted.done.act.kind
        found = [wanted.target] if kind in (*POINTED, "type", "scroll") and wanted.done.at is not None else []
        if kind == "key" or (kind == "type" and wanted.done.at is None):
            found.append(wanted.focused)
        return [each for each in found if each is not None]

    def _typing(self, wanted: Wanted) -> Iterator[tuple[Decision, str]]:
        act = wanted.done.act
        single = act.kind == "key" and len(act.keys) == 1 and len(act.keys[0]) == 1
        if act.kind != "type" and not single:
            return
        text = act.text or ""
        field = wanted.target if wanted.done.at is not None else wanted.focused
        names = self.vault.named(text)
        if field is not None and field.secret and (single or not names or PLACEHOLDER.sub("", text).strip()):
            yield "refuse", "A field for passwords takes a secret of the vault only, by its placeholder alone."
        if act.kind == "type" and not self.policy.paste and not text.isascii():
            yield "refuse", "The text needs pasting, which the policy forbids."
        for name in names:
            secret = self.vault.secrets.get(name)
            if secret is None:
                yield "refuse", f"There is no secret {name!r} in the vault."
            elif field is None or not field.editable:
                yield "refuse", f"The secret {name!r} is typed into a field only."
            elif not any(field.origin == each or url_matches(field.origin, each) for each in secret.origins):
                yield "refuse", f"The secret {name!r} does not belong to {field.origin or wanted.shot.place}."

    def _keys(self, wanted: Wanted) -> Iterator[tuple[Decision, str]]:
        keys = wanted.done.act.keys
        if wanted.done.act.kind != "key":
            return
        held, others = [key for key in keys if key in MODIFIERS], [key for key in keys if key not in MODIFIERS]
        spelled = "+".join(keys)
        if "meta" in held or "alt" in held or (wanted.screen == "web" and set(others) & _OUTSIDE_KEYS):
            yield "refuse", f"The keys {spelled} reach outside of what is allowed."
        elif "ctrl" in held and not set(others) <= _EDITING:
            safe = wanted.screen == "computer" and set(others) <= {"s", "f"}
            yield "confirm" if safe else "refuse", f"The keys {spelled} may do more than edit."

    def _files(self, wanted: Wanted) -> Iterator[tuple[Decision, str]]:
        for element in self._touched(wanted):
            if element.opens_files and self.policy.files is None:
                yield "refuse", "The target asks for a file, and no folder of files is allowed."
            if element.downloads and self.policy.downloads is None:
                yield "refuse", "The target downloads a file, and no folder for downloads is allowed."

    def _words(self, wanted: Wanted) -> Iterator[tuple[Decision, str]]:
        act, target = wanted.done.act, wanted.target
        if act.kind in POINTED and act.kind != "hover":
            if target is None and not wanted.known:
                yield "confirm", "Nothing tells what lies under the pointer here."
            words = [act.label or ""]
            if target is not None and not target.editable:
                words += [target.name, target.says, *([target.near] if _GENERIC.fullmatch(target.name) else [])]
                if target.role in _PRESSED and not (target.name.strip() or target.says.strip()):
                    yield "confirm", f"Nothing tells what this {target.role} does."
            yield from _risky(words)
        presses = act.kind == "key" and set(act.keys) & {"enter", "space"}
        if presses or act.submits:
            if not wanted.known:
                yield "confirm", "Enter is pressed where nothing tells what it does."
            into = wanted.target if act.submits and wanted.done.at is not None else wanted.focused
            if into is not None and (into.editable is False or "space" not in act.keys):
                yield from _risky([into.near, "" if into.editable else into.name])


def _risky(words: list[str]) -> Iterator[tuple[Decision, str]]:
    found = next(filter(None, map(RISKY_WORDS.search, _readings("\n".join(words)))), None)
    if found is not None:
        yield "confirm", f"The target speaks of {found[0].lower()!r}."


def _readings(text: str) -> Iterator[str]:
    """A text as it is written, and as a person reads it: invisible signs, foreign letters and gaps between letters."""
    yield text
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(each for each in plain if unicodedata.category(each) != "Cf")
    yield plain
    latin = "".join(
        each for each in unicodedata.normalize("NFD", plain.translate(_LOOKALIKES)) if not unicodedata.combining(each)
    )
    yield latin
    yield _SPACED.sub(lambda found: re.sub(r"\W|_", "", found[0]), latin)
