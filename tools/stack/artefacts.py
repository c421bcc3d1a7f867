"""The servers that no wheel carries: Kafka's jars and the registry's archive, each held to its checksum in artefacts.lock."""

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.stack.errors import StackError
from tools.stack.progress import Advance, Narrator

LOCK = Path(__file__).with_name("artefacts.lock")
ROOM_NEEDED = 1_500 * 1024 * 1024


@dataclass(frozen=True)
class Artefact:
    """`coordinates` are group:artifact:version[:classifier:packaging]."""

    coordinates: str
    sha256: str

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        group, artifact, version, *rest = self.coordinates.split(":")
        classifier, packaging = rest or ("", "jar")
        return group, artifact, version, classifier, packaging

    @property
    def filename(self) -> str:
        _, artifact, version, classifier, packaging = self.parts
        return f"{artifact}-{version}{f'-{classifier}' if classifier else ''}.{packaging}"


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    if chosen := environ.get("TROLLEYBUS_CACHE"):
        return Path(chosen)
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trolleybus"


def locked(section: str, lock: Path = LOCK) -> list[Artefact]:
    with lock.open("rb") as file:
        return [Artefact(coordinates, sha256) for coordinates, sha256 in tomllib.load(file)[section].items()]


def require_room(directory: Path, needed: int = ROOM_NEEDED) -> None:
    existing = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise StackError(
            f"There is {free // 2**20} MiB free below {existing}, the local stack needs {needed // 2**20} MiB: make room, "
            "or choose another disk with TROLLEYBUS_CACHE (downloads) and --dir or TROLLEYBUS_DEV_DIR (state)."
        )


class Artefacts:
    """The download cache; files appear in it whole, by a rename."""

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache or cache_directory()
        self._cancelled = threading.Event()

    @property
    def kafka_jars(self) -> list[Path]:
        """Kafka's class path."""
        return [self._jars / artefact.filename for artefact in locked("kafka")]

    @property
    def registry(self) -> Path:
        """The registry's unpacked folder."""
        (archive,) = locked("registry")
        return self.cache / f"registry-{archive.sha256[:16]}"

    def fetch(self, narrator: Narrator) -> None:
        """Downloads what is missing and verifies all. Raises StackError."""
        with self._exclusive():
            jars = locked("kafka")
            self._provide(narrator, "Apache Kafka", jars, self._jars)
            for jar in jars:
                _verify(jar, self._jars / jar.filename)
            if not self.registry.exists():
                self._unpack_registry(narrator)

    def cancel(self) -> None:
        """Ends a fetch that runs in another thread."""
        self._cancelled.set()

    @property
    def _jars(self) -> Path:
        return self.cache / "jars"

    def _unpack_registry(self, narrator: Narrator) -> None:
        (archive,) = locked("registry")
        packed = self.cache / archive.filename
        self._provide(narrator, "the schema registry", [archive], self.cache)
        _verify(archive, packed)
        with _workspace(self.cache) as workspace, tarfile.open(packed) as file:
            # Set, not passed: Python before 3.11.4 has no filters, and the archive is the verified one.
            file.extraction_filter = getattr(tarfile, "data_filter", None)
            file.extractall(workspace / "registry")  # noqa: S202  # see above
            (workspace / "registry").rename(self.registry)
        packed.unlink()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time fills the cache; the others wait and then find everything there."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _provide(self, narrator: Narrator, what: str, wanted: Sequence[Artefact], folder: Path) -> None:
        missing = [artefact for artefact in wanted if not (folder / artefact.filename).exists()]
        if not missing:
            return
        require_room(self.cache)
        folder.mkdir(parents=True, exist_ok=True)
        with _workspace(self.cache) as workspace, narrator.downloading(what, len(missing)) as advance:
            download = _downloader(workspace, self._unless_cancelled(advance))
            with ThreadPoolExecutor(4) as threads:
                for artefact, path in zip(missing, threads.map(download, missing), strict=True):
                    _verify(artefact, path)
                    path.rename(folder / artefact.filename)

    def _unless_cancelled(self, advance: Advance) -> Advance:
        def checked(file: str, count: int, size: int) -> None:
            if self._cancelled.is_set():
                raise StackError("The download was stopped; the next start goes on with what is missing.")
            advance(file, count, size)

        return checked


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(artefact: Artefact, path: Path) -> None:
    found = sha256_of(path)
    if found != artefact.sha256:
        raise StackError(
            f"{path} is not the file that the project pins for {artefact.coordinates}: its sha256 is {found}, "
            f"{LOCK.name} says {artefact.sha256}. Delete the file and try again; if it stays so, do not use it."
        )


@contextmanager
def _workspace(cache: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as folder:
        yield Path(folder)


def _downloader(workspace: Path, advance: Advance) -> Callable[[Artefact], Path]:
    # Imported here: only the very first start downloads, every later one is faster without.
    import requests  # noqa: PLC0415
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    @contextmanager
    def report(filename: str, size: int) -> Iterator[Callable[[int], None]]:
        yield lambda count: advance(filename, count, size)

    resolver = PythonResolver(progress_callback=report)
    context: Any = MavenContext(resolver=resolver, repo_cache=workspace, local_repos=[], timeout=60)

    def download(artefact: Artefact) -> Path:
        group, artifact, version, classifier, packaging = artefact.parts
        component = context.project(group, artifact).at_version(version)
        try:
            path: Path = component.artifact(classifier, packaging).resolve()
        except (OSError, RuntimeError, requests.RequestException) as error:
            raise StackError(
                f"Could not download {artefact.coordinates}. The first start needs the network (about 210 MB from Maven's "
                f"central repository); later ones do not. Check the connection or proxy and run the same command again. ({error})"
            ) from error
        return path

    return download
