"""What can go wrong with a Headscale server, sorted by what the caller does about it.

HeadscaleError
 ├─ UnavailableError        no answer, or a proxy's in its place    try again later
 ├─ UnauthorizedError       the API key does not work               get another key
 ├─ NotFoundError           it is not there                         create it, or be done
 │   └─ NoSuchCallError     the server is older than the call       do without
 ├─ ConflictError           it is there already, or still in use    adopt it, or leave it
 ├─ RefusedError            the server says no                      change the request
 └─ UnexpectedAnswerError   not an answer of Headscale's            check the URL

Every text is one sentence that names the server; it never holds a key.
"""


class HeadscaleError(Exception):
    """Root of this package's errors."""


class UnavailableError(HeadscaleError):
    """The server could not be reached or is not up; the same call may work later."""


class UnauthorizedError(HeadscaleError):
    """The API key is unknown, expired or deleted."""


class NotFoundError(HeadscaleError):
    """The user, key, node or route is not there."""


class NoSuchCallError(NotFoundError):
    """The server's API has no such call."""


class ConflictError(HeadscaleError):
    """The thing exists already, or cannot go because something depends on it."""


class OthersKeysError(ConflictError):
    """The user cannot go without the keys of all others: Headscale 0.28 deletes those along with any user."""


class RefusedError(HeadscaleError):
    """The server understood the request and refuses it."""


class UnexpectedAnswerError(HeadscaleError):
    """What answered is not Headscale, or a Headscale that this client does not know."""
