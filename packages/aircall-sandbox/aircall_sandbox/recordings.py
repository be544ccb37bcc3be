"""Audio of calls: links that expire after an hour and change at each reading, and the files behind them.

See the facts: Changes after the call. A file is some seconds of silence in MP3; each has different bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aircall_sandbox.messages import ApiResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECORDING_PATH = "/recordings/"
SECONDS = 3
"""Length of the audio, whatever the length of the call."""
FRAME = b"\xff\xfb\x10\xc4" + bytes(17)
"""Header and side information of a silent MP3 frame: mono, 44.1 kHz, 32 kbit/s."""
FRAME_BYTES = 104
FRAMES_PER_SECOND = 44_100 / 1152
SIGNATURE_KEY = b"key of the sandbox"
MARK = "-signed-by-the-sandbox"
"""Suffix of every signature, by which tests notice a leaked one."""
DENIED = b"<Error><Code>AccessDenied</Code></Error>"
MISSING = b"<Error><Code>NoSuchKey</Code></Error>"


def address_of(call_id: int, kind: str) -> str:
    """Return the path of a call's `recording` or `voicemail`, without a signature."""
    return f"{RECORDING_PATH}{call_id}-{kind}.mp3"


def audio(path: str) -> bytes:
    """Return the file of a path; the same path gives the same file."""
    filler = random.Random(path)  # noqa: S311 - not for secrets
    frames = round(SECONDS * FRAMES_PER_SECOND)
    return b"".join(FRAME + filler.randbytes(FRAME_BYTES - len(FRAME)) for _ in range(frames))


class Recordings:
    """Signs links and serves their files. Attributes may be changed at any time."""

    def __init__(self) -> None:
        self.root: Callable[[], str] = lambda: "https://recordings.example.com"
        """Returns the root URL of the links."""
        self.link_seconds = 3600.0
        """Lifetime of a link."""
        self.content_type = "audio/mpeg"
        self.files: dict[str, bytes] = {}
        """Contents to serve in place of made-up ones, by path."""
        self.deleted: set[str] = set()
        """Paths of deleted files; the calls keep their links."""
        self.deleted_status = 404
        self._readings = itertools.count(1)

    def links(self, call: Mapping[str, Any], now: float) -> dict[str, str]:
        """Return a call's `recording` and `voicemail`, if any, as links for one reading.

        Args:
            call: The call, with paths from `address_of`; other addresses are not signed.
            now: UNIX seconds.
        """
        params = {"expires": str(int(now + self.link_seconds)), "reading": str(next(self._readings))}
        paths = {kind: call[kind] for kind in ("recording", "voicemail") if call.get(kind)}
        return {kind: self._signed(path, params) for kind, path in paths.items()}

    def _signed(self, path: str, params: dict[str, str]) -> str:
        if not path.startswith(RECORDING_PATH):
            return path
        return f"{self.root()}{path}?{urlencode(params | {'signature': _sign(path, params)})}"

    def file(self, url: str, authorization: str | None, now: float) -> tuple[ApiResponse, dict[str, str]]:
        """Respond to a request as storage does: the link is the credential; others are refused.

        Returns:
            The response and its headers.
        """
        parts = urlsplit(url)
        path, params = parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}
        signature = params.pop("signature", "")
        xml = {"content-type": "application/xml"}
        if authorization is not None:
            return ApiResponse(400, b"<Error><Code>InvalidArgument</Code></Error>"), xml
        if not hmac.compare_digest(signature, _sign(path, params)) or now >= int(params["expires"]):
            return ApiResponse(403, DENIED), xml
        if path in self.deleted:
            return ApiResponse(self.deleted_status, MISSING), xml
        content = self.files.get(path)
        return ApiResponse(200, audio(path) if content is None else content), {"content-type": self.content_type}


def _sign(path: str, params: dict[str, str]) -> str:
    text = f"{path}?{urlencode(sorted(params.items()))}"
    return hmac.new(SIGNATURE_KEY, text.encode(), hashlib.sha256).hexdigest() + MARK
