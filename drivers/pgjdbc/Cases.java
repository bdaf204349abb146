// What pgjdbc's documentation promises, each as a case: prepared statements, fetch size, savepoints
// and autosave, batches, copies, large objects, notifications, XA, and generated keys.
//
// `java Cases.java HOST:PORT/DATABASE USER PASSWORD [WORD...]` runs those whose names contain one of
// the words, or simply all, and says what became of each: a line of JSON per case. A case is a public
// method whose name is a sentence; it starts with an empty schema.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.PrintWriter;
import java.io.StringReader;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.sql.XAConnection;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;
import org.postgresql.ds.PGSimpleDataSource;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.xa.PGXADataSource;

public class Cases {
  private static final int SECONDS_MAX = 30; // Of a case: none takes two where nothing is wrong.

  private static String url;
  private static String user;
  private static String password;

  public static void main(String[] arguments) throws Exception {
    url = "jdbc:postgresql://" + arguments[0];
    user = arguments[1];
    password = arguments[2];
    String[] words = Arrays.copyOfRange(arguments, 3, arguments.length);
    Method[] methods = Cases.class.getDeclaredMethods();
    Arrays.sort(methods, Comparator.comparing(Method::getName));
    for (Method method : methods) {
      String name = method.getName();
      boolean isCase = java.lang.reflect.Modifier.isPublic(method.getModifiers()) && !name.equals("main");
      if (isCase && (words.length == 0 || Arrays.stream(words).anyMatch(name::contains))) {
        String failure = failureOf(method);
        String outcome = failure == null ? "passed" : "failed";
        String text = failure == null ? "" : failure;
        System.out.println("{\"test\": \"" + name + "\", \"outcome\": \"" + outcome + "\", \"text\": \"" + escaped(text) + "\"}");
      }
    }
    System.exit(0); // A case that failed may have left threads.
  }

  private static String failureOf(Method method) {
    ExecutorService executor = Executors.newSingleThreadExecutor();
    Future<Void> future = executor.submit(() -> {
      try (Connection connection = connect()) {
        run(connection, "DROP SCHEMA public CASCADE");
        run(connection, "CREATE SCHEMA public");
      }
      method.invoke(null);
      return null;
    });
    try {
      future.get(SECONDS_MAX, TimeUnit.SECONDS);
      return null;
    } catch (TimeoutException error) {
      return "not done within " + SECONDS_MAX + " seconds";
    } catch (ExecutionException | InterruptedException error) {
      Throwable cause = error.getCause() instanceof InvocationTargetException ? error.getCause().getCause() : error.getCause();
      StringWriter text = new StringWriter();
      cause.printStackTrace(new PrintWriter(text));
      return text.toString();
    } finally {
      executor.shutdownNow();
    }
  }

  private static String escaped(String text) {
    StringBuilder out = new StringBuilder();
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') out.append('\\').append(c);
      else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
      else out.append(c);
    }
    return out.toString();
  }

  // --- What cases say. ---

  private static Connection connect(String... more) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", user);
    properties.setProperty("password", password);
    for (int i = 0; i < more.length; i += 2) properties.setProperty(more[i], more[i + 1]);
    return DriverManager.getConnection(url, properties);
  }

  private static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static String value(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      check(rows.next(), "no row: " + sql);
      return rows.getString(1);
    }
  }

  private static void table(Connection connection, int rows) throws SQLException {
    run(connection, "CREATE TABLE t (n int PRIMARY KEY, s text)");
    run(connection, "INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, " + rows + ") AS n");
  }

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  private static void equal(Object seen, Object expected) {
    check(expected.equals(seen), seen + " is not " + expected);
  }

  private static void fails(String state, Callable<?> work) throws Exception {
    try {
      work.call();
    } catch (SQLException error) {
      equal(error.getSQLState(), state);
      return;
    }
    throw new AssertionError("it was to fail with " + state);
  }

  // --- Prepared statements. ---

  public static void aStatementIsNamedAtItsFifthExecution() throws Exception {
    try (Connection one = connect(); Connection two = connect()) {
      try (PreparedStatement first = one.prepareStatement("SELECT ?::int + 1");
          PreparedStatement second = two.prepareStatement("SELECT ?::int - 1")) {
        for (int n = 0; n < 20; n++) {
          first.setInt(1, n);
          second.setInt(1, n);
          try (ResultSet up = first.executeQuery(); ResultSet down = second.executeQuery()) {
            up.next();
            down.next();
            equal(up.getInt(1) - down.getInt(1), 2);
          }
        }
        check(first.unwrap(PGStatement.class).isUseServerPrepare(), "it has no name yet");
      }
    }
  }

  public static void aStatementOfAThresholdOfOneIsNamedAtOnceAndComesAsBytes() throws Exception {
    try (Connection connection = connect("prepareThreshold", "-1");
        PreparedStatement statement = connection.prepareStatement("SELECT ?::int8, ?::timestamptz, ?::numeric, ?::bytea")) {
      for (int n = 0; n < 10; n++) {
        statement.setLong(1, n);
        statement.setObject(2, java.time.OffsetDateTime.parse("2020-02-02T02:02:02Z"));
        statement.setBigDecimal(3, new java.math.BigDecimal("0.10"));
        statement.setBytes(4, new byte[] {0, -1});
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          equal(rows.getLong(1), (long) n);
          equal(rows.getBigDecimal(3).toString(), "0.10");
          equal(rows.getBytes(4).length, 2);
        }
      }
    }
  }

  public static void theOldestOfTooManyStatementsIsClosed() throws Exception {
    try (Connection connection = connect("prepareThreshold", "1", "preparedStatementCacheQueries", "5")) {
      for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 30; i++) {
          try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + " + i)) {
            statement.setInt(1, round);
            try (ResultSet rows = statement.executeQuery()) {
              rows.next();
              equal(rows.getInt(1), round + i);
            }
          }
        }
      }
    }
  }

  public static void aChangedTableFailsANamedStatementInATransactionOnly() throws Exception {
    try (Connection connection = connect("prepareThreshold", "1"); Connection other = connect()) {
      table(connection, 1);
      try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM t")) {
        for (int n = 0; n < 3; n++) {
          for (int i = 0; i < 3; i++) {
            try (ResultSet rows = statement.executeQuery()) {
              equal(rows.getMetaData().getColumnCount(), 2 + n);
            }
          }
          run(other, "ALTER TABLE t ADD COLUMN more_" + n + " int");
        }
      }
    }
  }

  public static void deallocateAllIsNoticedByTheDriver() throws Exception {
    try (Connection connection = connect("prepareThreshold", "1");
        PreparedStatement statement = connection.prepareStatement("SELECT ?::int")) {
      for (int n = 0; n < 6; n++) {
        statement.setInt(1, n);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          equal(rows.getInt(1), n);
        }
        if (n % 2 == 1) run(connection, "DEALLOCATE ALL");
      }
    }
  }

  public static void theSimpleProtocolIsSpokenWhereItIsAskedFor() throws Exception {
    try (Connection connection = connect("preferQueryMode", "simple");
        PreparedStatement statement = connection.prepareStatement("SELECT ?::text || ?")) {
      for (int n = 0; n < 10; n++) {
        statement.setString(1, "it's");
        statement.setInt(2, n);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          equal(rows.getString(1), "it's" + n);
        }
      }
    }
  }

  public static void severalStatementsInOneStringGiveTheirResultsInTurn() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      check(statement.execute("SELECT 1; SELECT 2; SELECT 3"), "no rows");
      for (int n = 1; n <= 3; n++) {
        try (ResultSet rows = statement.getResultSet()) {
          rows.next();
          equal(rows.getInt(1), n);
        }
        equal(statement.getMoreResults(), n < 3);
      }
    }
  }

  // --- Transactions. ---

  public static void aTransactionBeginsWithItsFirstStatement() throws Exception {
    try (Connection connection = connect(); Connection other = connect()) {
      table(connection, 0);
      connection.setAutoCommit(false);
      for (int n = 0; n < 10; n++) {
        run(connection, "INSERT INTO t VALUES (" + n + ")");
        equal(value(other, "SELECT count(*) FROM t WHERE n = " + n), "0");
        if (n % 2 == 0) connection.commit();
        else connection.rollback();
      }
      equal(value(other, "SELECT count(*) FROM t"), "5");
    }
  }

  public static void savepointsAreRolledBackToAndReleased() throws Exception {
    try (Connection connection = connect()) {
      table(connection, 0);
      connection.setAutoCommit(false);
      run(connection, "INSERT INTO t VALUES (1)");
      Savepoint named = connection.setSavepoint("a name");
      fails("23505", () -> {
        run(connection, "INSERT INTO t VALUES (1)");
        return null;
      });
      connection.rollback(named);
      Savepoint unnamed = connection.setSavepoint();
      run(connection, "INSERT INTO t VALUES (2)");
      connection.releaseSavepoint(unnamed);
      connection.commit();
      equal(value(connection, "SELECT count(*) FROM t"), "2");
      connection.rollback();
    }
  }

  public static void withAutosaveAnErrorDoesNotFailItsTransaction() throws Exception {
    for (String mode : new String[] {"always", "conservative"}) {
      try (Connection connection = connect("autosave", mode, "prepareThreshold", "1")) {
        run(connection, "DROP TABLE IF EXISTS t");
        table(connection, 0);
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO t VALUES (?)")) {
          for (int n = 0; n < 10; n++) {
            insert.setInt(1, n % 5);
            if (n < 5) insert.executeUpdate();
            else if (mode.equals("always")) fails("23505", insert::executeUpdate);
          }
        }
        equal(value(connection, "SELECT count(*) FROM t"), "5");
        connection.commit();
      }
    }
  }

  public static void isolationAndReadOnlyAreThoseOfTheConnection() throws Exception {
    try (Connection connection = connect(); Connection other = connect()) {
      table(connection, 0);
      connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      connection.setReadOnly(true);
      connection.setAutoCommit(false);
      for (int n = 0; n < 3; n++) {
        equal(value(connection, "SHOW transaction_isolation"), "serializable");
        fails("25006", () -> {
          run(connection, "INSERT INTO t VALUES (1)");
          return null;
        });
        connection.rollback();
        equal(value(other, "SHOW transaction_isolation"), "read committed");
        equal(value(other, "SHOW transaction_read_only"), "off");
      }
    }
  }

  public static void aTransactionIsCommittedInTwoPhases() throws Exception {
    try (Connection connection = connect()) {
      table(connection, 0);
    }
    PGXADataSource source = new PGXADataSource();
    source.setUrl(url);
    source.setUser(user);
    source.setPassword(password);
    for (int n = 0; n < 2; n++) {
      XAConnection distributed = source.getXAConnection();
      XAResource resource = distributed.getXAResource();
      Xid xid = xid((byte) n);
      resource.start(xid, XAResource.TMNOFLAGS);
      run(distributed.getConnection(), "INSERT INTO t VALUES (" + n + ")");
      resource.end(xid, XAResource.TMSUCCESS);
      equal(resource.prepare(xid), XAResource.XA_OK);
      if (n == 0) resource.commit(xid, false);
      else resource.rollback(xid);
      distributed.close();
    }
    try (Connection connection = connect()) {
      equal(value(connection, "SELECT count(*) FROM t"), "1");
    }
  }

  private static Xid xid(byte id) {
    return new Xid() {
      public int getFormatId() {
        return 1;
      }

      public byte[] getGlobalTransactionId() {
        return new byte[] {id};
      }

      public byte[] getBranchQualifier() {
        return new byte[] {1, 2};
      }
    };
  }

  // --- Results. ---

  public static void withAFetchSizeRowsComeInPortionsWithinATransaction() throws Exception {
    try (Connection connection = connect()) {
      table(connection, 1000);
      connection.setAutoCommit(false);
      try (PreparedStatement statement = connection.prepareStatement("SELECT n FROM t ORDER BY n")) {
        statement.setFetchSize(30);
        for (int i = 0; i < 7; i++) {
          int sum = 0;
          try (ResultSet rows = statement.executeQuery()) {
            while (rows.next()) {
              sum += rows.getInt(1);
              // Between the portions of an open portal.
              if (rows.getInt(1) == 500) equal(value(connection, "SELECT count(*) FROM t"), "1000");
            }
          }
          equal(sum, 500500);
          if (i % 2 == 0) connection.commit();
        }
        try (ResultSet rows = statement.executeQuery()) {
          rows.next(); // The rest is never read.
        }
      }
      connection.rollback();
    }
  }

  public static void aResultScrollsAndIsUpdated() throws Exception {
    try (Connection connection = connect()) {
      table(connection, 10);
      try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
          ResultSet rows = statement.executeQuery("SELECT n, s FROM t ORDER BY n")) {
        rows.absolute(5);
        rows.updateString(2, "changed");
        rows.updateRow();
        rows.last();
        equal(rows.getInt(1), 10);
      }
      equal(value(connection, "SELECT s FROM t WHERE n = 5"), "changed");
    }
  }

  public static void aBatchIsOneRoundTripAndTellsWhatEachPartDid() throws Exception {
    for (String rewrite : new String[] {"false", "true"}) {
      try (Connection connection = connect("reWriteBatchedInserts", rewrite)) {
        run(connection, "DROP TABLE IF EXISTS t");
        table(connection, 0);
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
          for (int n = 0; n < 1000; n++) {
            insert.setInt(1, n);
            insert.setString(2, "x".repeat(200));
            insert.addBatch();
          }
          equal(insert.executeBatch().length, 1000);
        }
        equal(value(connection, "SELECT count(*) FROM t"), "1000");
        fails("23505", () -> {
          try (PreparedStatement insert = connection.prepareStatement("INSERT INTO t VALUES (?)")) {
            for (int n = 998; n < 1005; n++) {
              insert.setInt(1, n + (n == 1003 ? -500 : 2));
              insert.addBatch();
            }
            return insert.executeBatch();
          }
        });
      }
    }
  }

  public static void generatedKeysComeBack() throws Exception {
    try (Connection connection = connect()) {
      run(connection, "CREATE TABLE t (n serial PRIMARY KEY, s text)");
      String sql = "INSERT INTO t (s) VALUES (?)";
      try (PreparedStatement insert = connection.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS)) {
        for (int n = 1; n < 10; n++) {
          insert.setString(1, "x");
          insert.executeUpdate();
          try (ResultSet keys = insert.getGeneratedKeys()) {
            keys.next();
            equal(keys.getInt("n"), n);
          }
        }
      }
    }
  }

  public static void theCatalogueIsDescribed() throws Exception {
    try (Connection connection = connect()) {
      table(connection, 0);
      try (ResultSet columns = connection.getMetaData().getColumns(null, "public", "t", "%");
          ResultSet keys = connection.getMetaData().getPrimaryKeys(null, "public", "t")) {
        check(columns.next() && columns.next() && !columns.next(), "two columns");
        keys.next();
        equal(keys.getString("COLUMN_NAME"), "n");
      }
    }
  }

  // --- PostgreSQL's own. ---

  public static void rowsAreCopiedInAndOut() throws Exception {
    try (Connection connection = connect()) {
      table(connection, 0);
      CopyManager copies = connection.unwrap(PGConnection.class).getCopyAPI();
      StringBuilder rows = new StringBuilder();
      for (int n = 0; n < 5000; n++) rows.append(n).append("\tx\n");
      equal(copies.copyIn("COPY t FROM STDIN", new StringReader(rows.toString())), 5000L);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      copies.copyOut("COPY t TO STDOUT", out);
      equal(out.toString(StandardCharsets.UTF_8), rows.toString());
      fails("23505", () -> copies.copyIn("COPY t FROM STDIN", new ByteArrayInputStream("1\ttwice\n".getBytes())));
      equal(value(connection, "SELECT count(*) FROM t"), "5000");
    }
  }

  public static void aLargeObjectIsWrittenAndReadByFunctionCalls() throws Exception {
    try (Connection connection = connect(); Connection other = connect()) {
      connection.setAutoCommit(false);
      LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
      long id = manager.createLO();
      byte[] bytes = new byte[100000];
      Arrays.fill(bytes, (byte) 7);
      try (LargeObject object = manager.open(id, LargeObjectManager.READWRITE)) {
        object.write(bytes);
      }
      connection.commit();
      equal(value(other, "SELECT length(lo_get(" + id + "))"), "100000");
      try (LargeObject object = manager.open(id, LargeObjectManager.READ)) {
        object.seek(99990);
        equal(object.read(100).length, 10);
        equal(object.size(), 100000);
      }
      manager.delete(id);
      connection.commit();
    }
  }

  public static void notificationsAreFetched() throws Exception {
    try (Connection connection = connect(); Connection other = connect()) {
      PGConnection listening = connection.unwrap(PGConnection.class);
      run(connection, "LISTEN channel");
      run(other, "NOTIFY channel, 'one'");
      run(other, "SELECT pg_notify('channel', 'two')");
      String heard = "";
      while (heard.length() < 6) {
        for (PGNotification each : listening.getNotifications(20000)) heard += each.getParameter();
      }
      equal(heard, "onetwo");
    }
  }

  public static void aQueryIsCancelled() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      ExecutorService executor = Executors.newSingleThreadExecutor();
      Future<Boolean> query = executor.submit(() -> statement.execute("SELECT pg_sleep(100)"));
      while (!query.isDone()) {
        try {
          query.get(50, TimeUnit.MILLISECONDS);
        } catch (TimeoutException error) {
          statement.cancel();
        } catch (ExecutionException error) {
          equal(((SQLException) error.getCause()).getSQLState(), "57014");
        }
      }
      executor.shutdown();
      equal(value(connection, "SELECT 'still here'"), "still here");
    }
  }

  public static void aQueryIsEndedByTheTimeoutOfItsStatement() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      fails("57014", () -> statement.execute("SELECT pg_sleep(100)"));
      equal(value(connection, "SELECT 'still here'"), "still here");
    }
  }

  public static void settingsOfTheUrlAreThoseOfTheSession() throws Exception {
    try (Connection connection = connect("ApplicationName", "a case", "options", "-c work_mem=1234kB", "currentSchema", "public")) {
      for (int n = 0; n < 3; n++) {
        equal(value(connection, "SHOW application_name"), "a case");
        equal(value(connection, "SHOW work_mem"), "1234kB");
        equal(value(connection, "SHOW search_path"), "public");
        equal(value(connection, "SHOW extra_float_digits"), "3");
      }
      connection.setClientInfo("ApplicationName", "another");
      equal(value(connection, "SHOW application_name"), "another");
      connection.setSchema("pg_catalog");
      equal(connection.getSchema(), "pg_catalog");
    }
  }

  public static void aConnectionIsFoundAliveAndOneOfAClosedOneIsNot() throws Exception {
    Connection connection = connect();
    for (int n = 0; n < 5; n++) check(connection.isValid(10), "it is alive");
    connection.close();
    check(!connection.isValid(10), "it is closed");
  }

  public static void manyThreadsEachHaveAConnection() throws Exception {
    ExecutorService executor = Executors.newFixedThreadPool(20);
    PGSimpleDataSource source = new PGSimpleDataSource();
    source.setUrl(url);
    source.setUser(user);
    source.setPassword(password);
    Future<?>[] futures = new Future<?>[20];
    for (int i = 0; i < futures.length; i++) {
      int number = i;
      futures[i] = executor.submit(() -> {
        try (Connection connection = source.getConnection();
            PreparedStatement statement = connection.prepareStatement("SELECT ?::int * " + number)) {
          connection.setAutoCommit(false);
          for (int n = 0; n < 20; n++) {
            statement.setInt(1, n);
            try (ResultSet rows = statement.executeQuery()) {
              rows.next();
              equal(rows.getInt(1), n * number);
            }
            connection.commit();
          }
        }
        return null;
      });
    }
    for (Future<?> future : futures) future.get();
    executor.shutdown();
  }
}
