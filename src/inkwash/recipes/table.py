"""The recipes by name, and how `--set key=value` becomes the arguments of one.

A recipe is a plain function; its parameters are its settings. A parameter that is a configuration dataclass is reached
with a dot: `a.b=c`. Nothing heavy is imported until a recipe runs.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from inkwash.core.errors import Cancelled, ConfigError, InkwashError
from inkwash.core.text import did_you_mean

RECIPES = {
    "nano-vae": "inkwash.recipes.nano:nano_vae",
    "nano-vae-refined": "inkwash.recipes.nano:nano_vae_refined",
    "nano-tokenizer": "inkwash.recipes.nano:nano_tokenizer",
    "nano-decoder": "inkwash.recipes.nano:nano_decoder",
    "nano-ar": "inkwash.recipes.nano:nano_ar",
    "nano2-tokenizer": "inkwash.recipes.nano:nano2_tokenizer",
    "nano2-start": "inkwash.recipes.nano:nano2_start",
    "nano2-vae-refined": "inkwash.recipes.nano:nano2_vae_refined",
    "nano2-decoder": "inkwash.recipes.nano:nano2_decoder",
    "nano2-ar": "inkwash.recipes.nano:nano2_ar",
    "nano2-export": "inkwash.recipes.nano:nano2_export",
    "nano3-tokenizer": "inkwash.recipes.nano:nano3_tokenizer",
    "nano3-tokenizer-store": "inkwash.recipes.nano:nano3_tokenizer_store",
    "nano3-tokenizer-stored": "inkwash.recipes.nano:nano3_tokenizer_stored",
    "nano3-start": "inkwash.recipes.nano:nano3_start",
    "nano3-vae-refined": "inkwash.recipes.nano:nano3_vae_refined",
    "nano3-decoder": "inkwash.recipes.nano:nano3_decoder",
    "nano3-ar": "inkwash.recipes.nano:nano3_ar",
    "nano3-export": "inkwash.recipes.nano:nano3_export",
    "nano-v": "inkwash.recipes.nano_v:train_nano_v",
    "nano-v-export": "inkwash.recipes.nano_v:export_nano_v",
    "nano-v2": "inkwash.recipes.nano_v:train_nano_v2",
    "nano-v2-export": "inkwash.recipes.nano_v:export_nano_v2",
    "nano-agent-pages": "inkwash.recipes.nano_agent:nano_agent_pages",
    "nano-agent": "inkwash.recipes.nano_agent:nano_agent",
    "nano-agent-export": "inkwash.recipes.nano_agent:export_nano_agent",
    "nano-export": "inkwash.recipes.nano:export_nano",
    "glm-image-ar": "inkwash.recipes.glm_image:glm_image_ar",
    "glm-image-decoder": "inkwash.recipes.glm_image:glm_image_decoder",
    "finetune": "inkwash.recipes.finetune:finetune",
    "see-finetune": "inkwash.recipes.see_finetune:see_finetune",
}
REINFORCEMENT = {
    "ar": "inkwash.recipes.reinforce:rl_ar",
    "decoder": "inkwash.recipes.reinforce:rl_decoder",
    "see": "inkwash.recipes.reinforce:rl_see",
    "detail": "inkwash.recipes.reinforce:rl_detail",
    "headroom": "inkwash.recipes.reinforce:rl_headroom",
}
DEFAULT_PATHS = {"work": Path("work/nano"), "output": Path("work/nano/checkpoint")}
_WORDS = {"true": True, "false": False}


def summaries(table: Mapping[str, str] = RECIPES) -> dict[str, str]:
    """All recipes, in the order in which a model is made, with the first paragraph of what each says of itself."""
    return {name: " ".join(_docstring(where).split("\n\n")[0].split()) for name, where in table.items()}


def _docstring(where: str) -> str:
    """Read from the source, since importing a recipe loads torch; `name = OBJECT.method` has that of the method."""
    module, _, name = where.partition(":")
    tree = _source(module)
    for each in tree.body:
        match each:
            case ast.Assign(targets=[ast.Name(id=bound)], value=ast.Attribute(attr=method)) if bound == name:
                name = method
    found = (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == name)
    return ast.get_docstring(next(found)) or ""


@cache
def _source(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def run(name: str, overrides: Sequence[str] = (), table: Mapping[str, str] = RECIPES) -> None:
    """Runs a recipe to its end; raises ConfigError for an unknown name, key or value."""
    if name not in table:
        raise ConfigError(f"There is no recipe {name!r}{_did_you_mean(name, table)}: it must be one of {_list(table)}.")
    try:
        _run(table[name], overrides)
    except InkwashError:
        raise
    except KeyboardInterrupt:
        raise Cancelled("Interrupted; the same command goes on from the last state that was saved.") from None
    except Exception as error:
        from inkwash.train.failures import explained

        sentence = explained(error)
        if sentence is None:
            raise
        raise sentence from error


def _run(where: str, overrides: Sequence[str]) -> None:
    module, _, function = where.partition(":")
    recipe: Callable[..., Any] = getattr(importlib.import_module(module), function)
    result_kind = get_type_hints(recipe).get("return")
    if not dataclasses.is_dataclass(result_kind):
        arguments_of_it = arguments(recipe, overrides)
        _prepare()
        recipe(**arguments_of_it)
        return
    config = configured(recipe, overrides)
    _prepare()
    config.run()


def configured(recipe: Callable[..., Any], overrides: Sequence[str]) -> Any:
    """What a recipe returns: its own arguments first, since much follows from them, then the fields of the result."""
    parameters = get_type_hints(recipe)
    fields = get_type_hints(parameters.pop("return"))
    mine = [text for text in overrides if _head(text) in parameters]
    rest = [text for text in overrides if _head(text) not in parameters]
    for text in rest:
        if _head(text) not in fields:
            raise _unknown(_head(text), parameters | fields)
    try:
        config = recipe(**arguments(recipe, mine))
    except ValueError as error:
        raise ConfigError(f"--set {', '.join(mine)}: {error}") from error
    for override in rest:
        key, _, text = override.partition("=")
        head, _, deeper = key.strip().partition(".")
        try:
            changed = _changed(getattr(config, head), fields[head], key.strip(), deeper, text)
            config = dataclasses.replace(config, **{head: changed})
        except ValueError as error:
            raise ConfigError(f"--set {override}: {error}") from error
    return config


def _head(override: str) -> str:
    return override.partition("=")[0].strip().partition(".")[0]


def _prepare() -> None:
    """Memory that stays and all usable cores, before the first tensor."""
    from inkwash.core.device import set_threads
    from inkwash.core.heap import hold_memory

    hold_memory()
    set_threads()


def arguments(recipe: Callable[..., Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The keyword arguments of a recipe: its own defaults, changed by `key=value` texts in their order."""
    kinds = get_type_hints(recipe)
    kinds.pop("return", None)
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(recipe).parameters.items():
        default = parameter.default if parameter.default is not parameter.empty else DEFAULT_PATHS.get(name)
        if default is not None:
            found[name] = default
    for override in overrides:
        key, _, text = override.partition("=")
        head, _, rest = key.strip().partition(".")
        if head not in kinds:
            raise _unknown(key, kinds)
        found[head] = _changed(found.get(head), kinds[head], key.strip(), rest, text)
    return found


def _changed(value: Any, kind: Any, key: str, rest: str, text: str) -> Any:
    """A plain value read from the text, or a dataclass with one field replaced, as deep as the key goes."""
    if not rest:
        return _read(kind, key, text)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise ConfigError(f"--set {key}={text}: {key.removesuffix('.' + rest)} has no settings of its own.")
    head, _, deeper = rest.partition(".")
    kinds = get_type_hints(type(value))
    if head not in {field.name for field in dataclasses.fields(value)}:
        raise _unknown(key, kinds)
    changed = _changed(getattr(value, head), kinds[head], key, deeper, text)
    try:
        return dataclasses.replace(value, **{head: changed})
    except ValueError as error:
        raise ConfigError(f"--set {key}={text}: {error}") from error


def _read(kind: Any, key: str, text: str) -> Any:
    text = text.strip()
    try:
        if kind is bool:
            return _WORDS[text.lower()]
        if kind is Path and text and Path(text) == Path():
            return Path.cwd()  # a plain `.` would be taken for "none was named", the default of some recipes
        if kind in (int, float, str, Path):
            return kind(text)
    except (ValueError, KeyError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ConfigError(f"--set {key}={text}: {key} must be {expected}.") from None
    raise ConfigError(f"--set {key}={text}: {key} is no single value; change it in the recipe.")


def _unknown(key: str, known: Mapping[str, Any]) -> ConfigError:
    near = _did_you_mean(key.rpartition(".")[2], known) or _did_you_mean(key.partition(".")[0], known)
    return ConfigError(f"--set {key}: there is no setting {key!r}{near}; known are {_list(known)}.")


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    hint = did_you_mean(word, known)
    return f" ({hint})" if hint else ""


def _list(known: Mapping[str, Any]) -> str:
    return ", ".join(known)
