from tocsin_schemas.pulse import Pulse


def test_who_is_heard_of_in_time_is_never_late() -> None:
    time = [0.0]
    pulse = Pulse(lambda: time[0])
    assert pulse.late_seconds == 0
    pulse.expect(10)
    time[0] = 10
    assert pulse.late_seconds == 0
    time[0] = 15
    assert pulse.late_seconds == 5
    pulse.expect(1)
    assert pulse.late_seconds == 0


def test_who_has_nothing_to_do_is_never_late() -> None:
    time = [0.0]
    pulse = Pulse(lambda: time[0])
    pulse.expect(10)
    pulse.rest()
    time[0] = 1000
    assert pulse.late_seconds == 0
