"""Signatures of what Kodgate posts, and of what is posted to it: one header, over the body and the time.

`x-kodgate-signature: t=<unix seconds>,v1=<hex>`, HMAC-SHA-256 over `<t>.<body>`. The key is the affair of whoever
signs. `docs/providers.md` and `/docs` have the check in other languages.
"""

import hmac
import re

SIGNATURE_HEADER = "x-kodgate-signature"
OLDEST = 300  # seconds; a signature from further away, in the past or future, may be somebody's copy

_SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=[0-9a-f]{64}")


def sign(body: bytes, key: bytes, at: int) -> str:
    """The header's value for a body, made at `at` (unix seconds)."""
    return f"t={at},v1={hmac.digest(key, b'%d.%s' % (at, body), 'sha256').hex()}"


def is_signed(header: str, body: bytes, key: bytes, at: int) -> bool:
    """Whether a header's value is the body's, made with this key within `OLDEST` of `at` (unix seconds)."""
    signature = _SIGNATURE.fullmatch(header)
    if not signature:
        return False
    signed_at = int(signature[1])
    return abs(at - signed_at) <= OLDEST and hmac.compare_digest(header, sign(body, key, signed_at))
