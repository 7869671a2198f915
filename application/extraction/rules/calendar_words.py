"""English names of the calendar, as parts of patterns that ignore case."""

WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
