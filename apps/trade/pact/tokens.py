"""Access tokens of the client credentials grant (RFC 6749, 4.4): signed, short, and readable by every replica."""

from datetime import UTC, datetime, timedelta

import jwt

LIFETIME_S = 3600
AUDIENCE = "pact"
_ALGORITHM = "HS256"


class TokenError(ValueError):
    """A token that does not admit its bearer."""


class ExpiredTokenError(TokenError):
    """A token that once admitted its bearer."""


def issue(client_id: str, key: str, now: datetime) -> str:
    """A token for a client, valid for `LIFETIME_S` from `now`."""
    claims = {"sub": client_id, "aud": AUDIENCE, "iat": now, "exp": now + timedelta(seconds=LIFETIME_S)}
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def bearer(token: str, key: str, now: datetime) -> str:
    """The client that a token was issued to.

    Raises:
        ExpiredTokenError: it was valid before `now`.
        TokenError: it is none of ours.

    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=AUDIENCE,
            # The clock is an argument here, so the library's own look at it is left out.
            options={"require": ["sub", "aud", "exp"], "verify_exp": False, "verify_iat": False},
        )
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError) as error:
        raise TokenError("the access token is none of ours; ask /auth/token for one") from error
    if expires_at <= now:
        raise ExpiredTokenError("the access token has expired; ask /auth/token for a new one")
    return str(claims["sub"])
