"""``/docs``: the OpenAPI document as a page with answers, schemas and a form for each address. It needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from mien.serve.api_errors import CODES

SCRIPT = """for (const form of document.querySelectorAll("form")) {
  const answer = form.querySelector("output");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    for (const { name, type, checked, value } of form.querySelectorAll("[data-query]")) {
      if (type === "checkbox") checked && query.set(name, "true");
      else if (value) query.set(name, value);
    }
    const files = [...(form.querySelector("[type=file]")?.files ?? [])];
    const body = files.length ? new FormData() : undefined;
    for (const file of files) body.append("file", file);
    const token = document.querySelector("#token")?.value;
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const address = form.dataset.path + (query.size ? `?${query}` : "");
    answer.textContent = "...";
    try {
      const response = await fetch(address, { method: form.dataset.method, body, headers });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.startsWith("application/json");
      const shown = isJson ? JSON.stringify(JSON.parse(text), null, 2) : text;
      answer.textContent = `${response.status} ${response.statusText}\\n${shown}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  };
}"""
"""Sends the forms. The page's policy allows this very text; see HEADERS in pages.py."""


def docs_body(document: Mapping[str, Any], address: str) -> str:
    """The page's body, with examples for the service at this address."""
    predict = f"{escape(address)}v1/predict"
    parts = [
        f"<p>{escape(document['info']['description'])}</p>",
        f"<pre>curl -F file=@photo.jpg '{predict}'\n"
        f"curl -F file=@face.png '{predict}?crops=true&amp;classes=binary'</pre>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a>. If the service was started with a token, add '
        "<code>-H 'Authorization: Bearer TOKEN'</code>.</p>",
    ]
    operations = [
        (path, method, each) for path, methods in document["paths"].items() for method, each in methods.items()
    ]
    if any("401" in each["responses"] for _, _, each in operations):
        parts.append('<p><label>Token <input id="token" type="password" autocomplete="off"></label></p>')
    for path, method, operation in operations:
        parts += _operation(document, path, method, operation)
    parts.append("<h2>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>')
        parts.append(f"<p>{escape(schema.get('description', ''))}</p>")
        required = set(schema.get("required", ()))
        rows = [
            (escape(key), _type(each) + ("" if key in required else ", optional"), escape(each.get("description", "")))
            for key, each in schema.get("properties", {}).items()
        ]
        parts.append(_table(("field", "type", "meaning"), rows))
    errors = [(f"{status} {code}", escape(meaning)) for code, (status, meaning) in CODES.items()]
    parts.append(
        "<h2>Errors</h2><p>Each is <code>{&quot;error&quot;: {&quot;code&quot;, &quot;message&quot;}}</code>.</p>"
    )
    return "\n".join([*parts, _table(("code", "meaning"), errors), f"<script>{SCRIPT}</script>"])


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """Heading, query, form, answers and examples of one address."""
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    parameters = operation.get("parameters", ())
    rows = [(escape(each["name"]), _type(each["schema"]), escape(each.get("description", ""))) for each in parameters]
    if rows:
        yield _table(("query", "type", "meaning"), rows)
    yield f'<form data-path="{escape(path)}" data-method="{method.upper()}"><fieldset><legend>Try it</legend>'
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["file"]
        many = " multiple" if schema.get("type") == "array" else ""
        yield f'<label>file <input type="file" accept="image/*" required{many}></label>'
    yield from (_input(each) for each in parameters)
    yield "<button>Send</button></fieldset><output></output></form>"
    rows = [
        (status, _content(each), escape(each["description"])) for status, each in sorted(operation["responses"].items())
    ]
    yield _table(("status", "answer", "meaning"), rows)
    for each in operation["responses"].get("200", {}).get("content", {}).values():
        for example in each.get("examples", {}).values():
            shown = escape(json.dumps(example["value"], indent=2, ensure_ascii=False))
            yield f"<details><summary>Answer: {escape(example['summary'])}</summary><pre>{shown}</pre></details>"


def _input(parameter: Mapping[str, Any]) -> str:
    name, kind = escape(parameter["name"]), _type(parameter["schema"])
    form = {"boolean": "checkbox", "number": "number", "integer": "number"}.get(kind.split(" ")[0], "text")
    step = ' step="any"' if kind.startswith("number") else ""
    return f'<label>{name} <input type="{form}" name="{name}"{step} data-query></label>'


def _content(response: Mapping[str, Any]) -> str:
    """The types of an answer's bodies, as HTML."""
    found = [_type(each["schema"]) for each in response.get("content", {}).values() if each.get("schema")]
    return " or ".join(found) or "text"


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, as HTML; a schema with a name is a link to its table."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(str(schema.get("type", schema.get("const", "any"))))


def _table(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of cells that are HTML; the first of a row is code, which may break after a _ for phones."""
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(
        f"<tr><td><code>{first.replace('_', '_<wbr>')}</code></td>{''.join(f'<td>{each}</td>' for each in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
