"""What the adapters over litellm share: the library itself, how it is called, how it fails."""
