"""What the tests of checkups share."""

from typing import Any

from tocsin_schemas.checkup import Checkup, Finding, Mark


class Report:
    """A checkup whose findings can be asked for by the names of their steps."""

    def __init__(self) -> None:
        self.checkup = Checkup(lambda _step: None)

    def __getitem__(self, name: str) -> Finding[Any]:
        (finding,) = [step.finding for step in self.checkup.steps if step.name == name]
        return finding

    def marks(self) -> dict[str, Mark]:
        return {step.name: step.finding.mark for step in self.checkup.steps}

    def only_failure(self) -> Finding[Any]:
        """Return the one step that failed: the others are fine, or could not be taken because of it."""
        (finding,) = [step.finding for step in self.checkup.steps if step.finding.mark == Mark.FAILED]
        return finding

    def told(self) -> str:
        return "\n".join(line for step in self.checkup.steps for line in step.lines())
