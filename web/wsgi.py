"""What granian loads in each worker: `make_door()` builds the API with the site behind it."""

import gc
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from gateway.bootstrap import start_process
from gateway.headers import security_headers
from gateway.settings import Settings
from gateway.verbs import Gateway
from web.api import Api
from web.assets import PREFIX, Assets
from web.cors import Headers
from web.door import Door
from web.fields import Environ
from web.orphan import end_with_master
from web.pages import make_site


def make_door() -> Door:
    """The application of one worker."""
    end_with_master()
    config, gateway = start_process("web")
    door = Door(make_application(config, gateway), config, gateway)
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked through again and again
    return door


def make_application(config: Settings, gateway: Gateway) -> WSGIApplication:
    """The API, and the site behind it."""
    assets = Assets(reload=not config.production)
    headers = security_headers(config.public_url)
    pages = make_site(gateway, config, assets)

    def site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, given: Headers, *problem: Any) -> Any:
            set_already = {name.lower() for name, _ in given}
            more = [header for header in headers if header[0] not in set_already]
            return start_response(status, [*given, *more], *problem)

        if environ["PATH_INFO"].startswith(PREFIX):
            return assets(environ, start)
        return pages(environ, start)

    return Api(gateway, config, site)
