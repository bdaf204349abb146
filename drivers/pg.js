// node-postgres with its defaults, its pool, cursors, streams, and copies.
const { once } = require("node:events");
const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");
const copy = require("pg-copy-streams");

const [connectionString, mode] = process.argv.slice(1);
const options = {
  connectionString,
  ssl: mode === "tls" ? { rejectUnauthorized: false } : false,
};

const show = (...what) => console.log(...what.map((each) => JSON.stringify(each)));
const connect = async (more = {}) => {
  const client = new Client({ ...options, ...more });
  await client.connect();
  return client;
};
const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return `${error.code} ${error.message}`;
  }
  throw new Error("it was to fail");
};

async function queries(client) {
  const { rows, fields } = await client.query(
    `SELECT 1 AS a, 'é' AS b, NULL AS c, 1.5::numeric AS d, ARRAY[1,2] AS e, '{"a": 1}'::jsonb AS f`,
  );
  show(rows, fields.map((field) => [field.name, field.dataTypeID]));
  const values = [42, "x", new Date(0), Buffer.from([0, 255]), { a: [1] }, ["p", null]];
  const sql = "SELECT $1::int, $2::text, $3::timestamptz, $4::bytea, $5::json, $6::text[]";
  show((await client.query({ text: sql, values, rowMode: "array" })).rows);
  const several = await client.query("SELECT 1 AS n; SELECT 2 AS n; SELECT generate_series(1, 3)");
  show(several.map((result) => [result.command, result.rowCount, result.rows]));

  await client.query("CREATE TABLE t (n int PRIMARY KEY, s text)");
  const insert = { name: "insert", text: "INSERT INTO t VALUES ($1, $2) RETURNING n" };
  for (let n = 0; n < 20; n++) {
    show((await client.query({ ...insert, values: [n, `row ${n}`] })).rows);
  }
  const find = { name: "find", text: "SELECT s FROM t WHERE n = $1" };
  const found = await Promise.all([3, 4, 5, 99].map((n) => client.query({ ...find, values: [n] })));
  show(found.map((result) => result.rows));
  show((await client.query({ name: "none", text: "", values: [] })).command);
  show(await failure(client.query({ name: "find", text: "SELECT n FROM t WHERE n = $1", values: [1] })));

  for (const bad of ["SELEC 1", "SELECT * FROM nowhere", "SELECT 1; SELECT 1/0"]) {
    show(await failure(client.query(bad)));
  }
  show(await failure(client.query({ ...insert, values: [1, "twice"] })));
  show(await failure(client.query({ name: "bad", text: "SELECT $1::int FROM nowhere", values: [1] })));
  show(await failure(client.query({ name: "bad", text: "SELECT $1::int FROM nowhere", values: [1] })));
  show(await failure(client.query({ ...find, values: ["no number"] })));
  show((await client.query({ ...find, values: [6] })).rows);
}

async function transactions(client) {
  const count = async () => (await client.query("SELECT count(*)::int AS count FROM t")).rows[0].count;
  await client.query("BEGIN");
  await client.query({ name: "insert", text: "INSERT INTO t VALUES ($1, $2) RETURNING n", values: [100, "gone"] });
  await client.query("SAVEPOINT a");
  show(await failure(client.query("SELECT 1/0")));
  show(await failure(client.query({ name: "find", text: "SELECT s FROM t WHERE n = $1", values: [1] })));
  await client.query("ROLLBACK TO a");
  show((await client.query({ name: "find", text: "SELECT s FROM t WHERE n = $1", values: [100] })).rows);
  await client.query("ROLLBACK");
  show(await count());
  await client.query("BEGIN ISOLATION LEVEL SERIALIZABLE");
  show((await client.query("SHOW transaction_isolation")).rows);
  await client.query("SET LOCAL statement_timeout = '77s'");
  await client.query("INSERT INTO t VALUES (101, 'kept')");
  await client.query("COMMIT");
  show(await count(), (await client.query("SHOW statement_timeout")).rows);
}

async function streams(client) {
  const cursor = client.query(new Cursor("SELECT n FROM t WHERE n >= $1 ORDER BY n", [5]));
  show(await cursor.read(3), await cursor.read(2));
  await cursor.close(); // Before its end.
  let sum = 0;
  const series = new QueryStream("SELECT generate_series(1, $1::int) AS n", [3000], { batchSize: 100 });
  for await (const row of client.query(series)) {
    sum += row.n;
  }
  const given_up = client.query(new QueryStream("SELECT generate_series(1, 100000) AS n"));
  for await (const row of given_up) {
    sum += row.n;
    if (row.n === 10) break; // The stream is destroyed, which closes its portal.
  }
  show(sum);

  const lines = function* () {
    for (let n = 1000; n < 4000; n++) yield `${n}\t${"x".repeat(100)}\n`;
  };
  const into = client.query(copy.from("COPY t FROM STDIN"));
  await pipeline(Readable.from(lines()), into);
  show(into.rowCount);
  let bytes = 0;
  const out = client.query(copy.to("COPY (SELECT * FROM t ORDER BY n) TO STDOUT"));
  for await (const chunk of out) {
    bytes += chunk.length;
  }
  show(bytes);
  show(await failure(pipeline(Readable.from(["1\ttwice\n"]), client.query(copy.from("COPY t FROM STDIN")))));
  show((await client.query("SELECT count(*)::int FROM t")).rows);
}

async function listening() {
  const client = await connect();
  const other = await connect();
  const heard = [];
  client.on("notification", ({ channel, payload }) => heard.push([channel, payload]));
  await client.query("LISTEN channel");
  await client.query("NOTIFY channel, 'to myself'");
  await other.query("SELECT pg_notify('channel', 'from another')");
  while (heard.length < 2) {
    await once(client, "notification", { signal: AbortSignal.timeout(20000) });
  }
  show(heard);
  await client.end();
  await other.end();
}

async function endings() {
  // Cancelled again and again until it hits: a cancel that finds nothing does nothing.
  const client = await connect();
  const query = client.query("SELECT pg_sleep(100)");
  const settled = failure(query);
  const canceller = setInterval(() => {
    const cancel = new Client({ ...options }).connection;
    const { host, port, processID, secretKey } = client;
    cancel.on("error", () => {});
    cancel.connect(port, host);
    const ask = () => cancel.cancel(processID, secretKey);
    cancel.on("connect", () => (cancel.ssl ? cancel.requestSsl() : ask()));
    cancel.on("sslconnect", ask);
  }, 100);
  show(await settled);
  clearInterval(canceller);
  show((await client.query("SELECT 'still here' AS s")).rows);

  // The driver gives up, and the application throws the connection away.
  const impatient = await connect({ query_timeout: 200 });
  show(await failure(impatient.query("SELECT pg_sleep(1)")));
  impatient.on("error", () => {});
  impatient.connection.stream.destroy();
  const limited = await connect({ statement_timeout: 200, application_name: "drivers" });
  show(await failure(limited.query("SELECT pg_sleep(100)")));
  show((await limited.query("SHOW application_name")).rows);
  await limited.end();
  const bound = await connect({ enableChannelBinding: true, options: "-c work_mem=1234kB" });
  show((await bound.query("SHOW work_mem")).rows);
  await bound.end();
  show((await failure(connect({ connectionString: connectionString.replace("secret", "wrong") }))).split(" ")[0]);
  await client.end();
}

async function pipelines() {
  // All are sent before the first is answered.
  const client = await connect({ pipeline: true });
  const double = { name: "double", text: "SELECT $1::int * 2 AS n" };
  const divide = { name: "divide", text: "SELECT 60 / $1::int AS n" };
  for (let round = 0; round < 3; round++) {
    const asked = [];
    for (let n = 0; n < 20; n++) {
      asked.push(client.query({ ...double, values: [n] }));
      asked.push(client.query({ ...divide, values: [n % 10] })); // Two fail.
      asked.push(client.query({ text: "SELECT $1::int AS n", values: [n] }));
    }
    asked.push(client.query("SELECT -1 AS n"));
    const settled = await Promise.allSettled(asked);
    show(settled.map(({ value, reason }) => (reason ? reason.code : value.rows[0].n)));
  }
  const asked = ["BEGIN", "INSERT INTO t VALUES (-1, 'gone')", { ...divide, values: [0] }];
  const settled = await Promise.allSettled([...asked, { ...double, values: [4] }, "ROLLBACK"].map((each) => client.query(each)));
  show(settled.map(({ value, reason }) => (reason ? reason.code : value.command)));
  show((await client.query("SELECT count(*)::int FROM t WHERE n < 0")).rows);
  await client.end();
}

async function pools() {
  const pool = new Pool({ ...options, max: 10 });
  const find = { name: "find", text: "SELECT $1::int * 2 AS n" };
  const work = async (nth) => {
    if (nth % 2) return (await pool.query({ ...find, values: [nth] })).rows[0].n;
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      const { rows } = await client.query({ ...find, values: [nth] });
      await client.query("SELECT $1::text", [`${nth}`]);
      await client.query(nth % 3 ? "COMMIT" : "ROLLBACK");
      return rows[0].n;
    } finally {
      client.release(nth % 50 === 0); // Now and then one is closed.
    }
  };
  const results = await Promise.all(Array.from({ length: 200 }, (_, nth) => work(nth)));
  show(results.reduce((sum, n) => sum + n, 0), pool.totalCount <= 10);
  await pool.end();
}

async function main() {
  const client = await connect();
  await queries(client);
  await transactions(client);
  await streams(client);
  await client.end();
  await pipelines();
  await listening();
  await endings();
  await pools();
  console.log("done");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
