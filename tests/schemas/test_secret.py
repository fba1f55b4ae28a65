from pathlib import Path

import pytest

from tocsin_schemas.secret import read_secret


def test_line_breaks_around_a_secret_do_not_belong_to_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\n\r\n s\xc3\xa9cret \r\n\n")
    assert read_secret(file) == " sécret "


def test_a_secret_that_is_not_utf_8_shows_nothing_of_itself(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"p\xe4ss")
    with pytest.raises(ValueError, match=r"secret is not UTF-8$") as error:
        read_secret(file)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
