"""What is said to S3 and what it says: signatures after Amazon's published examples, lists, errors, addresses."""

from datetime import UTC, datetime

import pytest
from yarl import URL

from berth_api.errors import InvalidSpec
from berth_store.errors import SourceUnreachable
from berth_store.registries import RegistryConfig
from berth_store.sources.access import BucketAccess
from berth_store.sources.s3 import bucket_url
from berth_store.sources.s3_listing import BucketObject, parse_error, parse_page
from berth_store.sources.s3_signature import canonical_path, canonical_query, sign

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
EXAMPLE = {
    "key_id": "AKIAIOSFODNN7EXAMPLE",
    "key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "session_token": "",
    "region": "us-east-1",
}
MOMENT = datetime(2013, 5, 24, tzinfo=UTC)
BUCKET = "https://examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("url", "headers", "signature"),
    [
        (
            f"{BUCKET}/test.txt",
            {"Range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (f"{BUCKET}/?lifecycle", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (f"{BUCKET}/?max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_amazons_own_examples_are_signed_alike(url: str, headers: dict[str, str], signature: str) -> None:
    added = sign(URL(url, encoded=True), headers, now=MOMENT, **EXAMPLE)
    assert added["x-amz-date"] == "20130524T000000Z"
    names = ";".join(sorted(["host", "x-amz-content-sha256", "x-amz-date", *map(str.lower, headers)]))
    assert added["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders={names}, "
        f"Signature={signature}"
    )


def test_a_session_is_signed_along() -> None:
    added = sign(URL(BUCKET), {}, now=MOMENT, **{**EXAMPLE, "session_token": "session"})
    assert added["x-amz-security-token"] == "session"
    assert "x-amz-security-token" in added["Authorization"]


def test_paths_and_parameters_are_written_as_s3_reckons() -> None:
    assert canonical_path("/a%20b/c+d/%7Ee/%C3%A4") == "/a%20b/c%2Bd/~e/%C3%A4"
    assert canonical_path("") == "/"
    assert canonical_query("prefix=a%2Fb&max-keys=1&acl") == "acl=&max-keys=1&prefix=a%2Fb"


PAGE = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>{cut}</IsTruncated>{rest}
<Contents><Key>a &amp; b</Key><Size>{size}</Size><ETag>&quot;e&quot;</ETag></Contents></ListBucketResult>"""


def page(cut: str = "false", size: str = "7", rest: str = "") -> bytes:
    return PAGE.format(cut=cut, size=size, rest=rest).encode()


def test_a_page_of_a_list_is_read() -> None:
    assert parse_page(page(), "s3://b").objects == (BucketObject("a & b", 7, '"e"'),)
    more = page(cut="true", rest="<NextContinuationToken>next</NextContinuationToken>")
    assert parse_page(more, "s3://b").next_token == "next"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        b"<html><body>Welcome</body></html>",
        page(size="-1"),
        page(size="9" * 30),
        page(cut="true"),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + page(),
        b"<ListBucketResult>" + b"<a>" * 100_000,
    ],
)
def test_what_is_no_list_is_refused(content: bytes) -> None:
    with pytest.raises(SourceUnreachable, match="the list of the bucket can't be read") as refused:
        parse_page(content, "s3://b")
    assert refused.value.permanent


def test_an_error_body_is_read_leniently() -> None:
    body = b"<Error><Code>NoSuchKey</Code><Message>It is\ngone.</Message></Error>"
    assert parse_error(body) == ("NoSuchKey", "It is gone.", "")
    assert parse_error(b"nonsense") == ("", "", "")


@pytest.mark.parametrize(
    ("bucket", "access", "url"),
    [
        ("models", BucketAccess(), "https://models.s3.us-east-1.amazonaws.com/"),
        ("models.x", BucketAccess(region="eu-west-1"), "https://s3.eu-west-1.amazonaws.com/models.x/"),
        ("models", BucketAccess(endpoint="minio.example.com:9000"), "https://minio.example.com:9000/models/"),
        ("models", BucketAccess(endpoint="http://127.0.0.1:9000/"), "http://127.0.0.1:9000/models/"),
    ],
)
def test_a_bucket_has_an_address(bucket: str, access: BucketAccess, url: str) -> None:
    assert str(bucket_url(bucket, access, RegistryConfig())) == url


@pytest.mark.parametrize("endpoint", ["http://minio.example.com", "ftp://x", "https://user:word@host", "https://"])
def test_an_endpoint_that_may_not_be_asked_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidSpec, match=r"S3 endpoint: .* plain HTTP is for hosts in BERTH_INSECURE_REGISTRIES"):
        bucket_url("models", BucketAccess(endpoint=endpoint), RegistryConfig())
