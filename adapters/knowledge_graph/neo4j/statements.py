"""All Cypher statements, and the schema that they need.

Names and versions of facts are nodes; a fact node points to the names that it mentions. A version
of a relation is a relationship between two names. ``SAME_AS`` has its own relationship type, so
that aliases are found without reading the other relations of a name. ``since`` and ``until`` are
the log positions of the events that created and closed a version, in addition to transaction time
and valid time.

All values are query parameters; statements are formatted from constants only.
"""

from __future__ import annotations

from typing import LiteralString

SCHEMA: tuple[LiteralString, ...] = (
    "CREATE CONSTRAINT remembrancer_log IF NOT EXISTS "
    "FOR (n:RemembrancerLog) REQUIRE n.one IS UNIQUE",
    "CREATE CONSTRAINT remembrancer_ledger IF NOT EXISTS "
    "FOR (n:RemembrancerLedger) REQUIRE n.name IS UNIQUE",
    "CREATE CONSTRAINT remembrancer_name IF NOT EXISTS "
    "FOR (n:RemembrancerName) REQUIRE (n.ledger, n.key) IS UNIQUE",
    "CREATE CONSTRAINT remembrancer_fact IF NOT EXISTS "
    "FOR (n:RemembrancerFact) REQUIRE (n.ledger, n.fact_id, n.since) IS UNIQUE",
    "CREATE CONSTRAINT remembrancer_relation IF NOT EXISTS "
    "FOR ()-[r:REMEMBRANCER_RELATION]-() REQUIRE (r.ledger, r.relation_id, r.since) IS UNIQUE",
    "CREATE CONSTRAINT remembrancer_same_as IF NOT EXISTS "
    "FOR ()-[r:REMEMBRANCER_SAME_AS]-() REQUIRE (r.ledger, r.relation_id, r.since) IS UNIQUE",
    "CREATE INDEX remembrancer_relation_fact IF NOT EXISTS "
    "FOR ()-[r:REMEMBRANCER_RELATION]-() ON (r.ledger, r.fact_id)",
    "CREATE INDEX remembrancer_same_as_fact IF NOT EXISTS "
    "FOR ()-[r:REMEMBRANCER_SAME_AS]-() ON (r.ledger, r.fact_id)",
)
"""Created if missing. The index of a unique triple also serves queries by its first two."""

_SEEN: LiteralString = """
    link.since <= $position
    AND (link.until IS NULL OR link.until > $position OR link.recorded_to > $as_of)
    AND ($as_of IS NULL OR link.recorded_from <= $as_of)
    AND (link.expires_at IS NULL OR link.expires_at > $now)
    AND ($begun_by IS NULL OR link.valid_from IS NULL OR link.valid_from <= $begun_by)
    AND ($lasting IS NULL OR link.valid_to IS NULL OR link.valid_to > $lasting)
    AND ($begun_by IS NULL OR link.gaps IS NULL
         OR size([bound IN link.gaps WHERE bound <= $begun_by]) % 2 = 0)
    AND ($user_id IS NULL OR link.user_id = $user_id)
    AND ($agent_id IS NULL OR link.agent_id = $agent_id)
    AND ($run_id IS NULL OR link.run_id = $run_id)
    AND ($app_id IS NULL OR link.app_id = $app_id)
"""
"""``View.sees``, applied to the graph at a log position. ``gaps`` has the bounds of interruptions;
outside of them an even number of bounds has passed.
"""

# Reading

AGENT: LiteralString = "RETURN 1 AS one"

START: LiteralString = """
    MATCH (ledger:RemembrancerLedger {name: $ledger})
    OPTIONAL MATCH (n:RemembrancerName) WHERE n.ledger = $ledger AND n.key IN $keys
    RETURN ledger.position AS position, ledger.aliases AS aliases, collect(n.key) AS keys
"""

LINKS: LiteralString = f"""
    UNWIND $keys AS key
    MATCH (n:RemembrancerName {{ledger: $ledger, key: key}})
    CALL (n) {{
        MATCH (n)-[link:REMEMBRANCER_RELATION]-()
        WHERE {_SEEN}
        WITH DISTINCT link ORDER BY link.position DESC LIMIT $relations
        RETURN properties(link) AS link
    UNION ALL
        MATCH (n)<-[:REMEMBRANCER_NAMES]-(link:RemembrancerFact)
        WHERE {_SEEN}
        WITH link ORDER BY link.position DESC LIMIT $facts
        RETURN properties(link) AS link
    }}
    RETURN key, link
"""

SYNONYMS: LiteralString = f"""
    UNWIND $keys AS key
    MATCH (n:RemembrancerName {{ledger: $ledger, key: key}})-[link:REMEMBRANCER_SAME_AS]-()
    WHERE {_SEEN}
    WITH DISTINCT link
    RETURN properties(link) AS link
"""

ALL_SYNONYMS: LiteralString = f"""
    MATCH ()-[link:REMEMBRANCER_SAME_AS]->()
    WHERE link.ledger = $ledger AND link.relation_id > '' AND link.since > 0 AND {_SEEN}
    RETURN properties(link) AS link
"""

_COUNTED: LiteralString = f"""
    WITH n,
        COUNT {{
            MATCH (n)-[link:REMEMBRANCER_RELATION]-() WHERE {_SEEN} RETURN DISTINCT link
        }} AS relations,
        COUNT {{
            MATCH (n)<-[:REMEMBRANCER_NAMES]-(link:RemembrancerFact) WHERE $mentions AND {_SEEN}
        }} AS facts
"""

COUNTED_AMONG: LiteralString = f"""
    UNWIND $keys AS key
    MATCH (n:RemembrancerName {{ledger: $ledger, key: key}})
    {_COUNTED}
    RETURN n.name AS name, relations, facts
"""

COUNTED_MOST: LiteralString = f"""
    MATCH (n:RemembrancerName)
    WHERE n.ledger = $ledger AND n.key > '' AND NOT n.key IN $keys
    {_COUNTED}
    WHERE relations + facts > 0
    RETURN n.name AS name, relations, facts
    ORDER BY relations + facts DESC, n.key LIMIT $most
"""

# Writing

HELD: LiteralString = "MATCH (log:RemembrancerLog) RETURN log.id AS log"
"""The log that the graph holds."""

BIND: LiteralString = """
    MERGE (log:RemembrancerLog {one: true})
    ON CREATE SET log.id = $log
    RETURN log.id AS log
"""

LOCK: LiteralString = """
    UNWIND $ledgers AS name
    MERGE (ledger:RemembrancerLedger {name: name})
    SET ledger.locked = true
    WITH ledger
    OPTIONAL MATCH (log:RemembrancerLog)
    RETURN ledger.name AS name, log.id AS log, coalesce(ledger.version, 0) AS version,
        EXISTS { MATCH (:RemembrancerClearing) } AS clearing
"""
"""Writes before it reads: a transaction that waited for the lock reads the holder's commit."""

FACTS: LiteralString = """
    UNWIND $wanted AS want
    MATCH (link:RemembrancerFact)
    WHERE link.ledger = want.ledger AND link.fact_id = want.id AND link.since > 0
    RETURN properties(link) AS link
"""

_RELATIONS_BY: LiteralString = """
    UNWIND $wanted AS want
    CALL (want) {{
        MATCH ()-[link:REMEMBRANCER_RELATION]->() WHERE {condition}
        RETURN properties(link) AS link
    UNION ALL
        MATCH ()-[link:REMEMBRANCER_SAME_AS]->() WHERE {condition}
        RETURN properties(link) AS link
    }}
    RETURN link
"""

RELATIONS: LiteralString = _RELATIONS_BY.format(
    condition="link.ledger = want.ledger AND link.relation_id = want.id AND link.since > 0"
)

RELATIONS_OF_FACTS: LiteralString = _RELATIONS_BY.format(
    condition="link.ledger = want.ledger AND link.fact_id = want.id"
)

CLOSE_FACTS: LiteralString = """
    UNWIND $closed AS one
    MATCH (link:RemembrancerFact)
    WHERE link.ledger = one.ledger AND link.fact_id = one.id AND link.since = one.since
    SET link.until = one.until, link.recorded_to = one.recorded_to
"""

_CLOSE: LiteralString = """
    UNWIND $closed AS one
    MATCH ()-[link:{kind}]->()
    WHERE link.ledger = one.ledger AND link.relation_id = one.id AND link.since = one.since
    SET link.until = one.until, link.recorded_to = one.recorded_to
"""

CLOSE_RELATIONS: LiteralString = _CLOSE.format(kind="REMEMBRANCER_RELATION")
CLOSE_SYNONYMS: LiteralString = _CLOSE.format(kind="REMEMBRANCER_SAME_AS")

NAMES: LiteralString = """
    UNWIND $names AS one
    MERGE (n:RemembrancerName {ledger: one.ledger, key: one.key})
    ON CREATE SET n.name = one.name
"""

CREATE_FACTS: LiteralString = """
    UNWIND $made AS one
    CREATE (link:RemembrancerFact)
    SET link = one.link
    WITH link, one
    UNWIND one.keys AS key
    MATCH (n:RemembrancerName {ledger: one.link.ledger, key: key})
    CREATE (link)-[:REMEMBRANCER_NAMES]->(n)
"""

_CREATE: LiteralString = """
    UNWIND $made AS one
    MATCH (a:RemembrancerName {{ledger: one.link.ledger, key: one.keys[0]}})
    MATCH (b:RemembrancerName {{ledger: one.link.ledger, key: one.keys[-1]}})
    CREATE (a)-[link:{kind}]->(b)
    SET link = one.link
"""

CREATE_RELATIONS: LiteralString = _CREATE.format(kind="REMEMBRANCER_RELATION")
CREATE_SYNONYMS: LiteralString = _CREATE.format(kind="REMEMBRANCER_SAME_AS")

ADVANCE: LiteralString = """
    UNWIND $ledgers AS one
    MATCH (ledger:RemembrancerLedger {name: one.name})
    SET ledger.position = one.position, ledger.version = one.version,
        ledger.aliases = coalesce(ledger.aliases, false) OR one.aliases
"""

BEGIN_CLEARING: LiteralString = "MERGE (clearing:RemembrancerClearing)"
"""Marks a running ``clear``: until it completes, no events are applied."""

CLEAR: tuple[LiteralString, ...] = tuple(
    f"MATCH (n:{label}) WITH n LIMIT $most DETACH DELETE n RETURN count(*) AS deleted"
    for label in (
        "RemembrancerLog",
        "RemembrancerLedger",
        "RemembrancerFact",
        "RemembrancerName",
        "RemembrancerClearing",
    )
)
"""Each runs until it deletes nothing. The log first: no read trusts what is left. Then ledgers:
without them, reads return nothing.
"""
