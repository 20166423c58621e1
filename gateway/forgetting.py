"""`kodgate forget`: delete what is kept of a person, as they may ask (GDPR, article 17; 152-FZ)."""

from collections import Counter

import click

from gateway.bootstrap import build_gateway
from gateway.contact import parse_contact
from gateway.errors import BadRequest
from gateway.settings import load_settings
from gateway.store.entries import By


@click.command()
@click.argument("to")
@click.option("--project", "project_id", type=int, help="of this project alone")
def forget(to: str, project_id: int | None) -> None:
    """Delete what is kept of a phone (in E.164) or an email, in every project.

    Its link with Telegram, logins under way, messages, and what counted against its limits. A site's own record of
    its customer is the site's; what a provider knows is the provider's; backups forget as they are replaced. The
    audit log keeps a keyed hash that nobody can read a phone from, until it is purged.
    """
    config = load_settings()
    if config.hosted:
        raise click.ClickException("KODMOBI_URL is set: nothing is kept here, people are the upstream's")
    try:
        contact = parse_contact(to)
    except BadRequest as refusal:
        raise click.ClickException(f"{to!r} {refusal.why('en')}") from None
    gateway = build_gateway(config)
    hashes = gateway.hashes_of(contact)
    if project_id is not None and project_id not in hashes:
        raise click.ClickException(f"there is no project {project_id}; `kodgate project list` lists them")
    gone: Counter[str] = Counter()
    for project, destination in hashes.items():
        if project_id in (None, project):
            gone.update(gateway.store.forget(project, destination, By("operator", gateway.clock())))
    told = ", ".join(f"{count} {kind}" for kind, count in gone.items() if count)
    click.echo(f"{contact.mask} is forgotten: {told}." if told else f"Nothing was kept of {contact.mask}.")
