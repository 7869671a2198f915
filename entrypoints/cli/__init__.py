"""The command line ``remembrancer``: output for terminals, pipes and, with ``--json``, programs."""
