"""Split compound sentences, so that one part can be superseded without the others.

"My name is Anna and I work at Acme" has two statements. A sentence is split only before a new
subject in the first person, and only if one of the parts fills a slot (``slots``).
"""

from __future__ import annotations

from remembrancer.application.extraction.rules import cues, slots
from remembrancer.application.extraction.rules.statements import JOINT, LONGEST, statements_in


def clauses_of(sentence: str, speaker: str) -> list[str]:
    """The clauses of a sentence, each a substring of it; the sentence itself if it is not split.

    Args:
        sentence: as it was said.
        speaker: the person that "I" means.
    """
    if len(sentence) > LONGEST or JOINT.search(sentence) is None:
        return [sentence]
    # "I stopped, but I started again": the second clause limits the first.
    if cues.limited_throughout(sentence):
        return [sentence]
    parts: list[str] = []
    start = 0
    for joint in JOINT.finditer(sentence):
        # "Hey Mel, I live in Oslo" has an opening and one statement.
        if statements_in(sentence[start : joint.start()], speaker):
            parts.append(sentence[start : joint.start()])
            start = joint.end()
    parts.append(sentence[start:])
    return parts if any(slots.read(part, speaker) for part in parts) else [sentence]
