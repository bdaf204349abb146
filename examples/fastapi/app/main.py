"""The service: a short query, a write, a long transaction, and a leak to look at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Session, engine, new_session
from app.models import Item


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Nothing to do at the start; at the end, connections are closed rather than dropped."""
    yield
    await engine.dispose()


app = FastAPI(title="shop", lifespan=lifespan)


class NewItem(BaseModel):
    """What a client sends."""

    name: str = Field(min_length=1, max_length=200)
    price_cents: int = Field(ge=0, le=2**31 - 1)


class ItemOut(NewItem):
    """What a client gets."""

    model_config = ConfigDict(from_attributes=True)

    id: int


class Report(BaseModel):
    """The answer of a long transaction."""

    items: int
    price_cents_average: float


@app.get("/health")
async def health() -> dict[str, str]:
    """Says that this worker lives. It doesn't ask the database, whose troubles are not ours."""
    return {"status": "ok"}


@app.get("/items")
async def list_items(session: Session) -> list[ItemOut]:
    """A short query: the twenty newest items."""
    items = await session.scalars(select(Item).order_by(Item.id.desc()).limit(20))
    return [ItemOut.model_validate(item) for item in items]


@app.post("/items", status_code=201)
async def add_item(new: NewItem, session: Session) -> ItemOut:
    """A short write."""
    item = Item(**new.model_dump())
    session.add(item)
    await session.commit()
    return ItemOut.model_validate(item)


@app.get("/report")
async def report(session: Session) -> Report:
    """A long transaction: it holds a connection for 0.4 s, as reports and exports do."""
    async with session.begin():
        items = await session.scalar(select(func.count()).select_from(Item))
        await session.execute(select(func.pg_sleep(0.2)))
        average = await session.scalar(select(func.avg(Item.price_cents)))
        await session.execute(select(func.pg_sleep(0.2)))
    return Report(items=items or 0, price_cents_average=float(average or 0))


LEAKED: list[AsyncSession] = []


@app.get("/leak")
async def leak() -> dict[str, int]:
    """Leaks a connection ON PURPOSE, so that there is a leak to find. Never write this.

    The session is opened outside of the dependency and nobody closes it; here a list keeps it, in
    real code it is a background task, a generator, or an exception. Its connection stays in the
    transaction that the query began ("idle in transaction") and goes back to no pool.

    The fix: take the `Session` dependency as the other endpoints do; where there is no request, in
    a task or a script, write `async with new_session() as session:`.
    """
    session = new_session()
    await session.scalar(select(func.count()).select_from(Item))
    LEAKED.append(session)
    return {"leaked_by_this_worker": len(LEAKED)}


# Classes of SQLSTATE that say "not now": connection lost, resources used up, operator intervention.
NOT_NOW = ("08", "53", "57")


@app.exception_handler(DBAPIError)
async def database_error(_: Request, error: DBAPIError) -> JSONResponse:
    """503 if it may work later, with the SQLSTATE that says why; any other error is a bug: 500."""
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is None or not sqlstate.startswith(NOT_NOW):
        raise error
    return unavailable(sqlstate, str(error.orig))


@app.exception_handler(PoolTimeoutError)
async def pool_timeout(_: Request, error: PoolTimeoutError) -> JSONResponse:
    """SQLAlchemy's own pool had no connection in time: no SQLSTATE, PostgreSQL was never asked."""
    return unavailable(None, str(error))


@app.exception_handler(ConnectionError)
async def no_connection(_: Request, error: ConnectionError) -> JSONResponse:
    """Nobody listens there, or hung up during the login: no SQLSTATE, nobody said one."""
    return unavailable(None, str(error))


def unavailable(sqlstate: str | None, cause: str) -> JSONResponse:
    """The answer for "try again", with the cause for whoever looks into it."""
    return JSONResponse(
        {"error": "unavailable", "sqlstate": sqlstate, "cause": cause},
        status_code=503,
        headers={"Retry-After": "1"},
    )
