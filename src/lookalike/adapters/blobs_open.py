"""Buckets of object stores, opened with the credentials and deadlines of `BlobOptions`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, GCSStore, RetryConfig, S3Config, S3Store

    from lookalike.adapters.blobs_options import BlobOptions, BlobPlace


def open_bucket(place: BlobPlace, options: BlobOptions) -> S3Store | GCSStore:
    """Open what an `s3://` or `gs://` URL names; no call is made yet."""
    client: ClientConfig = {
        "allow_http": options.is_http_allowed,
        "connect_timeout": timedelta(seconds=options.connect_timeout_s),
        "timeout": timedelta(seconds=options.request_timeout_s),
    }
    retry: RetryConfig = {
        "max_retries": options.retries,
        "retry_timeout": timedelta(seconds=options.request_timeout_s),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=2),
        },
    }
    prefix = place.prefix or None
    if place.scheme == "gs":
        from obstore.store import GCSStore

        return GCSStore(
            place.bucket,
            prefix=prefix,
            config=_gs_config(options),
            client_options=client,
            retry_config=retry,
        )
    from obstore.store import S3Store

    return S3Store(
        place.bucket,
        prefix=prefix,
        config=_s3_config(options),
        client_options=client,
        retry_config=retry,
    )


def _s3_config(options: BlobOptions) -> S3Config:
    config: S3Config = {"region": options.region}
    if options.endpoint:
        config["endpoint"] = options.endpoint
    if options.access_key and options.secret_key:
        config["access_key_id"] = options.access_key
        config["secret_access_key"] = options.secret_key
    if options.session_token:
        config["session_token"] = options.session_token
    if options.is_anonymous:
        config["skip_signature"] = True
    return config


def _gs_config(options: BlobOptions) -> GCSConfig:
    config: GCSConfig = {}
    if options.endpoint:
        config["base_url"] = options.endpoint
    account = options.service_account
    if options.is_anonymous:
        # Puts would ask the cloud's own machine for a token even with skip_signature.
        nobody = {
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
            "disable_oauth": True,
        }
        config["service_account_key"] = json.dumps(nobody)
    elif account and account.lstrip().startswith("{"):
        config["service_account_key"] = account
    elif account:
        config["service_account"] = account
    return config
