"""Whose an object is, from its name alone: ten replicas of one Deployment are one owner's. Pure.

Kubernetes makes these names, and people cannot be kept from making some that look alike. Wrongly taken apart, an
owner is told in several lines; wrongly put together, two owners are told as one, and the second is overlooked. So
a name is only read as Kubernetes' where little else can be meant:

- A ReplicaSet's hash is a number below 2^32 of which each digit is written as one of `456789bcdf`. It counts if it
  has six or more of them, and a letter: numbers, dates and words are none. One Deployment in a hundred has a hash
  without a letter; each of its revisions is an owner then.
- The end of a generated name has five of 27 characters, without vowels. Words that have none either, such as
  `https`, are no such end, unless a hash or a CronJob's minutes stand before it.
- A CronJob's minutes since 1970 are those of the years 2016 to 2049, so that 20261124 is none.
- An ordinal has at most three digits, so that a year is none. It is a StatefulSet's: Pods without an owner
  that are numbered by hand are rare.
- The index of an indexed Job is left in its owner's name, since Jobs and DaemonSets are numbered by hand as well:
  `import-1` and `import-2` need not be one. Behind a CronJob's minutes it is dropped.

Sources: `SimpleNameGenerator` (apiserver, storage/names), `SafeEncodeString` (apimachinery, util/rand),
`ComputeHash` (controller_utils), `getJobName` (cronjob), `podGenerateNameWithIndex` (job), `getPodName`
(statefulset), `generatePodName` (kubelet, config: a mirror Pod is called after its node).
"""

import re
from dataclasses import dataclass, field
from typing import Final

DEPLOYMENT: Final = "Deployment"
STATEFUL_SET: Final = "StatefulSet"
CRON_JOB: Final = "CronJob"
#: A Pod that a kubelet runs from a file, one a node.
STATIC_POD: Final = "StaticPod"
#: A DaemonSet, a Job, or a ReplicaSet without a Deployment: the names of their Pods are made alike.
CONTROLLER: Final = "Controller"

#: `generateName` is cut to so many characters, and as many random ones follow.
_BASE_LENGTH: Final = 58
_RANDOM_LENGTH: Final = 5

_RANDOM: Final = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{5}")
#: Words and protocols that consist of those characters.
_WORDS: Final = frozenset(
    {"dhcpd", "html5", "http2", "https", "mqtts", "mssql", "nfsv4", "pgsql", "rtmps", "sftps", "smtps", "sshfs"}
)
_HASHED: Final = re.compile(r"(?P<owner>.+)-(?P<hash>[456789bcdf]{6,10})")
_HASH_DIGITS: Final = str.maketrans("456789bcdf", "0123456789")
#: A Job of a CronJob, and behind it the index of a Pod of an indexed one.
_SCHEDULED: Final = re.compile(r"(?P<owner>.+)-(?P<minutes>\d{8})(-\d{1,6})?")
#: A CronJob's name has at most 52 characters, so that a cut leaves five digits of the minutes.
_SCHEDULED_CUT: Final = re.compile(r"(?P<owner>.{50,52})-(?P<minutes>\d{5,7})")
_FIRST_MINUTE: Final = "24193440"  # 2016-01-01T00:00Z
_LAST_MINUTE: Final = "42076799"  # 2049-12-31T23:59Z
_ORDINAL: Final = re.compile(r"(?P<owner>.+)-(0|[1-9]\d{0,2})")


@dataclass(frozen=True, slots=True)
class Owner:
    """What stands behind an object: a controller, or the object itself."""

    kind: str
    name: str
    #: Whether it was read from the object's name, or is the object: its events and its Pods' have one owner.
    recognised: bool = field(compare=False)


def owner_of(kind: str, name: str, node: str | None = None) -> Owner:
    """Return the owner of an object.

    Args:
        kind: of the object.
        name: of the object.
        node: that it runs on; without it, a mirror Pod is its own owner.
    """
    found = None
    if kind == "Pod":
        found = _static(name, node) or _owner_of_generated(name) or _ordered(name)
    elif kind == "ReplicaSet":
        found = _deployed(name)
    elif kind == "Job":
        found = _scheduled(name)
    return found or Owner(kind, name, recognised=False)


def _static(name: str, node: str | None) -> Owner | None:
    """Return the owner of a mirror Pod; a node that is called like an ordinal or a random end tells nothing."""
    if not node or not name.endswith(f"-{node}") or len(name) <= len(node) + 1:
        return None
    if node.isdecimal() or _RANDOM.fullmatch(node):
        return None
    return Owner(STATIC_POD, name.removesuffix(f"-{node}"), recognised=True)


def _owner_of_generated(name: str) -> Owner | None:
    base, random = name[:-_RANDOM_LENGTH], name[-_RANDOM_LENGTH:]
    is_cut = len(base) == _BASE_LENGTH and not base.endswith("-")
    if not _RANDOM.fullmatch(random) or len(base) > _BASE_LENGTH or not (is_cut or base.endswith("-")):
        return None
    owner = base.removesuffix("-")
    return _deployed(owner) or _scheduled(owner, is_cut=is_cut) or _controlled(owner, random)


def _controlled(owner: str, random: str) -> Owner | None:
    return Owner(CONTROLLER, owner, recognised=True) if owner and random not in _WORDS else None


def _deployed(replica_set: str) -> Owner | None:
    match = _HASHED.fullmatch(replica_set)
    return Owner(DEPLOYMENT, match["owner"], recognised=True) if match and _is_hash(match["hash"]) else None


def _is_hash(text: str) -> bool:
    return not text.startswith("4") and not text.isdecimal() and int(text.translate(_HASH_DIGITS)) < 2**32


def _scheduled(job: str, *, is_cut: bool = False) -> Owner | None:
    match = (_SCHEDULED_CUT.fullmatch(job) if is_cut else None) or _SCHEDULED.fullmatch(job)
    if match is None:
        return None
    minutes = match["minutes"]
    if not _FIRST_MINUTE[: len(minutes)] <= minutes <= _LAST_MINUTE[: len(minutes)]:
        return None
    return Owner(CRON_JOB, match["owner"], recognised=True)


def _ordered(name: str) -> Owner | None:
    match = _ORDINAL.fullmatch(name)
    return Owner(STATEFUL_SET, match["owner"], recognised=True) if match else None
