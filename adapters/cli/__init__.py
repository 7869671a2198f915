"""The command line ``memledger``: one verb a thing, made for people and for pipes alike."""
