from datetime import UTC, datetime

import pytest

from data_trusts.bucket import AddressError, Bucket, properties_of, warehouse_of

ENV = {
    "COMMONWEAL_WAREHOUSE": "s3://rows/member/ca",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


def test_a_signature_is_that_of_the_published_example() -> None:
    """Amazon S3 API Reference, "Signature Calculations for the Authorization Header", example GET Bucket Lifecycle."""
    properties = {"s3.endpoint": "https://examplebucket.s3.amazonaws.com", **properties_of(ENV)}
    bucket = Bucket.of("examplebucket", properties, clock=lambda: datetime(2013, 5, 24, tzinfo=UTC))
    signed = bucket.signed("GET", "/", "lifecycle=")["authorization"]
    assert signed.endswith("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")


def test_a_session_token_is_signed_too() -> None:
    bucket = Bucket.of("rows", properties_of({**ENV, "AWS_SESSION_TOKEN": "session"}))
    assert bucket.signed("GET", "/rows", "")["x-amz-security-token"] == "session"
    assert "x-amz-security-token" in bucket.signed("GET", "/rows", "")["authorization"]
    assert "session" not in repr(bucket)
    assert ENV["AWS_SECRET_ACCESS_KEY"] not in repr(bucket)


def test_no_address_is_a_folder_and_one_loses_its_last_slash() -> None:
    assert warehouse_of({}) is None
    assert warehouse_of({"COMMONWEAL_WAREHOUSE": "s3://rows/member/ca/"}) == "s3://rows/member/ca"


@pytest.mark.parametrize(
    "address", ["s3://rows", "s3://rows/../x", "/srv/rows", "s3://Rows/x", "s3://rows/a b", "gs://rows/x"]
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(AddressError, match="write s3://BUCKET/PREFIX"):
        warehouse_of({"COMMONWEAL_WAREHOUSE": address})


@pytest.mark.parametrize("missing", ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_what_is_missing_is_named_and_nothing_else_is_shown(missing: str) -> None:
    with pytest.raises(AddressError, match=f"^{missing} is not set") as refused:
        properties_of({**ENV, missing: ""})
    assert ENV["AWS_SECRET_ACCESS_KEY"] not in str(refused.value)
