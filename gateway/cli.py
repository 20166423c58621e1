"""`kodgate`: the operator's command."""

import os
import sys

import click

from gateway.bootstrap import build_gateway
from gateway.clock import system_clock
from gateway.doctor import examine
from gateway.keyring import hash_api_key
from gateway.local import LocalGateway
from gateway.projects import KeyPair, Project, ProjectSettings, new_keys
from gateway.run import run_all
from gateway.settings import Settings, SettingsError, load_settings
from gateway.store import Busy, StoreError, open_store


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
def migrate() -> None:
    """Bring the database's schema up to date (web and bot do so themselves at start)."""
    ran = open_store(load_settings().database_url).migrate()
    click.echo(f"{ran} migrations ran." if ran else "The schema is up to date.")


@main.command()
def doctor() -> None:
    """Check the settings, the store, the bot and the providers, and say what is wrong."""
    findings = list(examine(load_settings()))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.well else 'WRONG'} {finding.subject}: {finding.text}")
    sys.exit(0 if all(finding.well for finding in findings) else 1)


@main.group()
def project() -> None:
    """Projects: each a site with its own pair of keys."""


@project.command("create")
@click.argument("name")
def create_project(name: str) -> None:
    """Create a project and show its keys, once."""
    _, gateway = _gateway()
    keys = new_keys()
    hashes = hash_api_key(keys.public), hash_api_key(keys.secret)
    made = gateway.store.add_project(ProjectSettings(name=name), *hashes, system_clock())
    _show_keys(made, keys)


@project.command("list")
def list_projects() -> None:
    """List the projects."""
    _, gateway = _gateway()
    for made, _, _ in gateway.store.projects():
        chosen = made.settings
        click.echo(f"{made.id}\t{chosen.name}\tcode: {chosen.code_length}\t{', '.join(chosen.channels)}")


@project.command("rotate-keys")
@click.argument("project_id", type=int)
def rotate_keys(project_id: int) -> None:
    """Give a project new keys; the old ones stop working at once."""
    config, gateway = _gateway()
    made = gateway.projects.by_id(project_id)
    if made is None:
        raise click.ClickException(f"there is no project {project_id}; `kodgate project list` lists them")
    first = next(iter(gateway.store.projects()))[0]
    if config.project_public_key and made.id == first.id:
        raise click.ClickException(
            "the first project's keys are set by PROJECT_PUBLIC_KEY and PROJECT_SECRET_KEY: change them there"
        )
    keys = new_keys()
    hashes = hash_api_key(keys.public), hash_api_key(keys.secret)
    gateway.store.change_project(made.id, made.settings, hashes)
    _show_keys(made, keys)


def _gateway() -> tuple[Settings, LocalGateway]:
    config = load_settings()
    return config, build_gateway(config)


def _show_keys(made: Project, keys: KeyPair) -> None:
    click.echo(f"Project {made.id}, {made.settings.name}. These keys are shown once and stored hashed:")
    click.echo(f"  public key  {keys.public}   (may stand in a web page)")
    click.echo(f"  secret key  {keys.secret}   (your server only)")


def _become(module: str) -> None:
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606


if __name__ == "__main__":
    main()
