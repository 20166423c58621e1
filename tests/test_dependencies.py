"""Known vulnerabilities of what is locked; which of the two ways of looking was taken is printed."""

import json

from tests.audit import Advisory, advisories, audit, below, locked, read_report
from tests.figures import Figure


def test_no_locked_package_is_known_to_be_vulnerable(figure: Figure) -> None:
    done = audit()
    figure(f"dependencies: looked for by {done.how}")
    assert done.vulnerable == []


def test_a_version_before_its_advisory_is_found() -> None:
    known = [Advisory("jinja2", "3.1.6", "CVE-2025-27516")]
    assert below({"jinja2": "3.1.5"}, known) == known
    assert below({"jinja2": "3.1.10"}, known) == []  # as versions, not as text
    assert below({"flask": "3.1.5"}, known) == []


def test_the_list_is_of_what_is_locked() -> None:
    assert len(advisories()) > 80
    assert {one.package for one in advisories()} <= set(locked())


def test_a_package_that_was_not_asked_for_counts_as_not_audited() -> None:
    well = {"name": "flask", "version": "3.1.3", "vulns": []}
    skipped = {"name": "yarl", "skip_reason": "Dependency not found on PyPI and could not be audited"}
    ill = {"name": "jinja2", "version": "3.1.5", "vulns": [{"id": "PYSEC-2025-1", "fix_versions": ["3.1.6"]}]}
    assert read_report(json.dumps({"dependencies": [well, ill]})) == ["jinja2 3.1.5: PYSEC-2025-1"]
    assert read_report(json.dumps({"dependencies": [well]})) == []
    for unasked in ('{"dependencies": []}', json.dumps({"dependencies": [well, skipped]}), "", "{}", "[]"):
        assert read_report(unasked) is None
