"""SQLAlchemy 2, async, with every default: the engine gets its URL and nothing else."""
import asyncio, datetime, sys
from sqlalchemy import JSON, ForeignKey, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncAttrs, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from sqlalchemy.types import Integer, String

url = sys.argv[1]

class Base(AsyncAttrs, DeclarativeBase):
    pass

class Parent(Base):
    __tablename__ = "parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    about: Mapped[dict] = mapped_column(JSON)
    tags: Mapped[list] = mapped_column(JSON)
    since: Mapped[datetime.datetime] = mapped_column(default=datetime.datetime(2024, 1, 1))
    rows: Mapped[list["Row"]] = relationship(back_populates="parent")

class Row(Base):
    __tablename__ = "t"
    id: Mapped[int] = mapped_column(primary_key=True)
    visits: Mapped[int] = mapped_column(Integer, default=0)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
    parent: Mapped[Parent] = relationship(back_populates="rows")

async def main():
    engine = create_async_engine(url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        session.add_all([Parent(name=f"p{i}", about={"nth": i}, tags=["a", str(i)],
                                rows=[Row() for _ in range(4)]) for i in range(50)])
        await session.commit()

    async def work(number):
        seen = 0
        for i in range(15):
            async with sessions() as session, session.begin():
                of = select(Parent).where(Parent.name == f"p{(number + i) % 50}")
                parent = (await session.scalars(of.options(selectinload(Parent.rows)))).one()
                seen += len(parent.rows) + parent.about["nth"] + len(parent.tags)
                change = update(Row).where(Row.id == number + 1).values(visits=Row.visits + 1)
                await session.execute(change)
        return seen
    print(await asyncio.gather(*(work(number) for number in range(30))))

    async with sessions() as session:
        print(await session.scalar(select(func.sum(Row.visits))))
        # A rollback, after which the same session goes on.
        session.add(Parent(name="p1", about={}, tags=[]))
        try:
            await session.commit()
        except IntegrityError as error:
            print(error.orig.sqlstate)
        await session.rollback()
        parent = await session.get(Parent, 1)
        parent.name = "never"
        await session.flush()
        await session.rollback()
        await session.refresh(parent)
        print(parent.name, parent.since, len(await parent.awaitable_attrs.rows))
        async with session.begin_nested() as nested:
            session.add(Parent(name="nested", about={}, tags=[]))
            await session.flush()
            await nested.rollback()
        print(await session.scalar(select(func.count()).select_from(Parent)))
        await session.commit()

        stream = await session.stream_scalars(select(Row).order_by(Row.id))
        print(sum([row.id async for row in stream]))
        stream = await session.stream(select(Row.id).execution_options(yield_per=7))
        async for (first,) in stream:
            break # The rest is never read.
        await session.commit()

    async with engine.begin() as conn:
        upsert = insert(Parent).values(name="p2", about={}, tags=[], since=func.now())
        upsert = upsert.on_conflict_do_update(index_elements=["name"], set_={"tags": ["new"]})
        print((await conn.execute(upsert.returning(Parent.id, Parent.tags))).all())
    async with engine.connect() as conn:
        await conn.execute(text("UPDATE t SET visits = -1"))
    async with engine.connect() as conn: # The last one was rolled back on its return.
        print((await conn.execute(text("SELECT min(visits) FROM t"))).scalar())
    await engine.dispose()
    print("done")

asyncio.run(main())
