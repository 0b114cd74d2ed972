"""The contract of files: tests that any format of files must pass, sound or damaged."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import shutil
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import psutil
import pytest

from pipeline.images.readers import open_source
from pipeline.testing.sources import regions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.images.source import Source

_CUTS = _FLIPS = 20
# So many of the flipped bytes lie within the first ones.
_IN_HEAD, _HEAD = 10, 256
_SEED = 0
_COPIES = 8
# Height and width of what is read of a damaged file, whose header may state any size.
_CORNER = 1000
# The process has started, imported and read in that time.
_STARTING = 120


class FileContract:
    """The tests of a format of files.

    Override the fixture `path`, so that it returns the path of a small file of the format. Pass files of
    several kinds through a fixture with parameters.

    Attributes
    ----------
    most_open : int
        The most handles that a process keeps open of files that it has read.
    headroom : int
        The address space in bytes that opening and reading a damaged file may take, beside what the process
        has taken to read the sound one.
    seconds : float
        The time in which a damaged file is refused or read, on a machine with much else to do.
    """

    most_open: ClassVar[int] = 0
    headroom: ClassVar[int] = 2**29
    seconds: ClassVar[float] = 20

    @staticmethod
    def open_file(path: str) -> Source | None:
        """Open a path as a source, or return None for another format.

        The default knows all formats of this package. Another function must be importable in other processes.
        """
        return open_source(path)

    @pytest.fixture
    def path(self) -> Path:
        """Return the path of a small file; every subclass overrides it."""
        raise NotImplementedError

    def test_a_region_is_one_of_the_whole(self, path: Path) -> None:
        """Any region has the pixels that the whole image has there."""
        source = _opened(self.open_file, path)
        pixels = _whole(source)
        assert pixels.shape == source.shape
        assert pixels.dtype == source.dtype
        for region in regions(source.extent):
            np.testing.assert_array_equal(source.read(region), pixels[region], err_msg=f"{region}")

    def test_opened_twice_it_is_the_same(self, path: Path) -> None:
        """An image that is opened anew, or was pickled, has the same description and pixels."""
        source = _opened(self.open_file, path)
        for again in (_opened(self.open_file, path), pickle.loads(pickle.dumps(source))):  # noqa: S301  made here
            assert again.description == source.description
            np.testing.assert_array_equal(_whole(again), _whole(source))

    def test_no_handle_stays_open(self, path: Path, tmp_path: Path) -> None:
        """A process that has read many files keeps none of them open, or a few."""
        for number in range(_COPIES):
            _whole(_opened(self.open_file, _copy(path, tmp_path / f"copy {number}")))
        held = [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path]
        assert len(held) <= self.most_open, held

    def test_damage_is_refused_or_read(self, path: Path, tmp_path: Path) -> None:
        """A file that is cut, or has a flipped byte, gives an array of the stated shape, or one line.

        The line is that of a ValueError or an OSError, and names the file. Another process, whose memory is
        limited, reads the sound file and then opens all of the damaged ones.
        """
        source = _opened(self.open_file, path)
        damaged = {str(copy): copy.parent.name for copy in _damaged(path, tmp_path)}
        said, ended = _run_apart((self.open_file, source, list(damaged), self.headroom), self.seconds)
        assert said, ended
        assert said[0] == _digest(_whole(source)), "another process reads other pixels"
        outcomes = dict(zip(damaged.values(), said[1:], strict=False))
        problems = [f"{what}: {text}" for what, (text, is_sound) in outcomes.items() if not is_sound]
        problems += [f"{what}: {ended}" for what in list(damaged.values())[len(outcomes) :][:1]]
        assert not problems, "\n".join(problems)


def _run_apart(order: tuple[Any, ...], seconds: float) -> tuple[list[Any], str]:
    """Try files in another process; return what it said, and how it ended."""
    # A process that is forked from one which has imported everything, and has read nothing, starts at once.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe(duplex=False)
    process: Any = context.Process(target=_try_files, args=(*order, there))  # type: ignore[attr-defined]
    process.start()
    there.close()
    said: list[Any] = []
    with here:
        try:
            while here.poll(seconds if said else _STARTING):
                said.append(here.recv())
            ended = f"it took more than {seconds} s"
            process.kill()
            process.join()
        except EOFError:
            process.join()
            ended = f"the process ended with status {process.exitcode}"
    process.close()
    return said, ended


def _try_files(
    open_file: Callable[[str], Source | None],
    source: Source,
    paths: list[str],
    headroom: int,
    pipe: Connection,
) -> None:
    """Send the digest of a sound file, and the outcome of each damaged one."""
    warnings.simplefilter("ignore")
    pipe.send(_digest(_whole(source)))
    _limit_memory(headroom)
    for path in paths:
        pipe.send(_try_file(open_file, path))


def _try_file(open_file: Callable[[str], Source | None], path: str) -> tuple[str, bool]:
    """Open and read a damaged file; return the outcome, and whether it is one that the contract allows."""
    try:
        source = open_file(path)
        if source is None:
            return "it is taken for another format", True
        height, width = (min(length, _CORNER) for length in source.extent)
        shape = source.read((slice(0, height), slice(0, width))).shape
        return f"{shape} of {source.shape}", shape == (height, width, source.shape[2])
    except (ValueError, OSError) as error:
        text = str(error)
        return f"{type(error).__name__}: {text}", path in text and "\n" not in text
    except BaseException as error:  # noqa: BLE001  whatever it is, it is the outcome
        return f"{type(error).__name__}: {error}", False


def _limit_memory(headroom: int) -> None:
    """Limit the address space of this process, where the system can."""
    try:
        import resource  # noqa: PLC0415  Windows lacks it
    except ImportError:
        return
    most = psutil.Process().memory_info().vms + headroom
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _damaged(path: Path, folder: Path) -> Iterator[Path]:
    """Write copies of a file that are cut at random places, and ones with a flipped byte."""
    random = np.random.default_rng(_SEED)
    content = path.read_bytes()
    for number, length in enumerate(random.integers(1, len(content), _CUTS).tolist()):
        yield _copy(path, folder / f"{number}, cut at {length}", content[:length])
    for number in range(_FLIPS):
        place = int(random.integers(min(_HEAD, len(content)) if number < _IN_HEAD else len(content)))
        value = content[place] ^ int(random.integers(1, 256))
        flipped = content[:place] + bytes([value]) + content[place + 1 :]
        yield _copy(path, folder / f"{number}, byte {place} is {value}", flipped)


def _copy(path: Path, folder: Path, content: bytes | None = None) -> Path:
    """Write a file of the same name in another folder."""
    folder.mkdir()
    if content is None:
        shutil.copy(path, folder / path.name)
    else:
        (folder / path.name).write_bytes(content)
    return folder / path.name


def _opened(open_file: Callable[[str], Source | None], path: Path) -> Source:
    source = open_file(str(path))
    assert source is not None, f"{path} is taken for another format"
    return source


def _whole(source: Source) -> NDArray[Any]:
    height, width = source.extent
    return source.read((slice(0, height), slice(0, width)))


def _digest(pixels: NDArray[Any]) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()
