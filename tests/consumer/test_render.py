import json
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.consumer.views import view
from tocsin_consumer.document import document
from tocsin_consumer.errors import RenderError
from tocsin_consumer.receivers.feishu_text import escape_markdown
from tocsin_consumer.render import Template, to_json
from tocsin_consumer.samples import samples
from tocsin_consumer.view import View


def _render(source: str, name: str = "back-off") -> str:
    return Template(source).render(view(name))


def test_a_template_names_what_an_event_says() -> None:
    source = (
        "{{ cluster }}|{{ kind }}|{{ object }}|{{ container }}|{{ count }}|{{ times }}|{{ severity }}|{{ title }}"
    )
    said = (
        "edge-042|Pod|production/api-7c9f6d5b8-x2x7p|api|14|×14|warning|"  # noqa: RUF001 - the sign itself
        "BackOff · production/api-7c9f6d5b8-x2x7p"
    )
    assert _render(source) == said


def test_what_an_event_lacks_is_empty_and_false() -> None:
    source = (
        "[{{ namespace }}{{ node }}{{ container }}{{ delay }}{{ times }}]{% if node %}x{% endif %}{{ object }}"
    )
    assert _render(source, "node-not-ready") == "[]pi-3"


def test_times_are_in_the_zone_of_the_receiver() -> None:
    assert _render("{{ last_at | time }} {{ zone }}") == "2026-11-24 03:18:52 UTC+8"
    assert _render("{{ first_at | date }} {{ last_at | time('%H:%M') }}") == "2026-11-24 03:18"


@pytest.mark.parametrize(
    ("zone", "said"), [("UTC", "UTC"), ("Asia/Kolkata", "UTC+5:30"), ("America/Lima", "UTC-5")]
)
def test_a_zone_is_told_by_its_offset(zone: str, said: str) -> None:
    assert View.of(samples()["back-off"], ZoneInfo(zone), language="en").zone == said


def test_a_delay_below_a_minute_is_none() -> None:
    assert view("back-off").delay is None
    assert view("held-back").delay == timedelta(seconds=7534)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Asia/Shanghai", "UTC", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("name", samples())
def test_every_sample_has_a_time_in_every_zone(name: str, zone: str) -> None:
    seen = View.of(samples()[name], ZoneInfo(zone), language="zh")
    assert seen.first_at <= seen.last_at
    assert seen.last_at.tzinfo == ZoneInfo(zone)


def test_durations_speak_the_language_of_the_receiver() -> None:
    template = Template("{{ delay | duration }}")
    assert template.render(view("held-back", language="zh")) == "2 小时 5 分钟"
    assert template.render(view("held-back", language="en")) == "2 h 5 min"
    assert template.render(view("back-off")) == ""


def test_the_event_has_fields_that_this_version_does_not_know() -> None:
    assert _render("{{ event.added_later.by }}", "hostile") == "a newer producer"
    assert json.loads(_render("{{ event | tojson }}"))["from"] == "kubelet"


def test_a_text_of_an_event_is_inert_and_the_event_has_it_as_it_came() -> None:
    assert "\\x1b[31mred" in _render("{{ message }}", "hostile")
    assert "\x1b[31mred" in _render("{{ event.msg }}", "hostile")


def test_a_time_that_there_is_none_of_is_empty() -> None:
    assert _render("[{{ told_at | time }}{{ told_at | time('%H') }}{{ told_at | date }}]") == "[]"


def test_what_an_event_says_is_never_a_template() -> None:
    assert "{{ 7 * 7 }}" in _render("{{ message }}", "hostile")


def test_values_are_escaped_and_what_the_template_says_is_not() -> None:
    template = Template(
        "<b>{{ '<' }}{{ message | truncate(5) }}</b>{{ '<' | safe }}", escape=lambda text: f"({text})"
    )
    assert template.render(view()) == "<b>(<)(Back…)</b><"


def _in_brackets(text: str) -> str:
    return f"({text})"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% macro row(a) %}**{{ a }}**{% endmacro %}{{ row(kind) }}", "**(Pod)**"),
        ("{% set x %}**{{ kind }}**{% endset %}{{ x }}", "**(Pod)**"),
        ("{% set x | upper %}a{{ kind }}{% endset %}{{ x }}", "(A(POD))"),
        ("{% macro b() %}<{{ caller() }}>{% endmacro %}{% call b() %}{{ kind }}{% endcall %}", "<(Pod)>"),
        ("{% for a in [[1]] recursive %}{{ loop(a) if a is iterable else a }}{% endfor %}", "(1)"),
        ("{% block a %}{{ kind }}{% endblock %}{{ self.a() }}", "(Pod)(Pod)"),
        ("{{ kind | e }}{{ kind | escape }}{{ kind | forceescape }}{{ kind | e | e }}", "(Pod)(Pod)(Pod)(Pod)"),
        ("{{ '**' | safe }}{{ kind | safe }}{{ none | e }}", "**Pod"),
        # What is made of a text that is done is not done.
        ("{{ ('**' | safe) ~ kind }}", "(**Pod)"),
        ("{{ ('**' | safe) + kind }}", "(**Pod)"),
        ("{{ ('{}' | safe).format(kind) }}", "(Pod)"),
        ("{{ (kind | e).upper() }}", "((POD))"),
        ("{{ [kind | safe] | join('|' | safe) }}", "(Pod)"),
        ("{{ kind | safe | replace('P', 'p') }}", "(pod)"),
    ],
)
def test_every_value_is_escaped_once_and_what_the_template_says_never(source: str, text: str) -> None:
    assert Template(source, escape=_in_brackets).render(view()) == text


def test_no_filter_makes_a_link_of_what_an_event_says() -> None:
    template = Template("{{ message | e }} {{ message | forceescape }}", escape=escape_markdown)
    said = template.render(view("hostile"))
    assert "[prize]" not in said
    assert "**" not in said


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{{ resaon | safe }}", "line 1: 'resaon' is undefined"),
        ("{{ resaon | e }}", "line 1: 'resaon' is undefined"),
        ("{{ message | striptags }}", "line 1: No filter named 'striptags'"),
        ("{% set x %}{{ resaon }}{% endset %}{{ x }}", "line 1: 'resaon' is undefined"),
        ("{{ resaon }}", "line 1: 'resaon' is undefined; did you mean reason?"),
        ("\n\n{{ quux }}", "line 3: 'quux' is undefined; known here: cluster, "),
        ("{{ event.quux }}", "line 1: an object has no 'quux'; known here: v, cluster, type, "),
        ("{{ lines[0].resaon }}", "line 1: a line has no 'resaon'; did you mean reason?"),
        ("{{ lines[0].quux }}", "line 1: a line has no 'quux'; known here: cluster, "),
        ("{{ lines.title }}", "line 1: a list has no 'title'"),
        ("{{ lines[9].title }}", "line 1: a list of 1 has no element 9; the first is 0"),
        ("{{ told_at.year }}", "line 1: nothing has no 'year'"),
        (
            "{{ lasting | time }}",
            "line 1: the filter time expected a time such as last_at, found a length of time",
        ),
        ("{{ last_at | time(5) }}", "line 1: the filter time expected a form such as "),
        ("{{ lines[0] | date }}", "line 1: the filter date expected a time such as last_at, found a line"),
        (
            "{{ message | duration }}",
            "line 1: the filter duration expected a length of time such as lasting, found a text",
        ),
        ("{{ count + message }}", "line 1: unsupported operand type(s) for +: a number and a text"),
        ("a\n{{ reason", "line 2: "),
        ("{% if reason %}", "line 1: "),
        ("{{ reason | shout }}", "line 1: No filter named 'shout'"),
        ("{{ count / 0 }}", "line 1: division by zero"),
        ("{{ reason.__class__ }}", "line 1: access to attribute '__class__'"),
        ("{{ event.update({}) }}", "line 1: "),
        ("{{ 'x' * 10 ** 9 }}", "line 1: ** is not available"),
        ("{{ 'x' * 999999999 }}", "line 1: * works on numbers only"),
        ("{{ '%999999999d' % 1 }}", "line 1: % works on numbers only"),
        ("{{ 'x'.ljust(999999999) }}", "line 1: a number above"),
        ("{{ 'x' | center(999999999) }}", "line 1: No filter named 'center'"),
        ("{% for i in range(90000) %}{{ reason }}{% endfor %}", "says more than 262144 characters"),
        ("{% include 'x' %}", "line 1: "),
    ],
)
def test_a_template_that_goes_wrong_says_where_and_why(source: str, complaint: str) -> None:
    with pytest.raises(RenderError) as raised:
        _render(source)
    assert str(raised.value).startswith(complaint) or complaint in str(raised.value)


@pytest.mark.parametrize(
    ("source", "here"),
    [
        ("{{ .Reason }}", "here it is {{ reason }}"),
        ("x\n{{- .InvolvedObject.Kind -}}", "line 2: "),
        ("{{ .LastTimestamp }}", "here it is {{ last_at }}"),
        ("{{ toJson . }}", "here it is {{ event | tojson }}"),
        ("{{ .GetTimestampMs }}", "there is none for this"),
    ],
)
def test_a_template_of_the_old_exporter_is_refused_with_how_it_is_written_here(source: str, here: str) -> None:
    with pytest.raises(RenderError, match="is a template of Go's") as raised:
        Template(source)
    assert here in str(raised.value)


def test_arithmetic_on_numbers_works() -> None:
    assert _render("{{ count * 2 }} {{ count % 4 }}") == "28 2"


def test_a_shortened_message_is_short_wherever_it_is_said() -> None:
    short = view("long-message").with_message(10)
    assert short.message == short.event["msg"]
    assert len(short.message) <= 10


def test_the_document_is_the_wire_with_the_time_of_arrival() -> None:
    said = document(samples()["hostile"])
    assert said["received_at"] == "2026-11-23T19:18:54.000Z"
    assert said["from"] == "kubelet"
    assert said["added_later"] == {"by": "a newer producer"}
    assert "\n" not in to_json(said)


def test_no_template_changes_what_the_next_one_sees() -> None:
    with pytest.raises(RenderError):
        _render("{{ labels.update({'at': 'x'}) }}")
    assert view().labels["at"] == "At"


@pytest.mark.parametrize("name", ["back-off", "incident-replicas", "incident-group", "incident-repeat"])
def test_what_goes_on_has_the_hint_of_its_first_line(name: str) -> None:
    assert view(name).hint
    assert view(name).command.startswith("kubectl ")


@pytest.mark.parametrize(
    "name", ["incident-recovered", "incident-quiet", "incident-mixed-end", "incident-hostile"]
)
def test_what_is_over_or_unknown_has_no_hint(name: str) -> None:
    assert (view(name).hint, view(name).command) == ("", "")


def test_a_hint_says_of_which_reason_it_is_where_others_go_on_for_other_reasons() -> None:
    assert view("incident-group").hint.startswith(f"{view('incident-group').reason}: ")
    assert not view("incident-replicas").hint.startswith(view("incident-replicas").reason)
