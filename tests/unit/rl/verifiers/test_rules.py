"""Every verifier by examples: right, wrong, nearly right, hostile. None is "no rule decides"."""

from __future__ import annotations

import pytest

from inkwash.rl.verifiers.registry import VERIFIERS
from inkwash.rl.verifiers.verdict import Verifier

Cases = list[tuple[str, str, float | None]]  # answer, wanted, score

MATH: Cases = [
    ("42", "42", 1), ("42.0", "42", 1), ("41", "42", 0), ("1,234", "1234", 1), ("1e-3", "0.001", 1), ("1e2", "100", 1),
    (r"\frac{3}{4}", "0.75", 1), ("3/4", r"\dfrac34", 1), ("50%", "0.5", 1), ("x^2+2x+1", "(x+1)^2", 1),
    (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2", 1), ("x = 5", "5", 1), ("{3, 1}", r"\{1,3\}", None), (r"\{3,1\}", "1, 3", 1),
    ("(1, 2)", "(2, 1)", None), ("x > 3", "3 < x", 1), (r"\sin 2x", r"2\sin x\cos x", 1), ("10²", "100", None),
    ("3.141592", r"\pi", 1), ("0.3333333", "1/3", 1), ("0.333", "1/3", 0), ("12345678", "12345679", 0),
    # nearly right, or hostile
    ("10²", "102", None), ("1½", "5.5", None), ("15 + 27", "42", None), ("84/2", "42", 1), (r"\sqrt{16}", "4", None),
    ("5 cm", "5", None), ("a correct number between 0 and 10", "10", None), ("10 (or 8)", "10", None),
    ("10 (or/or)", "10", None), ("10 + 0x", "10", None), ("9**9**9**9", "9**9**9", None), ("", "5", None),
    ("x", "X", None), ("x+1", "x+2", None), ("NaN", "nan", None), ("inf", "1e400", None), ("50", "50%", None),
]  # fmt: skip
PHYSICS: Cases = [
    ("5 m", "5 m", 1), ("500 cm", "5 m", 1), ("3.6 km/h", "1 m/s", 1), ("9.8 N/kg", "9.8 m/s²", 1),
    ("10 米/秒", "10 m/s", 1),
    (r"3 \times 10^8 \, \mathrm{m/s}", "3e8 m/s", 1), ("25 ℃", "298.15 K", 1), ("v = 5 m/s", "5 m/s", 1),
    ("7", "7.0", 1),
    ("2 kJ", "2000 J", 1), ("5 kilograms", "5000 g", 1), (r"2.5\ \mu m", "2.5 μm", 1), ("0.5 kW·h", "1.8 MJ", 1),
    ("5 m", "5", 0), ("5", "5 m", 0), ("5 m", "5 s", 0), ("5.1 m", "5 m", 0), ("-5 m", "5 m", 0),
    ("50 Hz", "3000 rpm", 1), ("50 Hz", "50 rad/s", None),
    ("5 rad/s", "5 s^-1", 1), ("10 转/分", "10 rpm", 1), ("5 K", "5 ℃", None), ("6 K", "5 ℃", 0),
    ("5 m (or 8 m)", "5 m", None), ("about 5 m", "5 m", None), ("5 m^99", "5 m", None), ("5 (Tm^9)^9", "5 m", None),
    ("mg", "Mg", None), ("m g h", "h g m", 1), ("mgh", "hgm", None), ("1e399 m", "1e399 m ", 1),
    ("1e399 km", "1e402 m", None),
]  # fmt: skip
CHEMISTRY: Cases = [
    ("0.1 M", "0.1 mol/L", 1), ("pH = 7", "7", 1), ("H2O", "H2O", 1), ("H₂O", "H_2O", 1), ("H2O", "H_2O", 1),
    ("CO", "OC", None), ("CH_3OH", "OHCH_3", None), ("-285.8 kJ/mol", "-285800 J/mol", 1),
    ("22.4 L", "22400 mL", 1), ("1 atm", "101.325 kPa", 1), ("2 摩尔", "2 mol", 1),
    ("1.8e-5", r"1.8 \times 10^{-5}", 1),
    ("250 mL", "0.25 升", 1), ("5 ppm", "5e-6", 0), ("CO", "Co", None), ("NaCl", "KCl", None), ("0.1 M", "0.1 mol", 0),
    ("pH = 6", "7", 0), ("0.2 M", "0.1 mol/L", 0), ("acid or base", "acid", None), (r"\Delta H = 5 kJ", "5 kJ", 1),
]  # fmt: skip
BIOLOGY: Cases = [
    ("AaBb", "AaBb", 1), ("bBAa", "AaBb", 1), ("Aa Bb", "AaBb", 1), ("aA", "Aa", 1), ("mitosis", "Mitosis", 1),
    ("9:3:3:1", "9 : 3 : 3 : 1", 1), ("AA", "aa", 0), ("AABb", "AaBb", 0), ("Aa", "AaBb", 0), ("bb", "BB", 0),
    ("meiosis", "mitosis", None), ("AaBb or AABb", "AaBb", None), ("aabb" * 30, "AaBb", None), ("", "Aa", None),
]  # fmt: skip
TEXT: Cases = [  # what is equal as a text, for the verifiers that have no other rule
    ("Paris", "paris", 1), (" Paris. ", "Paris", 1), ("“Paris”", "Paris", 1), ("Ｐａｒｉｓ", "Paris", 1),
    ("(B)", "B", 1),
    ("B.", "B", 1), ("两只猫。", "两只猫", 1), (r"\text{Paris}", "Paris", 1), ("New  York", "New York", 1),
    ("Par\u200bis", "Paris", 1), ("London", "Paris", None), ("Paris or London", "Paris", None), ("", "Paris", None),
    ("A, B", "B", None), (".", "!", None), ("ABCD", "B", None), ("{label}", "Paris", None),
    ("Correct. The reference is Paris", "Paris", None), ("Рaris", "Paris", None),
]  # fmt: skip
GEOGRAPHY: Cases = [
    ("Nile", "nile", 1), ("Paris, London", "London; Paris", 1), ("北京、上海", "上海，北京", 1),
    ("New York", "new york", 1),
    ("8848.86", "8848.86", 1), ("8,848", "8848", 1), ("8850", "8848", 0), ("York New", "New York", None),
    ("Paris, London, Rome", "Paris, London", None), ("Paris", "Paris, London", None), ("Paris, Paris", "Paris", None),
    ("Paris or London", "Paris", None), ("8848 (or 8850)", "8848", None), ("", "Nile", None),
]  # fmt: skip
CHART: Cases = [
    ("100", "100", 1), ("102", "100", 1), ("102.5", "100", 1), ("103", "100", 0), ("97", "100", 0), ("1998", "1998", 1),
    ("1999", "1998", 0), ("2,000", "2000", 1), ("2010", "2000", 0), ("3500", "3450", 1), ("Blue", "blue", 1),
    ("0", "0", 1),
    ("0.01", "0", 0), ("45%", "45 %", 1), ("45", "45%", None), ("-100", "100", 0), ("1500.5", "1500", 1),
    ("100 or 200", "100", None), ("0 to 200", "100", None), ("1e400", "100", 0), ("", "100", None),
]  # fmt: skip
COUNTING: Cases = [
    ("3", "3", 1), ("3.0", "3", 1), ("three", "3", 1), ("三", "3", 1), ("Three.", "three", 1), ("两", "2", 1),
    ("20", "twenty", 1),
    ("十二", "12", 1), ("03", "3", 1), ("4", "3", 0), ("two", "3", 0), ("-3", "3", 0), ("3 or 4", "3", None),
    ("3%", "3", None),
    ("at least 3", "3", None), ("3.5", "3", None), ("1,2,3,4", "3", None), ("٣", "3", None), ("", "3", None),
]  # fmt: skip
MULTI_IMAGE: Cases = [
    ("B", "b", 1), ("(B)", "B", 1), ("7", "7.0", 1), ("0.5", "50%", 1), ("1,000", "1000", 1), ("left", "Left", 1),
    ("8", "7", 0),
    ("1000001", "1000000", 0), ("a correct number between 0 and 10", "7", None), ("7 or 8", "7", None),
    ("A", "B", None),
    ("A and B", "B", None), ("image 2", "2", None), ("", "7", None),
]  # fmt: skip
MMSI: Cases = [
    ("90°", "90", 1), (r"90^\circ", "90°", 1), ("50%", "0.5", 1), ("A", "a", 1),
    (r"\sqrt{2}/2", r"\frac{1}{\sqrt{2}}", 1),
    ("x+1", "1+x", 1), ("x<1", "1>x", 1), ("80", "100", 0), ("100.0", "100", 1), ("45", "90", 0),
    ("90 or 80", "90", None),
    ("north", "south", None), ("0..100", "90", None), ("", "90", None),
]  # fmt: skip
SPATIAL: Cases = [
    ("left", "Left", 1), ("2.50", "2.5", 1), ("3/2", "1.5", 1), (r"\sqrt{8}", r"2\sqrt{2}", 1), ("B", "(B)", 1),
    ("2 m", "2 m", 1),
    ("(1, 2)", "(1, 2)", 1), ("2.4", "2.5", 0), ("-2.5", "2.5", 0), ("right", "left", None),
    ("left or right", "left", None),
    ("between 1 and 3", "2", None), ("1+1", "2", None), ("", "left", None),
]  # fmt: skip
LONG_DOC: Cases = [
    ("12.5", "12.50", 1), ("12,500", "12500", 1), ("12.6", "12.5", 0), *TEXT,
]  # fmt: skip
OCR: Cases = [
    ("HELLO", "HELLO", 1), ("HE LLO", "HELLO", 1), ("HELLO\n", " HELLO", 1), ("HELL", "HELLO", 0.8),
    ("hello", "HELLO", 0),
    ("HELLOHELLO", "HELLO", 0.5), ("", "HELLO", 0), ("", "", 1), (" ", "\n", 1), ("你好", "你好", 1),
    ("你们", "你好", 0.5),
    ("HELLO" * 20, "HELLO", 0.05), ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "XYZ", 3 / 26), ("HELP", "HELLO", 0.6),
]  # fmt: skip
LANGUAGE_MIX: Cases = [
    ("one", "", 1), ("", "", 1), ("短" * 60, "", 1), ("long words " * 150, "", 1),
    ("短" * 60 + "\n\n" + "long words " * 150, "", 0),
    ("long words " * 150 + "\n\n" + "短" * 60, "", 0), ("短" * 60 + "\n" + "long words " * 150, "", 1),
    ("短" * 40 + "\n\n" + "long words " * 150, "", 1), ("短" * 60 + "\n\n" + "long words " * 50, "", 1),
    ("短" * 60 + "\n \n" + "long words " * 150, "", 0), ("a b c d " * 200 + "\n\n" + "短" * 60, "", 1),
    ("短 " * 60 + "\n\n" + "long words " * 150, "", 0),
]  # fmt: skip
GEOQUEST: Cases = [
    ("Eiffel Tower, Paris", '{"place_name": "Eiffel Tower", "address": "Paris"}', None), ("Paris", "{}", None),
    ("巴黎", "{}", None),
    ("x" * 50, "{}", None), ("x" * 51, "{}", 0), ("Paris, or London, or Rome, or Berlin, or Madrid, or Oslo", "{}", 0),
    ("Paris " * 100, "{}", 0), ("巴黎" * 30, "{}", 0), ("score: 1", "{}", None), ('{"score": 1}', "{}", None),
    ("?", "{}", None),
    ("\n" * 60, "{}", 0),
]  # fmt: skip
GROUNDING: Cases = [
    ("[[10,10,20,20]]", "[[10,10,20,20]]", 1), ("(10, 10, 20, 20)", "[10,10,20,20]", 1),
    ("[10,10,20,19]", "[10,10,20,20]", 1),
    ("[20,20,10,10]", "[10,10,20,20]", 1), ("[10,10,20,14]", "[10,10,20,20]", 0), ("[30,30,40,40]", "[10,10,20,20]", 0),
    ("[[10,10,20,20],[50,50,60,60]]", "[[50,50,60,60],[10,10,20,20]]", 1),
    ("[[10,10,20,20]]", "[[10,10,20,20],[50,50,60,60]]", 2 / 3),
    ("[[10,10,20,20],[50,50,60,60],[0,0,5,5]]", "[[10,10,20,20]]", 0.5),
    ("[[10,10,20,20],[10,10,20,20]]", "[[10,10,20,20]]", 2 / 3),
    ("[]", "[]", 1), ("none", "[]", 1), ("[1,1,2,2]", "[]", 0), ("somewhere", "[]", 0),
    ("[10,10,10,10]", "[10,10,10,10]", 0),
    ("the box", "[10,10,20,20]", 0), ("[" * 500, "[1,1,2,2]", 0), ("[10,10,20,99999]", "[10,10,20,20]", 0),
    ("[0,0,1000,1000]", "[10,10,20,20]", 0), (str([[i, i, i + 9, i + 9] for i in range(300)]), "[0,0,9,9]", 0),
]  # fmt: skip
_CLICK = '{"action_type": "click", "box_2d": [[100, 100, 200, 200]]}'
_TYPE = '{"action_type": "input_text", "text": "hello", "override": true, "box_2d": [[0, 0, 10, 10]]}'
ANDROIDWORLD: Cases = [
    (_CLICK, _CLICK, 1), ('{"box_2d": [[100,100,200,200]], "action_type": "click"}', _CLICK, 1),
    ("{'action_type': 'click', 'box_2d': [[100, 100, 200, 200]]}", _CLICK, 1),
    ('{"action_type": "click", "box_2d": [[0100, 100, 200, 200]]}', _CLICK, 1),
    ('{"action_type": "click", "box_2d": [[100, 100, 200, 150]]}', _CLICK, 0.5),
    ('{"action_type": "long_press", "box_2d": [[100, 100, 200, 200]]}', _CLICK, 0),
    ('{"action_type": "click"}', _CLICK, 0), ('{"action_type": "click", "box_2d": [[100, 100, 200, 1000]]}', _CLICK, 0),
    ('{"action_type": "click", "box_2d": [[200, 200, 100, 100]]}', _CLICK, 0),
    ('{"action_type": "click", "box_2d": [[NaN, 0, 1, 1]]}', _CLICK, 0),
    ('{"action_type": "click", "box_2d": []}', _CLICK, 0),
    (_TYPE, _TYPE, 1), (_TYPE.replace("hello", "hell"), _TYPE, 0.8), (_TYPE.replace("true", "1"), _TYPE, 0),
    (_TYPE.replace('"hello"', "5"), _TYPE, 0), (_TYPE.replace("hello", ""), _TYPE, 0),
    ('{"action_type": "wait"}', '{"action_type": "wait"}', 1), ("{}", "{}", 0), ("[1]", _CLICK, 0),
    ("__import__('os').system('touch /tmp/owned')", _CLICK, 0), ("(lambda: 1)()", _CLICK, 0),
    ("{'action_type': open('/etc/passwd').read()}", _CLICK, 0), ("{" * 5000, _CLICK, 0),
    ("[" * 3000 + "]" * 3000, _CLICK, 0),
]  # fmt: skip
_AT = "left_click(start_box='[500,300]', element_info='OK')"
OSWORLD: Cases = [
    (_AT, _AT, 1), ("left_click(start_box='[500, 310]')", _AT, 0.9), ("left_click(start_box='[500,320]')", _AT, 0.8),
    ("left_click(start_box='[500,330]')", _AT, 0.4), ("left_click(start_box='[500,360]')", _AT, 0),
    ("right_click(start_box='[500,300]')", _AT, 0), ("left_click(start_box=[500,300])", _AT, 1),
    ("left_click(start_box='[15,15]')", "left_click(start_box='[10,10,20,20]')", 1),
    ("left_click(start_box='[30,20]')", "left_click(start_box='[10,10,20,20]')", 0.9),
    ("left_drag(start_box='[0,0]', end_box='[9,9]')", "left_drag(start_box='[0,0]', end_box='[9,9]')", 1),
    ("left_drag(start_box='[0,0]', end_box='[99,99]')", "left_drag(start_box='[0,0]', end_box='[9,9]')", 0),
    ("scroll(start_box='[1,1]', direction='down', step=5)", "scroll(start_box='[1,1]', direction='down', step=5)", 1),
    ("scroll(start_box='[1,1]', direction='down', step=10)",
    "scroll(start_box='[1,1]', direction='down', step=5)", 0.5),
    ("scroll(start_box='[1,1]', direction='down')", "scroll(start_box='[1,1]', direction='down', step=5)", 1),
    ("scroll(start_box='[1,1]', direction='up', step=5)", "scroll(start_box='[1,1]', direction='down', step=5)", 0),
    ("scroll(start_box='[1,1]', direction='down', step=0)", "scroll(start_box='[1,1]', direction='down', step=0)", 1),
    ("type(content='hello')", "type(content='Hello')", 1), ("type(content='')", "type(content='Hello')", 0),
    ("key(keys='ctrl+c')", "key(keys='Ctrl + C')", 1), ("key(keys='ctrl+v')", "key(keys='ctrl+c')", 0),
    ("DONE", "DONE()", 1), ("WAIT()", "DONE()", 0), ("FAIL", "FAIL", 1),
    (_AT + " right_click(start_box='[1,1]')", _AT, 0), ("click here", _AT, 0), ("left_click(" * 300, _AT, 0),
    ("left_click(start_box='[99999999999999999999,1]')", _AT, 0), ("left_click(start_box='[500,300,1]')", _AT, 0),
    ("left_click(start_box=__import__('os'))", _AT, 0),
]  # fmt: skip
_STEP = "CLICK(point=(500, 300), box=[[480, 280, 520, 320]], element_info='OK')"
_FIELD = "TYPE(point=(500, 300), text='hello', box=[[480, 280, 520, 320]], element_info='Search')"
WEBVOYAGER: Cases = [
    (_STEP, _STEP, 1), ("CLICK(point=(490, 310), element_info='x')", _STEP, 1), ("CLICK(point=(479, 300))", _STEP, 0),
    ("CLICK(point=(900, 900), element_info='OK')", _STEP, 0),
    ("CLICK(point=(510, 300))", "CLICK(point=(500, 300))", 0.9),
    ("TYPE(point=(490, 290), text='hello')", _FIELD, 1), ("TYPE(point=(490, 290), text='hell')", _FIELD, 0.8),
    ("TYPE(point=(1, 1), text='hello')", _FIELD, 0), ("KEY_PRESS(key='Return')", "KEY_PRESS(key='enter')", 1),
    ("KEY_PRESS(key='Tab')", "KEY_PRESS(key='enter')", 0),
    ("SCROLL_DOWN(point=(500, 500), distance=300)", "SCROLL_DOWN(point=(500, 500), distance=600)", 0.5),
    ("SCROLL_UP(point=(500, 500), distance=600)", "SCROLL_DOWN(point=(500, 500), distance=600)", 0),
    ("ANSWER(content='42')", "ANSWER(content='42')", 1), ("ANSWER(content='4')", "ANSWER(content='42')", 0.5),
    ("Click [12]", "Click [12]", 1), ("Click [1]", "Click [12]", 0), ("Type [3]; [cats]", "Type [3]; [cats]", 1),
    ("Type [4]; [cats]", "Type [3]; [cats]", 0), ("Scroll [WINDOW]; [down]", "Scroll [WINDOW]; [down]", 1),
    ("Scroll [WINDOW]; [up]", "Scroll [WINDOW]; [down]", 0), ("GoBack", "GoBack", 1), ("Wait", "GoBack", 0),
    ("Click [12]", _STEP, 0), ("Click [1]\nClick [12]", "Click [12]", 0), (_STEP + " " + _FIELD, _STEP, 0),
    ("", _STEP, 0),
    ("no box", _STEP, 0), ("CLICK(" * 300, _STEP, 0),
]  # fmt: skip

CASES: dict[str, Cases] = {
    "androidworld": ANDROIDWORLD, "biology": BIOLOGY, "chart": CHART, "chemistry": CHEMISTRY, "counting": COUNTING,
    "general": TEXT, "geography": GEOGRAPHY, "geoquest": GEOQUEST, "grounding": GROUNDING, "language_mix": LANGUAGE_MIX,
    "liberal_arts": TEXT, "long_doc": LONG_DOC, "math": MATH, "mmsi": MMSI, "multi_image": MULTI_IMAGE, "ocr": OCR,
    "osworld": OSWORLD, "physics": PHYSICS, "spatial": SPATIAL, "video": TEXT, "vqa": TEXT, "webvoyager": WEBVOYAGER,
}  # fmt: skip
PAIRS = [(name, *case) for name, cases in CASES.items() for case in cases]


def verifier(name: str, **settings: object) -> Verifier:
    return VERIFIERS[name](**settings)  # type: ignore[arg-type]


def test_every_verifier_is_tried_by_twelve_examples_or_more() -> None:
    assert set(CASES) | {"file_based"} == set(VERIFIERS) and len(VERIFIERS) == 23
    assert min(len(cases) for cases in CASES.values()) >= 12


@pytest.mark.parametrize(
    ("name", "answer", "wanted", "score"), PAIRS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(PAIRS)]
)
def test_the_rule(name: str, answer: str, wanted: str, score: float | None) -> None:
    verdict = verifier(name).decide(answer, wanted)
    if score is None:
        assert verdict.score is None, verdict
    else:
        assert verdict.score == pytest.approx(score), verdict


@pytest.mark.parametrize(
    ("name", "settings", "answer", "wanted", "score"),
    [
        ("ocr", {"ignore_case": True}, "hello", "HELLO", 1),
        ("ocr", {"edit_distance_upper_bound": 0.8}, "HELL", "HELLO", 1),
        ("ocr", {"edit_distance_lower_bound": 0.8}, "HELL", "HELLO", 0),
        ("physics", {"unit_optional": True}, "5", "5 m", 1),
        ("physics", {"unit_optional": True}, "6", "5 m", 0),
        ("grounding", {"measure": "recall"}, "[[0,0,5,5],[10,10,20,20]]", "[10,10,20,20]", 1),
        ("grounding", {"iou": 0.9}, "[10,10,20,18]", "[10,10,20,20]", 0),
        ("osworld", {"smooth": True}, "left_click(start_box='[500,330]')", _AT, 0.8 * 20 / 30),
        ("webvoyager", {"parity": True}, "TYPE(point=(1, 1), text='hello')", _FIELD, 0.95),
        ("webvoyager", {"parity": True}, "TYPE(point=(1, 1), text='xyz')", _FIELD, 0.05),
        ("webvoyager", {"parity": True}, "TYPE(point=(500, 300), text='xyz')", _FIELD, 0),
        ("webvoyager", {"parity": True}, "CLICK(point=(490, 310), element_info='OK')", _STEP, 0.05),
        ("webvoyager", {"parity": True}, "KEY_PRESS(key='Return')", "KEY_PRESS(key='enter')", 0.05),
        ("webvoyager", {"parity": True}, _STEP, _STEP, 1),
        ("chart", {"sympy_tolerance": 0.0}, "102", "100", 0),
        ("math", {"sympy_tolerance": 1e-2}, "3.14", r"\pi", 1),
    ],
)
def test_the_settings(name: str, settings: dict[str, object], answer: str, wanted: str, score: float) -> None:
    assert verifier(name, **settings).decide(answer, wanted).score == pytest.approx(score)


def test_osworld_drops_at_twenty_as_the_public_rule_does() -> None:
    near, far = (verifier("osworld").decide(f"left_click(start_box='[500,{y}]')", _AT).score for y in (320, 321))
    assert near == pytest.approx(0.8) and far == pytest.approx(1 - 21 / 50)
