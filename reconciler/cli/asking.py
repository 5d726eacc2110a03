"""Questions on a terminal, asked without stopping the event loop, so that connections stay alive while a person thinks."""

from __future__ import annotations

import asyncio

from reconciler.cli.screen import Screen


async def answer(question: str, screen: Screen) -> str:
    """What was typed, in small letters and without blanks around it; nothing at the end of the input."""
    screen.err.write(question)
    screen.err.flush()
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(screen.input, typed.set)
    try:
        await typed.wait()
    except asyncio.CancelledError:  # Ctrl-C
        screen.err.write("\n")
        raise
    finally:
        loop.remove_reader(screen.input)
    text = screen.input.readline()
    if not text.endswith("\n"):  # Ctrl-D
        screen.err.write("\n")
    return text.strip().lower()


async def agreed(question: str, screen: Screen) -> bool:
    return await answer(f"{question} [y/N] ", screen) in ("y", "yes")
