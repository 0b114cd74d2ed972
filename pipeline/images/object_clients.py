"""Clients of buckets in cloud storage, with the credentials that the environment of a process has.

Each process makes its own clients and finds the credentials itself: nothing that is pickled, shown or
recorded holds them.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

# A server that is overloaded or restarts is asked again for about half a minute.
_RETRIES = 8
# How long a whole request may take, and how long making a connection.
_TIMEOUTS = {"timeout": "300s", "connect_timeout": "10s"}
# How long a client uses the credentials that it was given last.
_FRESH = timedelta(minutes=5)
_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_")


def _environment() -> str:
    """Return a text that is another one if the variables have changed from which clients are made."""
    found = sorted(item for item in os.environ.items() if item[0].upper().startswith(_VARIABLES))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def connect(bucket: str, prefix: str = "") -> Any:  # noqa: ANN401  one of obstore's stores
    """Return the client of a bucket, which a process makes once, and again if its environment has changed.

    Parameters
    ----------
    bucket : str
        A URL such as ``s3://bucket``.
    prefix : str
        Where the paths of the client begin.

    Raises
    ------
    ImportError
        If obstore isn't installed.
    """
    return _connect(bucket, prefix, _environment())


@lru_cache(maxsize=16)
def _connect(bucket: str, prefix: str, _variables: str) -> Any:  # noqa: ANN401  one of obstore's stores
    """Make the client of a bucket."""
    from obstore import store  # noqa: PLC0415  an extra

    scheme, _, name = bucket.partition("://")
    kinds = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
    options = _find_aws() if scheme == "s3" else {}
    client: dict[str, Any] = dict(_TIMEOUTS)
    addresses = (
        os.environ.get("AWS_ENDPOINT_URL_S3"),
        os.environ.get("AWS_ENDPOINT_URL"),
        options.get("endpoint"),
    )
    if scheme == "s3" and next(filter(None, addresses), "").startswith("http:"):
        client["allow_http"] = True
    retries = {"max_retries": _RETRIES}
    return kinds[scheme](name, prefix=prefix or None, client_options=client, retry_config=retries, **options)


def _find_aws() -> dict[str, Any]:
    """Return the options for which AWS's tools are set up, beside the variables that clients know."""
    if {"AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"} & os.environ.keys():
        return {}
    try:
        provider = AwsCredentials()
    except ImportError:
        # The client looks for web identities and for the metadata of machines itself.
        return {}
    found = {"region": provider.region, "endpoint": provider.endpoint}
    options: dict[str, Any] = {key: value for key, value in found.items() if value}
    # Whoever has no credentials can read what is public.
    return options | ({"credential_provider": provider} if provider.are_there else {"skip_signature": True})


class AwsCredentials:
    """The credentials that AWS's tools would use: those of a profile, of single sign-on, or of a machine.

    It can be pickled, which holds no credentials: another process finds its own.
    """

    def __init__(self) -> None:
        from botocore.session import get_session  # noqa: PLC0415  an extra

        session = get_session()
        self._credentials = session.get_credentials()
        self.are_there = self._credentials is not None
        self.region = session.get_config_variable("region")
        self.endpoint = session.get_scoped_config().get("endpoint_url") if _has_profile(session) else None

    def __reduce__(self) -> tuple[type[AwsCredentials], tuple[()]]:
        return type(self), ()

    def __call__(self) -> dict[str, Any]:
        """Return the credentials for the next minutes."""
        keys = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + _FRESH,
        }


def _has_profile(session: Any) -> bool:  # noqa: ANN401  botocore's
    return (session.get_config_variable("profile") or "default") in session.available_profiles


def url_of_store(store: Any) -> str | None:  # noqa: ANN401  any of obstore's stores
    """Return the URL of a store of obstore, or None if it isn't one of cloud storage."""
    schemes = {
        "S3Store": ("s3", "bucket"),
        "GCSStore": ("gs", "bucket"),
        "AzureStore": ("az", "container_name"),
    }
    prefix = getattr(store, "prefix", None) or ""
    known = schemes.get(type(store).__name__)
    bucket = store.config.get(known[1]) if known else None
    return f"{known[0]}://{bucket}/{prefix}".rstrip("/") if known and bucket else None
