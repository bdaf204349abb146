// What node-postgres's documentation promises, each as a case: queries, named ones, transactions,
// notifications, pools, pg-cursor, pg-query-stream, and pg-copy-streams.
const assert = require("node:assert/strict");
const { once } = require("node:events");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { Client, Pool, types } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");
const copy = require("pg-copy-streams");

// Calls `work` with so many connected clients, and ends them.
async function withClients(count, options, work) {
  const clients = Array.from({ length: count }, () => new Client(options));
  await Promise.all(clients.map((client) => client.connect()));
  try {
    return await work(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

const withClient = (url, work) => withClients(1, { connectionString: url }, work);
const withTwo = (url, work) => withClients(2, { connectionString: url }, work);
const table = (client, rows = 0) =>
  client.query(
    `CREATE TABLE t (n int PRIMARY KEY, s text);
     INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, ${rows}) AS n`,
  );
const value = async (client, query, values) => Object.values((await client.query(query, values)).rows[0])[0];
const code = (expected) => (error) => error.code === expected;

module.exports = {
  // --- Queries. ---

  a_query_without_values_is_simple_and_may_be_several: (url) =>
    withClient(url, async (client) => {
      const results = await client.query("SELECT 1 AS n; SELECT 2 AS n");
      assert.deepEqual(results.map(({ rows }) => rows[0].n), [1, 2]);
    }),

  values_go_apart_from_the_text: (url) =>
    withClient(url, async (client) => {
      const values = ["it's", 42, true, null, new Date(0), Buffer.from([0, 255]), [1, 2], { a: ["é"] }];
      const text = `SELECT $1::text, $2::int, $3::bool, $4::text, $5::timestamptz, $6::bytea, $7::int[], $8::jsonb`;
      const { rows } = await client.query({ text, values, rowMode: "array" });
      assert.deepEqual(rows, [values]);
    }),

  rows_come_as_bytes_where_that_is_asked_for: (url) =>
    withClient(url, async (client) => {
      const { rows } = await client.query({ text: "SELECT $1::int AS n, 'é' AS s", values: [7], binary: true });
      assert.deepEqual(rows, [{ n: 7, s: "é" }]);
    }),

  types_are_parsed_as_the_application_wants: (url) =>
    withClient(url, async (client) => {
      const int8 = { getTypeParser: (id, format) => (id === 20 ? BigInt : types.getTypeParser(id, format)) };
      const { rows } = await client.query({ text: "SELECT count(*) AS n, 1.5::numeric AS d", types: int8 });
      assert.deepEqual(rows, [{ n: 1n, d: "1.5" }]);
    }),

  queries_of_one_client_wait_for_each_other: (url) =>
    withClient(url, async (client) => {
      const asked = Array.from({ length: 100 }, (_, n) => value(client, "SELECT $1::int", [n]));
      assert.deepEqual(await Promise.all(asked), Array.from({ length: 100 }, (_, n) => n));
    }),

  an_error_tells_its_code_and_the_client_goes_on: (url) =>
    withClient(url, async (client) => {
      await table(client, 1);
      await assert.rejects(client.query("SELEC 1"), code("42601"));
      await assert.rejects(client.query("INSERT INTO t VALUES ($1)", [1]), (error) => {
        const { code, table, constraint, detail } = error;
        return code === "23505" && table === "t" && constraint === "t_pkey" && detail.includes("(1)");
      });
      assert.equal(await value(client, "SELECT count(*)::int FROM t"), 1);
    }),

  // --- Named queries. ---

  a_named_query_is_prepared_once_and_executed_often: (url) =>
    withTwo(url, async (client, other) => {
      for (let n = 0; n < 20; n++) {
        for (const each of [client, other]) {
          assert.equal(await value(each, { name: "double", text: "SELECT $1::int * 2", values: [n] }), 2 * n);
        }
      }
    }),

  a_name_means_something_else_to_another_client: (url) =>
    withTwo(url, async (client, other) => {
      for (let n = 1; n < 10; n++) {
        assert.equal(await value(client, { name: "same", text: "SELECT $1::int + 1", values: [n] }), n + 1);
        assert.equal(await value(other, { name: "same", text: "SELECT $1::text || 'x'", values: [n] }), `${n}x`);
      }
    }),

  a_named_query_outlives_its_errors_and_those_of_its_transaction: (url) =>
    withClient(url, async (client) => {
      const divide = (by) => client.query({ name: "divide", text: "SELECT 8 / $1::int AS n", values: [by] });
      await assert.rejects(divide(0), code("22012"));
      assert.equal((await divide(2)).rows[0].n, 4);
      await client.query("BEGIN");
      await assert.rejects(divide(0), code("22012"));
      await assert.rejects(divide(2), code("25P02"));
      await client.query("ROLLBACK");
      assert.equal((await divide(4)).rows[0].n, 2);
    }),

  a_named_query_that_cannot_be_prepared_fails_each_time_and_works_later: (url) =>
    withClient(url, async (client) => {
      const query = { name: "later", text: "SELECT n FROM t WHERE n = $1", values: [1] };
      await assert.rejects(client.query(query), code("42P01"));
      await assert.rejects(client.query(query), code("42P01"));
      await table(client, 1);
      assert.equal(await value(client, query), 1);
    }),

  a_named_query_whose_columns_have_changed_fails_as_at_postgresql: (url) =>
    withClient(url, async (client) => {
      await table(client, 1);
      const query = { name: "all", text: "SELECT * FROM t" };
      assert.deepEqual((await client.query(query)).rows, [{ n: 1, s: "row 1" }]);
      await client.query("ALTER TABLE t ADD COLUMN more int");
      await assert.rejects(client.query(query), code("0A000"));
      assert.deepEqual((await client.query("SELECT * FROM t")).rows, [{ n: 1, s: "row 1", more: null }]);
    }),

  // --- Transactions. ---

  a_transaction_of_one_client_is_not_seen_by_another: (url) =>
    withTwo(url, async (client, other) => {
      await table(client);
      await client.query("BEGIN");
      await client.query("INSERT INTO t VALUES ($1)", [1]);
      assert.equal(await value(other, "SELECT count(*)::int FROM t"), 0);
      await client.query("COMMIT");
      assert.equal(await value(other, "SELECT count(*)::int FROM t"), 1);
    }),

  a_failed_transaction_is_rolled_back_to_a_savepoint: (url) =>
    withClient(url, async (client) => {
      await table(client);
      await client.query("BEGIN");
      await client.query("INSERT INTO t VALUES (1)");
      await client.query("SAVEPOINT here");
      await assert.rejects(client.query("INSERT INTO t VALUES (1)"), code("23505"));
      await client.query("ROLLBACK TO here");
      await client.query("INSERT INTO t VALUES (2)");
      await client.query("COMMIT");
      assert.equal(await value(client, "SELECT count(*)::int FROM t"), 2);
    }),

  a_client_that_ends_within_a_transaction_leaves_nothing: (url) =>
    withClient(url, async (client) => {
      await table(client);
      await withClient(url, async (leaving) => {
        await leaving.query("BEGIN");
        await leaving.query("INSERT INTO t VALUES (1)");
      });
      await client.query("BEGIN");
      await client.query("LOCK TABLE t"); // As soon as the other is rolled back.
      assert.equal(await value(client, "SELECT count(*)::int FROM t"), 0);
      await client.query("COMMIT");
    }),

  settings_of_the_connection_are_those_of_the_session: (url) =>
    withClients(1, { connectionString: url, application_name: "a case", statement_timeout: 7000 }, async (client) => {
      for (let n = 0; n < 3; n++) {
        assert.equal(await value(client, "SHOW application_name"), "a case");
        assert.equal(await value(client, "SHOW statement_timeout"), "7s");
      }
    }),

  // --- Notifications and notices. ---

  notifications_come_as_events: (url) =>
    withTwo(url, async (client, other) => {
      const heard = [];
      client.on("notification", ({ channel, payload }) => heard.push([channel, payload]));
      await client.query("LISTEN channel");
      for (const payload of ["one", "two"]) await other.query("SELECT pg_notify('channel', $1)", [payload]);
      while (heard.length < 2) await once(client, "notification");
      assert.deepEqual(heard, [["channel", "one"], ["channel", "two"]]);
      await client.query("UNLISTEN *");
      await other.query("NOTIFY channel, 'too late'");
      await client.query("SELECT 1");
      assert.equal(heard.length, 2);
    }),

  notices_come_as_events: (url) =>
    withClient(url, async (client) => {
      const heard = [];
      client.on("notice", (notice) => heard.push(notice.message));
      await client.query("DO $$ BEGIN RAISE NOTICE 'hear, hear'; END $$");
      assert.deepEqual(heard, ["hear, hear"]);
    }),

  // --- Pools. ---

  a_pool_lends_a_client_for_each_query: async (url) => {
    const pool = new Pool({ connectionString: url, max: 5 });
    const asked = Array.from({ length: 100 }, (_, n) => value(pool, "SELECT $1::int", [n]));
    assert.deepEqual(await Promise.all(asked), Array.from({ length: 100 }, (_, n) => n));
    assert.ok(pool.totalCount <= 5);
    await pool.end();
  },

  a_client_of_a_pool_is_kept_for_a_transaction: async (url) => {
    const pool = new Pool({ connectionString: url, max: 3 });
    await table(pool);
    const add = async (n) => {
      const client = await pool.connect();
      try {
        await client.query("BEGIN");
        await client.query("INSERT INTO t VALUES ($1)", [n]);
        await client.query(n % 2 ? "COMMIT" : "ROLLBACK");
      } finally {
        client.release(n % 10 === 0); // Some are thrown away.
      }
    };
    await Promise.all(Array.from({ length: 60 }, (_, n) => add(n)));
    assert.equal(await value(pool, "SELECT count(*)::int FROM t"), 30);
    await pool.end();
  },

  who_waits_too_long_for_a_client_of_a_pool_is_told: async (url) => {
    const pool = new Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 100 });
    const client = await pool.connect();
    await assert.rejects(pool.connect(), /timeout/);
    client.release();
    assert.equal(await value(pool, "SELECT 1"), 1);
    await pool.end();
  },

  // --- pg-cursor and pg-query-stream. ---

  a_cursor_is_read_in_portions_and_left: (url) =>
    withClient(url, async (client) => {
      const cursor = client.query(new Cursor("SELECT * FROM generate_series(1, $1) AS n", [1000]));
      assert.deepEqual(await cursor.read(2), [{ n: 1 }, { n: 2 }]);
      assert.equal((await cursor.read(500)).length, 500);
      await cursor.close();
      assert.equal(await value(client, "SELECT 1"), 1);
    }),

  a_cursor_that_is_read_to_its_end_ends_by_itself: (url) =>
    withClient(url, async (client) => {
      const cursor = client.query(new Cursor("SELECT * FROM generate_series(1, 10)"));
      let rows = 0;
      for (let read = await cursor.read(3); read.length; read = await cursor.read(3)) rows += read.length;
      assert.equal(rows, 10);
      assert.equal(await value(client, "SELECT 1"), 1);
    }),

  a_cursor_whose_query_fails_says_so_at_its_first_read: (url) =>
    withClient(url, async (client) => {
      await assert.rejects(client.query(new Cursor("SELECT 1 / $1::int", [0])).read(1), code("22012"));
      await assert.rejects(client.query(new Cursor("SELECT * FROM nowhere")).read(1), code("42P01"));
      assert.equal(await value(client, "SELECT 1"), 1);
    }),

  a_stream_of_rows_is_iterated_and_may_be_destroyed: (url) =>
    withClient(url, async (client) => {
      const series = (last) => new QueryStream("SELECT generate_series(1, $1::int) AS n", [last], { batchSize: 50 });
      let sum = 0;
      for await (const { n } of client.query(series(3000))) sum += n;
      assert.equal(sum, 4501500);
      for await (const { n } of client.query(series(1000000))) if (n === 10) break;
      assert.equal(await value(client, "SELECT 1"), 1);
    }),

  a_cursor_in_a_transaction_lies_between_other_statements: (url) =>
    withClient(url, async (client) => {
      await table(client, 100);
      await client.query("BEGIN");
      const cursor = client.query(new Cursor("SELECT n FROM t ORDER BY n"));
      assert.equal((await cursor.read(60)).length, 60);
      await cursor.close();
      await client.query("DELETE FROM t WHERE n <= $1", [60]);
      await client.query("COMMIT");
      assert.equal(await value(client, "SELECT count(*)::int FROM t"), 40);
    }),

  // --- pg-copy-streams. ---

  rows_are_copied_in_and_out: (url) =>
    withClient(url, async (client) => {
      await table(client);
      const lines = function* () {
        for (let n = 0; n < 5000; n++) yield `${n}\t${"x".repeat(100)}\n`;
      };
      const into = client.query(copy.from("COPY t FROM STDIN"));
      await pipeline(Readable.from(lines()), into);
      assert.equal(into.rowCount, 5000);
      let bytes = 0;
      for await (const chunk of client.query(copy.to("COPY t TO STDOUT"))) bytes += chunk.length;
      assert.equal(bytes, [...lines()].join("").length);
    }),

  rows_are_copied_from_one_client_to_another: (url) =>
    withTwo(url, async (source, target) => {
      await table(source, 3000);
      await target.query("CREATE TABLE copied (LIKE t)");
      const out = source.query(copy.to("COPY t TO STDOUT (FORMAT BINARY)"));
      await pipeline(out, target.query(copy.from("COPY copied FROM STDIN (FORMAT BINARY)")));
      assert.equal(await value(target, "SELECT sum(n)::int FROM copied"), 4501500);
    }),

  a_copy_that_fails_leaves_the_client_usable: (url) =>
    withClient(url, async (client) => {
      await table(client, 1);
      const into = client.query(copy.from("COPY t FROM STDIN"));
      await assert.rejects(pipeline(Readable.from(["1\ttwice\n"]), into), code("23505"));
      const broken_off = client.query(copy.from("COPY t FROM STDIN"));
      const source = new Readable({
        read() {
          this.destroy(new Error("the application's own"));
        },
      });
      await assert.rejects(pipeline(source, broken_off));
      assert.equal(await value(client, "SELECT count(*)::int FROM t"), 1);
    }),
};
