"""The store's tables, and how a file comes from one version to the next.

The version is SQLite's own `user_version`. Step n brings a file from version n-1 to n, in one transaction with the
number: a kill leaves the file at one version or at the other, and the next start goes on from there. Steps only add,
or loosen: so an agent can use a file that is one version newer than itself, as after an upgrade that is taken back.
"""

import sqlite3

_STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE IF NOT EXISTS peers (
            number INTEGER PRIMARY KEY,
            public_key TEXT NOT NULL UNIQUE,
            name TEXT UNIQUE,
            preshared_key TEXT,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            endpoint TEXT,
            last_handshake INTEGER NOT NULL
        ) STRICT""",
        "CREATE TABLE IF NOT EXISTS pool (one INTEGER PRIMARY KEY CHECK (one = 1), newest INTEGER NOT NULL) STRICT",
        "INSERT OR IGNORE INTO pool (one, newest) VALUES (1, 0)",
    ),
    (  # a name is a label: several devices may have the same
        """CREATE TABLE labelled (
            number INTEGER PRIMARY KEY,
            public_key TEXT NOT NULL UNIQUE,
            name TEXT,
            preshared_key TEXT,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            endpoint TEXT,
            last_handshake INTEGER NOT NULL
        ) STRICT""",
        """INSERT INTO labelled
            (number, public_key, name, preshared_key, created_at, expires_at, endpoint, last_handshake)
            SELECT number, public_key, name, preshared_key, created_at, expires_at, endpoint, last_handshake
            FROM peers""",
        "DROP TABLE peers",
        "ALTER TABLE labelled RENAME TO peers",
    ),
    ("CREATE TABLE client_networks (network TEXT PRIMARY KEY) STRICT",),
    (  # devices come in by several protocols
        "ALTER TABLE peers ADD COLUMN protocol TEXT NOT NULL DEFAULT 'wireguard'",
        "ALTER TABLE peers ADD COLUMN certified_key BLOB",
    ),
    ("ALTER TABLE peers ADD COLUMN server_key TEXT",),
)


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Take the steps that a file lacks; ValueError if it is too new, sqlite3.Error if a step fails."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(_STEPS) + 1:
        raise ValueError(
            f"its version is {version}, and this agent uses none above {len(_STEPS) + 1} (its own is {len(_STEPS)}); "
            "run the newer agent that wrote it"
        )
    for number, step in enumerate(_STEPS[version:], version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in step:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
