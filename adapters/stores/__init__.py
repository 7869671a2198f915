"""What commits together: the log, and all read models beside it."""
