"""One step's e-mail, rendered; and what is wrong with a step's templates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.campaigns.content.liquid import TemplateError, render

_LONGEST_SUBJECT = 250


@dataclass(frozen=True, slots=True)
class Templates:
    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a template: its field, its line (0: the whole) and why."""

    field: str
    line: int
    detail: str


class Unwritable(Exception):
    """A template of the step cannot be rendered."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.field}, line {fault.line}: {fault.detail}")
        self.fault = fault


def write(templates: Templates, variables: Mapping[str, Any]) -> Mail:
    """Raises Unwritable."""
    subject = " ".join(_render("subject", templates.subject, variables).split())[:_LONGEST_SUBJECT]
    if not subject:
        raise Unwritable(Fault("subject", 0, "the subject comes out empty"))
    return Mail(subject, _render("html", templates.html, variables), _render("text", templates.text, variables))


def faults(templates: Templates, *samples: Mapping[str, Any]) -> Iterator[Fault]:
    """Renders with each sample; marketing mail has its unsubscribe link in both parts."""
    for field in ("subject", "html", "text"):
        for variables in samples:
            try:
                rendered = _render(field, getattr(templates, field), variables)
            except Unwritable as error:
                yield error.fault
                break
            if not rendered.strip():
                yield Fault(field, 0, "it comes out empty")
                break
            if field != "subject" and str(variables["unsubscribe_url"]) not in rendered:
                yield Fault(field, 0, "the unsubscribe link is missing: write {{ unsubscribe_url }}")
                break


def _render(field: str, source: str, variables: Mapping[str, Any]) -> str:
    try:
        return render(source, variables, escape=field == "html")
    except TemplateError as error:
        raise Unwritable(Fault(field, error.line, error.detail)) from error
