"""The answers to one request: prepared before anything is sent, made in threads, heard in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator
from concurrent.futures import Executor
from typing import TypeVar

from fastapi import Request

from inkwash.core.errors import Cancelled
from inkwash.core.seeds import draw_seed, following_seed
from inkwash.engine.jobs import DeadlinePassed
from inkwash.engine.request import CancelToken
from inkwash.engine.see.output import Delta, VisionOutput
from inkwash.media.sandbox import give_back_memory
from inkwash.serve.chat.model import AnswerRequest, Chat

Item = tuple[int, Delta | VisionOutput]
Value = TypeVar("Value")


class Answers:
    """`prepare`, then `items` or `whole`; an instance is used once."""

    def __init__(self, chat: Chat, request: AnswerRequest, threads: Executor, deadline_s: float | None) -> None:
        self.chat, self.request, self.threads, self.deadline_s = chat, request, threads, deadline_s
        self.cancel = CancelToken()
        self._streams: list[Generator[Delta, None, VisionOutput]] = []

    async def prepare(self) -> None:
        """Read the media, render the prompt, compile the rule; raises what is wrong with the request."""
        self._streams = await asyncio.get_running_loop().run_in_executor(self.threads, self._prepared)

    def _prepared(self) -> list[Generator[Delta, None, VisionOutput]]:
        request, pipe = self.request, self.chat.pipe
        options = self.chat.stream_options(request)
        if request.n == 1:
            return [
                pipe.stream(request.messages, media=self.chat.rules, seed=request.seed, cancel=self.cancel, **options)
            ]
        prompt = pipe.prepare(
            request.messages,
            tools=options["tools"],
            enable_thinking=options.get("enable_thinking"),
            media=self.chat.rules.within(self.cancel.is_cancelled),
        )
        first = draw_seed() if request.seed is None else request.seed
        return [
            pipe.stream(
                prompt, media=self.chat.rules, seed=following_seed(first, number), cancel=self.cancel, **options
            )
            for number in range(request.n)
        ]

    async def items(self) -> AsyncIterator[Item]:
        """Every piece of every answer, and each whole at its end; raises what the pipeline raises."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Item | Exception]()

        def tell(item: Item | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def work(number: int, stream: Generator[Delta, None, VisionOutput]) -> None:
            try:
                while True:
                    tell((number, next(stream)))
            except StopIteration as end:
                tell((number, end.value))
            except Exception as error:
                tell(error)
            give_back_memory()  # else conversations of ever new lengths leave ever more of it behind

        for number, stream in enumerate(self._streams):
            self.threads.submit(work, number, stream)
        late = None
        if self.deadline_s is not None:
            late = loop.call_later(self.deadline_s, queue.put_nowait, DeadlinePassed(self.deadline_s))
        open_answers = len(self._streams)
        try:
            while open_answers:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                open_answers -= isinstance(item[1], VisionOutput)
        finally:
            self.cancel.cancel()  # the threads end by themselves; an answer that is late does not wait for them
            if late is not None:
                late.cancel()

    async def whole(self, request: Request) -> list[VisionOutput]:
        """The finished answers in order; a client that goes away stops them."""

        async def collect() -> list[VisionOutput]:
            found = {number: item async for number, item in self.items() if isinstance(item, VisionOutput)}
            return [found[number] for number in sorted(found)]

        return await while_connected(request, asyncio.ensure_future(collect()))


async def while_connected(request: Request, work: asyncio.Future[Value]) -> Value:
    """The result of some work; raises Cancelled, and stops it, when the client has gone."""
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=0.2)
            if not work.done() and await request.is_disconnected():
                raise Cancelled
        return work.result()
    finally:
        work.cancel()
