"""Clients find credentials where the tools of a cloud put them, and none of them travels."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import obstore.store
import pytest
from object_server import KEY, SECRET, ObjectServer

from pipeline.images import object_clients
from pipeline.images.object_clients import connect, url_of_store
from pipeline.images.object_storage import ObjectFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Give an environment in which no tool of a cloud was set up."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def test_a_client_is_made_once(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket has one client in a process, and another one once the environment has changed."""
    first = connect(bucket)
    assert connect(bucket) is first
    assert connect(bucket, "a") is not first
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert connect(bucket) is not first


def test_an_address_without_tls_is_meant(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets the address of a server by http:// needn't say it again."""
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    folder = ObjectFolder(bucket)
    folder.write("x", [b"1"])
    assert folder.read("x") == b"1"


def test_a_profile_has_credentials_region_and_server(
    bucket: str, object_server: ObjectServer, nothing_set: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A profile of AWS's files is used, and another process reads it itself."""
    settings = f"[profile lab]\nregion = eu-west-1\nendpoint_url = {object_server.url}\n"
    (tmp_path / "config").write_text(settings)
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    nothing_set.setenv("AWS_PROFILE", "lab")
    folder = ObjectFolder(bucket)
    folder.write("x", [b"1"])
    client = connect(bucket)
    assert client.config["region"] == "eu-west-1"
    content = pickle.dumps(client)
    assert SECRET.encode() not in content
    assert KEY.encode() not in content
    assert bytes(obstore.get(pickle.loads(content), "x").bytes()) == b"1"  # noqa: S301  made above
    assert SECRET not in repr(client) + repr(client.credential_provider)


def test_whoever_has_no_credentials_reads_what_is_public(nothing_set: pytest.MonkeyPatch) -> None:
    """Without credentials, requests aren't signed; with those of the environment, obstore signs them."""
    assert connect("s3://public").config["skip_signature"] in {True, "true"}
    nothing_set.setenv("AWS_ACCESS_KEY_ID", KEY)
    nothing_set.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert "skip_signature" not in connect("s3://public").config


def test_without_boto_the_client_looks_itself(nothing_set: pytest.MonkeyPatch) -> None:
    """Where boto3 is missing, obstore looks for credentials."""

    def refuse() -> Any:
        raise ImportError

    nothing_set.setattr(object_clients, "AwsCredentials", refuse)
    assert "skip_signature" not in connect("s3://other").config


@pytest.mark.parametrize(
    ("store", "url"),
    [
        (obstore.store.S3Store("b", prefix="x/y"), "s3://b/x/y"),
        (obstore.store.S3Store("b"), "s3://b"),
        (obstore.store.GCSStore("b", prefix="x"), "gs://b/x"),
        (obstore.store.AzureStore("c", account_name="a", prefix="x"), "az://c/x"),
        (obstore.store.MemoryStore(), None),
    ],
)
def test_the_url_of_a_store(store: object, url: str | None) -> None:
    """Stores of obstore have the URLs that open them."""
    assert url_of_store(store) == url


@pytest.mark.parametrize("bucket_url", ["s3://b", "gs://b", "az://b"])
def test_other_clouds_have_clients(bucket_url: str, nothing_set: pytest.MonkeyPatch) -> None:
    """Each scheme has its kind of client."""
    nothing_set.setenv("AZURE_STORAGE_ACCOUNT_NAME", "a")
    assert url_of_store(connect(bucket_url, "x")) == f"{bucket_url}/x"
