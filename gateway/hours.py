"""Hours, as an operator names them to a command."""

import math

import click

LONGEST = 8760.0  # a year: who means longer, means for good, and dates end in 9999


class Hours(click.FloatRange):
    """A number of hours from `shortest` to a year; nan compares with neither end."""

    def __init__(self, shortest: float) -> None:
        super().__init__(min=shortest, max=LONGEST)

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        hours = float(super().convert(value, param, ctx))
        if math.isnan(hours):
            self.fail(f"{value} is no number of hours.", param, ctx)
        return hours
