"""Promises of pipeline/common/addresses.py: no password is shown, and a server is asked with it."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.common.addresses import named, request, safe
from pipeline.common.errors import Away
from pipeline.tracking import store

SECRET = "S3CRET"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"http://user:{SECRET}@host:5000", "http://host:5000"),
        (f"http://user:a@{SECRET}@host", "http://host"),
        (f"http://user:a/{SECRET}@host/x", "http://host/x"),
        (f"http://{SECRET}@host", "http://host"),
        (f"http://user:a'b\"{SECRET}@host and user:a'{SECRET}@host", "http://host and host"),
        (f"http://host/?password={SECRET}&x=1", "http://host/?password=***&x=1"),
        (f"postgresql+psycopg://u:{SECRET}@db:5432/x?sslpassword={SECRET}", "postgresql+psycopg://db:5432/x?sslpassword=***"),
        (f"no answer from 'https://u:{SECRET}@a/' and user:{SECRET}@host:5000", "no answer from 'https://a/' and host:5000"),
        ("sqlite:////tmp/a@b/mlflow.db", "sqlite:////tmp/a@b/mlflow.db"),
        ("http://127.0.0.1:5000/#/experiments/1", "http://127.0.0.1:5000/#/experiments/1"),
        ("models:/bigfoot-digits@champion", "models:/bigfoot-digits@champion"),
    ],
)
def test_an_address_is_shown_without_its_password(address, shown):
    assert safe(address) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://bucket/folder/take@2.wav", "s3://bucket/folder/take@2.wav"),
        ("hf://datasets/org/name@main/data/a.wav", "hf://datasets/org/name@main/data/a.wav"),
        (f"https://user:a@{SECRET}@host/x@1.wav?mail=a@b.de&key={SECRET}", "https://host/x@1.wav?mail=a@b.de&key=***"),
        (f"http://user:a/{SECRET}@host/x", "http://host/x"),
        ("s3://bucket/take#1.wav", "s3://bucket/take#1.wav"),
        (f"http://us\ter:{SECRET}@host/x", "http://us\thost/x"),
        ("http://[x/a.wav", "http://[x/a.wav"),
    ],
)
def test_one_address_keeps_its_path(address, shown):
    assert named(address) == shown


def test_a_server_behind_a_password_is_asked_with_it():
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    store._probe(f"http://user:{SECRET}@127.0.0.1:{server.server_port}")
    server.server_close()
    assert seen == [("/health", "Basic dXNlcjpTM0NSRVQ=")]


def test_a_server_that_is_away_is_named_without_its_password():
    with pytest.raises(Away, match="no MLflow server at http://127.0.0.1:9") as caught:
        store._probe(f"http://user:{SECRET}@127.0.0.1:9")
    assert SECRET not in str(caught.value)
    with pytest.raises(Away, match="no MLflow server at http://host:port"):
        store._probe(f"http://user:{SECRET}@host:port")
    assert request("http://127.0.0.1:9/a").headers == {}
