"""Names in the environment, or the .env file, that look like a setting's and are none: nobody else says so."""

import logging
import os
from difflib import get_close_matches

from dotenv import dotenv_values

from gateway.settings import ENV_FILE, Settings

log = logging.getLogger(__name__)

_ALIKE = 0.85  # SMS_ULR and TRUSTED_PROXY are; what other programs read is not


def misspelt() -> list[str]:
    """What to say of each."""
    known = [name.upper() for name in Settings.model_fields]
    written = {name.upper() for name in (*dotenv_values(ENV_FILE), *os.environ)}
    unset = [name for name in known if name not in written]  # what is like one that is set, is another program's
    alike = {name: get_close_matches(name, unset, 1, _ALIKE) for name in sorted(written.difference(known))}
    return [f"{name} is no setting, and nobody reads it; {meant[0]} is" for name, meant in alike.items() if meant]


def warn_of_misspelt() -> None:
    """Once a process, at its start."""
    for line in misspelt():
        log.warning(line)
