"""asyncpg, and a table that gets a column after a statement with all of its columns was prepared."""
import asyncio, sys
import asyncpg

url = sys.argv[1]

async def main():
    conn = await asyncpg.connect(url)
    other = await asyncpg.connect(url)
    await conn.execute("CREATE TABLE t (n int)")
    await conn.execute("INSERT INTO t VALUES (1)")
    for change in (None, "ALTER TABLE t ADD COLUMN m int DEFAULT 2"):
        if change:
            await other.execute(change)
        for attempt in range(3):
            try:
                print(tuple(await conn.fetchrow("SELECT * FROM t")))
            except asyncpg.InvalidCachedStatementError as error:
                print(type(error).__name__)
    await conn.close()
    await other.close()

asyncio.run(main())
