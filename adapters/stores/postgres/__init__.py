"""What all adapters on PostgreSQL share: sessions, schema, failures, numbering and filters."""
