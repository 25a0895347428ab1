"""Names of the environment variables that livehead reads; secrets stand there rather than on a command line."""

from __future__ import annotations

HOME_VARIABLE = "LIVEHEAD_HOME"
"""One folder for everything that livehead keeps, in place of the system's own places."""

TOKEN_VARIABLE = "LIVEHEAD_TOKEN"
"""The token that ``livehead serve`` asks for and that ``livehead run --render-at`` shows."""

VIEWER_KEY_VARIABLE = "LIVEHEAD_VIEWER_KEY"
"""The key of a viewer's link for ``--driver motion:LINK``, where the link itself has none."""

TURN_PASSWORD_VARIABLE = "LIVEHEAD_TURN_PASSWORD"
"""The password for the user name that the TURN servers know."""

TURN_SECRET_VARIABLE = "LIVEHEAD_TURN_SECRET"
"""The secret from which passwords for the TURN servers are made."""

WHIP_TOKEN_VARIABLE = "LIVEHEAD_WHIP_TOKEN"
"""The bearer token of the WHIP server that ``--sink whip:URL`` publishes to."""

STREAM_KEY_VARIABLE = "LIVEHEAD_STREAM_KEY"
"""The stream key of the RTMP server that ``--sink rtmp:URL`` publishes to."""
