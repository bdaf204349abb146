// Runs the cases of a file and says what became of each: a line of JSON per case.
//
// `run.js FILE URL [WORD...]`. A case is an exported function whose name is a sentence and whose
// argument is the URL of an empty database. With words only the cases are run whose names contain one
// of them.
const path = require("node:path");
const { Client } = require("pg");

const SECONDS_MAX = 30; // Of a case: none takes two where nothing is wrong.

async function run(test, url) {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  await client.end();
  await test(url);
}

async function inTime(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${SECONDS_MAX} seconds`)), SECONDS_MAX * 1000);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

async function main() {
  const [file, url, ...words] = process.argv.slice(2);
  for (const [name, test] of Object.entries(require(path.resolve(file)))) {
    if (words.length && !words.some((word) => name.includes(word))) continue;
    const told = { test: name, outcome: "passed" };
    try {
      await inTime(run(test, url));
    } catch (error) {
      Object.assign(told, { outcome: "failed", text: String(error.stack ?? error) });
    }
    process.stdout.write(JSON.stringify(told) + "\n");
  }
  process.exit(0); // A case that failed may have left connections.
}

main();
