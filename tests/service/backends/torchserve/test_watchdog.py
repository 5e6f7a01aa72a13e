"""Signs by which a running TorchServe counts as broken."""

from __future__ import annotations

from service.backends.torchserve.watchdog import Watch


def watch(started_in: float = 4.0) -> Watch:
    return Watch(response_seconds=10, margin=5, started_in=started_in)


def test_quiet_means_nothing_while_nothing_is_out() -> None:
    made = watch()
    made.returned(made.sent("m", 0.0), 1.0, heard=True)
    assert made.trouble(1e6) == ""


def test_a_call_may_take_a_batch_and_the_margin() -> None:
    made = watch()
    made.sent("m", 100.0)
    assert made.trouble(114.9) == ""
    assert "'m' has not answered for 15.1 s" in made.trouble(115.1)


def test_an_old_call_behind_one_just_answered_is_in_line_not_lost() -> None:
    made = watch()
    first, _ = made.sent("m", 0.0), made.sent("m", 0.0)
    made.returned(first, 9.0, heard=True)
    assert made.trouble(20.0) == ""
    assert made.trouble(24.5) != ""


def test_another_models_answers_and_given_up_calls_are_no_sign_of_life() -> None:
    made = watch()
    made.sent("m", 0.0)
    made.returned(made.sent("other", 13.0), 14.0, heard=True)
    made.returned(made.sent("m", 13.0), 14.0, heard=False)
    assert made.trouble(16.0) != ""


def test_only_refusals_in_a_row_count() -> None:
    made = watch()
    for _ in range(2):
        made.refused("m")
    made.served("m")
    for _ in range(2):
        made.refused("m")
    assert made.trouble(0.0) == ""
    made.refused("m")
    assert "refused 3 clips" in made.trouble(0.0)


def test_a_model_may_lack_workers_for_a_while() -> None:
    made = watch()
    made.workers("m", 0, 0.0)
    made.workers("m", 0, 19.0)
    assert made.trouble(19.0) == ""
    made.workers("m", 1, 19.5)
    made.workers("m", 0, 30.0)
    assert made.trouble(45.0) == ""
    assert "no ready worker" in made.trouble(50.5)


def test_what_takes_long_to_load_is_given_longer_to_come_back() -> None:
    for started_in, patience in ((4.0, 20.0), (60.0, 120.0)):
        made = watch(started_in)
        made.workers("m", 0, 100.0)
        assert made.trouble(100.0 + patience) == ""
        assert "no ready worker" in made.trouble(100.1 + patience)
        made.workers("m", 1, 99.0 + patience)
        assert made.trouble(1e6) == ""
