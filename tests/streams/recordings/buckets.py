"""A bucket on a real S3 server on this machine."""

from __future__ import annotations

from typing import Any

import boto3


class Bucket:
    """A bucket.

    Args:
        endpoint: Address of the server.
        name: Name of the bucket, which is made.
    """

    def __init__(self, endpoint: str, name: str) -> None:
        self.name = name
        self.url = f"s3://{name}/aircall"
        self._client: Any = boto3.client("s3", endpoint_url=endpoint)
        self._client.create_bucket(Bucket=name)

    def files(self) -> dict[str, bytes]:
        """Return all objects by their URL."""
        keys = [entry["Key"] for entry in self._client.list_objects_v2(Bucket=self.name).get("Contents", ())]
        return {
            f"s3://{self.name}/{key}": self._client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys
        }

    def empty(self) -> None:
        """Remove all objects."""
        for url in self.files():
            self._client.delete_object(Bucket=self.name, Key=url.removeprefix(f"s3://{self.name}/"))

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close()
