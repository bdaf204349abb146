import asyncio, sys
import psycopg

url = sys.argv[1]

async def worker(number):
    async with await psycopg.AsyncConnection.connect(url) as conn:
        total = 0
        for i in range(20):
            async with conn.transaction():
                cur = await conn.execute("SELECT %s::int * %s::int", (number, i))
                total += (await cur.fetchone())[0]
        return total

async def main():
    print(sorted(await asyncio.gather(*(worker(i) for i in range(30)))), flush=True)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("CREATE TABLE t (n int, s text)")
        async with conn.cursor() as cur:
            async with cur.copy("COPY t FROM STDIN") as copy:
                for i in range(100):
                    await copy.write_row((i, str(i)))
            async with cur.copy("COPY t TO STDOUT") as copy:
                size = 0
                async for data in copy:
                    size += len(data)
            print(size)
        async with conn.pipeline():
            cursors = [await conn.execute("SELECT count(*) + %s FROM t", (i,)) for i in range(5)]
            print([await c.fetchone() for c in cursors])
        async with conn.transaction(), conn.cursor("named") as cur:
            await cur.execute("SELECT n FROM t ORDER BY n")
            print(sum([row[0] async for row in cur]))
        await conn.execute("LISTEN channel")
        await conn.execute("SELECT pg_notify('channel', 'hello')")
        async for notify in conn.notifies(timeout=20, stop_after=1):
            print(notify.channel, notify.payload)
        query = asyncio.create_task(conn.execute("SELECT pg_sleep(100)"))
        while not query.done():
            await asyncio.wait([query], timeout=0.05)
            if not query.done():
                await conn.cancel_safe()
        print(type(query.exception()).__name__)
        print(await (await conn.execute("SELECT 'still here'")).fetchone())
        # A task that is cancelled takes its query with it.
        try:
            await asyncio.wait_for(conn.execute("SELECT pg_sleep(100)"), 0.2)
        except TimeoutError:
            print("timed out")
        print(await (await conn.execute("SELECT 'still here'")).fetchone())
    print("done")

asyncio.run(main())
