"""What indexes on servers share: how a document is held there, looked up exactly, and scored."""
