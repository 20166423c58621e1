"""The doubles look: what doesn't fit is refused and remembered."""

from collections.abc import Callable

import httpx
import pytest

from tests.misbehaving import says
from tests.providers.double import Double
from tests.providers.double_apprise import apprise_double
from tests.providers.double_kodmobi import kodmobi_double
from tests.providers.double_webhook import webhook_double

DOUBLES: dict[str, Callable[[], Double]] = {
    "/send?from=kodgate": lambda: webhook_double(b"key", 0, says({})),
    "/manual/send": lambda: kodmobi_double(says({})),
    "/notify/79522966236": lambda: apprise_double(says({})),
}


@pytest.mark.parametrize("body", [{}, {"to": "+79522966236", "channel": "sms"}, [], None])
@pytest.mark.parametrize("path", DOUBLES)
def test_a_request_that_does_not_fit_is_refused(path: str, body: object) -> None:
    with DOUBLES[path]() as double:
        assert httpx.post(f"{double.url}{path}", json=body).status_code == 400
        assert len(double.wrong) == 1
