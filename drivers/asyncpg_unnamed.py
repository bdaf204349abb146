import asyncio, sys
import asyncpg

url = sys.argv[1]

async def worker(number):
    conn = await asyncpg.connect(url, statement_cache_size=0)
    total = 0
    for i in range(50):
        total += await conn.fetchval("SELECT $1::int * $2::int", number, i)
    await conn.close()
    return total

async def main():
    print(sorted(await asyncio.gather(*(worker(i) for i in range(40)))))
    print("done")

asyncio.run(main())
