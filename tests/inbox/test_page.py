"""What docs/inbox.md prints works: the service's command, and the proxies."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import urllib3

from tap_aircall import command
from tap_aircall.auth.tokens import default_location
from tap_aircall.inbox.store import Inbox
from tests.inbox.conftest import delivery, ids, known
from tests.inbox.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.inbox.conftest import Running

PAGE = (Path(__file__).parents[2] / "docs/inbox.md").read_text(encoding="utf-8")
NAME = "hooks.example.com"
CADDY, NGINX = shutil.which("caddy") or "", shutil.which("nginx") or ""


def blocks(kind: str) -> list[str]:
    """Return the blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def unit() -> configparser.ConfigParser:
    """Return the service."""
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(*blocks("ini"))
    return parsed


def test_the_page_names_every_command() -> None:
    assert set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE)) == set(command.commands.commands)


def test_the_service_runs_a_valid_command(tmp_path: Path) -> None:
    words = shlex.split(unit()["Service"]["ExecStart"])
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"user": "id", "password": "token"}), encoding="utf-8")
    arguments = [str(config) if word.endswith("config.json") else word for word in words[1:]]

    context = command.commands.make_context("aircall-inbox", arguments)

    assert Path(words[0]).name == "aircall-inbox"
    assert command.commands.resolve_command(context, [words[3]])[0] == "serve"


def test_the_service_keeps_tokens_in_a_private_writable_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    service = unit()["Service"]
    monkeypatch.setenv(*service["Environment"].split("="))

    assert default_location().is_relative_to(f"/var/lib/{service['StateDirectory']}")
    assert service["UMask"] == "0077"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(tmp_path: Path, authority: trustme.CA) -> tuple[str, str]:
    """Files with a certificate for the name of the page, and with its key."""
    issued, chain, key = authority.issue_cert(NAME), tmp_path / "chain.pem", tmp_path / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(chain), str(key)


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    """Run a proxy, until it was used."""
    environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    log = folder / "proxy.log"
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            while True:
                assert process.poll() is None, log.read_text(encoding="utf-8")
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.02)
            yield
        finally:
            process.terminate()


def delivered(port: int, path: str, body: bytes, folder: Path) -> int:
    """Deliver through a proxy on this machine, by its public name."""
    options: dict[str, Any] = {"server_hostname": NAME, "assert_hostname": NAME, "ca_certs": str(folder / "ca.pem")}
    with urllib3.HTTPSConnectionPool("127.0.0.1", port, timeout=60, **options) as pool:
        return pool.request("POST", path, body=body, headers={"Host": f"{NAME}:{port}"}).status


def check(receivers: list[Running], port: int, folder: Path) -> None:
    assert delivered(port, "/aircall", delivery(1), folder) == 200
    assert delivered(port, "/aircall/", delivery(2), folder) == 200
    assert delivered(port, "/aircall", delivery("x" * 900_000), folder) == 200
    assert delivered(port, "/aircall", delivery("x" * 1_100_000), folder) == 413
    assert delivered(port, "/health", b"", folder) in {200, 404}
    assert [len(str(each)) for each in ids(receivers[0].inbox)] == [1, 1, 900_000]


@pytest.fixture
def receivers(tmp_path: Path, make_receiver: Callable[..., Running]) -> Iterator[list[Running]]:
    with closing(Inbox.open(str(tmp_path / "inbox.db"), create=True)) as inbox:
        inbox.add_webhook(known())
        made = [make_receiver(inbox) for _ in range(2)]
        yield made
        for receiver in made:
            receiver.stop()


@pytest.mark.skipif(not CADDY, reason="Caddy is not on this machine")
@pytest.mark.parametrize("text", blocks("caddy"), ids=range(2))
def test_caddy_forwards_deliveries(
    receivers: list[Running], certificate: tuple[str, str], tmp_path: Path, text: str
) -> None:
    port = free_port()
    text = text.replace(f"{NAME} {{\n", f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {' '.join(certificate)}\n")
    for original, receiver in zip(("127.0.0.1:8788", "127.0.0.1:8789"), receivers, strict=True):
        text = text.replace(original, f"127.0.0.1:{receiver.port}")
    (tmp_path / "Caddyfile").write_text(
        f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}", encoding="utf-8"
    )

    with running([CADDY, "run", "--config", "Caddyfile", "--adapter", "caddyfile"], tmp_path, port):
        check(receivers, port, tmp_path)


@pytest.mark.skipif(not NGINX, reason="nginx is not on this machine")
def test_nginx_forwards_deliveries(receivers: list[Running], certificate: tuple[str, str], tmp_path: Path) -> None:
    port = free_port()
    (text,) = blocks("nginx")
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    text = text.replace("127.0.0.1:8788", f"127.0.0.1:{receivers[0].port}")
    text = re.sub(r"ssl_certificate \S+;", f"ssl_certificate {certificate[0]};", text)
    text = re.sub(r"ssl_certificate_key \S+;", f"ssl_certificate_key {certificate[1]};", text)
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""  # or its workers may not see the folder
    main = f"{user}daemon off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n"
    whole = f"{main}http {{\naccess_log off;\n{paths}{text}}}\n"
    (tmp_path / "nginx.conf").write_text(whole, encoding="utf-8")

    with running([NGINX, "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"], tmp_path, port):
        check(receivers, port, tmp_path)
