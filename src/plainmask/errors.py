"""The errors that plainmask raises on purpose.

    PlainmaskError
    ├── InputError      what you gave: an image, a label, an option, a recipe
    ├── WeightsError    weights are missing, gated, offline, of the wrong shape
    └── HeadError       a head does not fit: wrong encoder, newer format

Every message names the thing, the reason and the next step. A low-level cause is chained.
Broken invariants of our own are `assert`s, never these.
"""


class PlainmaskError(Exception):
    """Base of all errors that plainmask raises on purpose."""


class InputError(PlainmaskError, ValueError):
    """Something the caller gave cannot be used; the message says which, why and what would be."""


class WeightsError(PlainmaskError):
    """Weights cannot be obtained or do not fit; the message says what to do."""


class HeadError(PlainmaskError):
    """A head does not fit the encoder at hand or this version of plainmask."""
