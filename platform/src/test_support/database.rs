use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::required_env;
use crate::database::{DatabaseUrl, MigrateOptions, Role, connect, migrate};

/// A migrated database for one test, dropped with this value, also by a panic.
///
/// Migrated afresh rather than copied from a template: that takes a tenth of a
/// second, and a template is blocked whenever TimescaleDB's scheduler is
/// connected to it. To drop it under that scheduler, the user of `DATABASE_URL`
/// has to be a superuser.
#[derive(Debug)]
pub struct TestDatabase {
    server: DatabaseUrl,
    url: DatabaseUrl,
    text: String,
}

impl TestDatabase {
    /// Creates and migrates a database.
    ///
    /// # Panics
    /// When `DATABASE_URL` is absent or anything fails.
    pub async fn create() -> Self {
        let database = Self::create_empty().await;
        migrate(database.url(), &MigrateOptions::default())
            .await
            .expect("the migrations apply to an empty database");
        database
    }

    /// Creates a database without anything in it.
    ///
    /// # Panics
    /// When `DATABASE_URL` is absent or anything fails.
    pub async fn create_empty() -> Self {
        let text = required_env("DATABASE_URL");
        let server = DatabaseUrl::parse(&text).expect("DATABASE_URL is a PostgreSQL URL");
        let name = format!("t_{}", Uuid::new_v4().simple());
        // template0 admits no connections, so nobody can be in the way.
        administer(
            &server,
            &format!("create database {name} template template0"),
        )
        .await
        .expect("the user of DATABASE_URL may create databases");
        let mut url = reqwest::Url::parse(&text).expect("parsed above");
        url.set_path(&name);
        Self {
            url: server.with_database(&name),
            server,
            text: url.into(),
        }
    }

    /// Drops the database with all that is in it, and makes an empty one of its name.
    ///
    /// # Panics
    /// When the server does not let it.
    pub async fn wipe(&self) {
        let name = self.url.database();
        for statement in [
            format!("drop database {name} with (force)"),
            format!("create database {name} template template0"),
        ] {
            administer(&self.server, &statement)
                .await
                .expect("the user of DATABASE_URL may drop and create databases");
        }
    }

    /// The owner's URL of this database.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// The same, as one would write it in `DATABASE_URL`.
    pub fn url_text(&self) -> &str {
        &self.text
    }

    /// A small pool as `role`.
    ///
    /// # Panics
    /// When the database does not let it in.
    pub async fn pool(&self, role: Role) -> PgPool {
        connect(&self.url, 4, "flowmeter-test", role, None)
            .await
            .expect("the test database lets each role in")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!(
            "drop database if exists {} with (force)",
            self.url.database()
        );
        let server = self.server.clone();
        // A thread with a runtime of its own: the test's may be gone or unwinding.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime
                .block_on(administer(&server, &statement))
                .map_err(std::io::Error::other)
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            other => tracing::warn!(?other, "a test database was left behind"),
        }
    }
}

async fn administer(server: &DatabaseUrl, statement: &str) -> Result<(), sqlx::Error> {
    let options = server
        .options_for(Role::Owner, None)
        .map_err(|error| sqlx::Error::Configuration(error.into()))?;
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    connection.close().await
}
