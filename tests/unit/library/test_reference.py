"""deploy/reference.env is the truth about every setting of every service."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tests.unit.library.sample_service import SampleSettings
from trolleybus.settings import ServiceSettings, reference_problems

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "deploy" / "reference.env"
SHARED = REFERENCE.read_text().split("## every service")[1].split("\n## ")[0]
SAMPLE = f"## every service{SHARED}\n## analytics\n# p\n#PORT=0\n# m\n#MAX_BODY_BYTES=1000\n# l\n#LOOP_DIES=false\n# s\n#START_HANGS=false\n"


def settings_classes() -> list[type[ServiceSettings]]:
    found: list[type[ServiceSettings]] = []
    for folder in sorted((ROOT / "services").iterdir()):
        module = f"services.{folder.name}.settings"
        if not folder.is_dir() or find_spec(f"services.{folder.name}") is None or find_spec(module) is None:
            continue
        found += [
            member
            for member in vars(import_module(module)).values()
            if isinstance(member, type) and issubclass(member, ServiceSettings) and member.__module__ == module
        ]
    return found


def test_the_reference_says_what_the_code_says() -> None:
    assert reference_problems(REFERENCE.read_text(), settings_classes()) == []


def test_a_true_reference_has_no_problem() -> None:
    assert reference_problems(SAMPLE, [SampleSettings]) == []


def test_a_missing_setting_is_named_with_the_line_to_add() -> None:
    text = SAMPLE.replace("# l\n#LOOP_DIES=false\n", "")
    assert reference_problems(text, [SampleSettings]) == ["section 'analytics' lacks: #LOOP_DIES=false"]


def test_a_setting_that_the_code_does_not_have_is_named() -> None:
    text = SAMPLE + "# gone\n#OLD=1\n"
    assert reference_problems(text, [SampleSettings]) == ["section 'analytics' has OLD, the code has not"]


def test_another_default_is_named() -> None:
    text = SAMPLE.replace("#PORT=0", "#PORT=1")
    assert reference_problems(text, [SampleSettings]) == [
        "section 'analytics' says #PORT=1, the code says: #PORT=0",
    ]


def test_a_setting_without_a_comment_is_named() -> None:
    (problem,) = reference_problems(SAMPLE.replace("# l\n", ""), [SampleSettings])
    assert "LOOP_DIES has no comment above it" in problem


def test_a_line_that_would_set_something_is_named() -> None:
    (problem,) = reference_problems(SAMPLE + "PORT=5\n", [SampleSettings])
    assert "is neither a comment nor #NAME=default" in problem
