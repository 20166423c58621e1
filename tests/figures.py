"""What tests measure, told at the end of the run, whichever of its processes measured it."""

from collections.abc import Callable

import pytest

Figure = Callable[[str], None]
_NAME = "figure"


def figure_of(item: pytest.Item) -> Figure:
    """Takes a line; it travels with the test's report."""
    return lambda line: item.user_properties.append((_NAME, line))


def tell_figures(reporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in reporter.stats.values() for report in kind]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [str(line) for call in calls for name, line in call.user_properties if name == _NAME]
    if lines:
        reporter.section("figures")
    for line in lines:
        reporter.line(line)
