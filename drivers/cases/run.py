"""Runs the cases of a file and says what became of each: a line of JSON per case.

`run.py FILE URL [WORD...]`. A case is a function of the file whose name is a sentence and whose
argument is the URL of an empty database; names that begin with an underscore are no cases. With
words only the cases are run whose names contain one of them. Each has a process of its own, so that
its connections end with it.
"""
import asyncio, inspect, json, os, runpy, signal, sys, traceback
import psycopg

SECONDS_MAX = 30  # Of a case: none takes two where nothing is wrong.

def is_case(name, value, file):
    return inspect.isfunction(value) and not name.startswith("_") and value.__code__.co_filename == file

def run(case, url):
    # A case that failed may have left a prepared transaction, and that its locks.
    with psycopg.connect(url, autocommit=True) as conn:
        for xid in conn.tpc_recover():
            conn.tpc_rollback(xid)
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")
    result = case(url)
    if inspect.iscoroutine(result):
        asyncio.run(result)

def run_apart(case, url):
    """What its process has said before it ended: nothing when all is well."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        signal.alarm(SECONDS_MAX)  # Nobody handles it: it ends the process.
        try:
            run(case, url)
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-60000:])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    _, status = os.waitpid(pid, 0)
    if status:
        text += f"it ended with status {status}: not done within {SECONDS_MAX} seconds?"
    return {"outcome": "failed", "text": text} if text else {"outcome": "passed"}

def main():
    file, url, *words = sys.argv[1:]
    # What cases print goes where diagnostics go.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name, value in runpy.run_path(file, run_name="cases").items():
        if is_case(name, value, file) and (not words or any(word in name for word in words)):
            print(json.dumps({"test": name, **run_apart(value, url)}), file=out, flush=True)

main()
