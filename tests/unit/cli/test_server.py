import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from kt_assets.cli.server import (
    COOKIE,
    Ask,
    Guard,
    allows_host,
    ask_of,
    digest,
    has_token,
    host_name,
    is_mutation_by_get,
    login,
    refusal,
    same_origin,
)
from kt_assets.cli.ui import address, allowed_hosts, check_exposure, choose_port
from kt_resources.errors import ComputeError

HERE = Path(__file__).parent
OURS = "127.0.0.1:3000"
LOCAL = frozenset({"127.0.0.1"})
MUTATION = "mutation { launchRun(executionParams: {}) { __typename } }"


def ask(method: str = "GET", path: str = "/", host: str = OURS, **values) -> Ask:
    return Ask(method=method, path=path, host=host, **values)


# --- the rules


@pytest.mark.parametrize(
    ("netloc", "name"),
    [("127.0.0.1:3000", "127.0.0.1"), ("[::1]:3000", "::1"), ("LocalHost", "localhost"), ("", ""), ("[bad", "")],
)
def test_the_name_of_a_host_header(netloc, name) -> None:
    assert host_name(netloc) == name


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:3000"])
def test_loopback_names_are_ours(host) -> None:
    assert allows_host(ask(host=host), LOCAL)


@pytest.mark.parametrize(
    "host", ["evil.example:3000", "127.0.0.1.evil.example", "", "10.0.0.5", "localhost, evil.example"]
)
def test_other_names_for_this_machine_are_refused(host) -> None:
    assert not allows_host(ask(host=host), LOCAL)
    assert "does not answer to the host" in refusal(ask(host=host), LOCAL)


def test_a_name_given_with_host_is_ours_and_a_wildcard_takes_addresses_but_no_names() -> None:
    assert allows_host(ask(host="gpu-box:3000"), {"gpu-box"})
    assert allows_host(ask(host="10.0.0.5:3000"), {"0.0.0.0"})
    assert not allows_host(ask(host="evil.example"), {"0.0.0.0"})


@pytest.mark.parametrize(
    ("origin", "fetch_site", "ours"),
    [
        ("", "", True),
        ("http://127.0.0.1:3000", "same-origin", True),
        ("", "none", True),
        ("http://evil.example", "cross-site", False),
        ("http://evil.example", "", False),
        ("http://127.0.0.1:8000", "same-site", False),  # another port is another program
        ("", "cross-site", False),
        ("null", "", False),
    ],
)
def test_other_sites_reach_neither_post_nor_websocket_nor_graphql(origin, fetch_site, ours) -> None:
    values = {"origin": origin, "fetch_site": fetch_site}
    assert same_origin(ask(**values)) is ours
    for reached in (
        ask("POST", "/graphql", **values),
        ask("POST", "/report_asset_materialization/toy", **values),
        ask("GET", "/graphql", **values),
        ask("GET", "/graphql", websocket=True, **values),
    ):
        assert (refusal(reached, LOCAL) == "") is ours


def test_a_link_from_another_site_may_open_a_page() -> None:
    assert refusal(ask("GET", "/runs", fetch_site="cross-site"), LOCAL) == ""


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        (MUTATION, True),
        ("query Q { version } " + MUTATION.replace("mutation", "mutation M"), True),
        ("# mutation\n{ version }", False),
        ('{ search(text: "mutation { x }") { __typename } }', False),
        ("mutation {", False),  # no document: Dagster refuses it itself
    ],
)
def test_mutations_are_not_taken_by_get(query, refused) -> None:
    reached = ask("GET", "/graphql", query=(("query", query),))
    assert is_mutation_by_get(reached) is refused
    assert ("POST only" in refusal(reached, LOCAL)) is refused


def test_mutations_are_taken_by_post_from_our_own_page() -> None:
    reached = ask("POST", "/graphql", query=(("query", MUTATION),), origin=f"http://{OURS}", fetch_site="same-origin")
    assert refusal(reached, LOCAL) == ""


def test_a_token_comes_as_cookie_or_bearer() -> None:
    assert has_token(ask(cookie=f"other=1; {COOKIE}={digest('secret')}"), "secret")
    assert has_token(ask(authorization="Bearer secret"), "secret")
    for wrong in (ask(), ask(cookie=f"{COOKIE}=secret"), ask(authorization="Bearer wrong"), ask(cookie="\x00=\x00")):
        assert not has_token(wrong, "secret")


def test_the_right_token_leads_to_the_page_without_it() -> None:
    assert login(ask(path="/runs", query=(("token", "secret"), ("view", "all"))), "secret") == "/runs?view=all"
    assert login(ask(path="//evil.example", query=(("token", "secret"),)), "secret") == "/evil.example"
    assert login(ask(query=(("token", "wrong"),)), "secret") is None


# --- the middleware


def scope(kind: str = "http", method: str = "GET", path: str = "/", query: str = "", **headers: str) -> dict:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": OURS, **headers}.items()]
    return {"type": kind, "method": method, "path": path, "query_string": query.encode(), "headers": pairs}


async def _app(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def answer(asked: dict, token: str = "") -> dict:
    """The first message that the guard, before an app that says 200, sends back."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(Guard(_app, LOCAL, token)(asked, None, send))
    return sent[0]


def test_what_passes_reaches_the_app_and_may_not_be_framed() -> None:
    message = answer(scope())
    assert message["status"] == 200 and (b"x-frame-options", b"DENY") in message["headers"]


def test_a_foreign_get_mutation_is_403() -> None:
    asked = scope(path="/graphql", query=f"query={quote(MUTATION)}", origin="http://evil.example")
    assert answer(asked)["status"] == 403
    assert answer(scope(path="/graphql", query=f"query={quote(MUTATION)}"))["status"] == 403


def test_a_foreign_websocket_is_closed_before_it_opens() -> None:
    assert answer(scope("websocket", path="/graphql", origin="http://evil.example"))["type"] == "websocket.close"
    assert answer(scope("websocket", path="/graphql", origin=f"http://{OURS}"))["type"] == "http.response.start"


def test_two_host_headers_are_refused() -> None:
    asked = scope()
    asked["headers"].append((b"host", b"evil.example"))
    assert ask_of(asked).host == f"{OURS}, evil.example"
    assert answer(asked)["status"] == 403


def test_with_a_token_nobody_enters_without_it() -> None:
    assert answer(scope(), "secret")["status"] == 401
    entered = answer(scope(query="token=secret"), "secret")
    headers = dict(entered["headers"])
    assert entered["status"] == 303 and headers[b"location"] == b"/"
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "secret" not in cookie
    assert answer(scope(cookie=cookie.split(";")[0]), "secret")["status"] == 200


# --- the command


def test_beyond_this_machine_a_token_is_required() -> None:
    check_exposure("127.0.0.1", "")
    check_exposure("0.0.0.0", "secret")
    with pytest.raises(ComputeError, match="KT_UI_TOKEN"):
        check_exposure("0.0.0.0", "")


def test_a_taken_port_is_refused_where_it_was_asked_for_and_replaced_where_not(monkeypatch) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ComputeError, match=f"port {port} of 127.0.0.1 is taken"):
            choose_port("127.0.0.1", port)
        monkeypatch.setattr("kt_assets.cli.ui.DEFAULT_PORT", port)
        assert choose_port("127.0.0.1", None) not in (port, 0)


def test_addresses_to_open() -> None:
    assert address("0.0.0.0", 3000, "s") == "http://127.0.0.1:3000/?token=s"
    assert address("::1", 3000) == "http://[::1]:3000/"
    assert "0.0.0.0" in allowed_hosts("0.0.0.0") and allowed_hosts("GPU-box") == {"gpu-box"}


# --- the real server


@pytest.fixture
def served(tmp_path):
    """Port and process of `serve_ui` over the toy definitions."""
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[2]}", "KT_HOME": str(tmp_path)}
    environment.pop("DAGSTER_HOME", None)
    code = (
        "from kt_resources.home import ensure_home; from kt_assets.cli import ui;"
        "ui.serve_ui(ensure_home(), port=ui.any_port('127.0.0.1'), module='toy_definitions')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    found = re.search(r"http://127.0.0.1:(\d+)/", process.stdout.readline())
    assert found
    yield int(found[1]), process
    if process.poll() is None:
        process.kill()
        process.wait()


def fetch(port: int, method: str, path: str, body: dict | None = None, **headers: str) -> tuple[int, str]:
    deadline = time.monotonic() + 20
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        try:
            connection.request(method, path, json.dumps(body) if body else None, sent)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
        finally:
            connection.close()


ASSETS = {"query": "{ assetNodes { assetKey { path } } }"}


def test_the_real_server_answers_its_own_page_and_refuses_others(served) -> None:
    port, process = served
    ours = {"Origin": f"http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"}
    status, text = fetch(port, "POST", "/graphql", ASSETS, **ours)
    assert status == 200 and {"assetKey": {"path": ["toy"]}} in json.loads(text)["data"]["assetNodes"]
    assert fetch(port, "GET", "/server_info")[0] == 200
    attack = f"/graphql?query={quote(MUTATION)}"
    assert fetch(port, "GET", attack, Origin="http://evil.example")[0] == 403
    assert fetch(port, "GET", attack)[0] == 403
    assert fetch(port, "POST", "/graphql", ASSETS, Origin="http://evil.example")[0] == 403
    assert fetch(port, "POST", "/graphql", ASSETS, Host="evil.example")[0] == 403
    socket_headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Protocol": "graphql-ws",
    }
    assert fetch(port, "GET", "/graphql", Origin="http://evil.example", **socket_headers)[0] == 403

    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(children) >= 2  # the webserver's code server, and the daemon
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline, "a child outlived the server"
        time.sleep(0.1)
