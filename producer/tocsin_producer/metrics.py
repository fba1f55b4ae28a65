"""The Prometheus text format, version 0.0.4, written by hand (pure).

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PREFIX: Final = "tocsin_producer_"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its samples by the value of its label; without a label there is one, at ''."""

    name: str
    kind: Literal["counter", "gauge"]
    description: str
    samples: Mapping[str, float]
    label: str = ""
    constant: Mapping[str, str] = field(default_factory=dict)


def gauge(name: str, description: str, value: float | None) -> Metric:
    """Return a gauge without a label; one whose value is None is not known yet and has no sample."""
    return Metric(name, "gauge", description, {} if value is None else {"": value})


def counter(name: str, description: str, value: float) -> Metric:
    """Return a counter without a label."""
    return Metric(name, "counter", description, {"": value})


def exposition(metrics: Iterable[Metric]) -> str:
    """Return `metrics` as Prometheus reads them."""
    return "".join(line for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterable[str]:
    name = PREFIX + metric.name
    yield f"# HELP {name} {_escape(metric.description)}\n"
    yield f"# TYPE {name} {metric.kind}\n"
    for value, number in metric.samples.items():
        labels = dict(metric.constant) | ({metric.label: value} if metric.label else {})
        yield f"{name}{_labels(labels)} {_number(number)}\n"


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{key}="{_escape(value, quotes=True)}"' for key, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escape(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(round(number, 3))
