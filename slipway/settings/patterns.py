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
REPOSITORY = r"^(/[A-Za-z0-9._/-]+|(rest|s3|b2|azure|gs|swift):[!-~]+)$"
COPY = r"^(/[A-Za-z0-9._/-]+|(sftp|rest|s3|b2|azure|gs|swift|rclone):[!-~]+)$"
VARIABLE = r"^[A-Z][A-Z0-9_]*$"
CALENDAR = r"^[A-Za-z0-9*,:/.~ -]+$"
FOLDER = r"^/[^/:*?\[\]\\]+(/[^/:*?\[\]\\]+)*/?$"
COLUMN = r'^[^\x00-\x1f"]+$'
TABLE = r'^[^\x00-\x1f"*?]+$'
SIZE = r"^[1-9][0-9]{0,5}[kmg]$"
LOG_FILE = r"^(/[A-Za-z0-9][A-Za-z0-9._-]*)+/[A-Za-z0-9*][A-Za-z0-9*._-]*[A-Za-z]$"
IMAGE = r"^[a-z0-9][a-z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*(@sha256:[0-9a-f]{64})?$"

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
    REPOSITORY: "a folder that starts with /, or a URL of restic's without a program of its own: rest: s3: b2: azure: gs:"
    " swift: (sftp: and rclone: are for copies)",
    COPY: "a folder that starts with /, or a URL of restic's, e.g. sftp:user@host:/folder",
    VARIABLE: "a variable's name in capitals",
    CALENDAR: "a time as systemd.time(7) writes it, e.g. `*-*-* 02:30:00`",
    FOLDER: "a path inside the service that starts with /, without patterns",
    COLUMN: "a column's name",
    TABLE: "a table's name, [schema.]table, without patterns",
    SIZE: "a size such as 500k, 20m or 1g",
    LOG_FILE: "a path inside the service such as /var/log/audit/audit.log, with a letter at its end; `*` in the file's name only",
    IMAGE: "an image's name with its tag, e.g. postgres:17",
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
Repository = Annotated[str, Field(pattern=REPOSITORY)]
"""Where dumps stream to from a database's own image, which has no ssh."""

Copy = Annotated[str, Field(pattern=COPY)]
UrlPath = Annotated[str, Field(pattern=URL_PATH)]
