"""The attacked site, shared by the tests here."""

from collections.abc import Iterator

import pytest

from tests.attack import inward, pages
from tests.attack.site import Site, Target


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Production mode, two web workers; its callbacks may go to one address inside."""
    with Site(tmp_path_factory.mktemp("attacked"), CALLBACK_NETWORKS=f"{inward.ALLOWED}/32") as running:
        yield running


@pytest.fixture
def target(site: Site) -> Target:
    """A project that nobody has attacked before."""
    return site.target()


@pytest.fixture
def other(site: Site) -> Target:
    return site.target()


@pytest.fixture(scope="session")
def shop(site: Site) -> Target:
    """A project whose pages are https://shop.test's."""
    return site.target(origins=(pages.OWN,))
