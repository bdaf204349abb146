import sys, threading
from sqlalchemy import (Column, ForeignKey, Integer, MetaData, String, Table, create_engine, func,
                        inspect, select, text)
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

url = sys.argv[1]

class Base(DeclarativeBase):
    pass

class Parent(Base):
    __tablename__ = "parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    rows: Mapped[list["Row"]] = relationship(back_populates="parent")

class Row(Base):
    __tablename__ = "t"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
    parent: Mapped[Parent] = relationship(back_populates="rows")

engine = create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10)
Base.metadata.create_all(engine)
print(sorted(inspect(engine).get_table_names()), inspect(engine).get_unique_constraints("parent"))
with Session(engine) as session:
    session.add_all([Parent(name=f"p{i}", rows=[Row() for _ in range(3)]) for i in range(50)])
    session.commit()
    print(session.scalar(select(func.count()).select_from(Row)))
    session.add(Parent(name="p1"))
    try:
        session.commit()
    except IntegrityError as error:
        print(error.orig.sqlstate)
        session.rollback()
    print(session.scalars(select(Parent.name).order_by(Parent.id).limit(3)).all())
    with session.begin_nested() as nested:
        session.add(Parent(name="nested"))
        session.flush()
        nested.rollback()
    print(session.scalar(select(func.count()).select_from(Parent)))
    print(len(session.scalars(select(Parent).where(Parent.name == "p7")).one().rows))

with engine.connect() as conn:
    try:
        conn.execute(text("SELECT * FROM nowhere"))
    except ProgrammingError as error:
        print(error.orig.sqlstate)
        conn.rollback()
    rows = conn.execution_options(yield_per=10).execute(select(Row.id).order_by(Row.id))
    print(sum(row[0] for row in rows))
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
    print(conn.execute(text("SELECT 42")).scalar())
with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
    print(conn.execute(text("SHOW transaction_isolation")).scalar())

results = []
def work(number):
    for i in range(20):
        with engine.begin() as conn:
            results.append(conn.execute(text("SELECT :a * :b"), {"a": number, "b": i}).scalar())
threads = [threading.Thread(target=work, args=(i,)) for i in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(results), sum(results))
engine.dispose()
print("done")
