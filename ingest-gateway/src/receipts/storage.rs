//! The gateway's way to the database, which may come and go.

use std::{sync::Arc, time::Duration};

use platform::{
    config::DatabaseConfig,
    database::{self, DatabaseError, DatabaseUrl, Role, TenantDb},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// One connection for those who wait, one for single look-ups.
const CONNECTIONS: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A database that is connected to behind.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    database: watch::Receiver<Option<TenantDb>>,
    _connecting: Arc<AbortOnDropHandle<()>>,
}

impl Storage {
    /// Connects behind, as long as it takes.
    ///
    /// # Errors
    /// The address cannot be read.
    pub(crate) fn start(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        let url = DatabaseUrl::parse(config.url.expose_secret())?;
        let (connected, database) = watch::channel(None);
        let password = config.api_password.clone();
        let connecting = tokio::spawn(async move {
            let database = connect_patiently(&url, password.as_ref()).await;
            connected.send_replace(Some(database));
        });
        Ok(Self {
            database,
            _connecting: Arc::new(AbortOnDropHandle::new(connecting)),
        })
    }

    /// The database, once it was connected to; it may be away again.
    pub(crate) fn database(&self) -> Option<TenantDb> {
        self.database.borrow().clone()
    }
}

async fn connect_patiently(url: &DatabaseUrl, password: Option<&SecretString>) -> TenantDb {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(url, password).await {
            Ok(database) => return database,
            // Also a role that reads too much: until that is mended, nothing is read.
            Err(error) => {
                tracing::warn!(%error, "the gateway has no database: whether events are stored cannot be told");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn connect(
    url: &DatabaseUrl,
    password: Option<&SecretString>,
) -> Result<TenantDb, DatabaseError> {
    let name = "flowmeter-ingest-gateway";
    let pool = database::connect(url, CONNECTIONS, name, Role::Api, password).await?;
    let database = TenantDb::new(pool);
    database.verify_role().await?;
    Ok(database)
}
