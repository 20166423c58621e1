"""JSON that somebody else wrote."""

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What `msgspec.json.decode` raises for bytes that are none, are of another shape, or nest too deep."""
