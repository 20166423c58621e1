"""For developers: the API in OpenAPI, and as a page to read."""

from importlib.metadata import version

from flask import Blueprint, Response

from web.openapi import document
from web.widget import this_widget

developers = Blueprint("developers", __name__)


@developers.get("/openapi.json")
def openapi() -> Response:
    """OpenAPI 3.1; any page may read it."""
    body = document(this_widget().public_url, version("kodgate"))
    return Response(body, mimetype="application/json", headers={"access-control-allow-origin": "*"})
