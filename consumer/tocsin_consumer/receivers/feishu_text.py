"""What a notification looks like in Feishu as a text, where a card is refused; what makes texts harmless there."""

import re
from collections.abc import Mapping
from typing import Any, Final

from tocsin_consumer.render import Escape

#: The zero width space after it keeps `<at user_id="all">` from being a mention in a text, where no escape exists.
_SPLIT_TAG: Final = "<\u200b"
#: The characters that mean something in Feishu's Markdown (rich-text, "escape special characters").
_MARKDOWN: Final = re.compile(r"[&<>*_~`\[\]()#\-!\\$:+\"'/]")

DEFAULT_TEXT: Final = """\
[{{ cluster_label }}{% if clusters | length > 1 %} +{{ clusters | length - 1 }}{% endif %}] \
{% if not lines[0].ended %}{{ severity_label }} {% endif %}{{ title }}\
{% if lines[0].objects_label and lines | length + left_out == 1 %} ({{ lines[0].objects_label }}){% endif %}\
{% if times %} {{ times }}{% endif %}
{% if changes %}{{ changes }}
{% endif %}\
{% if lines | length + left_out > 1 %}\
{% for line in lines %}\
- {% if line.mark %}[{{ line.mark }}] {% endif %}\
{{ line.label }}{% if line.objects_label %} ({{ line.objects_label }}){% endif %}\
{% if line.times %} {{ line.times }}{% endif %}: {{ line.message | replace("\n", " ") | truncate(120) }}
{% endfor %}\
{% else %}{{ message }}
{% endif %}\
{% if remainder %}{{ remainder }}
{% endif %}\
{% if lasting %}{{ labels.first }} {{ first_at | time }} · {{ labels.last }} {{ last_at | time }}\
{% if lines[0].ended == "recovered" %} ({{ labels.lasted }} {{ lasting | duration }}){% endif %}\
{% else %}{{ labels.at }} {{ last_at | time }}{% endif %}\
{% if delay %} · {{ labels.delayed }} {{ delay | duration }}{% endif %}\
{% if hint %}
{{ labels.hint }}{{ labels.colon }}{{ hint }}{% endif %}{% if command %}
{{ command }}{% endif %}"""


def escape_text(value: str) -> str:
    """Make `value` harmless in a message of type text: it can mention nobody."""
    return value.replace("<", _SPLIT_TAG)


def escape_markdown(value: str) -> str:
    """Make `value` harmless in `markdown` and `lark_md`."""
    return _MARKDOWN.sub(lambda match: f"&#{ord(match[0])};", value)


def escape_in(component: Mapping[str, Any]) -> Escape:
    """Return how values are made harmless in the texts of a component of a card."""
    return escape_markdown if component.get("tag") in {"markdown", "lark_md"} else str


def text_message(text: str) -> dict[str, Any]:
    """Return the body of a message of type text."""
    return {"msg_type": "text", "content": {"text": text}}
