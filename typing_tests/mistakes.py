"""Calls that a type checker must refuse.

Each line ignores its errors, with mypy's codes first and pyright's second. Both report an ignored
error that does not occur, so a mistake that is no longer refused fails the check.
"""

from __future__ import annotations

from remembrancer import AsyncMemory, Memory


def unknown_keywords(memory: Memory) -> None:
    memory.add("Hi.", user="ann")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    memory.add("Hi.", wait=False, user="ann")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    memory.search("Where?", user="ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.search("Where?", top_k=3, user_id="ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.get_all(page=2, user_id="ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.delete("f1", why="wrong")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.rebuild("vector_index", once=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def wrong_types(memory: Memory) -> None:
    memory.add(7, user_id="ann")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    memory.add("Hi.", user_id=7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    memory.add("Hi.", wait="no", user_id="ann")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType,reportCallIssue]
    memory.add("Hi.", include=7, user_id="ann")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    memory.add_many([{"user_id": "ann"}])  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
    memory.add_many([{"messages": "Hi.", "user": "ann"}])  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportArgumentType]
    memory.search("Where?", limit="3", user_id="ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    memory.search("Where?", filters="kind", user_id="ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    memory.search("Where?", as_of=2024, user_id="ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    memory.get(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    memory.run_worker(stop=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Memory(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def missing_arguments(memory: Memory) -> None:
    memory.add(user_id="ann")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    memory.search(user_id="ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.rebuild()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def positional_arguments(memory: Memory) -> None:
    memory.search("Where?", {})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.get_all({})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    memory.delete("f1", "wrong")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def wrong_results(memory: Memory) -> None:
    memory.add("Hi.", user_id="ann").wait()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    memory.graph(user_id="ann").to_dict()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    memory.search("Where?", user_id="ann").get("results")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def on_async_memory(memory: AsyncMemory) -> None:
    await memory.add("Hi.", user="ann")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await memory.add("Hi.", wait=False, user="ann")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await memory.add("Hi.", user_id=7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await memory.search("Where?", user="ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await memory.search("Where?", limit="3", user_id="ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await memory.get(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await AsyncMemory.open(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (await memory.add("Hi.", user_id="ann")).wait()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def awaiting(memory: Memory, other: AsyncMemory) -> None:
    await memory.search("Where?", user_id="ann")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    other.search("Where?", user_id="ann").to_dict()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def context_managers(memory: Memory, other: AsyncMemory) -> None:
    with other:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    async with memory:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
