"""The configuration of a reward system: the public one's YAML as it is, with a few keys of ours.

What a file asks for and this system does otherwise is listed in `notes`, never dropped in silence; an unknown key is
an error with a suggestion. Top level: `datasource_reward_config_mapping` (datasource -> name), `reward_configs` (name
-> `verifier_type` and settings), and of ours `answer_style` (4.1v, 4.5v, none), `box` (marks, latex) and
`thoughts_opened`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from inkwash.core.errors import ConfigError, MissingExtraError
from inkwash.core.text import did_you_mean
from inkwash.rl.verifiers.extraction import BoxKind, Form, Style
from inkwash.rl.verifiers.file_based import FileBased
from inkwash.rl.verifiers.judge import DEFAULT_TEMPLATE, JudgeConfig
from inkwash.rl.verifiers.registry import VERIFIERS
from inkwash.rl.verifiers.verdict import Verifier

MAX_TOLERANCE = 0.1  # above, 80 passes for 100
_TOP = {"datasource_reward_config_mapping", "reward_configs", "answer_style", "box", "thoughts_opened"}
_TOP_IGNORED = {
    "reward_log_dir": "scores are returned, not written",
    "enable_mix_verifier": "languages are always checked",
}
_JUDGE = {
    "enable_llm_judge_fallback", "llm_api_key", "llm_judge_url", "llm_model", "llm_max_tokens", "llm_temperature",
    "llm_judge_prompt_template", "llm_timeout",
}  # fmt: skip
_FILES = {"extract_answer_file_path", "extract_answer_func_name", "judge_func_path", "judge_func_name", "load_once"}
_IGNORED = {
    "llm_top_p": "judges are asked for their likeliest answer",
    "answer_extraction_regex": "all answers are extracted by the same exact rule",
    "model_type": "it has no meaning here",
    "reasoning": "it has no meaning here",
    "sympy_tolerance": "this verifier compares no numbers",
    **dict.fromkeys(sorted(_FILES), "the rule is built in"),
}


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One kind of question: who verifies it, and the judge for what no rule decides."""

    verifier: Verifier
    judge: JudgeConfig | None = None


@dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """Everything that a reward system is built from."""

    domains: Mapping[str, Domain]  # by datasource
    form: Form = field(default_factory=Form)
    notes: tuple[str, ...] = ()  # settings of the file that are not followed, and why


def read_config(path: str | Path, *, allow_code: bool = False) -> SystemConfig:
    """The configuration in a YAML file; ConfigError says what is wrong. `allow_code` admits verifiers from files."""
    path = Path(path)
    content = _yaml(path)
    notes = [f"{key}: {_TOP_IGNORED[key]}" for key in content if key in _TOP_IGNORED]
    _check_keys(content, _TOP | set(_TOP_IGNORED), f"{path.name}")
    configs = _mapping(content, "reward_configs", path)
    built: dict[str, Domain] = {}
    for name, settings in configs.items():
        if not isinstance(settings, dict):
            raise ConfigError(f"{path.name}: reward_configs.{name} must be a mapping with a verifier_type.")
        built[str(name)] = _domain(str(name), settings, path.parent, notes, allow_code=allow_code)
    domains: dict[str, Domain] = {}
    for source, name in _mapping(content, "datasource_reward_config_mapping", path).items():
        if name not in built:
            raise ConfigError(f"{path.name}: datasource {source!r} names {name!r}; there are {', '.join(built)}.")
        domains[str(source)] = built[name]
    return SystemConfig(domains=domains, form=_form(content), notes=tuple(notes))


def _yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as missing:
        raise MissingExtraError(f"Reading {path.name} (package {missing.name})", extra="rl") from missing
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read: {problem}.") from None
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(problem).split())}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must be a mapping with reward_configs and datasource_reward_config_mapping.")
    return content


def _mapping(content: Mapping[str, Any], key: str, path: Path) -> dict[Any, Any]:
    value = content.get(key)
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"{path.name} has no {key}: give a mapping.")
    return value


def _check_keys(settings: Mapping[str, Any], known: set[str], place: str) -> None:
    for key in settings:
        if key not in known:
            hint = did_you_mean(str(key), sorted(known)) or f"known are {', '.join(sorted(known))}."
            raise ConfigError(f"{place}: unknown key {key!r}; {hint}")


def _form(content: Mapping[str, Any]) -> Form:
    style, box, opened = (
        content.get("answer_style", "4.1v"),
        content.get("box", "marks"),
        content.get("thoughts_opened"),
    )
    for name, value, allowed in (("answer_style", style, get_args(Style)), ("box", box, get_args(BoxKind))):
        if value not in allowed:
            raise ConfigError(f"{name} is {value!r}; allowed are {', '.join(allowed)} (in quotation marks).")
    return Form(style=style, box=box, opened=_value("thoughts_opened", opened, bool) if opened is not None else False)


def _domain(name: str, settings: dict[str, Any], folder: Path, notes: list[str], *, allow_code: bool) -> Domain:
    kind = str(settings.get("verifier_type", "")).lower()
    if kind not in VERIFIERS:
        hint = did_you_mean(kind, VERIFIERS) or f"known are {', '.join(VERIFIERS)}."
        raise ConfigError(f"reward_configs.{name}: verifier_type is {settings.get('verifier_type')!r}; {hint}")
    cls = VERIFIERS[kind]
    types = {setting.name: _plain_type(str(setting.type)) for setting in fields(cls) if setting.init}
    _check_keys(settings, set(types) | _JUDGE | set(_IGNORED) | {"verifier_type"}, f"reward_configs.{name}")
    if issubclass(cls, FileBased) and not allow_code:
        raise ConfigError(f"reward_configs.{name} runs Python files; allow it with allow_code=True if you trust them.")
    chosen: dict[str, Any] = {}
    for key, value in settings.items():
        if key in types:
            chosen[key] = _value(key, value, types[key])
        elif key in _IGNORED:
            notes.append(f"{name}.{key}: {_IGNORED[key]}")
    _refuse_tolerance(name, chosen, notes)
    for key in ("extract_answer_file_path", "judge_func_path"):
        if key in chosen:
            chosen[key] = str(_beside(folder, chosen[key]))
    try:
        verifier = cls(**chosen)
    except TypeError as problem:  # a setting without a default is missing
        raise ConfigError(f"reward_configs.{name}: {problem}.") from None
    return Domain(verifier=verifier, judge=_judge(name, settings))


def _refuse_tolerance(name: str, chosen: dict[str, Any], notes: list[str]) -> None:
    tolerance = chosen.get("sympy_tolerance", 0.0)
    if not tolerance >= 0:
        raise ConfigError(f"reward_configs.{name}: sympy_tolerance is {tolerance}, but must not be below 0.")
    if tolerance > MAX_TOLERANCE:
        del chosen["sympy_tolerance"]
        notes.append(f"{name}.sympy_tolerance: {tolerance:g} is refused, as 80 would pass for 100; the default holds")


def _beside(folder: Path, path: str) -> Path:
    """A path beside the configuration, or as it is."""
    return folder / path if (folder / path).is_file() else Path(path)


def _judge(name: str, settings: Mapping[str, Any]) -> JudgeConfig | None:
    urls = _texts(settings.get("llm_judge_url"))
    if not urls or not _value("enable_llm_judge_fallback", settings.get("enable_llm_judge_fallback", True), bool):
        return None
    models, keys = _texts(settings.get("llm_model")) or ("glm-4-flash",), _texts(settings.get("llm_api_key")) or ("",)
    try:
        return JudgeConfig(
            urls=urls,
            models=models * len(urls) if len(models) == 1 else models,
            keys=keys * len(urls) if len(keys) == 1 else keys,
            template=str(settings.get("llm_judge_prompt_template") or DEFAULT_TEMPLATE),
            max_tokens=int(_value("llm_max_tokens", settings.get("llm_max_tokens", 512), float)),
            temperature=_value("llm_temperature", settings.get("llm_temperature", 0.0), float),
            timeout=_value("llm_timeout", settings.get("llm_timeout", 30.0), float),
        )
    except ConfigError as problem:
        raise ConfigError(f"reward_configs.{name}: {problem.message}") from None


def _texts(value: Any) -> tuple[str, ...]:
    """One text or a list of them: a text is not a list of its letters."""
    return tuple(str(text) for text in value) if isinstance(value, list) else (str(value),) if value else ()


def _plain_type(annotation: str) -> type:
    return {"bool": bool, "float": float}.get(annotation, str)


def _value(key: str, value: Any, kind: type) -> Any:
    """A value of that type; YAML reads 1e-6 as a text."""
    if kind is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif isinstance(value, kind):
        return value
    raise ConfigError(f"{key} is {value!r}, but must be a {'number' if kind is float else kind.__name__}.")
