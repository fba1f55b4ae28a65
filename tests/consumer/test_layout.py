import datetime as dt
import math
from typing import Any

import pytest

from tests.consumer.views import view
from tocsin_consumer.errors import RenderError
from tocsin_consumer.layout import Layout, problems


@pytest.mark.parametrize("value", [True, False, None, 0, 5, -1.5, [], {}, [True, {"n": 5}]])
def test_what_is_no_text_stays_what_it_is(value: Any) -> None:
    rendered = Layout({"value": value}).render(view())["value"]
    assert rendered == value
    assert type(rendered) is type(value)


def test_texts_are_templates_at_any_depth_and_keys_are_not() -> None:
    shape = {"{{ reason }}": ["{{ reason }}", {"deep": "{{ count }}"}, 1]}
    assert Layout(shape).render(view()) == {"{{ reason }}": ["BackOff", {"deep": "14"}, 1]}


def test_a_layout_may_be_a_single_text() -> None:
    assert Layout("{{ cluster }}").render(view()) == "edge-042"


def test_the_escape_depends_on_the_object_around_a_text() -> None:
    layout = Layout(
        {"loud": True, "text": "{{ kind }}", "inner": {"list": ["{{ kind }}"]}},
        escape_in=lambda enclosing: str.upper if enclosing.get("loud") else str.lower,
    )
    assert layout.render(view()) == {"loud": True, "text": "POD", "inner": {"list": ["pod"]}}


def test_a_template_that_does_not_fit_names_its_place() -> None:
    with pytest.raises(RenderError, match=r"^card\.rows\[1\]: line 1: 'x' is undefined"):
        Layout({"card": {"rows": ["", "{{ x }}"]}}).render(view())


def test_problems_are_found_at_every_place() -> None:
    shape = {"a": ["fine", "bad"], "at": dt.date(2026, 1, 1), "n": math.inf, "blob": b"x", "ok": 1}
    found = dict(problems(shape, lambda text: "is bad" if text == "bad" else None))
    assert found == {
        ("a", 1): "is bad",
        ("at",): "expected what JSON knows, found a date; put quotes around it",
        ("n",): "expected a finite number: JSON knows no other",
        ("blob",): "expected what JSON knows, found a bytes",
    }
