"""The command line ``remembrancer``: one verb a thing, made for people and for pipes alike."""
