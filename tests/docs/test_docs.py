"""What the documents say, the code does: every example is loaded, every command is looked up."""

import re
from pathlib import Path

import click
import pytest
import trustme
import yaml

from tests.docs.markdown import blocks, command_lines
from tocsin_consumer import cli as consumer_cli
from tocsin_consumer.settings import ConsumerSettings, StormSettings
from tocsin_consumer.settings import load_settings as load_consumer
from tocsin_producer import cli as producer_cli
from tocsin_producer.settings import EventSettings, ProducerSettings
from tocsin_producer.settings import load_settings as load_producer
from tocsin_schemas.event import EventPayload

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
#: What is there in English and in Chinese.
PAIRS = [READMES, [ROOT / "docs" / "install.md", ROOT / "docs" / "install.zh-CN.md"]]
DOCUMENTS = [
    *READMES,
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
    ROOT / "mosquitto/README.md",
]
EXAMPLES = ROOT / "deploy" / "examples"
COMMANDS: dict[str, click.Group] = {"tocsin-producer": producer_cli.main, "tocsin-consumer": consumer_cli.main}
LOADERS = {"producer.yaml": load_producer, "consumer.yaml": load_consumer}


def placed(text: str, folder: Path) -> str:
    """Return a configuration whose secrets' files exist."""
    for path in set(re.findall(r"(?:_file|file): (/etc/tocsin/[\w.-]+)", text)):
        name = path.rpartition("/")[2]
        (folder / name).write_text(content(name), encoding="utf-8")
        text = text.replace(path, str(folder / name))
    return text


def content(name: str) -> str:
    """Return what a file of such a name holds."""
    if name == "ca.crt":
        return trustme.CA().cert_pem.bytes().decode()
    return "https://open.feishu.cn/open-apis/bot/v2/hook/0" if "url" in name else "content"


def load(name: str, text: str, folder: Path) -> None:
    path = folder / name
    path.write_text(placed(text, folder), encoding="utf-8")
    LOADERS[name](path, {})


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_an_example_configuration_is_accepted_as_it_is(name: str, tmp_path: Path) -> None:
    load(name, (EXAMPLES / name).read_text(encoding="utf-8"), tmp_path)


def test_the_producers_example_shows_the_defaults(tmp_path: Path) -> None:
    text = placed((EXAMPLES / "producer.yaml").read_text(encoding="utf-8"), tmp_path)
    shown = ProducerSettings.model_validate(yaml.safe_load(text))
    assert shown.events == EventSettings()
    assert shown.outbox.max_messages == ProducerSettings.model_fields["outbox"].default.max_messages
    assert (shown.message_limit, shown.topic_root) == (1024, "k8s/v1")


def test_what_is_told_to_be_the_default_of_storms_is(tmp_path: Path) -> None:
    (shown,) = blocks(ROOT / "docs" / "storms.md", "yaml")
    said = ConsumerSettings.model_validate(yaml.safe_load(placed(shown, tmp_path)))
    assert said.storm == StormSettings()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_configurations_in_a_document_are_accepted(document: Path, tmp_path: Path) -> None:
    for block in blocks(document, "yaml"):
        match = re.match(r"# (producer|consumer)\.yaml", block)
        assert match, f"a yaml block must begin with the name of its file:\n{block}"
        load(f"{match[1]}.yaml", block, tmp_path)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_in_a_document_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in command_lines(document):
        program, *arguments = [word for word in line if word != "sudo"]
        if program in COMMANDS:
            check_command(COMMANDS[program], arguments)
        if program == "make":
            targets = [argument for argument in arguments if "=" not in argument]
            assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_that_the_text_of_a_document_names_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"`(tocsin-(?:producer|consumer)) ([a-z][a-z-]*)", text))
    missing = {f"{program} {name}" for program, name in named if name not in COMMANDS[program].commands}
    assert missing == set()


def check_command(group: click.Group, arguments: list[str]) -> None:
    name, *rest = arguments
    assert name in group.commands, f"no command {name}"
    command = group.commands[name]
    if isinstance(command, click.Group):
        check_command(command, rest)
        return
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = [
        word.partition("=")[0] for word in rest if word.startswith("--") and word.partition("=")[0] not in known
    ]
    assert unknown == [], f"{name} has no {unknown}"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)
def test_both_languages_show_the_same_commands_and_examples(pair: list[Path]) -> None:
    english, chinese = (
        [without_comments(block) for block in blocks(document, "sh", "yaml", "json")] for document in pair
    )
    assert english == chinese


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)
def test_both_languages_lead_to_the_same_places(pair: list[Path]) -> None:
    """Each leads to what there is in its own language."""
    links = (re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")) for path in pair)
    english, chinese = ({target.replace(".zh-CN.md", ".md") for target in targets} for targets in links)
    own = {pair[0].name}
    assert english - own == chinese - own


def without_comments(block: str) -> str:
    return re.sub(r"(?m)(^|\s+)#.*$", "", block)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_payload_in_the_readme_is_one(readme: Path) -> None:
    (payload,) = blocks(readme, "json")
    EventPayload.model_validate_json(payload)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_a_heading_lead_to_one(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", document.read_text(encoding="utf-8"))
    for target, anchor in links:
        place = document.parent / target if target else document
        headings = re.findall(r"(?m)^#+ (.*)$", place.read_text(encoding="utf-8"))
        assert anchor in {anchor_of(heading) for heading in headings}


def anchor_of(heading: str) -> str:
    """Return what GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_a_figure_that_is_quoted_was_measured(readme: Path) -> None:
    """What stands in bold are figures of the results."""
    results = (ROOT / "bench/RESULTS.md").read_text(encoding="utf-8")
    quoted = re.findall(r"\*\*([\d,.]+)\*\*", readme.read_text(encoding="utf-8"))
    assert len(quoted) > 10
    assert [figure for figure in quoted if f"| {figure.replace(',', '')} " not in results] == []
