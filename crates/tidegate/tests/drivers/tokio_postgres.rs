//! tokio-postgres, which is told by functions rather than by a script of its own.

use std::future::poll_fn;
use std::path::Path;
use std::time::Duration;

use tidegate_testkit::scene::APP;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage, Socket};

use crate::secured::Secured;

async fn connect<T>(port: u16, tls: T) -> (Client, UnboundedReceiver<(String, String)>)
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user(APP).password("secret").dbname(APP);
    config.application_name("drivers");
    let (client, mut connection) = config.connect(tls).await.expect("it connects");
    let (heard, hearing) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(said) = message {
                let _ = heard.send((said.channel().to_owned(), said.payload().to_owned()));
            }
        }
    });
    (client, hearing)
}

/// What a client of `port` sees; over TLS with whom the authority in this file has signed for.
pub(crate) async fn transcript(port: u16, authority: Option<&Path>) -> Vec<String> {
    match authority {
        None => transcript_over(port, NoTls).await,
        Some(authority) => transcript_over(port, Secured::trusting(authority)).await,
    }
}

async fn transcript_over<T>(port: u16, tls: T) -> Vec<String>
where
    T: MakeTlsConnect<Socket> + Clone,
    T::Stream: Send + 'static,
{
    let mut seen = Vec::new();
    let (mut client, mut heard) = connect(port, tls.clone()).await;
    simple(&client, &mut seen).await;
    extended(&client, &mut seen).await;
    transactions(&mut client, &mut seen).await;
    copies(&client, &mut seen).await;

    client.batch_execute("LISTEN channel").await.expect("it listens");
    client.batch_execute("NOTIFY channel, 'to myself'").await.expect("it notifies");
    let (other, _) = connect(port, tls.clone()).await;
    other.batch_execute("NOTIFY channel, 'from another'").await.expect("it notifies");
    for _ in 0..2 {
        let said = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
        seen.push(format!("{said:?}"));
    }

    // Cancelled again and again until it hits: a cancel that finds nothing does nothing.
    let token = client.cancel_token();
    let query = client.query("SELECT pg_sleep(100)", &[]);
    tokio::pin!(query);
    let cancelled = loop {
        tokio::select! {
            ended = &mut query => break ended,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                token.cancel_query(tls.clone()).await.expect("the request is taken");
            }
        }
    };
    seen.push(code(&cancelled.expect_err("it was cancelled")));
    let row = client.query_one("SELECT 'still here'", &[]).await.expect("it goes on");
    seen.push(row.get(0));
    seen
}

fn code(error: &tokio_postgres::Error) -> String {
    let error = error.as_db_error().unwrap_or_else(|| panic!("not PostgreSQL's: {error:?}"));
    format!("{} {}", error.code().code(), error.message())
}

async fn simple(client: &Client, seen: &mut Vec<String>) {
    let sql = "DROP TABLE IF EXISTS t; CREATE TABLE t (n int PRIMARY KEY, s text); \
               INSERT INTO t VALUES (1, 'one'), (2, NULL); SELECT * FROM t ORDER BY n";
    for message in client.simple_query(sql).await.expect("it is right") {
        seen.push(match message {
            SimpleQueryMessage::Row(row) => format!("{:?} {:?}", row.get(0), row.get(1)),
            SimpleQueryMessage::CommandComplete(count) => format!("{count} rows"),
            other => format!("{other:?}"),
        });
    }
    for bad in ["SELEC 1", "SELECT 1/0", "INSERT INTO t VALUES (1, 'twice')", "SELECT 1; SELEC"] {
        seen.push(code(&client.simple_query(bad).await.expect_err(bad)));
    }
}

async fn extended(client: &Client, seen: &mut Vec<String>) {
    let statement = client
        .prepare_typed("SELECT $1, s, $2::text[], 0.1::float8 FROM t WHERE n = $1", &[Type::INT4])
        .await
        .expect("it is right");
    for column in statement.columns() {
        seen.push(format!("{} {}", column.name(), column.type_()));
    }
    for n in [1, 2, 3] {
        let rows = client.query(&statement, &[&n, &vec!["a", "b"]]).await.expect("it is right");
        for row in rows {
            let (n, s): (i32, Option<String>) = (row.get(0), row.get(1));
            let (list, float): (Vec<String>, f64) = (row.get(2), row.get(3));
            seen.push(format!("{n} {s:?} {list:?} {float}"));
        }
    }
    // A pipeline: all are sent before the first answer, and one of them fails.
    type Values<'a> = &'a [&'a (dyn ToSql + Sync)];
    let (long, bytes) = ("x".repeat(100_000), vec![0_u8, 255]);
    let (one, two): (Values<'_>, Values<'_>) = (&[&long], &[&bytes]);
    let (a, b, c, d) = tokio::join!(
        client.query_one("SELECT 1::int8 + $1", &[&41_i64]),
        client.query_one("SELECT length($1::text)", one),
        client.query("SELECT 1 / (n - 1) FROM t", &[]),
        client.query_one("SELECT $1::bytea", two),
    );
    let length: i32 = b.expect("it is right").get(0);
    seen.push(format!("{} {length}", a.expect("it is right").get::<_, i64>(0)));
    seen.push(code(&c.expect_err("a division by zero")));
    seen.push(format!("{:?}", d.expect("it is right").get::<_, Vec<u8>>(0)));
}

async fn transactions(client: &mut Client, seen: &mut Vec<String>) {
    let mut transaction = client.transaction().await.expect("it begins");
    transaction.execute("INSERT INTO t VALUES (10, 'ten')", &[]).await.expect("inserted");
    let savepoint = transaction.transaction().await.expect("a savepoint");
    savepoint.execute("SELECT 1/0", &[]).await.expect_err("a division by zero");
    savepoint.rollback().await.expect("rolled back");
    let portal = transaction.bind("SELECT n FROM t ORDER BY n", &[]).await.expect("a portal");
    for _ in 0..3 {
        let rows = transaction.query_portal(&portal, 1).await.expect("a row");
        seen.push(format!("{:?}", rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>()));
    }
    transaction.commit().await.expect("committed");
    let transaction = client.transaction().await.expect("it begins");
    transaction.execute("DELETE FROM t", &[]).await.expect("deleted");
    drop(transaction); // Rolls back.
    let count = client.query_one("SELECT count(*) FROM t", &[]).await.expect("it is right");
    seen.push(format!("{}", count.get::<_, i64>(0)));
}

async fn copies(client: &Client, seen: &mut Vec<String>) {
    let sink = client.copy_in("COPY t FROM STDIN BINARY").await.expect("it begins");
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]);
    tokio::pin!(writer);
    for n in 1000..3000 {
        writer.as_mut().write(&[&n, &"x".repeat(100)]).await.expect("it is taken");
    }
    seen.push(format!("{} copied", writer.finish().await.expect("it ends")));
    let sink = client.copy_in("COPY t FROM STDIN BINARY").await.expect("it begins");
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]);
    tokio::pin!(writer);
    writer.as_mut().write(&[&1, &"twice"]).await.expect("it is taken");
    seen.push(code(&writer.finish().await.expect_err("a key that is there")));
    // Dropped before its end: the driver says CopyFail.
    let sink = client.copy_in::<_, std::io::Cursor<Vec<u8>>>("COPY t FROM STDIN").await;
    drop(sink.expect("it begins"));
    let count = client.query_one("SELECT count(*), sum(n) FROM t", &[]).await.expect("it is right");
    seen.push(format!("{} {}", count.get::<_, i64>(0), count.get::<_, i64>(1)));
    let out = client.copy_out("COPY t TO STDOUT").await.expect("it begins");
    drop(out); // The rest is read and thrown away.
    seen.push(client.query_one("SELECT 'after the copies'", &[]).await.expect("it goes on").get(0));
}
