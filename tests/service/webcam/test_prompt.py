from __future__ import annotations

from service.webcam.keys import single_keys
from service.webcam.prompt import Prompt

LABELS = ("move left", "move right", "left turn", "still")


def typed(prompt: Prompt, keys: str) -> list[object]:
    return [action for action in map(prompt.press, keys) if action is not None]


def test_keys_are_actions() -> None:
    assert typed(Prompt(LABELS), "xmrq") == ["method", "rescale", "quit"]


def test_all_keys_are_reported_within_80_columns() -> None:
    line = Prompt(LABELS).line("selective-relevance", "rotate counter-clockwise")
    assert len(line) <= 80 + len("-clockwise)")  # no more than the end of the class is cut off
    assert len(Prompt(LABELS).line("selective-relevance", None)) <= 80


def test_a_class_is_found_by_a_part_of_its_name() -> None:
    prompt = Prompt(LABELS)
    typed(prompt, "tLEFT")
    # Where the name begins with what was typed comes first.
    assert "left turn, move left" in prompt.line("grad-cam", None)
    assert typed(prompt, "\r") == [("target", "left turn")]
    assert prompt.typed is None


def test_nothing_typed_is_the_top_class() -> None:
    assert typed(Prompt(LABELS), "t\r") == [("target", None)]


def test_arrows_are_no_keys_but_escape_is_one_also_when_another_follows_at_once() -> None:
    assert single_keys("\x1b[A\x1b[1;5Cm\x1bOPq") == "mq"
    assert single_keys("\x1bq") == "\x1bq"


def test_letters_of_a_name_are_no_commands_and_escape_leaves_it() -> None:
    prompt = Prompt(LABELS)
    assert typed(prompt, "tqmr") == []
    assert typed(prompt, "\x1bq") == ["quit"]


def test_what_is_mistyped_can_be_taken_back() -> None:
    prompt = Prompt(LABELS)
    assert typed(prompt, "tstx\r") == []
    assert "no class of this name" in prompt.line("", None)
    assert typed(prompt, "\x7f\r") == [("target", "still")]
