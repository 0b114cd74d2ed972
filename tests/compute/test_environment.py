"""The variables of the environment that numexpr reads: it is imported whatever they say."""

from __future__ import annotations

import os
import subprocess
import sys

import numexpr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compute import environment
from pipeline.compute.environment import import_numexpr, readable_threads

MOST, OWN, OPENMP = "NUMEXPR_MAX_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS"
CLEAN = {name: value for name, value in os.environ.items() if name not in {MOST, OWN, OPENMP}}
COUNTS = "import pipeline, numexpr; print(numexpr.get_num_threads())"


@pytest.mark.parametrize(
    ("variables", "changes"),
    [
        ({}, {}),
        ({OPENMP: "4"}, {}),
        ({MOST: "8", OWN: "8", OPENMP: "9"}, {}),
        # One number for each nested level, as OpenMP allows it.
        ({OPENMP: "4,2"}, {OPENMP: "4"}),
        ({OPENMP: " 3 , 2,1"}, {OPENMP: "3"}),
        # numexpr allows 64 if nothing else is said.
        ({OPENMP: "128"}, {OPENMP: "64"}),
        ({MOST: "128", OPENMP: "128"}, {}),
        ({MOST: "2", OWN: "3"}, {OWN: "2"}),
        # An empty value stands for none.
        ({MOST: "", OWN: "", OPENMP: "3"}, {MOST: None, OWN: None}),
        # The last isn't read if there is the one before.
        ({OWN: "2", OPENMP: "many"}, {}),
    ],
)
def test_what_has_a_sense(variables: dict[str, str], changes: dict[str, str | None]) -> None:
    """Numbers that numexpr can use stay; those that have a sense become such numbers."""
    assert readable_threads(variables) == (changes, [])


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5", "4;2", str(2**31), ",4"])
@pytest.mark.parametrize("name", [MOST, OWN, OPENMP])
def test_what_has_none(name: str, text: str) -> None:
    """A variable that holds something else is ignored, and that is said."""
    changes, complaints = readable_threads({name: text})
    assert changes == {name: None}
    assert [complaint.split(";")[0] for complaint in complaints] == [f"{name} is {text!r}".split(";")[0]]
    assert complaints[0].endswith(
        "; wanted a whole number of threads, at least 1. It is ignored: unset it or correct it."
    )


def test_each_broken_variable_is_named() -> None:
    """Where one variable is broken, numexpr reads the next, which may be broken too."""
    changes, complaints = readable_threads({MOST: "all", OWN: "4,2", OPENMP: "x"})
    assert changes == {MOST: None, OWN: None, OPENMP: None}
    assert [complaint.split(" is ")[0] for complaint in complaints] == [MOST, OWN, OPENMP]


@given(
    st.dictionaries(
        st.sampled_from([MOST, OWN, OPENMP]), st.from_regex(r"[-+ ,.0-9a-z]{0,4}", fullmatch=True)
    )
)
def test_numexpr_can_read_what_is_left(variables: dict[str, str]) -> None:
    """After the changes each variable that is read is a number within the highest one."""
    after: dict[str, str | None] = {**variables, **readable_threads(variables)[0]}
    most = int(after.get(MOST) or 64)
    assert after.get(MOST) != ""
    assert most >= 1
    asked = after.get(OWN) or after.get(OPENMP)
    assert not asked or 1 <= int(asked) <= most


def test_who_imported_it_before() -> None:
    """A numexpr that is imported already is taken as it is."""
    assert import_numexpr() is numexpr


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are changed for the import alone, even if it fails."""
    seen = []

    def fail(name: str) -> None:
        seen.append((name, os.environ.get(MOST), os.environ.get(OPENMP)))
        raise ImportError(name)

    monkeypatch.setenv(MOST, "none")
    monkeypatch.setenv(OPENMP, "4,2")
    monkeypatch.delenv(OWN, raising=False)
    monkeypatch.delitem(sys.modules, "numexpr")
    monkeypatch.setattr(environment, "import_module", fail)
    with pytest.warns(RuntimeWarning, match="NUMEXPR_MAX_THREADS is 'none'"), pytest.raises(ImportError):
        import_numexpr()
    assert seen == [("numexpr", None, "4")]
    assert (os.environ[MOST], os.environ[OPENMP]) == ("none", "4,2")


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with variables of the environment."""
    return subprocess.run(
        [sys.executable, *words], env={**CLEAN, **variables}, capture_output=True, text=True, check=False
    )


def test_a_list_of_threads() -> None:
    """The package is imported under OpenMP's lists of threads, and numexpr has the first number."""
    done = run("-c", COUNTS, OMP_NUM_THREADS="4,2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "4\n", "")


def test_more_threads_than_numexpr_allows() -> None:
    """Where OpenMP may have more threads than numexpr, numexpr has its highest number."""
    done = run("-c", COUNTS, OMP_NUM_THREADS="3", NUMEXPR_MAX_THREADS="2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


@pytest.mark.parametrize("name", [MOST, OWN, OPENMP])
def test_the_package_works_all_the_same(name: str) -> None:
    """With a broken variable the package is imported with one line of warning, which may be made an error."""
    done = run("-c", "import pipeline", **{name: "many"})
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"RuntimeWarning: {name} is 'many'; wanted a whole number of threads" in done.stderr
    done = run("-W", "error", "-c", "import pipeline", **{name: "many"})
    assert done.returncode == 1
    assert f"RuntimeWarning: {name} is 'many'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("threads", "lines"), [("4,2", 0), ("4x", 1)])
def test_the_command_works_all_the_same(threads: str, lines: int) -> None:
    """The command does what it is asked for, with at most one line on standard error."""
    done = run("-m", "pipeline", "models", OMP_NUM_THREADS=threads)
    assert done.returncode == 0, done.stderr
    assert "jones-rehg-skin: " in done.stdout
    assert done.stderr.count("\n") == lines, done.stderr
