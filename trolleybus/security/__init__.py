"""Keys, signed tokens, signed links, and who may use the operator's side."""

from trolleybus.security.keys import equal, hash_key, new_key
from trolleybus.security.links import BadLink, Links
from trolleybus.security.operator import SESSION_COOKIE, Operator, operator_required, session_cookie
from trolleybus.security.tokens import OPERATOR_AUDIENCE, BadToken, Claims, Tokens

__all__ = [
    "OPERATOR_AUDIENCE",
    "SESSION_COOKIE",
    "BadLink",
    "BadToken",
    "Claims",
    "Links",
    "Operator",
    "Tokens",
    "equal",
    "hash_key",
    "new_key",
    "operator_required",
    "session_cookie",
]
