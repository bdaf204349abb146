import asyncio, sys
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

url = sys.argv[1]
metadata = MetaData()
t = Table("t", metadata, Column("n", Integer, primary_key=True), Column("s", String))

async def main():
    engine = create_async_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10)
    async with engine.begin() as conn:
        await conn.run_sync(metadata.create_all)
        await conn.execute(insert(t), [{"n": i, "s": f"row {i}"} for i in range(500)])
    async with engine.connect() as conn:
        print((await conn.execute(select(func.count()).select_from(t))).scalar())
        try:
            await conn.execute(insert(t).values(n=1, s="twice"))
        except IntegrityError as error:
            print(error.orig.sqlstate)
        await conn.rollback()
        try:
            await conn.execute(text("SELECT 1/0"))
        except DBAPIError as error:
            print(error.orig.sqlstate)
        await conn.rollback()
        result = await conn.stream(select(t.c.n).order_by(t.c.n))
        print(sum([row[0] async for row in result]))
    sessions = async_sessionmaker(engine)

    async def work(number):
        total = 0
        for i in range(20):
            async with sessions() as session, session.begin():
                total += await session.scalar(text("SELECT CAST(:a AS int) * CAST(:b AS int)"),
                                              {"a": number, "b": i})
        return total
    print(sum(await asyncio.gather(*(work(i) for i in range(30)))))
    await engine.dispose()
    print("done")

asyncio.run(main())
