"""Opening every channel's providers, and the operator's texts, as the settings name them."""

from gateway.addresses import is_callable_url
from gateway.channels import Channel
from gateway.keyring import Keyring
from gateway.lines import Line
from gateway.providers import Options, Provider, WrongProviderUrl, make_provider
from gateway.render import WrongText, use_messages_folder
from gateway.settings import PROVIDER_SETTINGS, Settings, SettingsError


def open_lines(config: Settings, bots: Provider | None) -> dict[Channel, Line]:
    """The lines of all channels that have a provider; the bots are Telegram's first. Raises `SettingsError`."""
    try:
        use_messages_folder(config.messages_folder)
    except WrongText as problem:
        raise SettingsError(f"MESSAGES_FOLDER: {problem}") from None
    lines = {}
    for channel in Channel:
        providers, weights = ([bots], [0]) if bots and channel is Channel.TELEGRAM else ([], [])
        for one in config.provider_urls.get(channel, ()):
            number = len(providers) + 1
            try:
                providers.append(make_provider(one.url, channel, _options(config, channel, number)))
            except WrongProviderUrl as problem:
                raise SettingsError(f"{PROVIDER_SETTINGS[channel].upper()}: {problem}") from None
            weights.append(one.weight)
        if providers:
            lines[channel] = Line(tuple(providers), tuple(weights))
    return lines


def _options(config: Settings, channel: Channel, number: int) -> Options:
    reachable = is_callable_url(config.live_url, config.callback_networks)
    return Options(
        timeout=config.provider_timeout_seconds,
        concurrency=config.provider_concurrency,
        production=config.production,
        signing_key=Keyring(config.secret_keys).tokens("providers")[-1],
        report_url=f"{config.live_url}/reports/{channel}/{number}" if reachable else "",
    )
