"""Prompt enhancement through any OpenAI-compatible chat endpoint, under the rules of the model card.

What is in quotation marks must come back letter by letter, because it is what will be written into the picture; an
answer that loses one of them is thrown away. Whatever fails, the original prompt is drawn and a warning says why.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from inkwash.engine.readback import quoted_texts
from inkwash.serve.schemas import MAX_PROMPT
from inkwash.serve.settings import EnhanceSettings

log = logging.getLogger(__name__)

RULES = """You prepare prompts for a text-to-image model. Rewrite the user's prompt so that a painter who has never \
seen the idea could paint it.
- Keep every text in quotation marks exactly as it is, letter by letter, in quotation marks, in its own language; \
add no other quoted text.
- Keep every proper noun, number, colour and count.
- Say where each thing stands, what the background is, how the light falls, and name the style (photograph, \
watercolour, flat poster ...). If the user named a style, keep that one.
- Write in the language of the prompt, as one paragraph of at most 200 words.
- Answer with the new prompt only."""
RULES_FOR_EDITS = """You prepare instructions for an image editing model. Make the user's instruction precise: say \
what changes, to what, and that all else stays. Keep every text in quotation marks letter by letter and every proper \
noun. Do not describe the picture, which you cannot see. Write in the language of the instruction, at most 80 words. \
Answer with the new instruction only."""


@dataclass(frozen=True)
class Enhanced:
    """The prompt to draw; `revised` is None where the original stays, and `warning` says why."""

    revised: str | None
    warning: str | None = None


async def enhance(prompt: str, settings: EnhanceSettings, *, edit: bool = False, transport: Any = None) -> Enhanced:
    """Ask the endpoint for a better prompt; never raises."""
    import httpx2

    headers = {} if settings.key is None else {"Authorization": f"Bearer {settings.key}"}
    body = {
        "model": settings.model,
        "messages": [
            {"role": "system", "content": RULES_FOR_EDITS if edit else RULES},
            {"role": "user", "content": prompt},
        ],
        "temperature": 0.3,
        "stream": False,
    }
    try:
        async with httpx2.AsyncClient(timeout=settings.timeout_s, trust_env=False, transport=transport) as client:
            response = await client.post(f"{settings.url.rstrip('/')}/chat/completions", json=body, headers=headers)
            response.raise_for_status()
            answered = response.json()["choices"][0]["message"]["content"]
    except httpx2.TimeoutException:
        return Enhanced(None, f"enhance_prompt: the endpoint did not answer within {settings.timeout_s:g} s.")
    except httpx2.HTTPStatusError as error:
        return Enhanced(None, f"enhance_prompt: the endpoint answered with status {error.response.status_code}.")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        return Enhanced(None, "enhance_prompt: the endpoint could not be reached.")
    except (ValueError, KeyError, IndexError, TypeError):
        return Enhanced(None, "enhance_prompt: the endpoint's answer is no chat completion.")
    return _judged(prompt, answered)


def _judged(prompt: str, answered: Any) -> Enhanced:
    """The answer without its thinking, if it keeps what must be kept."""
    text = re.sub(r"<think>.*?</think>", "", answered, flags=re.DOTALL).strip() if isinstance(answered, str) else ""
    if not text or len(text) > MAX_PROMPT:
        return Enhanced(None, "enhance_prompt: the endpoint's answer is empty or too long.")
    kept = quoted_texts(text)
    lost = [each for each in quoted_texts(prompt) if each not in kept]
    if lost:
        return Enhanced(None, f"enhance_prompt: the rewritten prompt lost the text {lost[0]!r}.")
    return Enhanced(text)
