"""docs/performance.md: the template bench/performance.md with the figures that were recorded last."""

from pathlib import Path
from string import Template

from bench import tables
from bench.figures import SECTIONS, Figures
from bench.processes import ROOT

TEMPLATE = Path(__file__).parent / "performance.md"
DOCUMENT = ROOT / "docs" / "performance.md"


def render(figures: Figures) -> str:
    """The document."""
    sections = {name: tables.section(figures, name) for name in SECTIONS}
    text = Template(TEMPLATE.read_text(encoding="utf-8"))
    return text.substitute(sections, budgets=tables.budgets(figures), short=tables.in_short(figures))


def write(figures: Figures) -> None:
    """Put it in its place."""
    DOCUMENT.write_text(render(figures), encoding="utf-8")
