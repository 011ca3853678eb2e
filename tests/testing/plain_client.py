"""A plain HTTP client of a scripted server, so that the server is tested by nothing of ours."""

import http.client
import json
import urllib.error
import urllib.request


def ask(server, prompt="hello", *, model="scripted", key=None, timeout=10, **fields):
    """POST one question; the status and the JSON (or bytes) of the reply."""
    ollama = not server.url.endswith("/v1")
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": False, **fields}
    path = "/api/chat" if ollama else "/chat/completions"
    return send(server.url + path, json.dumps(body).encode(), key, timeout)


def send(url, data=None, key=None, timeout=10):
    """GET, or POST what is given; the status and the JSON of the reply, also of a refusal."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ask_and_leave(server):
    """Send a question, and hang up once it has arrived."""
    host, _, path = server.url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
    connection.request("POST", f"/{path}/chat/completions", json.dumps(body))
    server.wait_for(lambda s: s.in_flight == 1)
    connection.close()


def texts(reply):
    """The completions in a reply of OpenAI's wire."""
    return [choice["message"]["content"] for choice in reply[1]["choices"]]
