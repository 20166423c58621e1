"""What schemathesis can't know: what our own formats look like."""

import schemathesis
from hypothesis import strategies as st

from gateway.aes256 import code_key, encode_code

_phones = st.integers(2_000_000, 9_999_999).map(lambda number: f"+7952{number}")
_emails = st.from_regex(r"[a-z][a-z0-9]{0,20}@[a-z]{1,10}\.example\.com", fullmatch=True)

schemathesis.openapi.format("contact", st.one_of(_phones, _emails))
schemathesis.openapi.format("phone", _phones.map(lambda phone: phone[1:]))
schemathesis.openapi.format(
    "callback-url", st.from_regex(r"https://[a-z]{1,10}\.invalid/[a-z]{0,10}", fullmatch=True)
)
schemathesis.openapi.format(
    "encrypted-code",
    st.from_regex(r"[0-9]{4,6}", fullmatch=True).map(lambda code: encode_code(code, code_key("sk_development"))),
)
