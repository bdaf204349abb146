import asyncio, datetime, decimal, io, sys
import asyncpg

url = sys.argv[1]

async def many(number):
    conn = await asyncpg.connect(url)
    total = 0
    for i in range(20):
        async with conn.transaction():
            total += await conn.fetchval("SELECT $1::int * $2::int", number, i)
    await conn.close()
    return total

async def main():
    conn = await asyncpg.connect(url, server_settings={"application_name": "drivers"})
    print(conn.get_settings().application_name, conn.get_server_version().major)
    print(await conn.fetchrow("SELECT 1, 'é', NULL, 1.5::numeric, ARRAY[1,2], '{\"a\": 1}'::jsonb"))
    print(await conn.fetch("SELECT $1::int8, $2::timestamptz, $3::bytea, $4::numeric", 2**40,
          datetime.datetime(2020, 2, 2, tzinfo=datetime.timezone.utc), b"\x00\xff",
          decimal.Decimal("0.1")))
    await conn.execute("CREATE TABLE t (n int PRIMARY KEY, s text); CREATE INDEX ON t (s)")
    await conn.executemany("INSERT INTO t VALUES ($1, $2)", [(i, f"row {i}") for i in range(100)])
    statement = await conn.prepare("SELECT s FROM t WHERE n = $1")
    print([await statement.fetchval(i) for i in range(5)], statement.get_parameters()[0].name)
    for i in range(10):
        assert await conn.fetchval("SELECT n FROM t WHERE n = $1", i) == i
    try:
        async with conn.transaction():
            await conn.execute("INSERT INTO t VALUES (1000, 'gone')")
            async with conn.transaction():
                await conn.execute("INSERT INTO t VALUES (1001, 'gone')")
            await conn.fetch("SELECT 1/0")
    except asyncpg.DivisionByZeroError as error:
        print(error.sqlstate, conn.is_in_transaction())
    print(await conn.fetchval("SELECT count(*) FROM t"))
    for bad in ("SELEC 1", "SELECT * FROM nowhere", "INSERT INTO t VALUES (1, 'twice')"):
        try:
            await conn.fetch(bad)
        except asyncpg.PostgresError as error:
            print(type(error).__name__, error.sqlstate)
    async with conn.transaction():
        print(sum([row["n"] async for row in conn.cursor("SELECT n FROM t", prefetch=7)]))
        cursor = await conn.cursor("SELECT n FROM t ORDER BY n")
        await cursor.forward(10)
        print(await cursor.fetch(2))
    print(await conn.copy_records_to_table("t", records=[(i, "copied") for i in range(2000, 5000)]))
    out = io.BytesIO()
    print(await conn.copy_from_query("SELECT n FROM t WHERE n >= $1 ORDER BY n", 2000, output=out))
    print(len(out.getvalue()))
    try:
        await conn.copy_records_to_table("t", records=[(1, "twice")])
    except asyncpg.UniqueViolationError as error:
        print("copy", error.sqlstate)
    heard = asyncio.Queue()
    await conn.add_listener("channel", lambda _c, _pid, channel, payload: heard.put_nowait((channel, payload)))
    await conn.execute("NOTIFY channel, 'hello'")
    other = await asyncpg.connect(url)
    await other.execute("NOTIFY channel, 'from another'")
    await other.close()
    print(sorted([await asyncio.wait_for(heard.get(), 20) for _ in range(2)]))
    try:
        await conn.fetch("SELECT pg_sleep(100)", timeout=0.2)
    except TimeoutError:
        print("timed out")
    print(await conn.fetchval("SELECT 'still here'"))
    await conn.set_type_codec("json", encoder=str, decoder=len, schema="pg_catalog")
    print(await conn.fetchval("SELECT '[1,2,3]'::json"))
    await conn.reset()
    print(await conn.fetchval("SELECT 'reset'"))
    await conn.close()

    print(sorted(await asyncio.gather(*(many(i) for i in range(30)))))
    async with asyncpg.create_pool(url, min_size=2, max_size=5) as pool:
        async def one(i):
            async with pool.acquire() as conn:
                async with conn.transaction():
                    return await conn.fetchval("SELECT $1::int", i)
        print(sum(await asyncio.gather(*(one(i) for i in range(100)))))
    print("done")

asyncio.run(main())
