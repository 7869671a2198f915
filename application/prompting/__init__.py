"""What every question to a language model shares: prompt files, fences, the record of the call."""
