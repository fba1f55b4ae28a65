"""Every command of docs/ is run here, or its block says that it is not and why.

Places of the documents are moved: the broker is real and on the loopback, the API server and Feishu are stand-ins.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.markdown import NOT_TESTED, blocks, command_lines
from tests.docs.test_docs import ROOT, content
from tests.producer.conftest import event
from tests.stage.process import Process
from tests.stage.site import CLUSTER, FEISHU_SECRET, Site
from tests.waiting import until

#: Those whose commands have tests of their own, beside what they are about.
ELSEWHERE = {"broker.md", "k3s.md", "k3s.zh-CN.md", "images.md", "silences.md", "tuning.md"}
DOCUMENTS = [path for path in sorted((ROOT / "docs").glob("**/*.md")) if path.name not in ELSEWHERE]
#: Commands that go on until they are stopped.
ENDLESS = {"run", "tail"}
INSTALL = ROOT / "docs" / "install.md"


class Reader:
    """Somebody who does what a document says, in a folder of their own.

    What a document does not say itself, they have from the installation.
    """

    def __init__(self, site: Site, document: Path) -> None:
        self.site = site
        self.folder = site.folder / "reader"
        self.folder.mkdir()
        (self.folder / "state").mkdir()
        self.running: list[Process] = []
        #: For documents that leave it where it is by default.
        self.environment = {**os.environ, "TOCSIN_STORE": f"sqlite:///{self.folder}/state/tocsin.db"}
        for block in [*blocks(INSTALL, "yaml"), *blocks(document, "yaml")]:
            side = block.removeprefix("# ").partition(".yaml")[0]
            text = self._moved(block, account=CLUSTER if side == "producer" else "ops")
            (self.folder / f"{side}.yaml").write_text(text, encoding="utf-8")

    def _moved(self, text: str, *, account: str) -> str:
        """Return a text with the places of this machine in the place of the document's."""
        places = {
            "mqtts://broker.example.com:8883": f"mqtts://localhost:{self.site.broker.port}",
            "/etc/rancher/k3s/k3s.yaml": str(self.site.folder / "kubeconfig"),
            "/etc/tocsin/password": str(self.site.accounts[account].password_file),
            "/etc/tocsin/ca.crt": str(self.site.broker.ca_file),
            "/etc/tocsin/feishu-secret": str(self.site.folder / "feishu-secret"),
            "/var/lib/tocsin": str(self.folder / "state"),
        }
        for there, here in places.items():
            text = text.replace(there, here)
        for there in set(re.findall(r"/etc/tocsin/[\w.-]+", text)):
            name = there.rpartition("/")[2]
            (self.folder / name).write_text(self.site.feishu.url if "feishu" in name else content(name))
            text = text.replace(there, str(self.folder / name))
        return text

    def do(self, words: list[str]) -> None:
        """Run a command, and see that it works; one that goes on is left running once it is connected."""
        program, *arguments = (self._moved(word, account=CLUSTER) for word in words)
        module = {"tocsin-producer": "tocsin_producer", "tocsin-consumer": "tocsin_consumer"}[program]
        if arguments[0] in ENDLESS:
            self._start(module, arguments)
            return
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"

    def _start(self, module: str, arguments: list[str]) -> None:
        arguments = [
            str(self.folder / word) if word.endswith(".yaml") and "/" not in word else word for word in arguments
        ]
        command = ("-m", module, *arguments)
        process = Process(module, *command, folder=self.folder, environment=self.environment)
        process.start()
        self.running.append(process)
        process.wait_for_log("connected to")

    def stop(self) -> None:
        """Stop what goes on, and see that it ends cleanly."""
        for process in self.running:
            assert process.stop() == 0


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("KUBECONFIG", "TOCSIN_CONFIG", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        site = stack.enter_context(Site(tmp_path))
        assert (site.folder / "feishu-secret").read_text() == FEISHU_SECRET
        yield site


def commands_of(document: Path) -> list[list[str]]:
    return command_lines(document, tested_only=True)


WITH_COMMANDS = [
    document for document in DOCUMENTS if commands_of(document) and document.name != "install.zh-CN.md"
]


@pytest.mark.broker
@pytest.mark.parametrize("document", WITH_COMMANDS, ids=lambda path: path.name)
def test_the_commands_of_a_document_work(site: Site, document: Path) -> None:
    reader = Reader(site, document)
    try:
        for words in commands_of(document):
            reader.do(words)
        if document == INSTALL:
            assert_that_alerts_arrive(site)
    finally:
        reader.stop()


def assert_that_alerts_arrive(site: Site) -> None:
    """Look at what somebody has who has done all that the installation says: the sample, and then an alert."""
    site.feishu.wait_for(1)
    site.api_server.events.put(event("broken", reason="Failed"))
    until(lambda: any("Failed" in message.visible_text() for message in site.feishu.messages))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_block_that_is_not_tested_says_why(document: Path) -> None:
    for block in blocks(document, "sh"):
        if block.startswith(NOT_TESTED):
            assert len(block.splitlines()[0]) > len(NOT_TESTED) + 5
        assert NOT_TESTED.strip() not in block.removeprefix(NOT_TESTED)


def test_documents_have_commands_that_are_tested() -> None:
    assert {document.name for document in WITH_COMMANDS} >= {"install.md", "operations.md", "routing.md"}
