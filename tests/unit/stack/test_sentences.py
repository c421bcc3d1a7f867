"""What stands in the way of a start is told in a sentence that says what to do."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools.stack.artefacts import Artefacts, locked, require_room
from tools.stack.errors import StackError
from tools.stack.ports import Ports, require_free
from tools.stack.progress import Silence
from tools.stack.stack import Stack
from tools.stack.state import read_environment

BOOTSTRAP = Path(__file__).parents[3] / "tools" / "bootstrap.py"


def test_a_busy_port_is_named_with_its_holder_and_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(StackError) as raised:
            require_free(port, "kafka", "--kafka-port or TROLLEYBUS_KAFKA_PORT")
    assert f"Port {port}, meant for kafka, is taken by process {os.getpid()} (" in str(raised.value)
    assert "--kafka-port or TROLLEYBUS_KAFKA_PORT" in str(raised.value)


async def test_a_stack_on_a_busy_port_starts_nothing_and_remembers_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        stack = Stack(tmp_path, replace(Ports.any(), postgres=busy.getsockname()[1]))
        with pytest.raises(StackError, match="meant for postgres, is taken"):
            await stack.up()
    assert stack.running() == []
    assert await stack.status() == []


def test_a_port_is_chosen_by_option_then_variable_then_default() -> None:
    environ = {"TROLLEYBUS_KAFKA_PORT": "1", "TROLLEYBUS_VALKEY_PORT": "2"}
    chosen = Ports.wanted(environ, fresh=True, options={"kafka": 3, "postgres": None})
    assert (chosen.kafka, chosen.valkey, chosen.postgres) == (3, 2, Ports().postgres)
    assert Ports.wanted({}, fresh=False) == Ports.any()


def test_a_variable_that_is_no_port_is_named() -> None:
    with pytest.raises(StackError, match="TROLLEYBUS_KAFKA_PORT is 'many'"):
        Ports.wanted({"TROLLEYBUS_KAFKA_PORT": "many"}, fresh=True)


def test_free_ports_never_overlap_and_brokers_get_neighbours() -> None:
    ports = Ports.any().settled(3)
    brokers = {*range(ports.kafka, ports.kafka + 3), *range(ports.kafka_controller, ports.kafka_controller + 3)}
    others = {ports.registry, ports.registry_management, ports.postgres, ports.valkey, ports.ingest, ports.analytics}
    assert len(brokers | others) == 12


def test_too_little_room_is_told_with_what_can_be_moved(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"MiB free below .* make room, or .*TROLLEYBUS_CACHE"):
        require_room(tmp_path / "not" / "there", 2**62)


def test_a_file_that_is_not_the_pinned_one_is_never_used(tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    for jar in locked("kafka"):
        (jars / jar.filename).write_bytes(b"something else")
    with pytest.raises(StackError, match=r"is not the file that the project pins .* Delete the file and try again"):
        Artefacts(tmp_path).fetch(Silence())


def test_a_folder_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="start one with `trolleybus stack up`"):
        read_environment(tmp_path)


@pytest.mark.parametrize(
    ("circumstance", "sentence"),
    [
        ("sys.version_info = (3, 9, 2)", "Trolleybus needs Python 3.11 or newer"),
        ("sys.modules['ensurepip'] = None", "cannot make virtual environments"),
    ],
)
def test_a_python_that_will_not_do_is_told_before_anything_is_made(circumstance: str, sentence: str) -> None:
    story = f"import runpy, sys; {circumstance}; runpy.run_path({str(BOOTSTRAP)!r})['check_python']()"
    done = subprocess.run([sys.executable, "-c", story], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "make PYTHON=" in done.stderr
