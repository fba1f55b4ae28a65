from tocsin_producer.metrics import Metric, counter, exposition, gauge


def test_a_metric_is_written_with_its_help_and_its_type() -> None:
    assert exposition([gauge("waiting", "Events that wait.", 3)]) == (
        "# HELP tocsin_producer_waiting Events that wait.\n"
        "# TYPE tocsin_producer_waiting gauge\n"
        "tocsin_producer_waiting 3\n"
    )


def test_each_value_of_a_label_is_a_sample() -> None:
    lost = Metric("lost_total", "counter", "Lost.", {"room": 2, "size": 1}, label="reason")
    assert exposition([lost]).splitlines()[2:] == [
        'tocsin_producer_lost_total{reason="room"} 2',
        'tocsin_producer_lost_total{reason="size"} 1',
    ]


def test_what_the_format_gives_a_meaning_is_escaped() -> None:
    odd = Metric("info", "gauge", 'a "b" \\ c\nd', {'x"\\\n': 1}, label="l", constant={"m": 'q"'})
    assert exposition([odd]).splitlines() == [
        '# HELP tocsin_producer_info a "b" \\\\ c\\nd',
        "# TYPE tocsin_producer_info gauge",
        'tocsin_producer_info{m="q\\"",l="x\\"\\\\\\n"} 1',
    ]


def test_numbers_are_whole_or_of_milliseconds() -> None:
    samples = [counter("a", "", 10**15), gauge("b", "", 1.23456), gauge("c", "", value=True)]
    assert [line.split()[1] for line in exposition(samples).splitlines() if line[0] != "#"] == [
        "1000000000000000",
        "1.235",
        "1",
    ]


def test_what_is_not_known_yet_has_no_sample() -> None:
    assert [line[0] for line in exposition([gauge("age", "Age.", None)]).splitlines()] == ["#", "#"]
