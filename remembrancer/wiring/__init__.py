"""How the parts are chosen and put together."""
