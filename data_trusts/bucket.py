"""A member's warehouse in a bucket of any store that speaks S3: address, credentials, and what a list does not show.

Address and credentials come from the environment alone, under the names that AWS's own tools read, and go to the engine
alone. Files are listed, read and removed through pyarrow (data_trusts/table_files.py). Here is what it has no call for:
whether a bucket keeps what is removed, and uploads that were never finished, whose parts no list of files shows.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote, urlsplit

import requests

WAREHOUSE = "COMMONWEAL_WAREHOUSE"
SCHEMES = ("s3", "s3a", "s3n")  # engines write all three for the same
# What the environment says, and what PyIceberg calls it.
_NAMES = {
    "AWS_REGION": "s3.region",
    "AWS_ACCESS_KEY_ID": "s3.access-key-id",
    "AWS_SECRET_ACCESS_KEY": "s3.secret-access-key",
    "AWS_ENDPOINT_URL": "s3.endpoint",
    "AWS_SESSION_TOKEN": "s3.session-token",
}
_NEEDED = ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_TIMEOUTS_S = {"s3.connect-timeout": "5", "s3.request-timeout": "30"}
# Bucket names as S3 allows them; a prefix of plain segments is the same key to every client.
_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_AWS_ERROR = re.compile(r"AWS Error (\w+)")  # pyarrow's words
_CAUSES = (
    (("NETWORK_CONNECTION", "REQUEST_TIMEOUT"), "does not answer", "start it, or correct AWS_ENDPOINT_URL"),
    (("NO_SUCH_BUCKET",), "has no such bucket", f"make it, or correct {WAREHOUSE}"),
    (
        ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "XADMIN_USER_NOT_FOUND", "HTTP403"),
        "refuses the credentials",
        "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or let them read, write, list and delete there",
    ),
)


class AddressError(Exception):
    """The environment does not say where the warehouse lies, or how it is opened; the message names the variable."""


class BucketError(OSError):
    """The store does not do what is asked of it; the message says why and what to do."""


def warehouse_of(env: Mapping[str, str]) -> str | None:
    """The address of the member's warehouse, or None where it is the data folder.

    Raises:
        AddressError: it is no address of a prefix in a bucket.
    """
    address = env.get(WAREHOUSE, "").rstrip("/")
    if address and not _ADDRESS.fullmatch(address):
        raise AddressError(f"{WAREHOUSE} is no place in a bucket; write s3://BUCKET/PREFIX in plain letters and digits")
    return address or None


def properties_of(env: Mapping[str, str]) -> dict[str, str]:
    """How PyIceberg opens the store.

    Raises:
        AddressError: the first variable that is missing or wrong.
    """
    for name in _NEEDED:
        if not env.get(name):
            raise AddressError(f"{name} is not set; {WAREHOUSE} needs {', '.join(_NEEDED)}")
    endpoint = urlsplit(env.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com")
    if endpoint.scheme not in {"http", "https"} or not endpoint.hostname or "@" in endpoint.netloc or endpoint.path:
        raise AddressError("AWS_ENDPOINT_URL is no address of a store; write https://HOST:PORT, and no credentials")
    known = {of_file: env[name] for name, of_file in _NAMES.items() if env.get(name)}
    return {**_TIMEOUTS_S, **known}


def reason(error: Exception, env: Mapping[str, str]) -> str | None:
    """What a failure of the store means and what to do; None where the store did not fail.

    The store's own words stay out, since some repeat what was sent. Some stores have no other answer to strangers than
    that nothing is there, so what is missing is believed only of a store that shows the bucket.
    """
    if isinstance(error, BucketError):
        return str(error)
    found = _AWS_ERROR.search(str(error))
    name = urlsplit(env.get(WAREHOUSE, "")).netloc
    if name and (isinstance(error, FileNotFoundError) or (found and found[1] == "UNKNOWN")):
        try:
            Bucket.of(name, properties_of(env)).look()
        except BucketError as refused:
            return str(refused)
    return _said(found[1], f"s3://{name}" if name else "of this table", env.get("AWS_ENDPOINT_URL")) if found else None


def _said(code: str, where: str, endpoint: str | None) -> str:
    what, remedy = next(
        ((what, remedy) for codes, what, remedy in _CAUSES if code in codes), ("fails", "see the store's log")
    )
    at = f" at {endpoint}" if endpoint else ""
    return f"the object store {where}{at} {what} ({code}); {remedy}"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """What the protocol says of one bucket, asked with signed requests (AWS Signature Version 4)."""

    name: str
    endpoint: str
    region: str
    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    clock: Callable[[], datetime]

    @classmethod
    def of(cls, name: str, properties: Mapping[str, str], clock: Callable[[], datetime] = _now) -> "Bucket":
        """A bucket, opened as a table's files are."""
        region = properties.get("s3.region", "us-east-1")
        return cls(
            name=name,
            endpoint=properties.get("s3.endpoint", f"https://s3.{region}.amazonaws.com").rstrip("/"),
            region=region,
            key_id=properties.get("s3.access-key-id", ""),
            secret=properties.get("s3.secret-access-key", ""),
            token=properties.get("s3.session-token", ""),
            clock=clock,
        )

    def look(self) -> None:
        """Do nothing but list the bucket.

        Raises:
            BucketError: that cannot be done.
        """
        self._ask("GET", "", {"list-type": "2", "max-keys": "1"}, "ListBucketResult")

    def versioning(self) -> str | None:
        """`Enabled` or `Suspended`: the bucket keeps what is removed, or what once was; None where it never did.

        Raises:
            BucketError: the store does not say.
        """
        return _element(self._ask("GET", "", {"versioning": ""}, "VersioningConfiguration"), "Status") or None

    def abort_uploads(self, prefix: str, before: datetime) -> int:
        """Remove what uploads below a prefix that began before an instant have left; returns how many there were.

        Raises:
            BucketError: the store does not answer, or forbids it.
        """
        old = [(key, upload) for key, upload, begun in self._uploads(prefix) if begun < before]
        for key, upload in old:
            self._ask("DELETE", f"/{quote(key, safe='/-_.~')}", {"uploadId": upload}, "")
        return len(old)

    def _uploads(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        after = {"key-marker": "", "upload-id-marker": ""}
        while True:
            page = self._ask("GET", "", {"uploads": "", "prefix": prefix, **after}, "ListMultipartUploadsResult")
            for upload in re.findall(r"<Upload>(.*?)</Upload>", page, re.DOTALL):
                key, number = _element(upload, "Key"), _element(upload, "UploadId")
                yield key, number, datetime.fromisoformat(_element(upload, "Initiated"))
            if _element(page, "IsTruncated") != "true":
                return
            after = {
                "key-marker": _element(page, "NextKeyMarker"),
                "upload-id-marker": _element(page, "NextUploadIdMarker"),
            }

    def _ask(self, method: str, path: str, query: Mapping[str, str], wanted: str) -> str:
        """The answer, which must have the element `wanted`: a page of something else would say that all is well."""
        asked = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
        path = f"/{self.name}{path}"
        headers = self.signed(method, path, asked)
        try:
            with requests.Session() as session:
                session.trust_env = False  # credentials of a .netrc would take the place of the signature
                answer = session.request(
                    method, f"{self.endpoint}{path}?{asked}", headers=headers, timeout=(5, 30), allow_redirects=False
                )
        except requests.RequestException as error:
            raise BucketError(_said("NETWORK_CONNECTION", f"s3://{self.name}", self.endpoint)) from error
        whole = answer.status_code == 204 if not wanted else answer.ok and f"<{wanted}" in answer.text
        if not whole:
            code = _element(answer.text, "Code") or f"HTTP{answer.status_code}"
            code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).upper()
            raise BucketError(_said(code, f"s3://{self.name}", self.endpoint))
        return answer.text

    def signed(self, method: str, path: str, query: str) -> dict[str, str]:
        """The headers of a request without a body."""
        at = self.clock().strftime("%Y%m%dT%H%M%SZ")
        scope = f"{at[:8]}/{self.region}/s3/aws4_request"
        nothing = hashlib.sha256(b"").hexdigest()
        headers = {"host": urlsplit(self.endpoint).netloc, "x-amz-content-sha256": nothing, "x-amz-date": at}
        if self.token:
            headers["x-amz-security-token"] = self.token
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{nothing}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope}"
        return {**headers, "authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}


def _element(text: str, name: str) -> str:
    """The content of the first element of a name; these answers have no attributes and no nesting of a name."""
    found = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return unescape(found[1]) if found else ""
