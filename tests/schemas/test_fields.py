from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError

from tocsin_schemas.configuration import Duration, PatternField, ReadableFile, Size, read_secret

DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
SIZE: TypeAdapter[int] = TypeAdapter(Size)
PATTERN: TypeAdapter[str | list[str]] = TypeAdapter(PatternField)
FILE: TypeAdapter[Path] = TypeAdapter(ReadableFile)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("4h", 14_400),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("1d2h3m4s", 93_784),
        ("0.5s", 0.5),
        ("0s", 0),
    ],
)
def test_a_duration_reads_like_this(text: str, seconds: float) -> None:
    assert DURATION.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "5",
            "s",
            "5 m",
            " 5m",
            "5m ",
            "-5m",
            "+5m",
            "1.5h",
            "30m1h",
            "5M",
            "5min",
            "1h1h",
            "٣s",
            "5m\n",
        ),
        *("5m\n", 5, 5.0, True, None, [], {}, "9999999999d", "9" * 5000 + "s"),
    ],
)
def test_a_duration_does_not_read_like_this(value: object) -> None:
    with pytest.raises(ValidationError, match="expected a duration"):
        DURATION.validate_python(value)


@given(st.text())
def test_any_text_is_a_duration_or_an_error(text: str) -> None:
    try:
        assert DURATION.validate_python(text) >= timedelta(0)
    except ValidationError as error:
        assert "expected a duration" in str(error)  # noqa: PT017 - most texts are errors, a few are not


@pytest.mark.parametrize(
    ("value", "size"),
    [
        *(("0", 0), ("512", 512), ("512B", 512), ("1kB", 1000), ("1KB", 1000), ("10MB", 10**7), ("1GB", 10**9)),
        *(("64KiB", 65_536), ("1MiB", 1_048_576), ("2GiB", 2**31), ("10 MB", 10**7), (512, 512)),
    ],
)
def test_a_size_reads_like_this(value: object, size: int) -> None:
    assert SIZE.validate_python(value) == size


@pytest.mark.parametrize(
    "value",
    [
        "",
        "MB",
        "-1",
        "1.5MB",
        "10mb",
        "10M",
        "10  MB",
        " 10",
        "1e6",
        "1_000",
        "٣MB",
        "9" * 19,
        1.5,
        True,
        None,
        [],
    ],
)
def test_a_size_does_not_read_like_this(value: object) -> None:
    with pytest.raises(ValidationError, match="expected a size"):
        SIZE.validate_python(value)


@pytest.mark.parametrize("value", ["Back.*", "", "a|b", [], ["a", "*"]])
def test_a_pattern_is_an_expression_or_a_list_of_texts(value: str | list[str]) -> None:
    assert PATTERN.validate_python(value) == value


@pytest.mark.parametrize("value", ["*", "(", "a{99999999999}", 5, None, True, {}, [1], [None], [["a"]]])
def test_a_pattern_that_is_neither_is_one_error(value: object) -> None:
    with pytest.raises(ValidationError) as error:
        PATTERN.validate_python(value)
    assert error.value.error_count() == 1


def test_a_file_has_to_be_there_and_readable(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    assert FILE.validate_python(str(file)) == file
    for path, words in (
        (tmp_path / "missing", "missing cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        ("relative", "the file cannot be read"),
        ("a\0b", "expected the path of a file"),
        ("x" * 5000, "the file cannot be read"),
    ):
        with pytest.raises(ValidationError, match=words):
            FILE.validate_python(str(path))


def test_a_secret_comes_from_its_value_or_from_its_file_without_the_last_line_break(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" s\xc3\xa9cret \r\n")
    assert read_secret(None, file) == " sécret "
    assert read_secret(SecretStr("value\n"), None) == "value\n"
    assert read_secret(None, None) is None


def test_a_secret_that_is_not_utf_8_shows_nothing_of_itself(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"p\xe4ss")
    with pytest.raises(ValueError, match=r"secret is not UTF-8$") as error:
        read_secret(None, file)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
