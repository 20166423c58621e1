"""What granian loads in each worker: `make_application()` builds the API with the site behind it."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication

from gateway.bootstrap import start_process
from web.api import Api
from web.assets import PREFIX, Assets
from web.fields import Environ
from web.pages import make_site


def make_application() -> WSGIApplication:
    """The WSGI application of one worker."""
    config, gateway = start_process("web")
    assets = Assets(reload=not config.production)
    pages = make_site(gateway, config, assets)

    def site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(PREFIX):
            return assets(environ, start_response)
        return pages(environ, start_response)

    return Api(gateway, config, site)
