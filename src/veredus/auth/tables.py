"""Users, accounts, grants, addresses, tokens and tickets: records of one account of the server's own."""

from veredus.ports import Table

# The account id that holds them; no user ever has it among theirs.
SYSTEM = "system"

TABLES = (
    # {"id": name, "password": hash or null, "account": id of the personal account, "disabled": bool}
    Table("User"),
    # {"id", "name", "owner": user}
    Table("Account", scalars=("owner",)),
    # {"id": "user/account", "user", "account", "access": "read" or "write"}
    Table("Grant", scalars=("user", "account")),
    # {"id": address in lower case, "account"}
    Table("Address", scalars=("account",)),
    # {"id", "digest": SHA-256 of the secret, "user", "scope": "read" or "write", "name", "at": UTCDate}
    Table("Token", scalars=("digest", "user")),
    # {"id": SHA-256 of the secret, "user", "credential", "scope", "expires": UTCDate}; gone within a minute
    Table("Ticket", scalars=("user", "expires"), logged=False),
)
