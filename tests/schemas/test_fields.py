from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tocsin_schemas.configuration import (
    CaFile,
    Duration,
    Number,
    PatternField,
    ReadableFile,
    SecretFile,
    Size,
    StateFile,
    TopicRoot,
)

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


@pytest.mark.parametrize("value", ["Back.*", "", "a|b", ["a", "*"]])
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


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n"])
def test_an_empty_file_holds_no_secret(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ValidationError, match="secret is empty"):
        TypeAdapter(SecretFile).validate_python(file)


def test_a_file_without_certificates_is_no_authoritys(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert TypeAdapter(CaFile).validate_python(file) == file
    file.write_text("no certificate")
    with pytest.raises(ValidationError, match=r"ca.crt has no certificates in PEM form"):
        TypeAdapter(CaFile).validate_python(file)


def test_a_state_file_need_not_exist_and_may_lie_in_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/pi")
    state = TypeAdapter(StateFile)
    assert state.validate_python("~/outbox.db") == Path("/home/pi/outbox.db")
    assert state.validate_python("/nonexistent/outbox.db") == Path("/nonexistent/outbox.db")
    for directory in ("", ".", "/tmp"):  # noqa: S108 - nothing is put there
        with pytest.raises(ValidationError, match="expected the path of a file, found a directory"):
            state.validate_python(directory)


def test_true_is_no_number() -> None:
    number = TypeAdapter(Number)
    assert number.validate_python("7") == 7
    with pytest.raises(ValidationError, match="expected a whole number, found true"):
        number.validate_python(True)


@pytest.mark.parametrize("root", ["k", "k8s/v1", "plant/berlin/k8s"])
def test_a_topic_root_is_made_of_levels(root: str) -> None:
    assert TypeAdapter(TopicRoot).validate_python(root) == root


@pytest.mark.parametrize("root", ["", "/k8s", "k8s/", "k8s//v1", "k8s/+", "k8s/#", "$SYS", "a b", "a.b"])
def test_a_topic_root_has_no_wildcards_and_no_empty_levels(root: str) -> None:
    with pytest.raises(ValidationError, match="expected topic levels such as k8s/v1"):
        TypeAdapter(TopicRoot).validate_python(root)


def test_an_empty_list_is_no_pattern() -> None:
    with pytest.raises(ValidationError, match="an empty list matches nothing"):
        PATTERN.validate_python([])
