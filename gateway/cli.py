"""`kodgate`: the operator's command."""

import asyncio
import io
import os
import sys
from collections.abc import Iterable

import click
import msgspec

from gateway.auditing import audit
from gateway.bill.commands import guard
from gateway.bill.countries import read_countries
from gateway.book import MAX_AGE
from gateway.bootstrap import build_gateway
from gateway.channels import Channel
from gateway.contact import Contact, parse_contact
from gateway.doctor import Finding, examine
from gateway.errors import BadRequest
from gateway.forgetting import forget
from gateway.health import PORTS, ask_health, is_name
from gateway.hours import Hours
from gateway.i18n import DEFAULT_LANGUAGE, LANGUAGES
from gateway.local import LocalGateway
from gateway.projects import (
    KeyPair,
    Project,
    ProjectSettings,
    bot_id_of,
    change_settings,
    missing_of_challenge,
    new_keys,
)
from gateway.run import run_all
from gateway.settings import Settings, SettingsError, load_settings
from gateway.store import Busy, StoreError, open_store
from gateway.store.entries import By
from gateway.tryout import try_out


class _Commands(click.Group):
    """Turns what an operator can put right into one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (SettingsError, StoreError, Busy) as problem:
            click.echo(f"kodgate: {problem}", err=True)
            sys.exit(2)


@click.group(cls=_Commands)
@click.version_option(package_name="kodgate")
def main() -> None:
    """Kodgate, a self-hosted login gateway. Settings come from the environment or a .env file."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal can't write must not keep keys from being shown, which are shown once.
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command()
def run() -> None:
    """Run every process in the foreground: web, bot and, in development, the sandbox."""
    sys.exit(run_all(load_settings()))


@main.command()
def web() -> None:
    """Run the web process."""
    _become("web")


@main.command()
def bot() -> None:
    """Run the bot process: Telegram, delivery, live events."""
    _become("bot")


@main.command()
def worker() -> None:
    """Run a process that only delivers; any number of them, each with a WORKER_PORT of its own on one machine."""
    _become("bot.worker")


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date (web and bot do so themselves at start)."""
    ran = open_store(load_settings().database_url).migrate()
    click.echo(f"{ran} migrations ran." if ran else "The schema is up to date.")


@main.command("copy")
@click.option("--from", "source", required=True, help="the DATABASE_URL that has everything")
@click.option("--to", "target", required=True, help="another one, where there is nothing yet")
def copy_store(source: str, target: str) -> None:
    """Move the whole installation to another database, checked row by row. Stop every process first."""
    from gateway.store.moving import copy  # which needs both stores' drivers

    counts = copy(source, target)
    for table, count in counts.items():
        click.echo(f"{count:>12}  {table}")
    click.echo(f"{sum(counts.values())} rows are there, and the same. Set DATABASE_URL to it and start again.")


@main.command()
def doctor() -> None:
    """Check the settings, the store, the bot and the providers, and say what is wrong."""
    _tell(examine(load_settings()))


@main.command()
@click.argument("names", nargs=-1, metavar="[web|bot|worker][:PORT]...")
@click.option("--wait", default=0.0, help="seconds to ask again while something is not well")
def health(names: tuple[str, ...], wait: float) -> None:
    """Ask the processes named, or all that listen on this machine, whether they can serve.

    Where there are several of a kind, name each with its port: web:8080 web:8081.
    """
    if wrong := [name for name in names if not is_name(name)]:
        raise click.BadParameter(f"{wrong[0]!r}: write one of {', '.join(PORTS)}, or such as web:8081")
    _tell(ask_health(load_settings(), names, wait))


@main.command()
@click.option("--channel", type=click.Choice([channel.value for channel in Channel]), required=True)
@click.option("--to", required=True, help="a phone in E.164 or an email")
@click.option("--lang", type=click.Choice(LANGUAGES), default=DEFAULT_LANGUAGE, show_default=True)
def send(channel: str, to: str, lang: str) -> None:
    """Send one real message by each of a channel's providers, and show what they said."""
    config = load_settings()
    try:
        contact = parse_contact(to)
    except BadRequest as refusal:
        raise click.ClickException(f"--to {refusal.why('en')}") from None
    if contact.kind != Channel(channel).kind:
        raise click.ClickException(f"{channel} can't reach {to}")
    findings = asyncio.run(_sent(config, Channel(channel), contact, lang))
    if not findings:
        raise click.ClickException(f"{channel} has no provider: set {channel.upper()}_URL")
    _tell(findings)


async def _sent(config: Settings, channel: Channel, to: Contact, lang: str) -> list[Finding]:
    return [finding async for finding in try_out(config, channel, to, lang)]


def _tell(findings: Iterable[Finding]) -> None:
    """Each as it is found."""
    well = True
    for finding in findings:
        click.echo(f"{'ok  ' if finding.well else 'WRONG'} {finding.subject}: {finding.text}")
        well = well and finding.well
    sys.exit(0 if well else 1)


@main.group()
def project() -> None:
    """Projects: each a site with its own pair of keys."""
    if load_settings().hosted:
        raise click.ClickException("KODMOBI_URL is set: the project is the account's, and changed at the upstream")


@project.command("create")
@click.argument("name")
@click.option("--countries", help="where SMS, WhatsApp and Viber go: RU,KZ,+44, or all")
def create_project(name: str, countries: str | None) -> None:
    """Create a project and show its keys, once.

    Each message to a phone costs you money, so a project names the countries where its visitors are: others can't
    make it send elsewhere.
    """
    config = load_settings()
    try:
        chosen = read_countries((countries if countries is not None else _ask_for_countries()).split(","))
    except ValueError as problem:
        raise click.ClickException(f"--countries: {problem}") from None
    if not chosen:
        raise click.ClickException(f"--countries is missing: {_WHICH_COUNTRIES}")
    try:
        wanted = change_settings(ProjectSettings(name="", countries=chosen), [f"name={name}"])
    except ValueError as problem:
        raise click.ClickException(str(problem)) from None
    gateway = build_gateway(config)
    keys = new_keys()
    by = _operator(gateway)
    made = gateway.store.add_project(wanted, by.now, by)
    gateway.projects.set_keys(made.id, keys, keep_seconds=0, by=by)
    _show_keys(made, keys)


@project.command("list")
def list_projects() -> None:
    """List the projects."""
    for made in build_gateway(load_settings()).store.projects():
        click.echo(f"{made.id}\t{made.settings.name}")


@project.command("show")
@click.argument("project_id", type=int)
def show_project(project_id: int) -> None:
    """Show a project's settings."""
    made = _project(build_gateway(load_settings()), project_id)
    shown = msgspec.to_builtins(made.settings)
    for name in ("bot_token", "challenge_secret"):
        shown[name] = "(set)" if shown[name] else ""
    for name, value in shown.items():
        plain = "" if value is None else value
        click.echo(f"{name}={','.join(value) if isinstance(value, (list, tuple)) else plain}")


@project.command("set")
@click.argument("project_id", type=int)
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
def set_project(project_id: int, changes: tuple[str, ...]) -> None:
    """Change a project's settings, such as channels=sms,email or origins=https://*.example.com."""
    gateway = build_gateway(load_settings())
    made = _project(gateway, project_id)
    try:
        changed = change_settings(made.settings, changes)
    except ValueError as problem:
        raise click.ClickException(str(problem)) from None
    gateway.store.change_project(made.id, changed, _operator(gateway))
    click.echo(f"Project {made.id} is changed; running processes follow within {MAX_AGE:.0f} s.")


@project.command("set-bot")
@click.argument("project_id", type=int)
@click.option("--remove", is_flag=True, help="go back to the server's bot, TELEGRAM_BOT_TOKEN")
def set_bot(project_id: int, remove: bool) -> None:
    """Give a project a Telegram bot of its own.

    The token is asked for, or read from standard input; as an argument, everybody on the machine could see it.
    """
    config = load_settings()
    gateway = build_gateway(config)
    made = _project(gateway, project_id)
    token, bot_id = "", 0
    if not remove:
        token = _read_secret("The token from @BotFather")
        try:
            bot_id = bot_id_of(token, sandbox=not config.production)
        except ValueError as problem:
            raise click.ClickException(str(problem)) from None
    gateway.projects.set_bot(made, token, bot_id, _operator(gateway))
    whose = "the server's bot" if remove else "its own bot"
    click.echo(f"Project {made.id} has {whose}; a running bot process follows within {MAX_AGE:.0f} s.")


@project.command("set-challenge-secret")
@click.argument("project_id", type=int)
@click.option("--remove", is_flag=True, help="forget it")
def set_challenge_secret(project_id: int, remove: bool) -> None:
    """Give a project the secret of its CAPTCHA provider (Turnstile, SmartCaptcha, reCAPTCHA).

    It is asked for, or read from standard input; as an argument, everybody on the machine could see it.
    """
    gateway = build_gateway(load_settings())
    made = _project(gateway, project_id)
    secret = "" if remove else _read_secret("The secret that goes with the site key")
    if not remove and not secret:
        raise click.ClickException("the secret is empty")
    changed = msgspec.structs.replace(made.settings, challenge_secret=secret)
    if missing := missing_of_challenge(changed):
        raise click.ClickException(f"{missing}; or first: kodgate project set {made.id} challenge_provider=altcha")
    gateway.projects.set_challenge_secret(made, secret, _operator(gateway))
    what = "no challenge secret" if remove else "a challenge secret"
    click.echo(f"Project {made.id} has {what}; running processes follow within {MAX_AGE:.0f} s.")


@project.command("rotate-keys")
@click.argument("project_id", type=int)
@click.option("--keep", type=Hours(0), default=24.0, show_default=True, help="hours that the old keys still work")
def rotate_keys(project_id: int, keep: float) -> None:
    """Give a project new keys; the old ones work for a while beside them."""
    config = load_settings()
    gateway = build_gateway(config)
    made = _project(gateway, project_id)
    if config.project_public_key and made.id == gateway.store.projects()[0].id:
        raise click.ClickException(
            "the first project's keys are set by PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY: change them there"
        )
    keys = new_keys()
    gateway.projects.set_keys(made.id, keys, keep_seconds=round(keep * 3600), by=_operator(gateway))
    _show_keys(made, keys)
    click.echo(f"The old keys work for {keep:g} hours more.")


def _operator(gateway: LocalGateway) -> By:
    return By("operator", gateway.clock())


def _project(gateway: LocalGateway, project_id: int) -> Project:
    made = gateway.projects.by_id(project_id)
    if made is None:
        raise click.ClickException(f"there is no project {project_id}; `kodgate project list` lists them")
    return made


def _is_terminal() -> bool:
    return sys.stdin.isatty()


_WHICH_COUNTRIES = "where SMS, WhatsApp and Viber may go, such as RU,KZ,+44, or all"


def _ask_for_countries() -> str:
    if not _is_terminal():
        return ""
    click.echo(
        "In which countries are the visitors? SMS, WhatsApp and Viber cost money, and go nowhere else; Telegram "
        "and email go everywhere. You can change it: kodgate project set ID countries=…"
    )
    answer: str = click.prompt("ISO codes or calling codes, such as RU,KZ,+44, or all")
    return answer


def _read_secret(what: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(what, hide_input=True)
        return typed.strip()
    return sys.stdin.readline().strip()


def _show_keys(made: Project, keys: KeyPair) -> None:
    click.echo(f"Project {made.id}, {made.settings.name}. These keys are shown once and stored hashed:")
    click.echo(f"  public key  {keys.public}   (may stand in a web page)")
    click.echo(f"  secret key  {keys.secret}   (your server only)")


def _become(module: str) -> None:
    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606


main.add_command(audit)
main.add_command(forget)
main.add_command(guard)

if __name__ == "__main__":
    main()
