"""The reward system: its configuration, the line that every response passes, and the faults of the public one."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.rl.adapters import trl_reward, verl_reward
from inkwash.rl.verifiers.config import read_config
from inkwash.rl.verifiers.judge import Judge
from inkwash.rl.verifiers.system import Item, RewardSystem, rule_counts

PUBLIC = """
reward_log_dir: "logs/reward_judge"
datasource_reward_config_mapping: {default: math_cfg, math: math_cfg, chart: chart_cfg, counting: counting_cfg,
  mmsi: mmsi_cfg, geoguess: geo_cfg, AndroidWorld: phone_cfg, general: general_cfg, ocr: ocr_cfg, language_mix: mix_cfg}
reward_configs:
  math_cfg: &judged
    verifier_type: "math"
    sympy_tolerance: 1.0e-6
    strict_boxed_extraction: true
    enable_llm_judge_fallback: true
    llm_api_key: [KEY]
    llm_judge_url: ["http://127.0.0.1:9/v1/chat/completions"]
    llm_model: [glm-4-flash]
    llm_max_tokens: 10
    llm_temperature: 0.01
    llm_top_p: 0.01
    llm_judge_prompt_template: "Rate {0, 1}: {question} {predict} {label}"
  chart_cfg: {verifier_type: chart, sympy_tolerance: 2.5e-2,
    answer_extraction_regex: "^<think>(.*?)</think>(?P<answer>.*)$"}
  counting_cfg: {verifier_type: counting, enable_llm_judge_fallback: true, llm_api_key: k,
    llm_judge_url: "http://127.0.0.1:9/v1", llm_model: m, llm_judge_prompt_template: "{question} {predict} {label}"}
  mmsi_cfg: {verifier_type: mmsi, sympy_tolerance: 0.9}
  geo_cfg: {<<: *judged, verifier_type: geoquest, model_type: 100b, reasoning: true}
  phone_cfg: {verifier_type: AndroidWorld, extract_answer_file_path: scripts/a.py,
    extract_answer_func_name: extract_answer, judge_func_path: scripts/a.py, judge_func_name: judge, load_once: true}
  general_cfg: {verifier_type: general, answer_extraction_regex: "x"}
  ocr_cfg: {verifier_type: ocr, edit_distance_upper_bound: 1.0, edit_distance_lower_bound: 0.0, ignore_case: true}
  mix_cfg: {verifier_type: language_mix}
"""


def response_with(answer: str, thoughts: str = "Let me see.") -> str:
    return f"<think>{thoughts}</think><answer>It is <|begin_of_box|>{answer}<|end_of_box|></answer>"


def written(folder: Path, text: str) -> Path:
    path = folder / "rewards.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def system(tmp_path: Path) -> RewardSystem:
    return RewardSystem.from_yaml(written(tmp_path, PUBLIC), offline=True)


def test_the_public_configuration_is_read_and_says_what_it_does_not_follow(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, PUBLIC))
    assert set(config.domains) == {
        "default", "math", "chart", "counting", "mmsi", "geoguess", "AndroidWorld", "general", "ocr", "language_mix",
    }  # fmt: skip
    judge = config.domains["math"].judge
    assert judge is not None and (judge.keys, judge.models, judge.max_tokens) == (("KEY",), ("glm-4-flash",), 10)
    counting = config.domains["counting"].judge
    assert counting is not None and counting.keys == ("k",), "a text is not a list of its letters"
    assert config.domains["ocr"].judge is None and config.domains["ocr"].verifier.ignore_case  # type: ignore[attr-defined]
    notes = "\n".join(config.notes)
    for part in (
        "reward_log_dir",
        "math_cfg.llm_top_p",
        "chart_cfg.answer_extraction_regex",
        "phone_cfg.load_once",
        "geo_cfg.reasoning",
    ):
        assert part in notes
    assert "mmsi_cfg.sympy_tolerance: 0.9 is refused" in notes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("verifier_type: mmsi", "verifier_type: msmi"), "did you mean 'mmsi'"),
        (("ignore_case", "ignore_cas"), "did you mean 'ignore_case'"),
        (("reward_configs:", "reward_confgs:"), "did you mean 'reward_configs'"),
        (("chart: chart_cfg", "chart: cart_cfg"), "cart_cfg"),
        (("ignore_case: true", "ignore_case: 7"), "bool"),
        (("sympy_tolerance: 2.5e-2", "sympy_tolerance: -1"), "below 0"),
        (("sympy_tolerance: 2.5e-2", "sympy_tolerance: .nan"), "below 0"),
        (("{question} {predict} {label}", "{question} {label}"), "predict"),
        (("edit_distance_upper_bound: 1.0", "edit_distance_upper_bound: 2"), "bounds"),
        (("verifier_type: language_mix", "verifier_type: file_based"), "allow_code"),
        (('reward_log_dir: "logs/reward_judge"', "answer_style: 5.0"), "answer_style"),
        (("[KEY]", "[KEY, KEY2, KEY3]"), "one length"),
        (('"math"', "!!python/object/apply:os.getcwd []"), "no YAML"),
        (("math_cfg: &judged", "math_cfg: [&judged"), "no YAML"),
    ],
)
def test_a_wrong_configuration_is_refused_in_a_sentence(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert change[0] in PUBLIC
    with pytest.raises(ConfigError, match=words):
        read_config(written(tmp_path, PUBLIC.replace(*change)))


def test_numbers_that_yaml_takes_for_texts_are_numbers(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, PUBLIC.replace("1.0e-6", "1e-3")))
    assert config.domains["math"].verifier.sympy_tolerance == 1e-3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "answer", "wanted", "reward", "rule"),
    [
        ("math", "42.0", "42", 1, "number"),  # the public numeric rule fails on every number
        ("math", "41", "42", 0, "number"),
        ("counting", "3", "3", 1, "count"),  # always 0 there: its extraction and its gate exclude each other
        ("chart", "102", "100", 1, "number"),  # likewise
        ("mmsi", "80", "100", 0, "number"),  # 1 under the tolerance of its configuration
        (
            "AndroidWorld",
            '{"action_type": "wait"}',
            '{"action_type": "wait"}',
            1,
            "action",
        ),  # always 0 there: a TypeError
        ("ocr", "hello", "HELLO", 1, "read"),
        ("general", "Paris", "paris", 1, "equal"),
        ("geoguess", "Paris", "{}", 0, "place"),
    ],
)
def test_faults_of_the_public_system_are_not_here(
    system: RewardSystem, source: str, answer: str, wanted: str, reward: float, rule: str
) -> None:
    (score,) = system.score([Item(response=response_with(answer), wanted=wanted, datasource=source)])
    assert (score.reward, score.rule) == (reward, rule)


CHINESE = "".join(chr(0x4E00 + n) for n in range(60))
ENGLISH = " ".join(f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(250))


@pytest.mark.parametrize(
    ("response", "rule"),
    [
        ("42", "form"),
        (response_with("42").replace("<answer>", ""), "form"),
        (response_with("42", thoughts="I count the boxes in the picture again, from left to right. " * 12), "repeats"),
        (response_with("42", thoughts=CHINESE + "\n\n" + ENGLISH), "mixed"),
        (response_with("42").replace("<|end_of_box|>", ""), "no answer"),
        (response_with("42") + response_with("43"), "form"),
        ("x" * 500_000, "form"),
    ],
)  # fmt: skip
def test_void_responses(system: RewardSystem, response: str, rule: str) -> None:
    (score,) = system.score([Item(response=response, wanted="42")])
    assert (score.reward, score.rule) == (0, rule) and score.reason


def test_datasources_may_be_mixed_and_keep_their_order(system: RewardSystem) -> None:
    answers = [response_with("42"), response_with("7"), response_with("1999")]
    rewards = system.get_reward(["?"] * 3, answers, ["42", "seven", "1998"], datasources=["math", "counting", "chart"])
    assert rewards == [1, 1, 0]
    rewards, extracted, wanted = system.get_reward(
        ["?"], [response_with("5")], [response_with("5")], return_extracted_answers=True
    )
    assert (rewards, extracted, wanted) == ([1], ["5"], ["5"])


def test_lists_that_do_not_pair_and_unknown_datasources_are_refused(system: RewardSystem) -> None:
    with pytest.raises(ConfigError, match="one length"):
        system.get_reward(["?"], ["a", "b"], ["a"])
    with pytest.raises(ConfigError, match="no datasource 'maths'"):
        system.score([Item(response="x", wanted="x", datasource="maths")])


LONG = " ".join(str(number) for number in range(1_500))


def test_two_systems_do_not_share_their_settings(tmp_path: Path, system: RewardSystem) -> None:
    loose = RewardSystem.from_yaml(written(tmp_path, PUBLIC.replace("1.0e-6", "0.05")), offline=True)
    items = [Item(response=response_with("41.0"), wanted="42", datasource="math")]
    assert [rewards.score(items)[0].reward for rewards in (system, loose, system)] == [0, 1, 0]


def test_a_process_that_only_scores_loads_no_torch() -> None:
    code = (
        "import sys, inkwash.rl.adapters, inkwash.rl.curriculum; print({'torch', 'openai', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def judged(tmp_path: Path, reply: str, prompts: list[str] | None = None) -> RewardSystem:
    def ask(prompt: str) -> str:
        if prompts is not None:
            prompts.append(prompt)
        return reply

    config = read_config(written(tmp_path, PUBLIC))
    return RewardSystem(config, {"math": Judge([ask]), "geoguess": Judge([ask], graded=True)})


def test_a_judge_decides_what_no_rule_does_and_nothing_else(tmp_path: Path) -> None:
    prompts: list[str] = []
    system = judged(tmp_path, "1", prompts)
    items = [
        Item(response=response_with(answer), wanted="42", datasource="math")
        for answer in ("42", "41", "forty-two", LONG)
    ]
    scores = system.score(items)
    assert [score.reward for score in scores] == [1, 0, 1, 0] and len(prompts) == 1
    assert [score.rule for score in scores] == ["equal", "number", "judge", "too long"]
    assert rule_counts(scores) == {"equal": 1, "number": 1, "judge": 1, "too long": 1}


def test_grades_and_abstentions_of_a_judge(tmp_path: Path) -> None:
    item = Item(response=response_with("Paris"), wanted="{}", datasource="geoguess")
    assert judged(tmp_path, '{"score": 0.75}').score([item])[0].reward == 0.75
    (score,) = judged(tmp_path, "the answer deserves 1.0").score([item])
    assert score.abstained and score.reward == 0


@settings(max_examples=80, deadline=None)
@given(response=st.one_of(st.text(), st.text().map(response_with)), wanted=st.text())
def test_any_response_gets_a_score(response: str, wanted: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    system = _SHARED.get("system") or _SHARED.setdefault(
        "system", RewardSystem.from_yaml(written(tmp_path_factory.mktemp("rewards"), PUBLIC), offline=True)
    )
    for source in system.config.domains:
        (score,) = system.score([Item(response=response, wanted=wanted, datasource=source)])
        assert 0 <= score.reward <= 1 and score.rule != "error"


_SHARED: dict[str, RewardSystem] = {}


@pytest.mark.slow
def test_threads_do_not_change_scores(system: RewardSystem) -> None:
    pairs = [("42", "42"), ("41", "42"), ("3/4", "0.75"), ("x^2+2x+1", "(x+1)^2"), ("forty", "42"), ("1e3", "1000")]
    items = [
        Item(
            response=response_with(pairs[n % 6][0]), wanted=pairs[n % 6][1], datasource=["math", "chart", "ocr"][n % 3]
        )
        for n in range(1_000)
    ]
    expected = system.score(items)
    results: list[object] = [None] * 8
    threads = [threading.Thread(target=lambda n=n: results.__setitem__(n, system.score(items))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result == expected for result in results) and len({score.reward for score in expected}) > 2


FILE = """
import time
def extract_answer(response, question=None):
    print("noise on the pipe")
    return response.split("<|begin_of_box|>")[1].split("<|end_of_box|>")[0]
def judge(extracted_answer, ground_truth, question=None):
    if extracted_answer == "sleep":
        time.sleep(60)
    if extracted_answer == "exit":
        raise SystemExit
    return {"two": 2, "nan": float("nan")}.get(extracted_answer, extracted_answer == ground_truth)
"""


def test_rules_of_a_file_run_in_a_process_with_a_time_limit(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    text = "datasource_reward_config_mapping: {default: mine}\nreward_configs: {mine: {verifier_type: file_based,\n"
    text += "  extract_answer_file_path: mine.py, judge_func_path: mine.py, time_limit: 1.5}}\n"
    system = RewardSystem.from_yaml(written(tmp_path, text), allow_code=True)
    answers = ["a", "b", "sleep", "exit", "two", "nan", "a"]
    scores = system.score([Item(response=response_with(answer), wanted="a") for answer in answers])
    assert [score.reward for score in scores] == [1, 0, 0, 0, 0, 0, 1]
    assert [score.rule for score in scores] == ["function", "function", "late", "late", "failed", "failed", "function"]
    system.config.domains["default"].verifier.close()  # type: ignore[attr-defined]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    text = "datasource_reward_config_mapping: {default: mine}\nreward_configs: {mine: {verifier_type: file_based,\n"
    text += "  extract_answer_file_path: mine.py, judge_func_path: mine.py}}\n"
    with pytest.raises(ConfigError, match=r"mine.py is not there"):
        read_config(written(tmp_path, text), allow_code=True)
    with pytest.raises(ConfigError, match="judge_func_path"):
        read_config(written(tmp_path, text.replace(", judge_func_path: mine.py", "")), allow_code=True)


def test_trl_calls_with_columns_by_name(tmp_path: Path) -> None:
    reward = trl_reward(judged(tmp_path, "?"))
    conversation = [{"role": "assistant", "content": response_with("42")}]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": response_with("41")}]}]
    got = reward(
        prompts=["q", "q", [{"role": "user", "content": "q"}], "q"],
        completions=[response_with("42"), conversation, parts, response_with("forty-two")],
        completion_ids=[[1], [2], [3], [4]],
        ground_truth=["42", "42", "42", "42"],
        datasource=["math"] * 4,
        trainer_state=None,
    )
    assert got == [1, 1, 0, None], "TRL leaves out a sample whose reward is None"
    assert callable(reward) and reward.__name__ == "verifier_reward"
    with pytest.raises(ConfigError, match="ground_truth"):
        reward(prompts=["q"], completions=["a"])


def test_verl_calls_with_one_solution(system: RewardSystem) -> None:
    compute_score = verl_reward(system)
    assert (
        compute_score(
            data_source="math", solution_str=response_with("42"), ground_truth=42, extra_info={"question": "?"}
        )
        == 1
    )
    assert compute_score("math", response_with("41"), "42") == 0 and compute_score("chart", "42", "42", None) == 0
