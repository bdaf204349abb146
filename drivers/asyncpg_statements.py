"""What asyncpg does with the statements that it names: it keeps, closes, and prepares them anew."""
import asyncio, sys
import asyncpg

url = sys.argv[1]

async def main():
    conn = await asyncpg.connect(url)
    other = await asyncpg.connect(url, max_cached_statement_lifetime=0.1)
    await conn.execute("CREATE TABLE t (n int PRIMARY KEY, s text)")
    await conn.executemany("INSERT INTO t VALUES ($1, $2)", [(i, f"row {i}") for i in range(50)])

    # More statements than asyncpg keeps: it closes the oldest.
    for round in range(2):
        total = 0
        for i in range(250):
            total += await conn.fetchval(f"SELECT $1::int + {i}", round)
        print(total)

    # A statement that its cache has dropped goes on until nobody holds it.
    kept = await conn.prepare("SELECT s FROM t WHERE n = $1")
    for i in range(150):
        await conn.fetchval(f"SELECT {i}")
    print(await kept.fetchval(7), [a.name for a in kept.get_attributes()])

    # Statements that live for a tenth of a second.
    for round in range(3):
        print(await other.fetchval("SELECT s FROM t WHERE n = $1", round))
        await asyncio.sleep(0.15)

    # Others change another table in between; the statement of this one stays good.
    for ddl in ("CREATE TABLE parent (id int, kind text)",
                "INSERT INTO parent VALUES (1, 'one')",
                "ALTER TABLE parent ADD COLUMN at date",
                "CREATE INDEX ON parent (kind)", "DROP TABLE parent"):
        await other.execute(ddl)
        print(await kept.fetchval(8), await conn.fetchval("SELECT count(*) FROM t"))
        await conn.reload_schema_state()
        print(await kept.fetchval(9), await conn.fetchval("SELECT count(*) FROM t"))

    # In a transaction, after an error in it, and after that of another's.
    for attempt in range(3):
        try:
            async with conn.transaction():
                print(await kept.fetchval(10))
                await conn.fetchval("SELECT 1 / $1::int", 0)
        except asyncpg.DivisionByZeroError as error:
            print(error.sqlstate)
    async with conn.transaction(), other.transaction():
        cursor = await conn.cursor("SELECT n FROM t WHERE n > $1 ORDER BY n", 40)
        print(await cursor.fetch(3), await kept.fetchval(11), await cursor.fetch(3))
        print([row["n"] async for row in other.cursor("SELECT n FROM t WHERE n > $1", 45)])
    print(await conn.fetch("SELECT * FROM unnest($1::int[], $2::text[])", [1, 2], ["a", None]))
    print(await kept.explain(5, analyze=False) is not None)
    for conn in (conn, other):
        await conn.close()

    async with asyncpg.create_pool(url, min_size=0, max_size=8) as pool:
        async def one(i):
            total = 0
            for k in range(10):
                async with pool.acquire() as conn:
                    total += await conn.fetchval(f"SELECT $1::int + {k}", i)
            return total
        print(sum(await asyncio.gather(*(one(i) for i in range(60)))))
    print("done")

asyncio.run(main())
