"""Texts that have to have a form: the patterns, and what they ask for in words."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

NAME = r"^[a-z][a-z0-9-]{0,40}$"
SHORT_NAME = r"^[a-z][a-z0-9-]{0,19}$"
ADDRESS = r"^[A-Za-z0-9][A-Za-z0-9.:_%-]*$"
USER = r"^[a-z_][a-z0-9_-]{0,31}$"
DOMAIN = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
REGISTRY = r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*$"
PREFIX = r"^/[A-Za-z0-9._~/-]*$"
PUBLIC_KEY = r"^(ssh|ecdsa|sk-ssh|sk-ecdsa)-[!-~]+ [!-~]+( [ -~]*)?$"
URL_PATH = r"^/[!-~]*$"

PATTERNS = {
    NAME: "a short name: a lower-case letter, then letters, digits and hyphens",
    SHORT_NAME: "a short name: a lower-case letter, then letters, digits and hyphens, 20 at most",
    ADDRESS: "a DNS name or an IP address",
    USER: "a user's name: lower-case letters, digits, hyphens",
    DOMAIN: "a host name in lower case",
    REGISTRY: "host[:port][/path] in lower case, without https://",
    PREFIX: "a path that starts with /, of letters, digits and . _ ~ - /",
    PUBLIC_KEY: "an SSH public key, as a .pub file has it",
    URL_PATH: "a path that starts with /, without spaces",
}
"""What each pattern asks for, in words that follow "should be"."""

Name = Annotated[str, Field(pattern=NAME)]
"""A name that is safe in container, project and file names."""

ShortName = Annotated[str, Field(pattern=SHORT_NAME)]
"""A name of a stack or service: containers' names are made of both (see `render.version_room`)."""

Address = Annotated[str, Field(pattern=ADDRESS)]
"""Where SSH connects to: never an option (no leading hyphen), never a second word."""

User = Annotated[str, Field(pattern=USER)]
RegistryPath = Annotated[str, Field(pattern=REGISTRY)]
PublicKey = Annotated[str, Field(pattern=PUBLIC_KEY)]
UrlPath = Annotated[str, Field(pattern=URL_PATH)]
