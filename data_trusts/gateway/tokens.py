"""Who asks: a pilot's service-account token, checked against the issuers that the hub names in the policies."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import jwt

from commonweal.grants import Policy

AUDIENCE = "commonweal-gateway"
NAMESPACE = "commonweal-apps"
LEEWAY = timedelta(seconds=10)  # members' clocks differ
MAX_TOKEN_CHARS = 16_384
# Asymmetric only: with a symmetric one, whoever can read the JWKS could sign.
_ALGORITHMS = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
_SUBJECT_PREFIX = f"system:serviceaccount:{NAMESPACE}:"


class TokenError(Exception):
    """The token proves nothing; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The application that asks, and the member in whose cluster it runs."""

    beneficiary: str
    member: str


def identify(token: str, policies: Iterable[Policy], now: datetime) -> Caller:
    """Say who holds a token.

    Raises:
        TokenError: not signed by a member's issuer, for another audience, out of date, or not a pilot's.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenError(f"token: has more than {MAX_TOKEN_CHARS} characters; send the pod's projected token")
    try:
        issuer = str(jwt.decode(token, options={"verify_signature": False}).get("iss"))
        key_id = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        raise TokenError("token: is not a JWT; send the pod's projected token as a bearer token") from None
    member, key = _key(policies, issuer, key_id)
    claims = _verified_claims(token, key, issuer)
    if not _in_date(claims.get("nbf", 0), claims["exp"], now):
        raise TokenError("token: is out of date; read the projected token again before each question")
    subject = str(claims["sub"])
    if not subject.startswith(_SUBJECT_PREFIX):
        raise TokenError(f"token: {subject} is no pilot; ask from a pod in the namespace {NAMESPACE}")
    return Caller(beneficiary=subject.removeprefix(_SUBJECT_PREFIX), member=member)


def _in_date(not_before: object, expires: object, now: datetime) -> bool:
    """Whether `now` lies between two NumericDates (RFC 7519)."""
    if not isinstance(not_before, int | float) or not isinstance(expires, int | float):
        return False
    return not_before - LEEWAY.total_seconds() <= now.timestamp() < expires + LEEWAY.total_seconds()


def _verified_claims(token: str, key: jwt.PyJWK, issuer: str) -> dict[str, object]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=_ALGORITHMS,
            audience=AUDIENCE,
            issuer=issuer,
            # The dates are checked against the gateway's own clock.
            options={
                "require": ["exp", "sub", "iss", "aud"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidAudienceError:
        raise TokenError(f"token: is not for the audience {AUDIENCE}; project it with that audience") from None
    except jwt.PyJWTError as error:
        raise TokenError(f"token: {error}; send the pod's projected token") from None


def _key(policies: Iterable[Policy], issuer: str, key_id: object) -> tuple[str, jwt.PyJWK]:
    """The key by which the token claims to be signed. Members may share an issuer's name, but not a key."""
    known = False
    for policy in policies:
        for member, named in policy.members.items():
            if named.issuer != issuer:
                continue
            known = True
            for key in _keys(named.jwks):
                if key.key_id == key_id:
                    return member, key
    if known:
        raise TokenError(f"token: signed by a key that {issuer} does not publish; wait until the hub has its new keys")
    raise TokenError(f"token: {issuer} is the issuer of no member; ask from a member's cluster")


@lru_cache(maxsize=64)
def _keys(jwks: str) -> tuple[jwt.PyJWK, ...]:
    try:
        return tuple(jwt.PyJWKSet.from_json(jwks).keys)
    except (jwt.PyJWTError, ValueError, AttributeError, TypeError):
        return ()
