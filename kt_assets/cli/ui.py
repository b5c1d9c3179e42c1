"""``kt ui``: the Dagster webserver behind :mod:`kt_assets.cli.server`, with the daemon beside it."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from kt_assets.cli.server import ANY_HOST, LOOPBACK, Guard
from kt_resources.compute.environment import be_quiet
from kt_resources.compute.process import Process
from kt_resources.errors import ComputeError
from kt_resources.home import Home, dagster_instance

TOKEN_VARIABLE = "KT_UI_TOKEN"
DEFAULT_PORT = 3000
RUNS_END_S = 45.0
"""How long runs in flight may take to end after Ctrl-C: their programs save a checkpoint first."""

MODULE = "kt_assets.definitions"
LOCATION = "kt_assets"


def serve_ui(
    home: Home,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str = "",
    module: str = MODULE,
) -> None:
    """Serve the Dagster UI of ``home`` until Ctrl-C, which ends webserver, daemon and the runs of that daemon.

    Args:
        port: None takes 3000, or a free one where that is taken.
        token: asked of every browser once, as ``/?token=...``; required where ``host`` is no loopback name.

    Raises:
        ComputeError: the port is taken, or the host can be reached from outside without a token.
    """
    check_exposure(host, token)
    chosen = choose_port(host, port)
    be_quiet()
    workspace = write_workspace(home, module)
    with ExitStack() as stack:
        app = stack.enter_context(dagster_app(home, workspace))
        daemon = start_daemon(home, workspace)
        stack.callback(daemon.drain, RUNS_END_S)
        print(f"Dagster UI: {address(host, chosen, token)}   (Ctrl-C ends it)", flush=True)
        serve(Guard(app, allowed_hosts(host), token), host, chosen)


def check_exposure(host: str, token: str) -> None:
    """Refuse to listen beyond this machine without a token."""
    if host not in LOOPBACK and not token:
        raise ComputeError(
            f"{host} can be reached from other machines, and whoever reaches the UI can run code here",
            where="--host",
            mend=f"set {TOKEN_VARIABLE} to a long secret, or tunnel to 127.0.0.1 (ssh -L)",
        )


def choose_port(host: str, port: int | None) -> int:
    """``port`` if it is free; without a wish 3000, or a free one."""
    if port is not None:
        if not is_free(host, port):
            raise ComputeError(
                f"port {port} of {host} is taken", where="--port", mend="choose another, or leave it out"
            )
        return port
    return DEFAULT_PORT if is_free(host, DEFAULT_PORT) else any_port(host)


def _bind(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return probe.getsockname()[1]


def is_free(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def any_port(host: str) -> int:
    return _bind(host, 0)


def allowed_hosts(host: str) -> frozenset[str]:
    """Names that a Host header may have beside the loopback ones."""
    names = {host}
    if host in ANY_HOST:
        names |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(name.lower() for name in names)


def address(host: str, port: int, token: str = "") -> str:
    """What to open in the browser."""
    name = "127.0.0.1" if host in ANY_HOST else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def write_workspace(home: Home, module: str) -> Path:
    """The workspace file that webserver and daemon share: both must call the code location by one name."""
    file = home.dagster_home / "workspace.yaml"
    lines = ["load_from:", "  - python_module:", f"      module_name: {module}", f"      location_name: {LOCATION}"]
    file.write_text("\n".join(lines) + "\n")
    return file


def dagster_app(home: Home, workspace: Path):
    """Context manager of the webserver's ASGI application, its code location loaded."""
    from contextlib import contextmanager

    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.cli import _lifespan

    @contextmanager
    def opened():
        target = WorkspaceFileTarget([str(workspace)])
        with (
            dagster_instance(home) as instance,
            WorkspaceProcessContext(instance, target, code_server_log_level="WARNING") as context,
        ):
            yield create_app_from_workspace_process_context(context, live_data_poll_rate=2000, lifespan=_lifespan)

    return opened()


def start_daemon(home: Home, workspace: Path) -> Process:
    """The Dagster daemon (queue, schedules, run monitoring) as a child that ends with us; its log is in the home."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace)]
    with (home.dagster_home / "daemon.log").open("ab") as log:
        return Process(command, dict(os.environ), log)


def serve(app: Callable, host: str, port: int) -> None:
    """Run ``app`` until SIGINT or SIGTERM."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", server_header=False))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server.run()
