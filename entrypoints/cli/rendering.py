"""Output for people: facts, receipts and progress, on a terminal or in a pipe.

On a terminal there are colours and long lines wrap; in a pipe every fact is one line, with full
ids, at any width. Texts are untrusted: control characters are escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time
from typing import Protocol

from attrs import frozen
from rich.cells import cell_len
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from remembrancer.entrypoints.cli.console import console
from remembrancer.entrypoints.cli.printable import one_line, printable
from remembrancer.types import (
    Context,
    DeadLetter,
    Decision,
    Fact,
    FactId,
    HealthReport,
    Interval,
    Lag,
    Page,
    Profile,
    Receipt,
    Report,
    Retried,
    ScoredFact,
    SearchResult,
    Statistics,
    Usage,
    Verdict,
    Verification,
)


class Advance(Protocol):
    """Called with the progress so far, the total (0 if unknown), and a note."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None: ...


def day(moment: datetime) -> str:
    """A valid time, in UTC, to the minute; midnight as a date only."""
    moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%d" if moment.time() == time() else "%Y-%m-%d %H:%M")


def instant(moment: datetime) -> str:
    """A transaction time, in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def span(interval: Interval, show: Callable[[datetime], str] = day) -> str:
    """An interval as text."""
    if interval.start is not None and interval.end is not None:
        return f"{show(interval.start)} to {show(interval.end)}"
    if interval.start is not None:
        return f"since {show(interval.start)}"
    return f"until {show(interval.end)}" if interval.end is not None else "always"


@frozen(kw_only=True)
class _Entry:
    """One item of a listing: a short label, details, and its text."""

    label: str = ""
    about: tuple[str, ...]
    text: str


class Screen:
    """Draws answers on standard output, progress on standard error.

    Args:
        quiet: draw no progress even on a terminal.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._out = console()
        self._aside = console(stderr=True)
        self._quiet = quiet
        self._shows_progress = self._aside.is_terminal and not quiet

    def line(self, text: str, style: str = "") -> None:
        """Print one line."""
        self._out.print(text, style=style, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print one line beside the answer: on standard error, where no pipe takes it for data."""
        self._aside.print(text, style="dim", soft_wrap=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[Advance]:
        """A temporary progress bar; the block gets the function that advances it."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(
            *columns,
            console=self._aside,
            transient=True,
            disable=not self._shows_progress,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as bar:
            task = bar.add_task(what, total=None, note="")

            def advance(done: int, total: int, note: str = "", /) -> None:
                bar.update(task, completed=done, total=total or None, note=note)

            yield advance

    def receipt(self, receipt: Receipt) -> None:
        """The verdicts of a write, one per line, and the skipped statements."""
        if receipt.replayed:
            self.line("This request was done before; nothing was added. Its result:")
        self._listing(
            ("VERDICT", "ID", "IN PLACE OF", "TEXT"),
            [
                _Entry(
                    label=verdict.decision.value,
                    about=(verdict.fact_id or verdict.target or "", _replaced(verdict)),
                    text=_beside(verdict.text or verdict.reason, verdict.rivals),
                )
                for verdict in receipt.verdicts
            ],
        )
        for skipped in receipt.skipped:
            self.line(f"left out ({skipped.reason}): {one_line(skipped.text)}", "dim")
        if receipt.ignored:
            self.line(
                f"Guidance was ignored ({', '.join(receipt.ignored)}): it needs a language model.",
                "yellow",
            )
        if not receipt.verdicts and not receipt.skipped:
            self.line("The message is in the ledger; no fact was extracted.")
        if receipt.lagging:
            self.line(f"Lagging: {', '.join(receipt.lagging)}.", "yellow")

    def retried(self, retried: Retried) -> None:
        """Receipts of finished requests, and those that still wait."""
        if not retried.receipts and not retried.failures:
            self.line("Nothing was waiting.")
        for receipt in retried.receipts:
            self.receipt(receipt)
        for failure in retried.failures:
            self.line(f"still waiting: {one_line(failure.problem)}", "yellow")

    def results(self, result: SearchResult) -> None:
        """Facts with their scores, best first."""
        if result.degraded:
            self.line(f"Searched without {', '.join(result.degraded)}.", "yellow")
        if not result.results:
            self.line("Not known." if result.abstained else "Nothing found.")
            if result.hint is not None:
                self.note(f"Hint: {result.hint}.")
            return
        explained = any(item.signals is not None for item in result)
        self._listing(
            ("SCORE", "ID", "SAID", "SPEAKER", *(["SIGNALS"] if explained else []), "TEXT"),
            [
                _Entry(
                    label=f"{item.score:.2f}",
                    about=(*_said(item.fact), *([_signals(item)] if explained else [])),
                    text=_beside(item.fact.text, item.fact.rivals),
                )
                for item in result
            ],
        )

    def context(self, context: Context) -> None:
        """The text of a context, and beside it its size."""
        if context.text:
            self.line(printable(context.text))
        self.note(
            f"Facts: {len(context.fact_ids):,}; did not fit: {context.left_out:,}; "
            f"tokens: {context.tokens:,} ({context.counter})"
        )

    def profile(self, profile: Profile) -> None:
        """The text of a profile."""
        self.line(printable(str(profile)) or "Nothing is known.")

    def page(self, page: Page) -> None:
        """Facts without scores, and the cursor of the next page."""
        if not page.facts:
            self.line("No facts.")
            return
        self._listing(
            ("ID", "SAID", "SPEAKER", "TEXT"),
            [
                _Entry(about=_said(fact), text=_beside(fact.text, fact.rivals))
                for fact in page.facts
            ],
        )
        if page.total is not None:
            self.note(f"{len(page.facts):,} of {page.total:,} facts.")
        if page.cursor is not None:
            self.note(f"More: --cursor {page.cursor}")

    def fact(self, fact: Fact) -> None:
        """All fields of one version of a fact."""
        self._pairs(
            {
                "fact": fact.fact_id,
                "text": fact.text,
                "of": _ids(fact),
                "speaker": fact.speaker,
                "said": day(fact.occurred_at),
                "holds": span(fact.valid),
                "status": fact.status.value,
                "superseded by": fact.superseded_by,
                "rivals": ", ".join(fact.rivals),
                "version": f"{fact.version}, believed {span(fact.recorded, instant)}",
                "expires": None if fact.expires_at is None else day(fact.expires_at),
                "kind": fact.kind.value,
                "slot": fact.slot,
                "entities": ", ".join(fact.entities),
                "reaffirmed": f"{fact.reaffirmed} times" if fact.reaffirmed else None,
                "metadata": ", ".join(f"{key}={value}" for key, value in fact.metadata.items()),
                "evidence": ", ".join(item.message_id for item in fact.evidence),
            }
        )

    def history(self, versions: Sequence[Fact]) -> None:
        """The versions of a fact, with valid time and transaction time."""
        if not versions:
            self.line("No version of the fact holds then.")
            return
        self._listing(
            ("VERSION", "STATUS", "HOLDS", "BELIEVED", "TEXT"),
            [
                _Entry(
                    label=str(version.version),
                    about=(
                        version.status.value,
                        span(version.valid),
                        span(version.recorded, instant),
                    ),
                    text=f"{version.text} ({version.reason})" if version.reason else version.text,
                )
                for version in versions
            ],
        )
        if versions[-1].superseded_by is not None:
            self.line(f"Superseded by {versions[-1].superseded_by}")

    def statistics(self, statistics: Statistics) -> None:
        """Counts, positions and usage."""
        facts = ", ".join(f"{count:,} {status.value}" for status, count in statistics.facts.items())
        self._pairs(
            {
                "events": f"{statistics.events:,}",
                "messages": f"{statistics.messages:,}",
                "waiting": f"{statistics.pending:,} messages for extraction",
                "facts": facts or "none",
                "embedder": statistics.embedder,
                **{
                    f"{name} at": f"{position:,} of {statistics.last_position:,}"
                    for name, position in statistics.positions.items()
                },
                **{
                    f"{one_line(total.purpose)} by {one_line(total.model)}": _usage(total.usage)
                    for total in statistics.usage
                },
                **{
                    f"{_partition(lag)} at": _state(lag, statistics.last_position)
                    for lag in statistics.lags
                },
            }
        )

    def health(self, examination: HealthReport) -> None:
        """One line per part, with its details and problems below."""
        self.line(f"remembrancer {examination.remembrancer}, Python {examination.python}", "dim")
        for finding in examination.findings:
            chosen = " ".join(
                [finding.provider or "", *([f"({finding.engine})"] if finding.engine else [])]
            )
            mark = Text("!! ", style="bold red") if finding.problems else Text("ok ", "green")
            heading = mark.append(f"{finding.part:16}", style="not bold default")
            self._out.print(heading.append(one_line(chosen), style="default"), soft_wrap=True)
            for name, value in finding.details.items():
                self.line(f"     {name.replace('_', ' ')}: {one_line(_detail(value))}", "dim")
            for problem in finding.problems:
                self.line(f"     {one_line(problem.what)}", "red")
                self.line(f"       -> {one_line(problem.advice)}")

    @contextmanager
    def working(self) -> Iterator[Callable[[Report], None]]:
        """The progress of a worker: a temporary table on a terminal, elsewhere a line when a
        problem appears or ends. The block gets a function to pass reports to.
        """
        if self._shows_progress:
            with Live(console=self._aside, transient=True, auto_refresh=False) as live:
                yield lambda report: live.update(_progress(report), refresh=True)
            return
        shown: dict[str, str] = {}

        def print_changes(report: Report) -> None:
            for lag, _ in report.partitions:
                now = _trouble(lag)
                if shown.get(_partition(lag), "") != now:
                    shown[_partition(lag)] = now
                    line = f"{_partition(lag)}: {one_line(now) or 'recovered'}"
                    self._aside.print(line, soft_wrap=True)

        yield (lambda _report: None) if self._quiet else print_changes

    def report(self, report: Report) -> None:
        """The state of external projections."""
        for lag, counts in report.partitions:
            last = lag.position + lag.events
            self.line(
                f"{_partition(lag)}: at {_state(lag, last)}; {counts.delivered:,} delivered",
                "yellow" if lag.events or lag.dead else "",
            )

    def dead_letters(self, letters: Sequence[DeadLetter], revived: int | None) -> None:
        """Dead letters, and how many were delivered by a retry."""
        if revived is not None:
            self.line(f"Delivered: {revived}.")
        if not letters:
            self.line("No dead letters.")
        self._listing(
            ("PROJECTION", "POSITION", "EVENT", "LEDGER", "TRIES", "SINCE", "CAUSE"),
            [
                _Entry(
                    label=letter.projection,
                    about=(
                        str(letter.position),
                        letter.type_name,
                        letter.ledger,
                        str(letter.tries),
                        instant(letter.since),
                    ),
                    text=letter.cause,
                )
                for letter in letters
            ],
        )

    def verification(self, verification: Verification) -> None:
        """The verdict, every warning, every fault, and what could not be checked."""
        for warning in verification.warnings:
            self.line(one_line(warning), "yellow")
        counts = {"events": 0, **verification.checked}
        checked = ", ".join(
            f"{counts[what]:,} {what}"
            for what in ("events", "facts", "documents", "links")
            if what in counts
        )
        if not verification.ok:
            total = verification.faults_total
            faults = "1 fault" if total == 1 else f"{total:,} faults"
            self.line(f"Verification failed: {checked}; {faults}.", "bold red")
        elif verification.complete:
            self.line(f"Verified: {checked}; every hash and every row is right.")
        else:
            self.line(f"Verified, but not all: {checked}; what was checked is right.", "yellow")
        for fault in verification.faults:
            self.line(one_line(str(fault)))
        for part in verification.unchecked:
            self.line(one_line(f"Not checked: {part.what}: {part.why}"), "yellow")

    def _listing(self, headers: Sequence[str], entries: Sequence[_Entry]) -> None:
        """Several lines per entry on a terminal, one line per entry elsewhere."""
        if not entries:
            return
        if self._out.is_terminal:
            self._out.print(_records(entries))
            return
        rows = [
            [one_line(cell) for cell in (*([entry.label] if entry.label else []), *entry.about)]
            + [one_line(entry.text)]
            for entry in entries
        ]
        for line in _aligned([headers, *rows]):
            self._out.print(line, soft_wrap=True)

    def _pairs(self, pairs: Mapping[str, str | None]) -> None:
        """Names and values; empty values are left out."""
        present = {name: value for name, value in pairs.items() if value}
        width = max(map(len, present))
        for name, value in present.items():
            line = Text(f"{name:{width}}  ", style="dim").append(printable(value), style="not dim")
            self._out.print(line, soft_wrap=True)


def _detail(value: object) -> str:
    """A detail as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_detail(part)}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _partition(lag: Lag) -> str:
    """The name of a projection, with the number of its partition if that is not 0."""
    return lag.projection if lag.partition == 0 else f"{lag.projection} {lag.partition}"


def _state(lag: Lag, last: int) -> str:
    behind = f", {lag.events:,} events and {lag.seconds:.1f} s behind" if lag.events else ""
    trouble = _trouble(lag)
    return f"{lag.position:,} of {last:,}{behind}" + (f" ({trouble})" if trouble else "")


def _trouble(lag: Lag) -> str:
    """The problems of a projection as text; empty if there are none."""
    parts = [
        f"rebuild it: remembrancer rebuild {lag.projection}" if lag.rebuild else "",
        lag.problem or "",
        f"{lag.dead:,} dead letters: remembrancer dead" if lag.dead else "",
    ]
    return "; ".join(part for part in parts if part)


def _progress(report: Report) -> Table:
    table = Table("projection", box=None)
    for heading in ("position", "events behind", "seconds", "delivered", "failures", "dead"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for lag, counts in report.partitions:
        table.add_row(
            _partition(lag),
            f"{lag.position:,}",
            f"{lag.events:,}",
            f"{lag.seconds:.1f}",
            f"{counts.delivered:,}",
            f"{counts.failures:,}",
            f"{lag.dead:,}",
            one_line(lag.problem or ""),
        )
    return table


def _records(entries: Sequence[_Entry]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    if entries[0].label:
        grid.add_column(style="bold green", no_wrap=True)
    grid.add_column()
    for entry in entries:
        about = " · ".join(one_line(part) for part in entry.about if part)
        body = Text.assemble(one_line(entry.text), "\n", (about, "dim"))
        grid.add_row(*([entry.label] if entry.label else []), body)
    return grid


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [
            cell + " " * (width - cell_len(cell))
            for cell, width in zip(row[:-1], widths, strict=True)
        ]
        yield "  ".join([*cells, row[-1]])


def _beside(text: str, rivals: Sequence[FactId]) -> str:
    """A text, and the facts that answer the same question otherwise."""
    return f"{text} (rival of {', '.join(rivals)})" if rivals else text


def _said(fact: Fact) -> tuple[str, str, str]:
    return fact.fact_id, day(fact.occurred_at), fact.speaker or ""


def _replaced(verdict: Verdict) -> str:
    return verdict.target or "" if verdict.decision is Decision.SUPERSEDE else ""


def _ids(fact: Fact) -> str:
    return ", ".join(
        f"{name.removesuffix('_id')} {value}" for name, value in fact.scope.ids().items()
    )


def _signals(item: ScoredFact) -> str:
    signals = [f"{name} {value:.2f}" for name, value in (item.signals or {}).items()]
    return ", ".join([*signals, *([f"by way of {item.path}"] if item.path else [])])


def _usage(usage: Usage) -> str:
    cost = "at an unknown price" if usage.cost is None else f"US$ {usage.cost:.4f}"
    if usage.cost is not None and usage.unpriced:
        cost += f" and {usage.unpriced:,} calls at an unknown price"
    return (
        f"{usage.calls:,} calls, {usage.input_tokens:,} tokens in, "
        f"{usage.output_tokens:,} out, {usage.latency:,.1f} s, {cost}"
    )
