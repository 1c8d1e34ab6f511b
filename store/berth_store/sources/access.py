"""What sources other than registries are asked with: tokens and keys, from the user's environment or a Model's Secret.

On a laptop they are the variables that the sources' own tools read: `HF_ENDPOINT`, `HF_TOKEN`, `AWS_ACCESS_KEY_ID` and
its like. In a pod the Model's Secret is a folder, which `BERTH_SOURCE_SECRET` names, with a file for each key:

    host                                  whom `token` or `password` may be sent to: `host[:port]`, several with commas
    token | username, password            for hf:// and https://
    accessKeyId, secretAccessKey, sessionToken, region, endpoint      for s3://; the keys sign and are never sent

Nothing is ever sent to a host that the Secret, or the variable's own tool, does not mean.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from yarl import URL

from berth_api.errors import FieldError, InvalidSpec
from berth_store.errors import SourceUnauthorized

ENV_SECRET = "BERTH_SOURCE_SECRET"  # noqa: S105 - the name of a variable
DEFAULT_HUB = "https://huggingface.co"
DEFAULT_REGION = "us-east-1"
SECRET_KEYS = (
    *("host", "token", "username", "password"),
    *("accessKeyId", "secretAccessKey", "sessionToken", "region", "endpoint"),
)
MAX_VALUE_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Login:
    """The headers that prove who asks, and what to tell somebody who was refused nevertheless."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    advice: str = ""


@dataclass(frozen=True)
class BucketAccess:
    """How buckets are asked. `endpoint` is empty for Amazon's own; without a key they are asked as anybody."""

    endpoint: str = ""
    region: str = DEFAULT_REGION
    key_id: str = ""
    key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    advice: str = ""


@dataclass(frozen=True)
class SourceAccess:
    """Everything that was given. `secret` is None where no Secret was named."""

    hub: str = DEFAULT_HUB
    hub_token: str = field(default="", repr=False)
    bucket: BucketAccess = field(default_factory=BucketAccess)
    secret: Mapping[str, str] | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """As the environment says. Raises InvalidSpec for a Secret's folder that can't be read."""
        folder = environ.get(ENV_SECRET)
        return cls(
            hub=environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_HUB,
            hub_token=environ.get("HF_TOKEN", "").strip(),
            bucket=_bucket_of(environ),
            secret=read_secret(Path(folder)) if folder else None,
        )

    def hub_login(self, hub: URL) -> Login:
        """For the hub at this address. Raises SourceUnauthorized for a Secret that can't be right."""
        if self.secret is not None:
            return self._from_secret(hub)
        if self.hub_token:
            headers = {"Authorization": f"Bearer {_checked('HF_TOKEN', self.hub_token)}"}
            return Login(headers, "the token in HF_TOKEN does not suffice")
        return Login(advice="no token was given; set HF_TOKEN, or in a cluster name a Secret in spec.source.secretRef")

    def web_login(self, url: URL) -> Login:
        """For the web server at this address. Raises SourceUnauthorized for a Secret that can't be right."""
        if self.secret is not None:
            return self._from_secret(url)
        return Login(advice="no credentials were given; in a cluster name a Secret in spec.source.secretRef")

    def bucket_login(self) -> BucketAccess:
        """For buckets. Raises SourceUnauthorized for a Secret that can't be right."""
        secret = self.secret
        if secret is None:
            return self.bucket
        given = {key: secret.get(key, "") for key in SECRET_KEYS}
        if bool(given["accessKeyId"]) != bool(given["secretAccessKey"]):
            raise SourceUnauthorized("the Secret needs both keys, accessKeyId and secretAccessKey, or neither")
        advice = "the keys in the Secret do not suffice"
        if not given["accessKeyId"]:
            advice = "the Secret is not there, or has no keys accessKeyId and secretAccessKey"
        return BucketAccess(
            endpoint=given["endpoint"] or self.bucket.endpoint,
            region=given["region"] or self.bucket.region,
            key_id=_checked("accessKeyId", given["accessKeyId"]),
            key=given["secretAccessKey"],
            session_token=_checked("sessionToken", given["sessionToken"]),
            advice=advice,
        )

    def _from_secret(self, url: URL) -> Login:
        secret = self.secret or {}
        if not secret:
            return Login(advice="the Secret is not there, or has none of the keys host, token, username, password")
        hosts = [host.strip().lower() for host in secret.get("host", "").split(",") if host.strip()]
        if not hosts:
            return Login(
                advice="the Secret was not used, because it names no host; add the key `host`, "
                f"such as host: {url.host}"
            )
        if not _names(hosts, url):
            return Login(advice=f"the Secret was not used, because its key `host` says {', '.join(hosts)[:200]}")
        if secret.get("token"):
            token = _checked("token", secret["token"])
            return Login({"Authorization": f"Bearer {token}"}, "the token in the Secret does not suffice")
        if secret.get("username") or secret.get("password"):
            pair = f"{secret.get('username', '')}:{secret.get('password', '')}"
            basic = base64.b64encode(pair.encode()).decode()
            return Login({"Authorization": f"Basic {basic}"}, "the password in the Secret does not suffice")
        return Login(advice="the Secret has neither the key `token` nor `username` and `password`")


def read_secret(folder: Path) -> Mapping[str, str]:
    """The keys of a mounted Secret that mean something here; none where it is not there."""
    found = {}
    for key in SECRET_KEYS:
        try:
            with (folder / key).open("rb") as file:
                content = file.read(MAX_VALUE_BYTES)
        except FileNotFoundError:
            continue
        except OSError as error:
            message = f"its key `{key}` can't be read: {error.strerror}"
            raise InvalidSpec(FieldError("spec.source.secretRef", message, "look at how it is mounted")) from error
        found[key] = content.decode(errors="replace").strip()
    return found


def _bucket_of(environ: Mapping[str, str]) -> BucketAccess:
    key_id = environ.get("AWS_ACCESS_KEY_ID", "").strip()
    return BucketAccess(
        endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL", ""),
        region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION,
        key_id=key_id,
        key=environ.get("AWS_SECRET_ACCESS_KEY", "").strip() if key_id else "",
        session_token=environ.get("AWS_SESSION_TOKEN", "").strip() if key_id else "",
        advice="the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY do not suffice"
        if key_id
        else "no keys were given; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in a cluster name a Secret in "
        "spec.source.secretRef",
    )


def _names(hosts: list[str], url: URL) -> bool:
    """Whether one of `host[:port]` is the host of this address; without a port it means the scheme's own."""
    host = (url.host or "").lower()
    shown = f"[{host}]" if ":" in host else host
    is_default = url.port == _DEFAULT_PORTS.get(url.scheme)
    return f"{shown}:{url.port}" in hosts or (is_default and bool({host, shown} & set(hosts)))


def _checked(key: str, value: str) -> str:
    """A value that is sent in a header. Raises SourceUnauthorized, without telling it."""
    if value and not (value.isascii() and value.isprintable() and " " not in value):
        raise SourceUnauthorized(f"{key} holds characters that no token has; write the token alone, without quotes")
    return value
