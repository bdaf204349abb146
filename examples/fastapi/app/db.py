"""The engine, its pool, and the session that an endpoint gets.

Settings come from the environment:

* `DATABASE_URL`: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`. PostgreSQL itself, or a port of
  Tidegate: nothing else tells the application where it runs.
* `DATABASE_POOL`: `queue` (default) is SQLAlchemy's own pool, 5 + 10 per worker. `null` opens a
  connection per request, for Tidegate's session port: there an idle connection of ours would keep
  its server, and the gate pools already.
"""

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool


def make_engine() -> AsyncEngine:
    """The engine that the environment asks for. It connects when it is first used."""
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg")
    # Whoever looks at the database, or at the gate, sees who holds a connection.
    connect_args: dict[str, Any] = {"server_settings": {"application_name": "shop"}}
    if choice("DATABASE_POOL", "queue", "null") == "null":
        return create_async_engine(url, connect_args=connect_args, poolclass=NullPool)
    return create_async_engine(url, connect_args=connect_args, pool_size=5, max_overflow=10)


def choice(name: str, default: str, other: str) -> str:
    """The value of a variable that knows two words. A third one must not pass for the default."""
    value = os.environ.get(name) or default
    if value not in (default, other):
        raise ValueError(f"{name} is {value!r}; it may be {default!r} or {other!r}")
    return value


engine = make_engine()
new_session = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    """One session per request. Leaving the block gives the connection back, whatever happened."""
    async with new_session() as opened:
        yield opened


# With scope "function" the connection goes back before the answer is sent, not after: a slow
# reader of the answer then holds no connection.
Session = Annotated[AsyncSession, Depends(session, scope="function")]
