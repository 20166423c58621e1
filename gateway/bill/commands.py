"""`kodgate guard`: what the bill guard has stopped, and how an operator lifts it or stops something by hand."""

import re

import click

from gateway.bootstrap import build_gateway
from gateway.channels import NAMES
from gateway.clock import to_iso
from gateway.hours import Hours
from gateway.local import LocalGateway
from gateway.settings import load_settings
from gateway.store import Stop
from gateway.store.ceilings import DAY
from gateway.store.entries import Entry

_PREFIX = re.compile(r"\+[1-9]\d{0,9}", re.ASCII)
_HOUR = 3_600_000
_FOR_GOOD = 253_402_300_799_000  # ms: the end of 9999, as far as dates are written


@click.group(invoke_without_command=True)
@click.pass_context
def guard(context: click.Context) -> None:
    """What the bill guard has stopped: beginnings of phones, and channels that are used up for today.

    Without a command, lists them.
    """
    config = load_settings()
    if config.hosted:
        raise click.ClickException("KODMOBI_URL is set: the upstream sends, and pays")
    if context.invoked_subcommand is None:
        _list(build_gateway(config))


@guard.command()
@click.argument("project_id", type=int, metavar="PROJECT")
@click.argument("prefix")
def lift(project_id: int, prefix: str) -> None:
    """Let codes go out again to phones that begin with PREFIX; for a day the guard keeps away from it."""
    config = load_settings()
    gateway = build_gateway(config)
    now, prefix = gateway.clock(), _read_prefix(prefix)
    calm_until = now + config.guard_lift_seconds * 1000
    entry = Entry(now, "operator", "guard.lift", project_id, detail=f"{prefix}; until {to_iso(calm_until)}")
    if not gateway.store.lift(project_id, prefix, now, calm_until, entry):
        raise click.ClickException(
            f"{prefix} of project {project_id} is not stopped; `kodgate guard` lists what is"
        )
    click.echo(f"Codes go to {prefix} again; the guard leaves it alone until {to_iso(calm_until)}.")


@guard.command()
@click.argument("project_id", type=int, metavar="PROJECT")
@click.argument("prefix")
@click.option("--hours", type=Hours(0.01), help="for how long; without it, until you lift it")
def stop(project_id: int, prefix: str, hours: float | None) -> None:
    """Send nothing that costs money to phones that begin with PREFIX, such as +44 or +447400."""
    gateway = build_gateway(load_settings())
    now, prefix = gateway.clock(), _read_prefix(prefix)
    if gateway.project(project_id) is None:
        raise click.ClickException(f"there is no project {project_id}; `kodgate project list` lists them")
    until = now + round(hours * _HOUR) if hours else _FOR_GOOD
    end = f"until {to_iso(until)}" if hours else "until it is lifted"
    new = Stop(project_id, prefix, now, until, "operator")
    gateway.store.stop(new, Entry(now, "operator", "guard.stop", project_id, detail=f"{prefix}; {end}"))
    click.echo(f"Nothing that costs money goes to {prefix}, {end}; running processes follow within a second.")


def _list(gateway: LocalGateway) -> None:
    lines = [*lines_of_stops(gateway), *lines_of_ceilings(gateway)]
    for line in lines or ["Nothing is stopped."]:
        click.echo(line)


def lines_of_stops(gateway: LocalGateway) -> list[str]:
    """A line for each stop in force, and for each lift that holds."""
    now = gateway.clock()
    lines = []
    for one in gateway.store.stops():
        whose = f"project {one.project_id}  {one.prefix}"
        if one.until > now:
            lines.append(
                f"{whose}  since {to_iso(one.since)}  {_end(one)}  {_why(one)}  "
                f"to lift it: kodgate guard lift {one.project_id} {one.prefix}"
            )
        elif one.calm_until > now:
            lines.append(f"{whose}  lifted by an operator, and left alone until {to_iso(one.calm_until)}")
    return lines


def lines_of_ceilings(gateway: LocalGateway) -> list[str]:
    """A line for each channel that is used up."""
    return [
        f"project {project.id}  {NAMES[channel]}  used up for today, {limit.window // DAY} messages  "
        f"to raise it: kodgate project set {project.id} ceiling_{channel}=…"
        for project in gateway.store.projects()
        for channel, limit in gateway.bill.full_of(project)
    ]


def _end(one: Stop) -> str:
    return "until it is lifted" if one.until >= _FOR_GOOD else f"until {to_iso(one.until)}"


def _why(one: Stop) -> str:
    if one.actor == "operator":
        return "by an operator"
    return f"{one.entered} of {one.sent} codes entered"


def _read_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise click.ClickException(f"{text!r} is no beginning of a phone: write it as +44 or +447400")
    return text
