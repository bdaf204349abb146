"""asyncpg, and a type that it has to look up."""
import asyncio, sys
import asyncpg

url = sys.argv[1]

async def main():
    conn = await asyncpg.connect(url)
    await conn.execute("DROP TYPE IF EXISTS color CASCADE; CREATE TYPE color AS ENUM ('red', 'blue')")
    await conn.execute("CREATE TABLE t (n int, c color)")
    await conn.executemany("INSERT INTO t VALUES ($1, $2)", [(1, "red"), (2, "blue")])
    print(await conn.fetch("SELECT c FROM t WHERE c = ANY($1::color[]) ORDER BY n", ["red", "blue"]))
    await conn.close()
    print("done")

asyncio.run(main())
