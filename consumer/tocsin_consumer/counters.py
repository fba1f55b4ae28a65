"""What became of the messages that were processed."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Counters:
    """What became of the messages that were stored."""

    seen: int = 0
    statuses: int = 0
    #: Not understood: dead letters.
    rejected: int = 0
    #: Known states of known events, and states older than a known one.
    repeats: int = 0
    stale: int = 0
    #: Events that a producer numbered and that never came.
    missing: int = 0
    #: New states of events; of them, those that no route takes to a receiver.
    events: int = 0
    dropped: int = 0
    #: Deliveries of single events; and notifications of incidents, which tell of any number of them.
    deliveries: int = 0
    notifications: int = 0
    #: Incidents that were told in the digest of a storm instead.
    digested: int = 0
    #: Recoveries of what no incident knows, which tell nobody anything.
    needless: int = 0
    #: What was told about clusters; beside the events, and not among them.
    notices: int = 0

    def add(self, other: "Counters") -> None:
        """Count what `other` has counted."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))

    def __str__(self) -> str:
        return " ".join(f"{counter.name}={getattr(self, counter.name)}" for counter in fields(self))
