"""The page that `digits bench mnist` prints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from digits.reference.benchmark import Benchmark, Machine, Race, Row
from digits.reference.measured import Measured

OURS = [Measured(0.99, 2.0, 0.5), Measured(0.98, 4.0, 0.5)]
MACHINE = Machine(
    processor="Abacus", cores=2, memory_gib=8.0, bfloat16=False, load=0.1, versions={"numpy": "2.0"}, date="2026-01-01"
)
BENCHMARK = Benchmark(
    dataset="mnist",
    machine=MACHINE,
    rows=[Row("svm", OURS, Measured(0.97, 30.0, 10.0)), Row("voting", OURS[:1], None)],
    races=[Race(target=0.99, accuracy=0.9912, family="svm", seconds=7.94, processor_seconds=7.5)],
)


def test_ratios_are_plain_over_ours() -> None:
    """Means over the seeds, their spread, and how many times as long and as wrong the plain script is."""
    row = BENCHMARK.rows[0].as_dict()

    assert row["accuracy"] == pytest.approx(0.985)
    assert row["accuracy_deviation"] == pytest.approx(0.00707, abs=1e-5)
    assert (row["fit_ratio"], row["predict_ratio"]) == (10.0, 20.0)
    assert row["error_ratio"] == pytest.approx(2.0)


def test_a_page_is_a_table_with_its_machine() -> None:
    """Every row has as many cells as the head; the machine, the versions and the race stand beside."""
    page = BENCHMARK.as_markdown()
    rows = [line for line in page.splitlines() if line.startswith("|")]

    assert "2026-01-01: Abacus, 2 cores, without bfloat16, 8 GiB; numpy 2.0." in page
    assert {line.count("|") for line in rows[:4]} == {10}
    assert "| svm | 98.50 ± 0.71 % | 3.0 s | 0.5 s | 97.00% | 30.0 s | 10.0 s | 2.0 | 10.0 |" in rows
    assert "| 99.00% | svm | 99.12% | 7.9 | 7.5 |" in rows


def test_a_busy_machine_is_told() -> None:
    """Times that something else lengthened are marked."""
    busy = replace(BENCHMARK, machine=replace(MACHINE, load=3.5))

    assert "**The machine was busy** (load 3.5 per core)" in busy.as_markdown()
    assert "busy" not in BENCHMARK.as_markdown()


def test_this_machine_says_what_it_is() -> None:
    """The machine at hand has a name, cores and the libraries that compute."""
    here = Machine.here()

    assert here.processor
    assert here.cores >= 1
    assert {"python", "numpy", "scikit-learn", "tensorflow", "keras"} <= set(here.versions)
