"""The pipeline that sees: chat messages with pictures, videos and documents in, an answer out, whole or in pieces.

    pipe = GlmVisionPipeline.from_pretrained("nano-v")
    question = [{"type": "image", "image": "sign.png"}, {"type": "text", "text": "What does it say?"}]
    print(pipe([{"role": "user", "content": question}]).content)

An answer depends on its conversation, settings and seed only. What earlier turns have read is kept, so a second turn
costs what it adds; a pipeline may be shared by several threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from inkwash.core.device import pick_device, pick_dtype
from inkwash.core.errors import ConfigError, RequestError
from inkwash.core.seeds import draw_seed, make_generator
from inkwash.engine.adapters import Adapters
from inkwash.engine.quantize import parse_kind
from inkwash.engine.ranks.text import SharedText
from inkwash.engine.request import CancelToken
from inkwash.engine.sampling import Sampling
from inkwash.engine.see.batcher import AnswerBatcher, StepFn
from inkwash.engine.see.generator import AnswerGenerator, AnswerRecord, Budget
from inkwash.engine.see.loading import load_shared_vision, load_vision_model
from inkwash.engine.see.media import MediaRules, read_media
from inkwash.engine.see.options import AnswerOptions
from inkwash.engine.see.output import Cost, Delta, Usage, VisionOutput
from inkwash.engine.see.parallel import TensorParallelGroup, join, started
from inkwash.engine.see.token_mask import TokenMasks
from inkwash.models.glm_v.answer import AnswerStream, Piece, split_answer
from inkwash.models.glm_v.boxes import find_boxes
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.models.glm_v.html import HtmlFence
from inkwash.models.glm_v.html import fence_html as fenced
from inkwash.models.glm_v.messages import normal_messages
from inkwash.models.glm_v.positions import PICTURE, VIDEO_FRAME
from inkwash.models.glm_v.tools import CallPiece, ToolCall, ToolCallStream, parse_tool_calls
from inkwash.models.glm_v.vision_input import VisionPrompt
from inkwash.models.glm_v.weights import GlmVParts, save_glm_v
from inkwash.models.tensor_files import stated_kind

Messages = Sequence[Mapping[str, Any]]


class GlmVisionPipeline:
    """A checkpoint that sees; make one with `from_pretrained`, or from parts already in memory."""

    def __init__(
        self,
        parts: GlmVParts,
        *,
        media: MediaRules | None = None,
        conversations: int = 4,
        ranks: TensorParallelGroup | None = None,
        shared: SharedText | None = None,
    ) -> None:
        """`media` says what may be read; `conversations` is how many earlier ones are kept (0: none).

        `ranks`, `shared`: the parts are one share of a model, in processes that torchrun started
        (`engine.see.parallel`) or in a group that this one leads (`engine.ranks`).
        """
        parts.model.eval().requires_grad_(False)
        self.parts = parts
        self.media = media or MediaRules()
        self.conversations, self.ranks, self.shared = conversations, ranks, shared
        self._rounded = False
        self.batcher: AnswerBatcher | None = None
        self._renew()
        self._adapters = Adapters({"glm_v": parts.model})
        self._masks = TokenMasks(parts.processor.tokenizer, len(parts.model.lm_head.weight), parts.stop_ids)

    def _renew(self) -> None:
        """A decode path over the weights as they are now, with nothing kept from other weights."""
        parts = self.parts
        self.answers = AnswerGenerator(
            parts.model,
            parts.processor,
            parts.stop_ids,
            conversations=self.conversations,
            ranks=self.ranks,
            shared=self.shared,
        )
        if self.batcher is not None:
            self.enable_batching(self.batcher.slots, self.batcher.run)

    def enable_batching(self, slots: int, run: Callable[[StepFn], None] | None = None) -> AnswerBatcher:
        """From now on make the answers of several threads at once, up to `slots` of them.

        `run` says in which thread: that of an engine that draws (`Engine.run_in_background`), or None for one of its
        own.
        """
        if self.ranks is not None:
            raise ConfigError("Answering several clients needs one process that decides: start it without torchrun.")
        self.batcher = AnswerBatcher(self.answers, slots=slots, run=run)
        return self.batcher

    @classmethod
    @torch.inference_mode(False)
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | torch.device | None = None,
        quantize: str | None = None,
        tensor_parallel_size: int = 1,
        variant: str | None = None,
        media: MediaRules | None = None,
        conversations: int = 4,
    ) -> Self:
        """Load a checkpoint by name ("nano-v", "zai-org/GLM-4.1V-9B-Thinking") or from a folder.

        `torch_dtype` None is float32 on a CPU and bfloat16 elsewhere; `device_map` is a device, None or "auto" for
        the best one here. `quantize` rounds the decoder's weights to "int8", "int4" or "fp8" while they are read.
        `variant` names files such as model.fp16.safetensors.
        `tensor_parallel_size` devices share the model (`engine.ranks`): close the pipeline when it is done with. Under
        torchrun each process holds a share of the model, and all make the same answers.
        """
        if isinstance(device_map, dict):
            raise ConfigError("device_map must name one device, such as 'cpu' or 'cuda'; a table is not supported.")
        device = pick_device(None if device_map in (None, "auto", "balanced") else device_map)
        folder = resolve_vision(pretrained_model_name_or_path)
        ranks = join(device) if started() else None
        device = device if ranks is None else ranks.device
        if torch_dtype is None and stated_kind(folder) is not None:
            torch_dtype = torch.bfloat16  # what its other tensors are stored in
        dtype, kind = pick_dtype(torch_dtype, device), parse_kind(quantize)
        if tensor_parallel_size != 1:
            if ranks is not None:
                raise ConfigError("tensor_parallel_size starts processes of its own: start it without torchrun.")
            parts, shared = load_shared_vision(
                folder, dtype=dtype, device=device, world=tensor_parallel_size, quantize=kind, variant=variant
            )
            pipe = cls(parts, media=media, conversations=conversations, shared=shared)
            pipe._rounded = kind is not None
            return pipe
        parts = load_vision_model(folder, dtype=dtype, device=device, quantize=kind, variant=variant, ranks=ranks)
        pipe = cls(parts, media=media, conversations=conversations, ranks=ranks)
        pipe._rounded = kind is not None or stated_kind(folder) is not None
        return pipe

    def save_pretrained(self, save_directory: str | Path, *, torch_dtype: torch.dtype | None = None) -> None:
        """Write the released folder layout; `torch_dtype` None keeps the number type in memory."""
        self._check_exact("Saving")
        save_glm_v(self.parts, save_directory, dtype=torch_dtype)

    @torch.inference_mode(False)
    def load_lora_weights(
        self, path: str | Path, adapter_name: str | None = None, *, weight_name: str | None = None
    ) -> str:
        """Let a LoRA (`models.lora`) act beside those loaded; returns its name. Not while answering."""
        self._check_exact("A LoRA")
        name = self._adapters.load(path, adapter_name, weight_name=weight_name)
        self._renew()
        return name

    @torch.inference_mode(False)
    def set_adapters(self, adapter_names: str | Sequence[str], adapter_weights: float | Sequence[float] = 1.0) -> None:
        """Exactly these adapters act, each with its weight (one number serves all); an empty list is none."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        factors = adapter_weights
        weights = [float(factors)] * len(names) if isinstance(factors, int | float) else list(factors)
        if len(weights) != len(names):
            raise RequestError(f"{len(names)} adapters got {len(weights)} weights: give one for each.", param="lora")
        self._adapters.set(dict(zip(names, weights, strict=True)))
        self._renew()

    def unload_lora_weights(self) -> None:
        """Forget all adapters; the weights are again those of the checkpoint, bit by bit."""
        self._adapters.unload()
        self._renew()

    def _check_whole(self, what: str) -> None:
        if self.ranks is not None or self.shared is not None:
            raise ConfigError(f"{what} needs the whole model in one process: load it on one device.")

    def close(self) -> None:
        """End the processes on other devices, where there are any."""
        if self.shared is not None:
            self.shared.group.close()

    def _check_exact(self, what: str) -> None:
        self._check_whole(what)
        if self._rounded:
            raise ConfigError(f"{what} needs the checkpoint's own weights: load it without quantize.")

    @property
    def device(self) -> torch.device:
        """Where an answer is computed."""
        return self.parts.model.lm_head.weight.device

    @property
    def can_switch_thinking(self) -> bool:
        """Whether the checkpoint's template knows `enable_thinking`; others are bounded by a budget."""
        return self.parts.processor.style == "plain"

    @torch.inference_mode(False)
    def prepare(
        self,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        enable_thinking: bool | None = None,
        max_pixels: int | None = None,
        media: MediaRules | None = None,
    ) -> VisionPrompt:
        """The prompt of a conversation; media are measured, not decoded."""
        messages = normal_messages(messages)
        seen = read_media(messages, self.parts.processor.sampling, media or self.media)
        return self.parts.processor.prepare(
            seen.messages,
            images=seen.images,
            videos=seen.videos,
            tools=tools,
            enable_thinking=enable_thinking,
            max_pixels=max_pixels,
        )

    def cost(self, messages: Messages | VisionPrompt, **settings: Any) -> Cost:
        """Tokens that a conversation takes, known before anything is decoded; settings as for `prepare`."""
        prompt = messages if isinstance(messages, VisionPrompt) else self.prepare(messages, **settings)
        images, videos = _tokens(prompt)
        return Cost(prompt_tokens=len(prompt.ids), images=images, videos=videos)

    def __call__(self, messages: Messages, **settings: Any) -> VisionOutput:
        """The whole answer; settings as for `stream`."""
        stream = self.stream(messages, **settings)
        while True:
            try:
                next(stream)
            except StopIteration as end:
                output = end.value
                assert isinstance(output, VisionOutput)
                return output

    @torch.inference_mode(False)
    def stream(
        self,
        messages: Messages | VisionPrompt,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        enable_thinking: bool | None = None,
        seed: int | None = None,
        max_pixels: int | None = None,
        media: MediaRules | None = None,
        cancel: CancelToken | None = None,
        **options: Any,
    ) -> Generator[Delta, None, VisionOutput]:
        """The answer in pieces, thoughts and answer told apart; the generator's value is the whole.

        Raises at once what is wrong with the request; the answer is made while the generator is read.

        messages: chat messages of the field (`engine.see.media` lists the parts), or a prompt of `prepare`.
        enable_thinking: False turns thoughts off where the checkpoint has a switch; elsewhere it is an error.
        cancel: from any thread; the text so far is the answer.
        options: fields of `AnswerOptions`, such as temperature, max_new_tokens, stop, rule.
        """
        began = time.perf_counter()
        settings = AnswerOptions(**options)
        sampling, budget = settings.sampling(self.parts.generation), self._budget(settings)
        rules = (media or self.media).within(cancel.is_cancelled) if cancel is not None else media or self.media
        if isinstance(messages, VisionPrompt):
            prompt = messages
        else:
            prompt = self.prepare(
                messages, tools=tools, enable_thinking=enable_thinking, max_pixels=max_pixels, media=rules
            )
        if seed is None:
            seed = draw_seed()
            seed = seed if self.ranks is None else self.ranks.agree(seed)
        generator = make_generator(seed)
        run = AnswerRecord(prompt=prompt)
        self.answers.answer_length(run, budget)  # raises for a conversation that is too long
        parsed = tools if settings.parse_tools else None
        deltas = _DeltaSplitter(parsed or (), fenced=settings.fence_html, call_pieces=settings.call_pieces)
        held = contextlib.ExitStack()
        decoded: contextlib.AbstractContextManager[Any] = self._decoded(run, rules, cancel)
        if not isinstance(messages, VisionPrompt):  # what is wrong with a picture is an error before the first piece
            held.enter_context(decoded)
            decoded = held
        pieces = self._pieces(run, sampling, budget, generator, decoded, cancel)
        answer = _stream(run, pieces, parsed, deltas, settings.keep_marks, settings.fence_html, began)
        weakref.finalize(answer, held.close).atexit = False  # of an answer that nobody has begun to read
        return answer

    def _budget(self, settings: AnswerOptions) -> Budget:
        penalty = settings.repetition_penalty
        stored = self.parts.generation.get("repetition_penalty") or 1.0
        return Budget(
            max_new_tokens=settings.max_new_tokens,
            thinking=settings.thinking_budget,
            detect_loops=settings.stop_loops,
            repetition_penalty=stored if penalty is None else penalty,
            frequency_penalty=settings.frequency_penalty,
            presence_penalty=settings.presence_penalty,
            logit_bias=self._known_tokens(settings.logit_bias or {}),
            stop=tuple(settings.stop),
            stop_ids=frozenset(settings.stop_token_ids),
            mask=None if settings.rule is None else self._masks.start(settings.rule),
            logprobs=settings.logprobs,
        )

    @torch.inference_mode(False)
    def _pieces(
        self,
        run: AnswerRecord,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        decoded: contextlib.AbstractContextManager[Any],
        cancel: CancelToken | None,
    ) -> Iterator[str]:
        with decoded:
            yield from (self.batcher or self.answers).generate(run, sampling, budget, generator, cancel)

    def token_text(self, token: int) -> tuple[str, bytes]:
        """A token as text, and its bytes."""
        content = self._masks.pieces[token].removeprefix(b"\xff")
        return content.decode("utf-8", "replace"), content

    def _known_tokens(self, bias: Mapping[int, float]) -> tuple[tuple[int, float], ...]:
        for token in bias:
            if not 0 <= token < self._masks.size:
                raise RequestError(
                    f"logit_bias names the token {token}, but there are {self._masks.size}.", param="logit_bias"
                )
        return tuple(bias.items())

    @contextlib.contextmanager
    def _decoded(self, run: AnswerRecord, rules: MediaRules, cancel: CancelToken | None) -> Iterator[None]:
        """Where answers share a thread: the pixels of the prompt in memory before it takes a slot there."""
        if self.batcher is None:
            yield
            return
        unread = self.answers.unread(run.prompt)
        size = sum(run.prompt.vision_inputs[number].size_bytes for number in unread)
        check = cancel.check if cancel is not None else lambda: None
        with contextlib.nullcontext() if rules.budget is None else rules.budget.hold(size, check):
            run.prompt = run.prompt.decoded(unread)
            yield

    def forget(self) -> None:
        """Free what earlier turns have left in memory."""
        self.answers.prefixes.clear()
        self.answers.features.clear()


class _DeltaSplitter:
    """Turns parsed pieces into deltas: calls apart from the text, raw HTML fenced where that was asked for."""

    def __init__(self, tools: Sequence[Mapping[str, Any]], *, fenced: bool, call_pieces: bool) -> None:
        self._calls = ToolCallStream(tools) if tools else None
        self._fence = HtmlFence() if fenced else None
        self._call_pieces = call_pieces

    def deltas(self, pieces: Sequence[Piece], *, last: bool = False) -> Iterator[Delta]:
        for kind, text in pieces:
            if kind == "thought":
                yield Delta(kind, text)
                continue
            for part in [text] if self._calls is None else self._calls.feed(text, last=last):
                if isinstance(part, CallPiece):
                    if self._call_pieces:
                        yield Delta("call", "", part)
                elif unfenced := self._fence.feed(part) if self._fence else part:
                    yield Delta("answer", unfenced)

    def finish(self) -> Iterator[Delta]:
        """What was held and is no call; one that is cut short is text where it was not told of."""
        if self._calls is not None:
            yield from self.deltas([("answer", "")], last=True)
            if self._calls.unfinished and not self._call_pieces:
                cut = self._calls.unfinished
                yield Delta("answer", self._fence.feed(cut) if self._fence else cut)
        if self._fence and (rest := self._fence.finish()):
            yield Delta("answer", rest)


def _stream(
    run: AnswerRecord,
    texts: Iterator[str],
    tools: Sequence[Mapping[str, Any]] | None,
    deltas: _DeltaSplitter,
    keep_marks: bool,
    fence_html: bool,
    began: float,
) -> Generator[Delta, None, VisionOutput]:
    """An answer that was prepared, in pieces; the value is the whole."""
    parser = AnswerStream(marks=keep_marks)
    noted, first = 0, None
    for text in texts:
        first = time.perf_counter() - began if first is None else first
        for delta in deltas.deltas(parser.feed(text)):
            fresh = tuple(run.logprobs[noted:]) if delta.kind != "thought" else ()
            noted += len(fresh)
            yield dataclasses.replace(delta, logprobs=fresh) if fresh else delta
    rest = [*deltas.deltas(parser.finish()), *deltas.finish()]
    if not rest and len(run.logprobs) > noted:
        rest = [Delta("answer", "")]
    for delta in rest:
        yield dataclasses.replace(delta, logprobs=tuple(run.logprobs[noted:]))
        noted = len(run.logprobs)
    output = _output(run, tools, keep_marks, time.perf_counter() - began, first)
    return dataclasses.replace(output, content=fenced(output.content)) if fence_html else output


def _output(
    run: AnswerRecord, tools: Sequence[Mapping[str, Any]] | None, marks: bool, seconds: float, first: float | None
) -> VisionOutput:
    answer = split_answer(run.text)
    content = answer.content if marks else answer.answer
    calls: list[ToolCall] = []
    if tools is not None:
        content, calls = parse_tool_calls(content, tools)
    images, videos = _tokens(run.prompt)
    usage = Usage(
        prompt_tokens=len(run.prompt.ids),
        cached_tokens=run.cached,
        completion_tokens=len(run.ids),
        thinking_tokens=run.thinking_tokens,
        images=images,
        videos=videos,
    )
    timings = {"seconds": seconds, "first_token": seconds if first is None else first}
    return VisionOutput(
        text=run.text,
        answer=answer,
        content=content,
        boxes=tuple(find_boxes(run.text)),
        tool_calls=tuple(calls),
        finish_reason="tool_calls" if calls and run.finish == "stop" else run.finish,
        usage=usage,
        token_ids=tuple(run.ids),
        thinking_cut=run.forced,
        timings=timings,
        stopped_by=run.stopped_by,
        logprobs=tuple(run.logprobs),
    )


def _tokens(prompt: VisionPrompt) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens of each picture, and of each video."""
    kinds = prompt.modality[prompt.modality != 0]
    found: dict[int, list[int]] = {PICTURE: [], VIDEO_FRAME: []}
    at = 0
    for vision_input in prompt.vision_inputs:
        found[int(kinds[at])].append(vision_input.tokens)
        at += vision_input.tokens
    return tuple(found[PICTURE]), tuple(found[VIDEO_FRAME])
