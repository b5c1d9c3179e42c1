"""What stands between a browser and the Dagster webserver, which has no authentication of its own.

Without it any page that the user has open can start a run: Dagster executes GraphQL mutations by GET and looks at no
Origin. The rules are pure functions of one request; :class:`Guard` applies them to HTTP and websockets.
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_HOST = frozenset({"0.0.0.0", "::"})
COOKIE = "kt_ui_token"
HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d+)?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Ask:
    """What the rules look at in one request. Header values are empty strings where the header is absent."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    websocket: bool = False
    host: str = ""
    origin: str = ""
    fetch_site: str = ""
    cookie: str = ""
    authorization: str = ""

    @property
    def has_effects(self) -> bool:
        """Whether it may do or tell something that another site must not reach."""
        return self.websocket or self.method not in SAFE_METHODS or self.path.rstrip("/").endswith("/graphql")


def ask_of(scope: Scope) -> Ask:
    """The :class:`Ask` of an ASGI scope; of a header that is sent twice the values are joined, and so refused."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Ask(
        method=scope.get("method", "GET"),
        path=scope["path"],
        query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        websocket=scope["type"] == "websocket",
        host=headers.get("host", ""),
        origin=headers.get("origin", ""),
        fetch_site=headers.get("sec-fetch-site", ""),
        cookie=headers.get("cookie", ""),
        authorization=headers.get("authorization", ""),
    )


def host_name(netloc: str) -> str:
    """The host of ``host:port``, in lower case, without the brackets of IPv6; empty where it is no such thing."""
    match = HOST.fullmatch(netloc.lower())
    return (match[1] or match[2]) if match else ""


def allows_host(ask: Ask, hosts: Iterable[str]) -> bool:
    """Whether the Host header is one of ours: another name that resolves to this machine is DNS rebinding.

    Where we listen on every interface, any literal address is ours too, as no name stands behind it.
    """
    name, ours = host_name(ask.host), {host.lower() for host in hosts}
    if name in LOOPBACK | ours:
        return True
    return bool(ours & ANY_HOST) and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def same_origin(ask: Ask) -> bool:
    """Whether no other site sent it: Origin, where there is one, is our Host; Sec-Fetch-Site names no other site.

    Another port of this machine is another site here. Programs (curl) send neither header and pass.
    """
    if ask.origin and urlsplit(ask.origin).netloc.lower() != ask.host.lower():
        return False
    return ask.fetch_site in ("", "same-origin", "none")


def is_mutation_by_get(ask: Ask) -> bool:
    """Whether a GET carries a GraphQL document with a mutation."""
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

    if ask.websocket or ask.method not in SAFE_METHODS:
        return False
    for text in (value for name, value in ask.query if name == "query"):
        try:
            definitions = parse(text).definitions
        except GraphQLError:
            continue
        for definition in definitions:
            if isinstance(definition, OperationDefinitionNode) and definition.operation == OperationType.MUTATION:
                return True
    return False


def digest(token: str) -> str:
    """What the cookie holds in place of the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def has_token(ask: Ask, token: str) -> bool:
    """Whether the request carries ``token``: as our cookie, or as ``Authorization: Bearer``."""
    jar = SimpleCookie()
    try:
        jar.load(ask.cookie)
    except CookieError:
        return False
    cookie = jar[COOKIE].value if COOKIE in jar else ""
    bearer = ask.authorization.removeprefix("Bearer ")
    return _equal(cookie, digest(token)) or _equal(digest(bearer), digest(token))


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


def refusal(ask: Ask, hosts: Iterable[str]) -> str:
    """Why the request is refused whoever sends it; empty where it is not."""
    if not allows_host(ask, hosts):
        return f"this server does not answer to the host {ask.host!r}; start it with --host to allow another name"
    if ask.has_effects and not same_origin(ask):
        return f"another site ({ask.origin or ask.fetch_site}) may not reach this server"
    if is_mutation_by_get(ask):
        return "GraphQL mutations are taken by POST only"
    return ""


def login(ask: Ask, token: str) -> str | None:
    """Where to go after a right ``?token=`` (the same address without it); None where the token is wrong or absent."""
    given = dict(ask.query).get("token")
    if ask.websocket or given is None or not _equal(given, token):
        return None
    rest = [(name, value) for name, value in ask.query if name != "token"]
    path = quote("/" + ask.path.lstrip("/"))
    return path + (f"?{urlencode(rest)}" if rest else "")


@dataclass(frozen=True)
class Guard:
    """ASGI middleware: refuses with 403 (401 without the token), and forbids other sites to frame the UI."""

    app: App
    hosts: frozenset[str]
    token: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request ourselves, or let the app do it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        ask = ask_of(scope)
        reason = refusal(ask, self.hosts)
        if reason:
            await _answer(ask, send, 403, reason)
        elif self.token and not has_token(ask, self.token):
            await self._ask_for_token(ask, send)
        else:
            await self.app(scope, receive, _unframed(send))

    async def _ask_for_token(self, ask: Ask, send: Send) -> None:
        target = login(ask, self.token)
        if target is None:
            await _answer(ask, send, 401, "open the address with ?token=... that `kt ui` printed")
            return
        cookie = f"{COOKIE}={digest(self.token)}; Path=/; HttpOnly; SameSite=Strict"
        await _answer(ask, send, 303, "", [(b"location", target.encode()), (b"set-cookie", cookie.encode())])


async def _answer(ask: Ask, send: Send, status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """A plain-text response; a websocket is closed before it is accepted, which the client sees as 403."""
    if ask.websocket:
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    kind = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [kind, *headers]})
    await send({"type": "http.response.body", "body": text.encode()})


def _unframed(send: Send) -> Send:
    async def wrapped(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"x-frame-options", b"DENY")]
        await send(message)

    return wrapped
