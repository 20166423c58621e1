"""A request to the API as a person would write it, in five languages; it runs once the key is put in."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

LANGUAGES = {"curl": "curl", "python": "Python", "javascript": "JavaScript", "php": "PHP", "go": "Go"}
DEFAULT_LANGUAGE = "curl"


@dataclass(frozen=True)
class Example:
    """A request to be written down: `fields` go into the query of a GET and into the JSON body of a POST."""

    method: str
    url: str
    key: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_body(self) -> bool:
        return self.method == "POST"

    @property
    def address(self) -> str:
        """The URL, with the query of a GET; `<…>`, which the reader replaces, stays readable."""
        if self.has_body or not self.fields:
            return self.url
        query = {name: _in_query(value) for name, value in self.fields.items()}
        return f"{self.url}?{urlencode(query, safe='<>')}"


def write(language: str, example: Example) -> str:
    """The request in one of `LANGUAGES`."""
    return _WRITERS[language](example)


def _in_query(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _curl(example: Example) -> str:
    parts = [f"curl {shlex.quote(example.address)}", f"-H {shlex.quote(f'x-api-key: {example.key}')}"]
    if example.has_body:
        body = shlex.quote(json.dumps(dict(example.fields), indent=2, ensure_ascii=False))
        parts += ["-H 'content-type: application/json'", "-d {}".format(body.replace("\n", "\n  "))]
    return " \\\n  ".join(parts)


def _python(example: Example) -> str:
    headers = {"x-api-key": example.key}
    if not example.has_body:
        return f"""\
import json
from urllib.request import Request, urlopen

request = Request(
    {json.dumps(example.address)},
    headers={json.dumps(headers)},
)
with urlopen(request) as answer:
    print(json.load(answer))"""
    headers["content-type"] = "application/json"
    pairs = "".join(f"    {json.dumps(name)}: {_python_value(value)},\n" for name, value in example.fields.items())
    return f"""\
import json
from urllib.request import Request, urlopen

body = {{
{pairs}}}
request = Request(
    {json.dumps(example.address)},
    data=json.dumps(body).encode(),
    headers={json.dumps(headers)},
)
with urlopen(request) as answer:
    print(json.load(answer))"""


def _python_value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _javascript(example: Example) -> str:
    if not example.has_body:
        return f"""\
const answer = await fetch({json.dumps(example.address)}, {{
  headers: {{ "x-api-key": {json.dumps(example.key)} }},
}});
console.log(await answer.json());"""
    pairs = "".join(
        f"    {name}: {json.dumps(value, ensure_ascii=False)},\n" for name, value in example.fields.items()
    )
    return f"""\
const answer = await fetch({json.dumps(example.address)}, {{
  method: "POST",
  headers: {{ "x-api-key": {json.dumps(example.key)}, "content-type": "application/json" }},
  body: JSON.stringify({{
{pairs}  }}),
}});
console.log(await answer.json());"""


def _php(example: Example) -> str:
    headers = [_php_text(f"x-api-key: {example.key}")]
    body = ""
    if example.has_body:
        headers.append("'content-type: application/json'")
        pairs = "".join(
            f"        {_php_text(name)} => {_php_value(value)},\n" for name, value in example.fields.items()
        )
        body = f"    'content' => json_encode([\n{pairs}    ]),\n"
    method = f"    'method' => '{example.method}',\n" if example.has_body else ""
    return f"""\
<?php
$context = stream_context_create(['http' => [
{method}    'header' => [{", ".join(headers)}],
{body}    'ignore_errors' => true, // so that a refusal can be read too
]]);
$answer = file_get_contents({_php_text(example.address)}, false, $context);
print_r(json_decode($answer, true));"""


def _php_value(value: object) -> str:
    return _php_text(value) if isinstance(value, str) else json.dumps(value)


def _php_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _go(example: Example) -> str:
    imports = ["io", "log", "net/http", "os"]
    made, body, content_type = "", "nil", ""
    if example.has_body:
        imports.append("strings")
        fields = json.dumps(dict(example.fields), indent="\t", ensure_ascii=False).replace("`", "\\u0060")
        body = "body"
        made = "\tbody := strings.NewReader(`{}`)\n".format(fields.replace("\n", "\n\t"))
        content_type = '\n\trequest.Header.Set("content-type", "application/json")'
    imported = "\n".join(f'\t"{name}"' for name in imports)
    return f"""\
package main

import (
{imported}
)

func main() {{
{made}	request, err := http.NewRequest("{example.method}", {json.dumps(example.address)}, {body})
	if err != nil {{
		log.Fatal(err)
	}}
	request.Header.Set("x-api-key", {json.dumps(example.key)}){content_type}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {{
		log.Fatal(err)
	}}
	defer answer.Body.Close()
	io.Copy(os.Stdout, answer.Body)
}}"""


_WRITERS: dict[str, Callable[[Example], str]] = {
    "curl": _curl,
    "python": _python,
    "javascript": _javascript,
    "php": _php,
    "go": _go,
}
