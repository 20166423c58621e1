"""Every example request that kod.mobi publishes, as published: one row an example (see tests/published).

curl's are run by curl. The others go out as the bytes that their client would send, and JavaScript's besides by
node. A row with a flaw can't work as printed, for the reason it gives; then what its author meant is sent.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.aes256 import code_key, decode_code
from tests.published.clients import Answer, request_of, run_curl, run_node
from tests.published.example import FOLDER, Example, Given
from tests.receiver import Receiver
from tests.servers import PUBLIC, SECRET, Servers, until
from tests.test_api import CHANNEL, DATETIME, NOBODY, ULID
from tests.world import new_phone

SECRET_KEY = SECRET["x-api-key"]
PUBLIC_KEY = PUBLIC["x-api-key"]
PUBLISHED_CODE = "7032"  # the second version's, in message/check
ENCODED = re.compile(r"aes256:[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{8}")
TYPES = {"telegram", "whatsapp", "viber", "sms", "email"}

NO_SUCH_CLASS = 'Request is \\GuzzleHttp\\Psr7\\Request, which nothing imports: Class "Request" not found'
NO_CONVERSION = "HeaderValue is not made From<&str>, so .into() does not compile; from_static does"
NO_MY_HEADERS = "it makes `headers` and uses `myHeaders`: ReferenceError"
NO_KEY = "it sends no key, which the chapter on authentication asks of each request"

IMPORTED = (("$client =", "use GuzzleHttp\\Psr7\\Request;\n\n$client ="),)
FROM_STATIC = (
    ('headers.insert("x-api-key", "<replace me>".into());',
     'headers.insert("x-api-key", reqwest::header::HeaderValue::from_static("<replace me>"));'),
)  # fmt: skip
RENAMED = (("myHeaders.append", "headers.append"),)
CURL_KEY = (("curl --location", 'curl -H "x-api-key: <replace me>" --location'),)
KEY_AMONG_HEADERS = (("new Headers();", 'new Headers();\nmyHeaders.append("x-api-key", "<replace me>");'),)
KEY_ALONE = (
    ("var requestOptions = {\n  method: 'GET',",
     'var myHeaders = new Headers();\nmyHeaders.append("x-api-key", "<replace me>");\n\n'
     "var requestOptions = {\n  method: 'GET',\n  headers: myHeaders,"),
)  # fmt: skip
ANY_GET = (("api_endpoint_here", "https://api.kod.mobi/session/channels"),)
UNQUOTED = (('"to": <replace me>', '"to": "<replace me>"'),)
STRINGS_IMPORTED = (('    "net/http"', '    "net/http"\n    "strings"'),)
DATA_SENT = ((".headers(headers);", ".headers(headers)\n        .body(data);"),)

EXAMPLES = [
    Example("manual-send.sh"),
    Example("manual-send.ts"),
    Example("manual-send.php", NO_SUCH_CLASS, IMPORTED),
    Example("manual-send.go", "it does not import strings: undefined: strings", STRINGS_IMPORTED),
    Example("manual-send.rs", f"it never sends `data`; and {NO_CONVERSION}", FROM_STATIC + DATA_SENT),
    Example("session-send.sh"),
    Example("session-send.ts", NO_MY_HEADERS, RENAMED),
    Example("session-send.php", NO_SUCH_CLASS, IMPORTED),
    Example("session-send.go"),
    Example("session-send.rs", NO_CONVERSION, FROM_STATIC),
    Example("session-create.sh", "its placeholder has no quotes; what replaces it brings them", UNQUOTED),
    Example("session-create.ts", NO_MY_HEADERS, RENAMED),
    Example("session-create.php", NO_SUCH_CLASS, IMPORTED),
    Example("session-create.go"),
    Example("session-create.rs", NO_CONVERSION, FROM_STATIC),
    Example("session-channels.sh"),
    Example("session-channels.ts"),
    Example("session-channels.php", NO_SUCH_CLASS, IMPORTED),
    Example("session-channels.go"),
    Example("session-channels.rs", NO_CONVERSION, FROM_STATIC),
    Example("v2-authentication.sh", "its endpoint stands for any", ANY_GET),
    Example("v2-authentication.js", "its endpoint stands for any", ANY_GET),
    Example("v2-message-create.sh", NO_KEY, CURL_KEY),
    Example("v2-message-create.js", NO_KEY, KEY_ALONE),
    Example("v2-message-send.sh", NO_KEY, CURL_KEY),
    Example("v2-message-send.js", NO_KEY, KEY_AMONG_HEADERS),
    Example("v2-message-check.sh", NO_KEY, CURL_KEY),
    Example("v2-message-check.js", NO_KEY, KEY_AMONG_HEADERS),
    Example("v2-channel-check.sh", NO_KEY, CURL_KEY),
    Example("v2-channel-check.js", NO_KEY, KEY_ALONE),
]
ROWS = {example.file: example for example in EXAMPLES}
BY_NODE = [example for example in EXAMPLES if example.language in ("ts", "js")]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers of this module's own, which may call back to loopback."""
    with Servers(tmp_path_factory.mktemp("published"), CALLBACK_NETWORKS="127.0.0.0/8") as running:
        yield running


@pytest.fixture
def site() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def given_for(example: Example, servers: Servers, site: Receiver) -> Given:
    """What a developer would fill into this example."""
    if example.endpoint == "manual-send":
        return Given(servers.web, SECRET_KEY, f"ann{new_phone()[1:]}@example.com", callback_url=f"{site.url}/done")
    phone, session_id = new_phone(), ""
    if example.endpoint == "v2-message-check":
        session_id = legacy_session(servers, PUBLISHED_CODE)
    elif "create" not in example.endpoint:
        session_id = str(servers.create(phone, send=False)["session_id"])
    return Given(servers.web, PUBLIC_KEY, phone, session_id)


def legacy_session(servers: Servers, code: str) -> str:
    """A session whose code was brought by the site itself, so that the published one can be right."""
    query = {"phone": new_phone(), "type": "sms", "code": code}
    created = servers.http.get(f"{servers.web}/api/v2/message/create", params=query, headers=SECRET)
    return str(created.json()["data"]["session_id"])


def send(example: Example, text: str) -> Answer:
    return run_curl(text) if example.language == "sh" else request_of(example.language, text).send()


# Each example


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_published_example_gets_the_published_answer(servers: Servers, site: Receiver, example: Example) -> None:
    given = given_for(example, servers, site)
    answer = send(example, example.mended(given))
    assert answer.status == 200, answer.body
    SHAPES[example.endpoint](answer.body)
    if example.endpoint == "manual-send":
        is_delivered_and_called_back(servers, site, given, answer.body)


@pytest.mark.parametrize("example", BY_NODE, ids=str)
def test_javascript_examples_work_in_node(servers: Servers, site: Receiver, example: Example) -> None:
    ended = run_node(example.mended(given_for(example, servers, site)))
    assert ended.stdout, ended.stderr
    SHAPES[example.endpoint](json.loads(ended.stdout))


@pytest.mark.parametrize("language", ["sh", "ts", "php", "go", "rs"])
def test_channels_without_a_session_are_the_projects(servers: Servers, language: str) -> None:
    example = ROWS[f"session-channels.{language}"]
    text = example.mended(Given(servers.web, PUBLIC_KEY))
    for skipped in (text, text.replace("?session_id=", "")):
        answer = send(example, skipped)
        assert answer.status == 200
        is_channels(answer.body)
        assert {channel["type"] for channel in answer.body} == TYPES


def test_the_published_code_is_wrong_for_another_session(servers: Servers) -> None:
    example = ROWS["v2-message-check.sh"]
    session_id = legacy_session(servers, "1234")
    answer = send(example, example.mended(Given(servers.web, PUBLIC_KEY, session_id=session_id)))
    is_refused(answer, 422, "ERROR_MESSAGE_WRONG_CODE")
    assert answer.body["error_params"] == {"count": 4}


# As printed, flaws and all


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.flaw == NO_KEY], ids=str)
def test_without_a_key_an_example_is_refused(servers: Servers, site: Receiver, example: Example) -> None:
    answer = send(example, example.printed(given_for(example, servers, site)))
    is_refused(answer, 401, "ERROR_ACCESS_DENIED")


@pytest.mark.parametrize("endpoint", ["v2-message-send", "v2-message-check", "v2-channel-check"])
@pytest.mark.parametrize("language", ["sh", "js"])
def test_the_session_that_an_example_leaves_out_is_asked_for(
    servers: Servers, endpoint: str, language: str
) -> None:
    example = ROWS[f"{endpoint}.{language}"]
    answer = send(example, example.mended(Given(servers.web, PUBLIC_KEY)))
    is_refused(answer, 400, "ERROR_BAD_REQUEST")
    assert list(answer.body["error_params"]["fields"]) == ["session_id"]


@pytest.mark.parametrize("length", [{}, {"content-length": "0"}], ids=["no length", "length 0"])
def test_the_rust_example_that_sends_no_body_is_told_so(
    servers: Servers, site: Receiver, length: dict[str, str]
) -> None:
    """reqwest says nothing of a body that is not there (its issue 838); others say that it is empty."""
    example = ROWS["manual-send.rs"]
    request = request_of("rs", example.printed(given_for(example, servers, site)))
    assert request.body is None
    request.headers |= length
    answer = request.send()
    is_refused(answer, 400, "ERROR_BAD_REQUEST")
    assert list(answer.body["error_params"]["fields"]) == ["body"]


def test_a_contact_without_quotes_is_told_to_be_no_json(servers: Servers) -> None:
    example = ROWS["session-create.sh"]
    answer = send(example, example.printed(Given(servers.web, PUBLIC_KEY, new_phone())))
    is_refused(answer, 400, "ERROR_BAD_REQUEST")
    assert list(answer.body["error_params"]["fields"]) == ["body"]


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.flaw == NO_MY_HEADERS], ids=str)
def test_node_says_what_is_wrong_with_an_example(servers: Servers, site: Receiver, example: Example) -> None:
    ended = run_node(example.printed(given_for(example, servers, site)))
    assert ended.returncode != 0
    assert "myHeaders is not defined" in ended.stderr


# That the rows are told truly


@pytest.mark.parametrize("endpoint", ["manual-send", "session-send", "session-create"])
def test_a_row_of_javascript_is_what_node_sends(site: Receiver, endpoint: str) -> None:
    text = ROWS[f"{endpoint}.ts"].mended(Given(site.url, PUBLIC_KEY, new_phone(), NOBODY))
    told = request_of("ts", text)
    run_node(text)
    [seen] = site.received
    assert seen.body.decode() == told.body
    assert {name: seen.headers[name] for name in told.headers} == told.headers


def test_an_example_stands_in_the_table_once() -> None:
    assert sorted(one.file for one in EXAMPLES) == sorted(path.name for path in FOLDER.iterdir())


def test_a_body_keeps_the_newlines_and_the_indentation_of_its_text() -> None:
    example = ROWS["session-send.php"]
    request = request_of("php", example.mended(Given("http://127.0.0.1:1", "pk", session_id="01")))
    assert request.body == '{\n  "session_id": "01",\n  "type": "telegram"\n}'
    assert "content-type" not in {name.lower() for name in request.headers}


# The published shapes


def is_channel(body: Any) -> None:
    assert set(body) == CHANNEL
    assert body["type"] in TYPES
    assert isinstance(body["name"], str)
    assert isinstance(body["is_active"], bool)
    assert type(body["timeout"]) is int
    assert 0 <= body["timeout"] <= 60
    assert body["image_url"].startswith("http")
    assert body["link"].startswith("http")


def is_channels(body: Any) -> None:
    assert isinstance(body, list)
    for channel in body:
        is_channel(channel)


def is_channels_of_a_phone(body: Any) -> None:
    is_channels(body)
    assert {channel["type"] for channel in body} == TYPES - {"email"}


def is_created(body: Any) -> None:
    assert set(body) == {"session_id", "session_expired_at", "sent_to", "channels"}
    assert ULID.fullmatch(body["session_id"])
    assert DATETIME.fullmatch(body["session_expired_at"])
    assert body["sent_to"] == "telegram"
    is_channels_of_a_phone(body["channels"])


def is_sent(body: Any) -> None:
    assert set(body) == {"session_id", "session_expired_at", "channel"}
    assert ULID.fullmatch(body["session_id"])
    assert DATETIME.fullmatch(body["session_expired_at"])
    is_channel(body["channel"])
    assert body["channel"]["type"] == "telegram"
    assert (body["channel"]["is_active"], body["channel"]["timeout"]) == (False, 60)


def is_queued(body: Any) -> None:
    assert set(body) == {"message", "code", "message_id"}
    assert body["message"] == "Sent to queue."
    assert type(body["message_id"]) is int
    assert ENCODED.fullmatch(body["code"])
    assert decode_code(body["code"], code_key(SECRET_KEY)) == "0000"


def data_of(body: Any) -> Any:
    """The second version publishes requests only; these are the answers that its clients read."""
    assert set(body) == {"success", "data"}
    assert body["success"] is True
    return body["data"]


def is_legacy_created(body: Any) -> None:
    data = data_of(body)
    assert set(data) == {"session_id", "sent_to", "client_channels"}
    assert ULID.fullmatch(data["session_id"])
    assert data["sent_to"] == "telegram"
    is_channels_of_a_phone(data["client_channels"])


def is_legacy_sent(body: Any) -> None:
    data = data_of(body)
    assert set(data) == {"session_id", "client_channel"}
    is_channel(data["client_channel"])
    assert data["client_channel"]["type"] == "whatsapp"


def is_legacy_checked(body: Any) -> None:
    data = data_of(body)
    assert set(data) == {"verify_token", "is_test"}
    assert data["verify_token"]
    assert data["is_test"] is False


def is_legacy_channel(body: Any) -> None:
    is_channel(data_of(body))
    assert data_of(body)["type"] == "telegram"


SHAPES: dict[str, Callable[[Any], None]] = {
    "manual-send": is_queued,
    "session-send": is_sent,
    "session-create": is_created,
    "session-channels": is_channels_of_a_phone,
    "v2-authentication": is_channels,
    "v2-message-create": is_legacy_created,
    "v2-message-send": is_legacy_sent,
    "v2-message-check": is_legacy_checked,
    "v2-channel-check": is_legacy_channel,
}


def is_refused(answer: Answer, status: int, sys_message: str) -> None:
    assert (answer.status, answer.body["sys_message"]) == (status, sys_message), answer.body
    assert set(answer.body) == {"success", "status", "error", "sys_message", "error_params"}


def is_delivered_and_called_back(servers: Servers, site: Receiver, given: Given, body: Any) -> None:
    [letter] = until(lambda: servers.letters(given.to), "the code arrives")
    assert (letter["channel"], letter["code"]) == ("email", "0000")
    [call] = until(lambda: site.received, "the callback is made")
    told = json.loads(call.body)
    assert (told["message_id"], told["status"], told["to"]) == (body["message_id"], "sent", given.to)
