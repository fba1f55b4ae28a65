import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_schemas.matching import Match, compile_pattern, literals


def test_an_expression_must_match_the_whole_text() -> None:
    test = compile_pattern("Back.*")
    assert test("BackOff")
    assert not test("FeedBackOff")
    assert not compile_pattern("BackOff|Failed")("BackOffX")


def test_a_dot_matches_a_line_break_too() -> None:
    assert compile_pattern("a.*b")("a\nb")


@given(st.lists(st.text()), st.text())
def test_a_list_matches_its_texts_exactly(texts: list[str], other: str) -> None:
    test = compile_pattern(texts)
    assert all(test(text) for text in texts)
    assert test(other) == (other in texts)


def test_a_list_gives_no_meaning_to_expressions() -> None:
    assert not compile_pattern([".*"])("BackOff")


@pytest.mark.parametrize("pattern", ["*", "(", "[a", "a{2,1}", "a{99999999999}", "(" * 5000 + ")" * 5000])
def test_an_expression_that_does_not_compile_raises_one_error(pattern: str) -> None:
    with pytest.raises(re.error):
        compile_pattern(pattern)


@given(st.text() | st.lists(st.text()), st.text())
def test_literals_are_all_that_a_pattern_can_match(pattern: str | list[str], text: str) -> None:
    known = literals(pattern)
    if known is not None:
        test = compile_pattern(pattern)
        assert test(text) == (text in known)
        assert all(test(literal) for literal in known)


@pytest.mark.parametrize("pattern", ["a.c", "a|b", "(a)", "a+", ""])
def test_a_real_expression_has_no_literals(pattern: str) -> None:
    assert literals(pattern) is None


def test_a_name_is_a_literal() -> None:
    assert literals("Warning") == ["Warning"]
    assert literals("kube-system") == ["kube-system"]


def test_all_fields_of_a_match_have_to_hold() -> None:
    match = Match({"type": "Warning", "reason": ["BackOff", "Failed"]})
    assert match({"type": "Warning", "reason": "Failed", "kind": "Pod"})
    assert not match({"type": "Normal", "reason": "Failed"})
    assert not match({"type": "Warning", "reason": "Other"})


def test_a_match_of_no_fields_matches_everything() -> None:
    assert Match({})({})


def test_a_field_that_is_lacking_counts_as_empty() -> None:
    assert Match({"node": ""})({"node": None})
    assert Match({"node": ".*"})({})
    assert not Match({"node": ".+"})({})
