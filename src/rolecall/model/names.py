"""Names of machines, instances, roles and tags: they become parts of paths, unit names and SSH arguments."""

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"
NAME_LENGTH = 63  # the longest label of a host name (RFC 1035, 2.3.4)
