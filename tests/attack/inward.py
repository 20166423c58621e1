"""SSRF: a partner's server names addresses inside, in every spelling, by names, and by a redirect."""

import socket
import time

from tests.attack.outcome import Outcome
from tests.attack.site import Target, new_phone
from tests.receiver import Receiver
from tests.servers import until

INWARD = "SSRF by `callback_url`"
ALLOWED = "127.0.0.9"  # what CALLBACK_NETWORKS lets the attacked site call besides public addresses
SETTLES = 1.5  # seconds: a callback that is made comes within some milliseconds


def spellings(port: int) -> list[str]:
    """Of this machine, and of what clouds keep beside it."""
    hosts = [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
        "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",  # noqa: S104
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]", "[0:0:0:0:0:ffff:127.0.0.1]", "localhost",
        "LOCALHOST", "localhost.", "a.localhost", "ip6-localhost", "ip6-loopback", socket.gethostname(),
        "127.0.0.1.", "１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "%31%32%37.0.0.1",
        "127.0.0.1%00.example.com", "example.com@127.0.0.1", "127.0.0.1#@example.com", "127.0.0.8",
        "127.255.255.254", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "192.168.0.1", "100.64.0.1",
    ]  # fmt: skip
    urls = [f"http://{host}:{port}/" for host in hosts]
    urls += [f"{scheme}://127.0.0.1:{port}/" for scheme in ("HTTP", "gopher", "file", "ftp", "dict", "ws")]
    return [*urls, f"http:127.0.0.1:{port}/", f"//127.0.0.1:{port}/", f"http://127.0.0.1:{port}\\@example.com/"]


def callbacks(target: Target) -> Outcome:
    """All of them, and a redirect from where callbacks may go; what arrives inside has got through."""
    times = 0
    with Receiver() as inside, Receiver([307] * 50, location=inside.url, host=ALLOWED) as outside:
        port = int(inside.url.rpartition(":")[2])
        for url in [*spellings(port), outside.url]:
            body = {"to": new_phone(), "channel": "sms", "callback_url": url}
            target.site.http.post(f"{target.site.web}/manual/send", json=body, headers=target.secret)
            times += 1
        until(lambda: outside.received, "what may be called is called")
        time.sleep(SETTLES)
    return Outcome(
        INWARD, "addresses inside: odd numbers, IPv6, names, schemes, a redirect", times, len(inside.received)
    )
