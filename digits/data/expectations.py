"""Great Expectations judges tables of numbers by the rules of the contract.

The context lives in memory and the suites are built in code: a suite on disk would get new random ids every time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from digits.data.rules import Check, Rule, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Judge"]

_EXAMPLES = 10


class Judge:
    """A Great Expectations context that runs one checkpoint per table and keeps the results."""

    def __init__(self) -> None:
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
        self._gx: Any = gx
        self._context: Any = gx.get_context(mode="ephemeral", project_config=config)
        self._source: Any = self._context.data_sources.add_pandas("digits")
        self._checkpoints: dict[Table, Any] = {}
        self._results: dict[Table, Any] = {}

    def passed(self, table: Table, frame: pd.DataFrame, *, rules: Sequence[Rule]) -> dict[str, bool]:
        """Run a checkpoint on `frame` and return whether each of `rules` holds.

        A table that is too long for one frame is judged batch by batch, with the same rules: what is returned, and what
        the Data Docs show, is then of all batches so far.

        Raises
        ------
        RuntimeError
            An expectation could not be computed, or Great Expectations counts other rows than the rule itself:
            an error of this program, not of the data.
        """
        if table not in self._checkpoints:
            self._checkpoints[table] = self._checkpoint(table, rules=rules)
        ((key, results),) = self._checkpoints[table].run(batch_parameters={"dataframe": frame}).run_results.items()
        self._context.validation_results_store.remove_key(key)  # of every batch, it would keep them all
        for result in results.results:
            _certify(result, frame=frame, rules=rules)
        if table in self._results:
            results = _joined(self._results[table], results)
        self._results[table] = results
        passed = {rule.name: True for rule in rules}
        for result in results.results:
            passed[result.expectation_config.meta["rule"]] &= bool(result.success)
        return passed

    def _checkpoint(self, table: Table, *, rules: Sequence[Rule]) -> Any:
        batch = self._source.add_dataframe_asset(table).add_batch_definition_whole_dataframe(table)
        suite = self._context.suites.add(
            self._gx.ExpectationSuite(
                name=table,
                expectations=[self._expectation(check, rule=rule) for rule in rules for check in rule.checks],
            )
        )
        definition = self._context.validation_definitions.add(
            self._gx.ValidationDefinition(name=table, data=batch, suite=suite)
        )
        return self._context.checkpoints.add(
            self._gx.Checkpoint(
                name=table,
                validation_definitions=[definition],
                result_format={"result_format": "SUMMARY", "partial_unexpected_count": _EXAMPLES},
            )
        )

    def pages(self) -> dict[Table, str]:
        """Return the page of each table's results, as Great Expectations makes it for its Data Docs.

        A site of them would have an index, a page per suite and the files that they load: nothing that is kept.
        """
        from great_expectations.render.renderer import ValidationResultsPageRenderer

        renderer = ValidationResultsPageRenderer()
        return {
            table: _view().render(renderer.render(results), show_how_to_buttons=False)
            for table, results in self._results.items()
        }

    def _expectation(self, check: Check, *, rule: Rule) -> Any:
        shared = {
            "column": check.column,
            "meta": {"rule": rule.name, "column": check.column},
            "description": f"{rule.name}: {rule.meaning} Wanted: {check}.",
        }
        if check.choices is not None:
            return self._gx.expectations.ExpectColumnValuesToBeInSet(value_set=list(check.choices), **shared)
        return self._gx.expectations.ExpectColumnValuesToBeBetween(min_value=check.low, max_value=check.high, **shared)


@cache
def _view() -> Any:
    """Return what makes a page; it compiles its templates, which are always the same, once."""
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()


def _certify(result: Any, *, frame: pd.DataFrame, rules: Sequence[Rule]) -> None:
    """Raise when an expectation raised, or when its count of broken rows is not that of the rule's own check."""
    meta = result.expectation_config.meta
    problem = result.exception_info.get("exception_message")
    (check,) = [
        check for rule in rules if rule.name == meta["rule"] for check in rule.checks if check.column == meta["column"]
    ]
    counted = int(check.broken_by(frame).sum())
    if problem is None and result.result["unexpected_count"] != counted:
        problem = f"{result.result['unexpected_count']} rows broken, counted {counted}"
    if problem is not None:
        raise RuntimeError(f"rule {meta['rule']} could not be judged on {meta['column']}: {problem}")


def _joined(before: Any, after: Any) -> Any:
    """Add what was found in one more batch to the results of those before, with examples up to `_EXAMPLES`."""
    for one, more in zip(before.results, after.results, strict=True):
        whole, part = one.result, more.result
        for count in ("element_count", "missing_count", "unexpected_count"):
            whole[count] += part[count]
        for examples in ("partial_unexpected_list", "partial_unexpected_index_list"):
            whole[examples] = (whole[examples] + part[examples])[:_EXAMPLES]
        whole["partial_unexpected_counts"] = _counts(whole["partial_unexpected_list"])
        judged = whole["element_count"] - whole["missing_count"]
        whole["missing_percent"] = _percent(whole["missing_count"], of=whole["element_count"])
        whole["unexpected_percent_total"] = _percent(whole["unexpected_count"], of=whole["element_count"])
        whole["unexpected_percent"] = whole["unexpected_percent_nonmissing"] = _percent(
            whole["unexpected_count"], of=judged
        )
        one.success = one.success and more.success
    before.success = all(result.success for result in before.results)
    n_good, n_results = sum(bool(result.success) for result in before.results), len(before.results)
    before.statistics |= {
        "successful_expectations": n_good,
        "unsuccessful_expectations": n_results - n_good,
        "success_percent": _percent(n_good, of=n_results),
    }
    return before


def _counts(examples: Sequence[Any]) -> list[dict[str, Any]]:
    """Return how often each value is among the examples, as Great Expectations counts and sorts them."""
    most = sorted(Counter(examples).items(), key=lambda item: (-item[1], item[0]))
    return [{"value": value, "count": count} for value, count in most]


def _percent(count: int, *, of: int) -> float | None:
    return count / of * 100 if of else None
