from pathlib import Path

import pytest

from tocsin_consumer.receiver_settings import KINDS, ReceiverSettings
from tocsin_consumer.receivers import RECEIVERS
from tocsin_schemas import configuration
from tocsin_schemas.configuration import ConfigurationError, Settings

_HOOK = "https://open.feishu.cn/open-apis/bot/v2/hook/0f1e2d3c-secret"


class _File(Settings):
    receivers: list[ReceiverSettings]


def _load(tmp_path: Path, receiver: str) -> ReceiverSettings:
    path = tmp_path / "consumer.yaml"
    path.write_text(f"receivers:\n  - name: r\n{receiver}", encoding="utf-8")
    settings, _ = configuration.load(_File, path, environment={})
    return settings.receivers[0]


def _problems(tmp_path: Path, receiver: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        _load(tmp_path, receiver)
    return str(raised.value).replace(f"{tmp_path}/", "")


def test_the_kinds_of_the_file_are_those_that_can_be_built() -> None:
    assert tuple(RECEIVERS) == KINDS


def test_a_receiver_has_exactly_one_known_kind(tmp_path: Path) -> None:
    expected = "consumer.yaml:2: receivers[0]: expected exactly one of stdout, file, webhook, feishu, found "
    assert _problems(tmp_path, "    slack: {}\n") == f"{expected}slack"
    assert _problems(tmp_path, "") == f"{expected}none of them"
    assert _problems(tmp_path, "    stdout: {}\n    file: {path: x}\n") == f"{expected}stdout, file"


def test_a_kind_without_settings_says_how_to_write_it(tmp_path: Path) -> None:
    assert "write stdout: {}" in _problems(tmp_path, "    stdout:\n")


def test_the_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    settings = _load(tmp_path, f"    file: {{path: {tmp_path}/events}}\n")
    assert settings.kind == "file"
    assert settings.max_age.total_seconds() == 86400
    assert settings.file is not None
    assert (settings.file.max_size, settings.file.backups) == (10 * 1024**2, 5)


def test_zone_and_language_may_differ_by_receiver(tmp_path: Path) -> None:
    settings = _load(tmp_path, "    time_zone: Asia/Shanghai\n    language: zh\n    stdout: {}\n")
    assert settings.time_zone is not None
    assert (settings.time_zone.key, settings.language) == ("Asia/Shanghai", "zh")
    assert "expected an IANA time zone" in _problems(tmp_path, "    time_zone: Asia/Bejing\n    stdout: {}\n")
    assert "expected an IANA time zone" in _problems(tmp_path, "    time_zone: Asia\n    stdout: {}\n")


def test_a_wrong_template_is_told_with_key_and_line(tmp_path: Path) -> None:
    said = _problems(tmp_path, "    stdout:\n      template: |\n        {{ cluster }}\n        {{ podname }}\n")
    assert said.startswith(
        "consumer.yaml:4: receivers[0].stdout.template: sample back-off: line 2: 'podname' is undefined"
    )


def test_a_template_is_tried_on_events_that_lack_what_others_have(tmp_path: Path) -> None:
    assert "added_later" in _problems(tmp_path, "    stdout: {template: '{{ event.added_later }}'}\n")


def test_wrong_texts_in_a_layout_are_all_told_with_their_lines(tmp_path: Path) -> None:
    said = _problems(
        tmp_path,
        "    webhook:\n      url: https://example.com/hook\n      layout:\n        fine: '{{ reason }}'\n"
        "        rows:\n          - text: '{{ .Reason }}'\n          - 2026-01-01\n",
    )
    first, second = said.splitlines()
    assert first.startswith("consumer.yaml:8: receivers[0].webhook.layout.rows[0].text: line 1: {{ .Reason }}")
    assert second.startswith("consumer.yaml:9: receivers[0].webhook.layout.rows[1]: expected what JSON knows")


def test_a_layout_keeps_its_shape(tmp_path: Path) -> None:
    settings = _load(
        tmp_path, "    webhook: {url: 'https://example.com', layout: {wide: true, n: 5, none: null, list: [1]}}\n"
    )
    assert settings.webhook is not None
    assert settings.webhook.layout == {"wide": True, "n": 5, "none": None, "list": [1]}


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://example.com/0f1e2d3c-secret", "expected a url such as https://"),
        ("example.com/0f1e2d3c-secret", "expected a url such as https://"),
        ("https://example.com:port/0f1e2d3c-secret", "malformed"),
        ("https://[::1/0f1e2d3c-secret", "malformed"),
        ("https://example.com/0f1e2d3c secret", "without spaces"),
        ("https://.example.com/0f1e2d3c-secret", "cannot be one"),
        ("https://*.example.com/0f1e2d3c-secret", "cannot be one"),
        (f"https://{'a' * 70}.example.com/0f1e2d3c-secret", "cannot be one"),
        ("https://[12345::]/0f1e2d3c-secret", "expected a url such as https://"),
        ("https://example.com:0/0f1e2d3c-secret", "cannot be one"),
    ],
)
@pytest.mark.parametrize("kind", ["webhook", "feishu"])
def test_a_malformed_url_is_told_without_showing_it(tmp_path: Path, kind: str, url: str, complaint: str) -> None:
    said = _problems(tmp_path, f"    {kind}: {{url: '{url}'}}\n")
    assert complaint in said
    assert "0f1e2d3c" not in said


@pytest.mark.parametrize(
    "url",
    [
        _HOOK,
        f"{_HOOK}/",
        "https://open.larksuite.com/open-apis/bot/v2/hook/abc",
        "http://127.0.0.1:8900/open-apis/bot/v2/hook/demo",
        "https://proxy.example.com/feishu/open-apis/bot/v2/hook/demo",
        "https://[2001:db8::1]:8443/open-apis/bot/v2/hook/demo",
        "http://feishu_proxy/open-apis/bot/v2/hook/demo",
        "https://飞书.example.com./open-apis/bot/v2/hook/demo",
    ],
)
def test_a_bot_may_be_behind_any_host(tmp_path: Path, url: str) -> None:
    settings = _load(tmp_path, f"    feishu: {{url: '{url}'}}\n")
    assert settings.feishu is not None
    assert settings.feishu.address == url


@pytest.mark.parametrize(
    "url",
    ["https://open.feishu.cn/open-apis/bot/hook/0f1e2d3c-secret", "https://open.feishu.cn/0f1e2d3c-secret"],
)
def test_an_address_that_is_not_that_of_a_bot_is_refused_without_showing_it(tmp_path: Path, url: str) -> None:
    said = _problems(tmp_path, f"    feishu: {{url: '{url}'}}\n")
    assert "https://open.feishu.cn/open-apis/bot/v2/hook/<token>" in said
    assert "0f1e2d3c" not in said


def test_a_url_may_be_in_a_file_whose_content_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{_HOOK}\n", encoding="utf-8")
    settings = _load(tmp_path, f"    feishu: {{url_file: {tmp_path}/url}}\n")
    assert settings.feishu is not None
    assert settings.feishu.address == _HOOK
    (tmp_path / "url").write_text("0f1e2d3c-secret", encoding="utf-8")
    said = _problems(tmp_path, f"    feishu: {{url_file: {tmp_path}/url}}\n")
    assert said.startswith("consumer.yaml:3: receivers[0].feishu.url_file: url: expected a url such as")
    assert "0f1e2d3c" not in said


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff\xfe", "is not UTF-8")]
)
def test_a_secret_file_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    said = _problems(tmp_path, f"    feishu: {{url: '{_HOOK}', secret_file: {tmp_path}/secret}}\n")
    assert said.startswith("consumer.yaml:3: receivers[0].feishu.secret_file: secret ")
    assert complaint in said


@pytest.mark.parametrize(
    ("feishu", "complaint"),
    [
        ("{}", "expected url or url_file, found neither"),
        (f"{{url: '{_HOOK}', url_file: /dev/null}}", "/dev/null: expected a url"),
        (f"{{url: '{_HOOK}', secret: s3cr3t, secret_file: SECRET}}", "expected either secret or secret_file"),
        (f"{{url: '{_HOOK}', card: {{}}, title: x}}", "expected either card or title"),
        (f"{{url: '{_HOOK}', card: [1]}}", "expected a card as keys and values"),
        (f"{{url: '{_HOOK}', titel: x}}", "did you mean title?"),
        (f"{{url: '{_HOOK}', timeout: 0s}}", "receivers[0].feishu.timeout: expected "),
    ],
)
def test_settings_that_contradict_each_other_are_told(tmp_path: Path, feishu: str, complaint: str) -> None:
    (tmp_path / "s").write_text("x", encoding="utf-8")
    said = _problems(tmp_path, f"    feishu: {feishu.replace('SECRET', str(tmp_path / 's'))}\n")
    assert complaint in said
    assert "s3cr3t" not in said
    assert "0f1e2d3c" not in said


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ("{'X Bad': x}", "expected the name of a header"),
        ('{X-Two: "s3cr3t\\nX-More: b"}', "receivers[0].webhook.headers.X-Two: expected one line"),
        ("{X-Space: ' s3cr3t'}", "receivers[0].webhook.headers.X-Space: expected one line"),
        ("{X-File: {file: TWO_LINES}}", "two-lines: expected one line"),
        (
            "{X-Text: '{{ nope }}'}",
            "receivers[0].webhook.headers.X-Text: sample back-off: line 1: 'nope' is undefined",
        ),
        ("{X-Text: 'Bearer s3cr3t {{'}", "receivers[0].webhook.headers.X-Text: line 1: "),
        ("{Authorization: {file: /nowhere}}", "headers.Authorization.file: /nowhere cannot be read"),
        ("{Authorization: {path: /nowhere}}", "headers.Authorization.path: unknown key"),
    ],
)
def test_a_wrong_header_is_told_with_its_name_and_without_its_value(
    tmp_path: Path, headers: str, complaint: str
) -> None:
    (tmp_path / "two-lines").write_text("s3cr3t\ns3cr3t\n", encoding="utf-8")
    headers = headers.replace("TWO_LINES", str(tmp_path / "two-lines"))
    said = _problems(tmp_path, f"    webhook: {{url: 'https://example.com', headers: {headers}}}\n")
    assert complaint in said
    assert "s3cr3t" not in said


def test_a_file_without_certificates_is_no_ca_file(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("nothing", encoding="utf-8")
    said = _problems(tmp_path, f"    webhook: {{url: 'https://example.com', ca_file: {tmp_path}/ca}}\n")
    assert "receivers[0].webhook.ca_file: ca has no certificates" in said


def test_a_template_that_json_would_ignore_is_refused(tmp_path: Path) -> None:
    assert "expected no template with the format json" in _problems(
        tmp_path, "    stdout: {format: json, template: x}\n"
    )


def test_no_secret_is_in_the_text_of_settings(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        f"    feishu: {{url: '{_HOOK}', secret: s3cr3t}}\n"
        "  - name: w\n"
        "    webhook: {url: 'https://example.com/0f1e2d3c', headers: {Authorization: Bearer s3cr3t}}\n",
    )
    assert "0f1e2d3c" not in repr(settings)
    assert "s3cr3t" not in repr(settings)


def test_a_directory_is_no_file_to_write_to(tmp_path: Path) -> None:
    assert "receivers[0].file.path: expected the path of a file, found a directory" in _problems(
        tmp_path, f"    file: {{path: {tmp_path}}}\n"
    )


def test_what_contradicts_another_key_is_told_along_with_what_is_wrong_by_itself(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    said = _problems(
        tmp_path,
        f"    feishu: {{secret: s3cr3t, secret_file: {tmp_path}/secret, timeout: 0s, card: {{}}, title: x}}\n"
        "  - name: s\n    stdout: {format: json, template: x, colour: red}\n",
    )
    assert [line.partition(": expected")[0].partition(": unknown")[0] for line in said.splitlines()] == [
        "consumer.yaml:3: receivers[0].feishu.card",
        "consumer.yaml:3: receivers[0].feishu.secret_file",
        "consumer.yaml:3: receivers[0].feishu.timeout",
        "consumer.yaml:3: receivers[0].feishu.url_file",
        "consumer.yaml:5: receivers[1].stdout.colour",
        "consumer.yaml:5: receivers[1].stdout.template",
    ]


def test_an_address_where_its_file_belongs_is_told_without_showing_it(tmp_path: Path) -> None:
    said = _problems(tmp_path, f"    feishu: {{url_file: '{_HOOK}'}}\n")
    assert "receivers[0].feishu.url_file: expected the path of a file, found an address; it belongs under" in said
    assert "0f1e2d3c" not in said
