"""A guide's commands, run as they stand there."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
LONGEST_S = 60


async def commands_of(guide: str) -> list[str]:
    """What stands in the guide's blocks of bash, in order."""
    return re.findall(r"```bash\n(.*?)```", await asyncio.to_thread((GUIDES / guide).read_text), re.DOTALL)


async def run(script: str, settings: Mapping[str, str], folder: Path) -> tuple[int | None, str]:
    """Its exit code, and what it says; this environment's programs are at hand."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        env={**os.environ, **settings, "PATH": path},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), LONGEST_S)
    return shell.returncode, output.decode()
