"""Amounts as Kubernetes writes them, read exactly; whoever needs whole units says which way they are rounded.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/, without exponents, which the
API server never writes.
"""

import re
from fractions import Fraction

_SUFFIXES = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(1000),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}  # fmt: skip
_QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$", re.ASCII)


def exact(text: str) -> Fraction:
    """A quantity in its base unit (cores, bytes, devices), exactly.

    Raises:
        ValueError: the text is no quantity.
    """
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity; write it as 500m or 2Gi")
    return Fraction(match[1]) * _SUFFIXES[match[2] or ""]


def quantity(text: str, *, per_unit: int = 1) -> int:
    """A quantity in whole units of 1/`per_unit`, rounded down: what is not whole cannot be promised.

    Raises:
        ValueError: the text is no quantity.
    """
    return int(exact(text) * per_unit)
