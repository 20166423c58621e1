"""A deep link as a QR code, for a visitor at a desk with Telegram in the pocket."""

from io import BytesIO

import segno
from markupsafe import Markup


def qr_code(address: str) -> Markup:
    """An `<svg>` in the page itself, dark on nothing: the sheet puts it on white, as cameras want it."""
    svg = BytesIO()
    segno.make(address, micro=False).save(
        svg, kind="svg", xmldecl=False, svgns=False, svgclass="qr-code", lineclass=None, omitsize=True, border=4
    )
    return Markup(svg.getvalue().decode())  # noqa: S704 - segno's own drawing
