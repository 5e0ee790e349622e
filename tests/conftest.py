"""What every test file shares: `async def` tests run under Trio, and a development authority."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
import trio

from ztransport import certs

TEST_TIMEOUT_S = 60.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test in a Trio loop of its own; a hang ends as a failure, not as a stall."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    test = cast("Callable[[], Awaitable[object]]", functools.partial(pyfuncitem.obj, **arguments))
    trio.run(_bounded, test)
    return True


async def _bounded(test: Callable[[], Awaitable[object]]) -> None:
    with trio.fail_after(TEST_TIMEOUT_S):
        await test()


@pytest.fixture(scope="session")
def authority() -> certs.Authority:
    """One development authority for the whole run; keys are made here and never stored."""
    return certs.create_authority("ztransport tests")
