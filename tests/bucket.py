"""A bucket on loopback: an emulator of object storage that writes under conditions.

The emulator of the package index passes over `ifGenerationMatch`, does not say of which
generation a read object is, and takes no empty ones. What it lacks is added here.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import HTTPServer
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.storage import Storage

BUCKET = "bucket"


@contextmanager
def serve_bucket() -> Iterator[str]:
    """Serve an empty bucket from memory while a block runs; yield its address.

    Processes that the block starts find it too, by variables of the environment.
    """
    # It tells of every object that is asked for and not there.
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    storage = Storage(use_memory_fs=True)
    create_bucket(BUCKET, storage)
    # One request at a time, so that a condition holds until what it allows is done.
    server = _Server(("127.0.0.1", 0), partial(_Handler, storage))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        with (
            mock.patch.object(emulator, "_read_data", _read_data),
            mock.patch.dict(os.environ, _variables(server.server_port)),
            # As fsspec takes it from there in processes that begin now.
            mock.patch.dict(fsspec.config.conf, {"gcs": {"token": "anon"}}),
        ):
            yield f"gs://{BUCKET}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _variables(port: int) -> Mapping[str, str]:
    address = f"http://127.0.0.1:{port}"
    return {
        "STORAGE_EMULATOR_HOST": address,
        "TENSORSTORE_GCS_HTTP_URL": address,
        # Where TensorFlow is installed, etils would read through it.
        "EPATH_USE_TF": "false",
        # Nobody is asked who this is, and what kind of bucket it is.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "FSSPEC_GCS_TOKEN": "anon",
        "GCE_METADATA_ROOT": f"127.0.0.1:{port}",
        "NO_GCE_CHECK": "true",
        "GOOGLE_CLOUD_PROJECT": "project",
    }


class _Server(HTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Processes that tests kill go away in the middle of a request.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


_read_some_data = emulator._read_data


def _read_data(handler: Any, query: Mapping[str, list[str]]) -> Any:
    content = _read_some_data(handler, query)
    return b"" if content is None and query.get("uploadType") == ["media"] else content


class _Handler(emulator.RequestHandler):
    """Answers 412 or 304 where a condition of a request does not hold."""

    storage: Any
    _generation: str | None = None

    def parse_request(self) -> bool:
        self._generation = None
        if not super().parse_request():
            return False
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        bucket, name = _object_of(asked.path, query)
        held = self.storage.objects.get(bucket, {}).get(name)
        generation = "0" if held is None else held["generation"]
        if query.get("ifGenerationMatch", generation) != generation:
            return self._refuse(HTTPStatus.PRECONDITION_FAILED)
        if query.get("ifGenerationNotMatch") == generation:
            return self._refuse(HTTPStatus.NOT_MODIFIED)
        if query.get("alt") == "media":
            self._generation = generation
        return True

    def _refuse(self, status: HTTPStatus) -> bool:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        super().end_headers()
        return False

    def end_headers(self) -> None:
        if self._generation is not None:
            self.send_header("X-Goog-Generation", self._generation)
        super().end_headers()


def _object_of(path: str, query: Mapping[str, str]) -> tuple[str, str]:
    """Return the bucket and the name of the object that a request is about."""
    _, _, rest = path.partition("/b/")
    bucket, _, name = rest.partition("/o")
    return bucket, query.get("name") or unquote(name.removeprefix("/"))
