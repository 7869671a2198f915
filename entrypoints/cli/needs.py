"""What the command line needs of a memory; the face has it and hands it in.

The commands know the memory by these methods alone, so that the command line stays an adapter:
it never imports the face, the face imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypedDict

# For the type checker alone: `remembrancer --help` must not wait for the use-cases to be imported.
if TYPE_CHECKING:
    from datetime import datetime

    from remembrancer.application.audit.health_report import HealthReport
    from remembrancer.application.audit.statistics import Statistics
    from remembrancer.application.audit.verify import Verification
    from remembrancer.application.parsing.conversations import Conversation
    from remembrancer.application.projections.dead_letters import Revived
    from remembrancer.application.projections.worker import Report
    from remembrancer.application.recall.browse import Page
    from remembrancer.application.recall.explore import Exploration
    from remembrancer.application.recall.recall import SearchResult
    from remembrancer.application.remember.receipt import Receipt
    from remembrancer.application.remember.remember_many import Added, Adding
    from remembrancer.application.remember.retry import Retried
    from remembrancer.domain.facts.fact import Fact
    from remembrancer.domain.ports.projection_state import DeadLetter


DEFAULT_DATABASE = "remembrancer.db"
"""Where a memory is if nobody says anything else."""


class ScopeIds(TypedDict, total=False):
    """Whose memory it is, as arguments for the methods of ``LedgerMemory``."""

    user_id: str
    agent_id: str
    run_id: str
    app_id: str


class LedgerMemory(Protocol):
    """The methods of ``remembrancer.Memory`` that commands call; what they mean is said there."""

    def add(
        self,
        messages: str | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        infer: bool = True,
        kind: str | None = None,
        instructions: str | None = None,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        actor: str = ...,
    ) -> Receipt:
        """Remember what was said."""
        ...

    def add_many(
        self,
        conversations: Iterable[Conversation],
        *,
        concurrency: int | None = None,
        progress: Callable[[Adding], None] | None = None,
    ) -> Added:
        """Remember many conversations."""
        ...

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = ...,
        threshold: float | None = None,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
        explain: bool = False,
        rerank: bool | None = None,
    ) -> SearchResult:
        """Find what matters for a question."""
        ...

    def get(
        self,
        fact_id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        as_of: datetime | str | None = None,
    ) -> Fact:
        """One fact."""
        ...

    def get_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str = ...,
        limit: int = ...,
        cursor: str | None = None,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
    ) -> Page:
        """A page of facts."""
        ...

    def graph(
        self,
        entity: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        depth: int = ...,
        limit: int = ...,
        as_of: datetime | str | None = None,
        valid_at: datetime | str | None = None,
    ) -> Exploration | None:
        """What is near an entity."""
        ...

    def update(
        self,
        fact_id: str,
        text: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        actor: str = ...,
    ) -> Receipt | None:
        """Correct a fact."""
        ...

    def delete(
        self,
        fact_id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        actor: str = ...,
    ) -> Receipt:
        """Withdraw a fact."""
        ...

    def delete_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        actor: str = ...,
    ) -> Receipt | None:
        """Withdraw every active fact of a scope."""
        ...

    def history(
        self,
        fact_id: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
    ) -> list[Fact]:
        """All versions of a fact."""
        ...

    def verify(self, progress: Callable[[int, int], None] | None = None) -> Verification:
        """Check everything."""
        ...

    def stats(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
    ) -> Statistics:
        """Count what there is."""
        ...

    def retry(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        app_id: str | None = None,
        actor: str = ...,
        progress: Callable[[int, int], None] | None = None,
    ) -> Retried:
        """Finish what a model left undone."""
        ...

    def run_worker(
        self,
        *,
        stop: Callable[[], bool] = ...,
        on_report: Callable[[Report], None] | None = None,
        once: bool = False,
    ) -> Report:
        """Drive external engines."""
        ...

    def rebuild(
        self, projection: str, *, on_report: Callable[[Report], None] | None = None
    ) -> Report:
        """Feed an external engine from the beginning."""
        ...

    def compact(self) -> int:
        """Have indexes make what is due."""
        ...

    def dead_letters(self) -> list[DeadLetter]:
        """What external engines would not take."""
        ...

    def retry_dead_letters(self) -> Revived:
        """Bring it to them again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Face(Protocol):
    """What the composition root brings to the command line."""

    def open(
        self, database: str | None, config: str | None = None, *, must_exist: bool = False
    ) -> LedgerMemory:
        """Open a memory.

        Args:
            database: the path of a SQLite database, made if it is not there. ``None`` leaves it to
                the settings, and to ``DEFAULT_DATABASE`` where those name none.
            config: a file of settings; variables are stronger than it.
            must_exist: a database that is not there is refused, not made.

        Raises:
            InvalidRequest: see above.
        """
        ...

    def examine(
        self, database: str | None, config: str | None = None, *, call: bool = False
    ) -> HealthReport:
        """Look at every part without opening a memory; ``call`` asks models something."""
        ...
