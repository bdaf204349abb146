"""What people do with SQLAlchemy and Alembic without settings of their own, each as a case."""
import asyncio, pathlib, tempfile
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import ForeignKey, create_engine, event, func, inspect, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload
from sqlalchemy.pool import NullPool
from sqlalchemy.types import Enum, Text

class _Base(AsyncAttrs, DeclarativeBase):
    pass

class _Author(_Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(Enum("living", "classic", name="kind"), default="living")
    about: Mapped[dict] = mapped_column(JSONB, default=dict)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    books: Mapped[list["_Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")

class _Book(_Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    pages: Mapped[int] = mapped_column(default=100)
    author: Mapped[_Author] = relationship(back_populates="books")

def _asyncpg(url):
    return url.replace("postgresql://", "postgresql+asyncpg://")

def _psycopg(url):
    return url.replace("postgresql://", "postgresql+psycopg://")

def _authors(count):
    return [_Author(name=f"author {n}", about={"n": n}, tags=["é"], books=[_Book() for _ in range(3)])
            for n in range(count)]

async def _engine(url, **options):
    engine = create_async_engine(_asyncpg(url), **options)
    async with engine.begin() as conn:
        await conn.run_sync(_Base.metadata.create_all)
    return engine

# --- asyncpg, with all defaults. ---

async def a_session_of_asyncio_stores_and_loads_a_graph(url):
    engine = await _engine(url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with sessions() as session, session.begin():
        session.add_all(_authors(20))
    async with sessions() as session:
        found = (await session.scalars(
            select(_Author).options(selectinload(_Author.books)).order_by(_Author.id))).all()
        assert [len(author.books) for author in found] == [3] * 20
        assert found[7].about == {"n": 7} and found[7].tags == ["é"] and found[7].kind == "living"
        found[0].kind = "classic"
        await session.commit()
        await session.delete(found[1])
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(_Book)) == 57
    await engine.dispose()

async def an_integrity_error_is_rolled_back_to_a_savepoint(url):
    engine = await _engine(url)
    async with AsyncSession(engine) as session:
        session.add(_Author(name="one"))
        await session.flush()
        for _ in range(3):
            try:
                async with session.begin_nested():
                    session.add(_Author(name="one"))
            except IntegrityError as error:
                assert error.orig.sqlstate == "23505"
        session.add(_Author(name="two"))
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(_Author)) == 2
    await engine.dispose()

async def fifty_tasks_share_the_engines_pool(url):
    engine = await _engine(url)
    sessions = async_sessionmaker(engine)
    async def work(n):
        async with sessions() as session:
            async with session.begin():
                session.add(_Author(name=f"of task {n}"))
            return await session.scalar(select(_Author.name).where(_Author.name == f"of task {n}"))
    names = await asyncio.gather(*(work(n) for n in range(50)))
    assert sorted(names) == sorted(f"of task {n}" for n in range(50))
    await engine.dispose()

async def a_result_is_streamed_and_left(url):
    engine = await _engine(url)
    async with AsyncSession(engine) as session:
        session.add_all(_authors(50))
        await session.commit()
        stream = await session.stream_scalars(select(_Book.pages).execution_options(yield_per=10))
        assert sum([pages async for pages in stream]) == 15000
        await session.commit()
        stream = await session.stream_scalars(select(_Book.pages).execution_options(yield_per=10))
        async for _ in stream:
            break
        await session.rollback()
        assert await session.scalar(select(func.count()).select_from(_Book)) == 150
    await engine.dispose()

async def an_upsert_returns_what_it_changed(url):
    engine = await _engine(url)
    for expected in (["a"], ["a", "a"], ["a", "a", "a"]):
        upsert = insert(_Author).values(name="one", kind="living", about={}, tags=["a"])
        upsert = upsert.on_conflict_do_update(
            index_elements=["name"], set_={"tags": _Author.tags + upsert.excluded.tags})
        async with engine.begin() as conn:
            assert (await conn.execute(upsert.returning(_Author.tags))).scalar_one() == expected
    await engine.dispose()

async def an_isolation_level_of_one_connection_is_not_that_of_the_next(url):
    engine = create_async_engine(_asyncpg(url), pool_size=1, max_overflow=0)
    for level in ("SERIALIZABLE", "READ COMMITTED", "REPEATABLE READ", "READ COMMITTED"):
        async with engine.connect() as conn:
            if level != "READ COMMITTED":
                conn = await conn.execution_options(isolation_level=level)
            assert (await conn.execute(text("SHOW transaction_isolation"))).scalar() == level.lower()
    async with engine.connect() as conn:
        conn = await conn.execution_options(isolation_level="AUTOCOMMIT")
        await conn.execute(text("CREATE TABLE outside (n int)"))
        await conn.execute(text("VACUUM outside"))
    await engine.dispose()

async def a_pool_that_pings_finds_its_connections_alive(url):
    engine = create_async_engine(_asyncpg(url), pool_pre_ping=True, pool_size=2)
    for n in range(20):
        async with engine.connect() as conn:
            assert (await conn.execute(text("SELECT CAST(:n AS int)"), {"n": n})).scalar() == n
    await engine.dispose()

async def an_engine_without_a_pool_connects_for_each_use(url):
    engine = create_async_engine(_asyncpg(url), poolclass=NullPool)
    for n in range(10):
        async with engine.begin() as conn:
            assert (await conn.execute(text("SELECT CAST(:n AS int)"), {"n": n})).scalar() == n
    await engine.dispose()

async def a_task_that_is_cancelled_gives_its_connection_back(url):
    engine = create_async_engine(_asyncpg(url), pool_size=1, max_overflow=0, pool_timeout=20)
    for _ in range(3):
        async def sleep():
            async with engine.connect() as conn:
                await conn.execute(text("SELECT pg_sleep(100)"))
        try:
            await asyncio.wait_for(sleep(), 0.2)
        except asyncio.TimeoutError:
            pass
        async with engine.connect() as conn:
            assert (await conn.execute(text("SELECT 42"))).scalar() == 42
    await engine.dispose()

async def a_table_that_changes_is_prepared_anew(url):
    engine = await _engine(url)
    query = text("SELECT * FROM book")
    for n in range(3):
        async with engine.begin() as conn:
            await conn.execute(text(f"ALTER TABLE book ADD COLUMN extra_{n} int"))
        # The transaction in which the driver finds out fails; SQLAlchemy then forgets its statements.
        for attempt in range(3):
            try:
                async with engine.connect() as conn:
                    assert len((await conn.execute(query)).keys()) == 4 + n
                break
            except DBAPIError:
                assert attempt < 2
    await engine.dispose()

async def a_schema_is_reflected(url):
    engine = await _engine(url)
    async with engine.connect() as conn:
        def look(sync):
            inspector = inspect(sync)
            return (sorted(inspector.get_table_names()), [key["referred_table"] for key in inspector.get_foreign_keys("book")],
                    [each["name"] for each in inspector.get_enums()])
        assert await conn.run_sync(look) == (["author", "book"], ["author"], ["kind"])
    await engine.dispose()

# --- psycopg, with all defaults. ---

def a_session_of_psycopg_stores_and_loads_a_graph(url):
    engine = create_engine(_psycopg(url))
    _Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(_authors(20))
        session.commit()
        for author in session.scalars(select(_Author).order_by(_Author.id)):
            assert len(author.books) == 3
    engine.dispose()

def a_two_phase_transaction_of_psycopg_is_committed(url):
    engine = create_engine(_psycopg(url))
    _Base.metadata.create_all(engine)
    with Session(engine, twophase=True) as session:
        session.add(_Author(name="in two phases"))
        session.prepare()
        session.commit()
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(_Author)) == 1
    engine.dispose()

def an_event_that_sets_a_search_path_holds_for_the_connection(url):
    engine = create_engine(_psycopg(url), pool_size=2)
    @event.listens_for(engine, "connect")
    def connect(conn, _record):
        conn.execute("SET search_path TO elsewhere, public")
        conn.commit()
    for _ in range(10):
        with engine.connect() as conn:
            assert conn.execute(text("SHOW search_path")).scalar() == "elsewhere, public"
    engine.dispose()

# --- Alembic, with the env.py of its templates. ---

_STEPS = [
    ("op.create_table('account', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))",
     "op.drop_table('account')"),
    ("op.add_column('account', sa.Column('age', sa.Integer, server_default='0', nullable=False))\n"
     "    op.create_index('account_name', 'account', ['name'])",
     "op.drop_index('account_name')\n    op.drop_column('account', 'age')"),
    ("with op.get_context().autocommit_block():\n"
     "        op.create_index('account_age', 'account', ['age'], postgresql_concurrently=True)",
     "with op.get_context().autocommit_block():\n"
     "        op.drop_index('account_age', postgresql_concurrently=True)"),
    ("op.execute(\"INSERT INTO account (name) SELECT 'n' || n FROM generate_series(1, 100) AS n\")",
     "op.execute('DELETE FROM account')"),
]

def _migrate(url, template):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = Config(folder / "alembic.ini", stdout=open("/dev/null", "w"))
        command.init(config, str(folder / "migrations"), template=template)
        config.set_main_option("sqlalchemy.url", url)
        for n, (up, down) in enumerate(_STEPS):
            script = command.revision(config, f"step {n}", rev_id=f"step{n}")
            path = pathlib.Path(script.path)
            upgrade, downgrade = path.read_text().split("def downgrade", 1)
            upgrade, downgrade = (part.replace("    pass", f"    {code}") for part, code in ((upgrade, up), (downgrade, down)))
            path.write_text(f"{upgrade}def downgrade{downgrade}")
        for _ in range(2):
            command.upgrade(config, "head")
            command.current(config)
            yield "head"
            command.downgrade(config, "-1")
            command.upgrade(config, "+1")
            command.downgrade(config, "base")
            yield "base"

def _migrates(url, scheme, template):
    engine = create_engine(_psycopg(url))
    for reached in _migrate(scheme(url), template):
        with engine.connect() as conn:
            revision = MigrationContext.configure(conn).get_current_revision()
            tables = inspect(conn).get_table_names()
            if reached == "head":
                assert revision == "step3", revision
                assert conn.execute(text("SELECT count(*), sum(age) FROM account")).one() == (100, 0)
            else:
                assert revision is None and tables == ["alembic_version"], (revision, tables)
    engine.dispose()

def alembic_goes_up_and_down_with_its_generic_template(url):
    _migrates(url, _psycopg, "generic")

def alembic_goes_up_and_down_with_its_template_for_asyncio(url):
    _migrates(url, _asyncpg, "async")
